"""Who proposes: environments, training, rules, evaluation and advice."""
