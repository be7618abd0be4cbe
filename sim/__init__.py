"""The plant as described and how it evolves."""
