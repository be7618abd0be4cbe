"""What remains of a duration of which part has passed already, drawn conditionally on that.

The words come from the kernel's own streams (seed, replica, entity, purpose), from count `FROM_PRESENT` on, so that no
run ever meets them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import state as st
from sim.compile import Compiled
from sim.draws import ONE, block
from sim.jit import entry
from sim.quantile import FINE, LENGTH, drawn
from sim.state import Array

FROM_PRESENT = 1 << 40
"""First count of the conditional draws in each stream; no run draws as often."""
OVERDUE = 0.1
"""What lasts longer than its distribution allows gets this part of a fresh draw as its residual: the model is wrong
there, and neither "ends now" nor "starts again" would be honest."""


@entry
def _words(seed: int, first: int, counter: int, count: int, out: Array) -> None:
    for i in range(out.shape[0]):
        a, b = block(seed, first + i, counter, count >> 1)
        out[i] = b if count & 1 else a


def residuals(table: Array, age: float | NDArray[np.float64], words: Array) -> NDArray[np.float64]:
    """Ticks that remain of a duration that has lasted `age` ticks already (one number, or one a word), one for each
    64-bit word [R].

    A table is a mixture of uniforms; what lies below the age is cut off. Upper half of a word: which uniform; lower
    half: where in it.
    """
    low, width, weight = drawn(table)
    bottom, top = low / FINE, (low + width) / FINE
    ages = np.reshape(age, (-1, 1))  # [1, 1] or [R, 1]; against K uniforms
    share = np.clip((top - ages) / np.maximum(top - bottom, 1.0 / FINE), 0.0, 1.0)
    kept = np.where(top > bottom, share, bottom >= ages)
    ends = np.cumsum(weight * kept, axis=1)  # in order, so that every machine gets the same sums
    u = ((words >> 32) & 0xFFFFFFFF) / 2.0**32
    v = (words & 0xFFFFFFFF) / 2.0**32
    at = u * ends[:, -1]
    if len(ends) == 1:
        piece = np.searchsorted(ends[0], at, side="right")
    else:
        piece = np.count_nonzero(ends <= at[:, None], axis=1)  # the same, row by row
    over = ends[:, -1] <= 0.0
    if over.all():
        return OVERDUE * residuals(table, 0.0, words)
    piece = np.minimum(piece, len(bottom) - 1)  # where it is over, which is replaced below
    begin = np.maximum(bottom[piece], ages[:, 0])
    left = np.asarray(begin + v * (top[piece] - begin) - ages[:, 0], dtype=float)
    if over.any():
        left[over] = OVERDUE * residuals(table, 0.0, words[over])
    return left


def late_residuals(
    tables: tuple[Array, Array], in_time: float, age: float, scale: Array, words: tuple[Array, Array, Array]
) -> Array:
    """Ticks [R] that remain of a lead time (`tables[0]`) to which, with probability 1 - `in_time`, a lateness
    (`tables[1]`) is added, given that `age` ticks have passed; both go through the scale 2^-16 [R].

    By Bayes' rule the order is late with odds (1 - in_time) P(lead + lateness > age) : in_time P(lead > age). `words`
    decide that, the lead time, and the lateness.
    """
    lead, late = _Spread.of(tables[0]), _Spread.of(tables[1])
    ticks = np.empty(len(scale))
    for i, factor in enumerate(scale / ONE):
        ticks[i] = factor * _late_residual((lead, late), in_time, age / factor, [int(w[i]) for w in words])
    return np.maximum(np.rint(ticks), 0).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Spread:
    """A duration as its uniforms: ticks where they begin, end and have their middle, probability of each and below."""

    bottom: NDArray[np.float64]
    top: NDArray[np.float64]
    middle: NDArray[np.float64]
    share: NDArray[np.float64]
    below: NDArray[np.float64]

    @staticmethod
    def of(table: Array) -> _Spread:
        low, width, weight = drawn(table)
        share = weight / weight.sum()
        below = np.concatenate(([0.0], np.cumsum(share)))
        return _Spread(low / FINE, (low + width) / FINE, (low + width / 2) / FINE, share, below)

    def longer(self, age: float) -> NDArray[np.float64]:
        """Probability that each uniform takes more than `age` ticks."""
        wide = self.top > self.bottom
        part = np.clip((self.top - age) / np.where(wide, self.top - self.bottom, 1.0), 0.0, 1.0)
        return np.asarray(self.share * np.where(wide, part, self.bottom >= age))

    def after(self, age: float, word: int) -> float:
        """What remains of the duration at `age` ticks (0 where it should be over)."""
        ends = np.cumsum(self.longer(age))
        if ends[-1] <= 0.0:
            return 0.0
        piece = int(np.searchsorted(ends, _upper(word) * ends[-1], side="right"))
        begin = max(float(self.bottom[piece]), age)
        return begin + (word & 0xFFFFFFFF) / 2.0**32 * (float(self.top[piece]) - begin) - age


def _upper(word: int) -> float:
    return (word >> 32 & 0xFFFFFFFF) / 2.0**32


def _late_residual(both: tuple[_Spread, _Spread], in_time: float, age: float, words: list[int]) -> float:
    """One replica of `late_residuals`, at scale one."""
    lead, late = both
    on_way = in_time * float(lead.longer(age).sum())
    # probability of each lead time with a lateness that reaches beyond the age, by the middles of the uniforms
    behind = lead.share * (1.0 - late.below[np.searchsorted(late.middle, age - lead.middle, side="left")])
    ends = np.cumsum(behind)
    total = on_way + (1.0 - in_time) * float(ends[-1])
    if total <= 0.0:  # later than any order can be
        return OVERDUE * (lead.after(0.0, words[1]) + late.after(0.0, words[2]))
    if _upper(words[0]) * total < on_way:
        return lead.after(age, words[1])
    piece = int(np.searchsorted(ends, _upper(words[1]) * ends[-1], side="right"))
    took = float(lead.bottom[piece] + (words[1] & 0xFFFFFFFF) / 2.0**32 * (lead.top[piece] - lead.bottom[piece]))
    return max(took - age, 0.0) + late.after(max(age - took, 0.0), words[2])


class Drawer:
    """Conditional draws of all replicas at once."""

    def __init__(self, compiled: Compiled, seed: int, first: int, replicas: int) -> None:
        self.params = compiled.params
        self.to = {
            name: (int(compiled.params[st.HEADER_NAMES.index(f"to_{name}")]), {c: j for j, c in enumerate(columns)})
            for name, columns in st.TABLES.items()
        }
        self.seed, self.first, self.replicas = seed, first, replicas

    def of(self, table: str, i: int, column: str) -> int:
        """A number of record `i` of a table of the params array."""
        at, columns = self.to[table]
        return int(self.params[at + i * len(columns) + columns[column]])

    def listed(self, table: str, i: int, name: str) -> list[int]:
        """The list that a record delimits by `NAME_at` and `NAME_end`."""
        return [int(v) for v in self.params[self.of(table, i, f"{name}_at") : self.of(table, i, f"{name}_end")]]

    def words(self, entity: int, purpose: int, count: int = 0) -> Array:
        """Word number `count` from the present on of a stream, for every replica [R]."""
        out = np.empty(self.replicas, dtype=np.int64)
        _words(self.seed, self.first, entity * 16 + purpose, FROM_PRESENT + count, out)
        return out

    def chances(self, entity: int, purpose: int, count: int = 0) -> Array:
        """The upper 32 bits of those words: numbers of [0, 2^32) to compare with thresholds."""
        return (self.words(entity, purpose, count) >> 32) & 0xFFFFFFFF

    def left(self, at: int, age: float, stream: tuple[int, int], scale: Array | None = None, count: int = 0) -> Array:
        """Residual ticks [R] of the duration with the table at `at` of params, through the scale 2^-16 [R] (None: 1);
        `stream` is (entity, purpose).
        """
        words, table = self.words(*stream, count), self.params[at : at + LENGTH]
        factor = np.ones(self.replicas) if scale is None else scale / ONE
        same = bool(np.all(factor == factor[0]))
        ticks = residuals(table, age / factor[0] if same else age / factor, words) * factor
        return np.maximum(np.rint(ticks), 0).astype(np.int64)

    def table(self, at: int) -> Array:
        """The quantile table at `at` of params."""
        return self.params[at : at + LENGTH]

    def mean(self, at: int) -> float:
        """Mean ticks of the duration with the table at `at` of params."""
        low, width, weight = drawn(self.params[at : at + LENGTH])
        return float((weight * (low + width / 2)).sum() / weight.sum() / FINE)

    def fresh(self, at: int, stream: tuple[int, int], scale: Array | None = None, count: int = 0) -> Array:
        """Ticks [R] of a duration that begins."""
        return self.left(at, 0.0, stream, scale, count)
