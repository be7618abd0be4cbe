"""A learner of one's own in numpy: the cross-entropy method (Rubinstein 1999) on the weights of a linear policy, each
candidate in a replica of its own, all stepped in one call.

python examples/own_loop.py [PLANT FILE OR NAME] [ROUNDS]
"""
# ruff: noqa: ANN001, ANN201

import sys
from pathlib import Path

import gymnasium
import numpy as np

HERE = Path(__file__).resolve().parent


def main(plant=HERE / "bakery.yaml", rounds=15, candidates=256, steps=168, seed=0):
    """Search, and return the mean cost of a step of the candidates, round by round."""
    env = gymnasium.make_vec("plantwin:Plant-v0", num_envs=candidates, plant=str(plant), max_episode_steps=10**6)
    counts, fields = env.single_action_space.nvec, env.single_observation_space.shape[0]
    rng = np.random.default_rng(seed)
    centre, spread = np.zeros((fields + 1, len(counts))), np.full((fields + 1, len(counts)), 0.5)
    told = []
    for k in range(int(rounds)):
        weights = centre + spread * rng.standard_normal((candidates, *centre.shape))
        seen, _ = env.reset(seed=k)  # new luck each round, or the search would learn the luck by heart
        cost = np.zeros(candidates)
        for _ in range(steps):
            scores = np.einsum("nf,nfc->nc", np.column_stack([seen, np.ones(candidates)]), weights)
            share = 1 / (1 + np.exp(-scores))  # where in its range each control is to stand
            seen, _, _, _, info = env.step(np.minimum(share * counts, counts - 1).astype(int))
            cost += info["cost"]
        best = weights[np.argsort(cost)[: candidates // 8]]
        centre, spread = best.mean(axis=0), best.std(axis=0) + 0.02
        told.append(cost.mean() / steps)
        print(f"round {k + 1}: {told[-1]:.3f} a step")
    return told


if __name__ == "__main__":
    main(*sys.argv[1:])
