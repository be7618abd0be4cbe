"""Whatever decides, played on a plant: rules, policies, rollouts, others' own."""
