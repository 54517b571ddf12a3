"""Frozen values that travel through the house. Standard library only; no I/O, no clock, no chance."""
