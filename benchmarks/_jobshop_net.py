"""A network that sets every machine's dispatching weights anew at each event, by what it sees of that machine.

One network for all machines and shops of a size: it sees the share of the jobs that wait there, of the machine's
operations and of all operations that are still to begin, and how loaded the machine is against the busiest; it adds to
the weights it starts from. Its numbers are found by evolution, since what counts is known only at the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks._jobshop import LARGEST, USED, Floats, Shop, Values, begun, ended
from sim.batch import Turn, kinds_of, play
from sim.plant import FEATURES

SEEN, HIDDEN = 5, 6
SIZE = SEEN * HIDDEN + HIDDEN * len(USED)
"""Numbers of a network."""
_COLUMNS = [FEATURES.index(name) for name in USED]


def makespans(shop: Shop, networks: Floats, start: Values) -> Values:
    """Makespans [R] in minutes of networks [R, SIZE] that add to weights `start` [F]."""
    into = networks[:, : SEEN * HIDDEN].reshape(-1, SEEN, HIDDEN)
    out = networks[:, SEEN * HIDDEN :].reshape(-1, HIDDEN, len(USED))
    count, view = len(networks), shop.compiled.layout.view
    rows = begun(shop, np.tile(start, (count, shop.machines, 1)))
    weights, load, size = view(rows, "weights"), _load(shop), len(shop.jobs)
    kinds, end = kinds_of(None), shop.longest
    while int(view(rows, "finished").sum()) < count * size:
        left = 1.0 - view(rows, "started") / size
        seen = np.stack(
            [
                view(rows, "q_len") / size,
                left,
                np.broadcast_to(left.mean(axis=1, keepdims=True), left.shape),
                np.broadcast_to(load, left.shape),
                np.ones(left.shape),
            ],
            axis=2,
        )
        added = np.tanh(seen @ into) @ out
        weights[:, :, _COLUMNS] = np.rint(start + LARGEST * added).astype(np.int64)
        play(rows, shop.compiled, Turn(end, kinds))
    return ended(shop, rows)


def _load(shop: Shop) -> NDArray[np.float64]:
    """Work [S] of each machine, as a share of the busiest one's."""
    index = shop.compiled.station_index
    work = np.zeros(shop.machines)
    for job in shop.jobs:
        for machine, time in job:
            work[index[f"m{machine}"]] += time
    return np.asarray(work / work.max())
