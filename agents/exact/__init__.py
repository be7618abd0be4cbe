"""Exact optima of small plants, and the exact cost of anything that decides there."""
