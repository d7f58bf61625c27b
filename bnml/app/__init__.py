"""The daemon: tasks around the engine."""
