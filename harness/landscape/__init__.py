"""Landscapes: what an edit script of a target is worth, looked up or computed in microseconds, so that policies are compared in seconds."""
