"""Who proposes: environments, training, rules, advice."""
