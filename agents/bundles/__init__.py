"""Policies as files: safe to read, signed, exported, taken over from elsewhere."""
