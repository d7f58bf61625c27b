"""What is computed about the past: sweeps, replays, parity and their figures."""
