"""Simple rules and how they are tuned."""
