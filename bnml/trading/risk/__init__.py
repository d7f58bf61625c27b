"""What may not be done: limits, sizes, breakers."""
