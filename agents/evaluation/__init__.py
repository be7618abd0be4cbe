"""Which of two controllers is better, and how sure that is."""
