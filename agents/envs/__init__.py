"""What an agent plays: a plant as a Gymnasium environment, alone, in batches, on a device."""
