"""From a plant to a policy: PPO, the stages after it, checkpoints, resuming, what is shown and kept."""
