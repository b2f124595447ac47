"""Attacks on the metric and on the machine, each with the guard without which it succeeds."""
