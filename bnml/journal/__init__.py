"""Memory: what happened, in order, on disk."""
