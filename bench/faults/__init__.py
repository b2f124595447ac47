"""Faults that are injected into real processes, and what must hold whatever happens: `make faults`."""
