"""From the live state to a recommendation."""
