"""What we believe about the real plant now: tracking, forecast, recommendations and the evidence log."""
