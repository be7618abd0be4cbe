"""Parts whose product is only a guess: groups of replicas differ in it as its shares say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.compile import Compiled
from sim.distributions import mean
from sim.facts import Facts
from twin.hidden_view import SHARING
from twin.model import TwinState
from twin.topology import Topology

VARIANTS = 6
"""Most draws of the guessed products in an ensemble of rows (32 rows of gearmotor: 174 ms with six, 175 with one)."""


def drawn(
    compiled: Compiled, topology: Topology, state: TwinState, groups: list[Facts], seed: int, replicas: int
) -> list[Facts]:
    """The groups of facts with products drawn for the guessed parts that wait in queues; as they are without any.

    Where an ensemble has filled a queue of its own in each group, its members differ already.
    """
    plant = compiled.plant
    places = []
    for s, station in enumerate(state.stations):
        name = plant.stations[s].id
        products = sorted({p for p, _ in topology.into[s]})
        told = groups[0].queues.get(name, ())
        if len(products) < 2 or any(group.queues.get(name, ()) != told for group in groups):
            continue
        where = [i for i, part in enumerate(station.queue[: len(told)]) if part.guess]
        if where:
            weights = np.array([1.0 + station.ended_of[p] for p in products])
            places.append((name, where, products, weights / weights.sum(), dict(topology.into[s])))
    if not places:
        return groups
    n = max(min(replicas // SHARING, VARIANTS), len(groups), 1)
    found = []
    for g in range(n):
        facts = groups[g * len(groups) // n]
        rng = np.random.Generator(np.random.PCG64([seed, 0x6755, g]))
        queues = dict(facts.queues)
        for name, where, products, weights, step in places:
            queue = list(queues[name])
            for i, p in zip(where, rng.choice(products, len(where), p=weights), strict=True):
                product, born = plant.products[p], queue[i].released or 0
                due = None if product.due is None else born + round(mean(product.due))
                queue[i] = replace(queue[i], product=product.id, step=product.steps[step[p]].id, due=due)
            queues[name] = tuple(queue)
        found.append(replace(facts, queues=queues))
    return found
