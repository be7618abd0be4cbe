"""When what is in transit arrives: units by intervals of equal length from now, for observations of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.jit import entry
from sim.state import NOW, Array


@entry
def arriving_rows(rows: Array, lanes: Array, scales: NDArray[np.float64], first: int, out: NDArray[np.float32]) -> None:
    """out[i, first + c] = scales[c] x units of row i that arrive in an interval; c runs over the intervals of all
    lanes.

    rows int64[R, W]; lanes int64[L, 7], each: where in a row its due ticks begin, where its quantities, how
    many places it has, where `lane_order` and `owed` stand, ticks of an interval, number of intervals; scales
    float64[C]; out float32[R, D]. Interval k of a lane takes what is due in [now + k length, now + (k + 1) length), the
    last one everything later too.
    """
    for i in range(rows.shape[0]):
        now = rows[i, NOW]
        begin = 0
        for k in range(lanes.shape[0]):
            dues, quantities, places = lanes[k, 0], lanes[k, 1], lanes[k, 2]
            length, count = lanes[k, 5], lanes[k, 6]
            at = first + begin
            for c in range(count):
                out[i, at + c] = 0.0
            # few places are taken, mostly the first: the rest need not be read once everything is found
            left = rows[i, lanes[k, 3]] - rows[i, lanes[k, 4]]
            place = 0
            while left > 0 and place < places:
                quantity = rows[i, quantities + place]
                if quantity > 0:
                    wait = rows[i, dues + place] - now
                    ahead = min(max(wait, 0) // length, count - 1)
                    out[i, at + ahead] += quantity  # whole numbers up to 2^24 are exact
                    left -= quantity
                place += 1
            for c in range(count):
                out[i, at + c] *= scales[begin + c]
            begin += count
