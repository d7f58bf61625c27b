"""The decisions: synchronous, no I/O, no clock."""
