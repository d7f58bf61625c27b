"""Faults on purpose: scripts of rules that make the exchange fail its clients, the same way each time."""
