"""Who proposes: environments, training, rules, evaluation and advice.

envs         what an agent plays: a plant as a Gymnasium environment, alone, in batches, on a device
rules        simple rules and how they are tuned
training     from a plant to a policy: PPO, the stages after it, checkpoints, resuming
bundles      policies as files: safe to read, signed, exported, taken over from elsewhere
control      whatever decides, played on a plant: rules, policies, rollouts, others' own
exact        exact optima of small plants, and the exact cost of anything that decides there
evaluation   which of two controllers is better, and how sure that is
advice       from the live state to a recommendation
policies     what is shipped for bundled plants (no code)
"""
