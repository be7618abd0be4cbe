"""The exact cost of serving several kinds of parts at one machine in an order that may depend on what waits.

A policy is asked when a part is finished: of the kinds that wait, which is served next? It may look at how many of each
kind wait and which was finished; the machine never idles while something waits. With exponential work times that is a
Markov chain, priced by `agents.exact.optimum_solver.gain`. It is cut where `most` parts wait in all (what arrives then
is turned away) and `most` is raised until the cost stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agents.errors import NotExactError, TooLargeError
from agents.exact.optimum_priority import Kind
from agents.exact.optimum_solver import Problem, gain

Table = dict[str, str]
Values = NDArray[np.int64]
CUTS = (28, 42, 56, 84, 126)
"""Parts that may wait in all, tried in turn."""
STILL = 1e-5
"""A cut is low enough when the next one moves the cost by less than this share."""
STATES = 2_000_000
ALIKE = 1e-9
"""An exponential clock's second moment is twice its squared mean, to this share."""


def key(waiting: Sequence[int], done: str) -> str:
    """The entry of a table for the numbers that wait, in the order of the products, when a part of `done` is ready."""
    return f"{','.join(map(str, waiting))} after {done}"


def read_key(text: str, names: Sequence[str]) -> tuple[tuple[int, ...], int]:
    """(numbers that wait, place of the product that was finished) of an entry; `NotExactError` for another text."""
    numbers, _, done = text.partition(" after ")
    parts = numbers.split(",")
    if done not in names or len(parts) != len(names) or not all(p.isdecimal() for p in parts):
        raise NotExactError(
            f'policy: expected states such as "{key([1] * len(names), names[0])}" (how many wait of '
            f"{', '.join(names)}, and which was finished), found {text!r}"
        )
    return tuple(int(p) for p in parts), names.index(done)


@dataclass(frozen=True, slots=True)
class Order:
    """Which kind `served` [most+1, .., kinds] goes first by the numbers that wait (each at most `most`) and the kind
    that was finished, all as places in the plant file; -1 where nothing waits.
    """

    served: Values

    @property
    def most(self) -> int:
        """Largest number of a kind that the table tells apart; more are as this many."""
        return int(self.served.shape[0]) - 1


def order_of(table: Table, kinds: Sequence[Kind]) -> Order:
    """The table as arrays. Where one kind waits alone it is served and need not be said; every other state up to the
    largest number in it must be.
    """
    names, size = [k.name for k in kinds], len(kinds)
    entries = {read_key(text, names): choice for text, choice in table.items()}
    if not entries:
        raise NotExactError("policy: expected an order of the products, or what is served next by state; found nothing")
    most = max(max(waiting) for waiting, _ in entries)
    served = np.full((*(most + 1,) * size, size), -1, dtype=np.int64)
    for waiting in product(range(most + 1), repeat=size):
        there = [i for i, n in enumerate(waiting) if n]
        for done in range(size):
            if len(there) < 2:
                served[(*waiting, done)] = there[0] if there else -1
                continue
            choice = entries.get((waiting, done))
            if choice not in {names[i] for i in there}:
                raise NotExactError(
                    f"policy: {key(waiting, names[done])!r}: expected one of {', '.join(names[i] for i in there)}, "
                    f"found {choice!r}"
                )
            served[(*waiting, done)] = names.index(str(choice))
    return Order(served)


def cost(kinds: Sequence[Kind], order: Order, limit_s: float = 600.0) -> float:
    """Money a time unit. `NotExactError` where work is not exponential or the cost does not settle; `TooLargeError`
    where too many kinds make too many states.
    """
    for k in kinds:
        if abs(k.square - 2.0 * k.mean**2) > ALIKE * k.square:
            raise NotExactError(
                f"work of {k.name}: expected an exponential time, because the order depends on the state; a fixed "
                f'order, {{"1": PRODUCT, ..}}, may have any work times'
            )
    before: float | None = None
    for most in CUTS:
        if len(kinds) * _simplex(most, len(kinds)) > STATES:
            break
        low, high = gain(*_chain(kinds, order, most), limit_s)
        found = (low + high) / 2.0
        if before is not None and abs(found - before) < STILL * max(abs(found), 1e-12):
            return found
        before = found
    if before is None:
        raise TooLargeError(f"too large: {len(kinds)} kinds of parts have more than {STATES:.0e} states")
    raise NotExactError(f"the cost still moves when {most} parts wait: the machine hardly keeps up with the arrivals")


def _simplex(most: int, kinds: int) -> int:
    """How many vectors of numbers there are whose sum is at most `most`."""
    from math import comb

    return comb(most + kinds, kinds)


def _chain(kinds: Sequence[Kind], order: Order, most: int) -> tuple[Problem, Values, int]:
    """(chain with one pair a state, these pairs, the state of the empty machine). State: the kind in service and what
    waits, `most` in all; the last state is the empty machine.
    """
    from scipy.sparse import csr_matrix

    size = len(kinds)
    waiting = np.indices((most + 1,) * size).reshape(size, -1).T
    waiting = waiting[waiting.sum(axis=1) <= most]
    radix = (most + 1) ** np.arange(size)[::-1]
    number = np.full((most + 1) ** size, -1, dtype=np.int64)
    count = len(waiting)
    number[waiting @ radix] = np.arange(count)
    empty = size * count
    arrivals = np.array([k.rate for k in kinds])
    top = float(arrivals.sum()) + max(1.0 / k.mean for k in kinds)
    total, here = waiting.sum(axis=1), np.arange(count)
    held = waiting @ np.array([k.waiting for k in kinds])
    seen = np.minimum(waiting, order.most)
    origin, target, rate, costs = [], [], [], np.zeros(empty + 1)
    for i, kind in enumerate(kinds):
        block, ends = i * count, 1.0 / kind.mean
        costs[block : block + count] = held + kind.working + ends * kind.finished
        for j, comes in enumerate(arrivals):
            room = total < most
            after = number[(waiting[room] + np.eye(size, dtype=np.int64)[j]) @ radix]
            origin.append(block + here[room])
            target.append(block + after)
            rate.append(np.full(len(after), comes))
        next_ = order.served[(*seen.T, np.full(count, i))]
        some = next_ >= 0
        after = number[(waiting[some] - np.eye(size, dtype=np.int64)[next_[some]]) @ radix] + next_[some] * count
        origin += [block + here[some], block + here[~some]]
        target += [after, np.full(int((~some).sum()), empty)]
        rate += [np.full(len(after), ends), np.full(int((~some).sum()), ends)]
    origin.append(np.full(size, empty))
    target.append(np.arange(size) * count + number[0])
    rate.append(arrivals)
    rows, columns, rates = (np.concatenate(part) for part in (origin, target, rate))
    stay = top - np.bincount(rows, weights=rates, minlength=empty + 1)
    every = np.arange(empty + 1)
    values = np.concatenate([rates, stay]) / top
    moves = csr_matrix((values, (np.append(rows, every), np.append(columns, every))), shape=(empty + 1, empty + 1))
    return Problem(every, moves, costs / top, 1.0 / top), every, empty
