"""Random numbers with addresses: every draw is a function of (seed, replica, entity, purpose, count).

The generator is Threefry2x64-13 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11),
written on signed 64-bit integers whose sums wrap. Draw n of a stream is word n mod 2 of block n div 2,
so a stream keeps its count and the block's second word in the row. Words are signed; every use masks bits.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sim.jit import JIT, entry, leaf, rule
from sim.state import REPLICA, SEED

(
    WORK, ROUTE, FAIL, REPAIR, ARRIVAL, DEMAND, LEAD, SETUP, WEAR, SCRAP_DRAW, DUE, QUANTITY, LATE, LATENESS,
) = range(14)  # fmt: skip
"""Purposes of draws, in the order of docs/kernel.md."""

_PARITY = 0x1BD11BDAA9FC1A22
_SIGN = 1 << 63
ONE = 1 << 16
"""Scale factor one (16-bit fixed point)."""


def entity_number(entity: str) -> int:
    """Stable 59-bit number of an entity's id, so that editing the plant file elsewhere moves no draw."""
    return int.from_bytes(hashlib.blake2b(entity.encode(), digest_size=8).digest(), "big") >> 5


@leaf
def _rotate(x: int, r: int) -> int:
    return (x << r) | ((x >> (64 - r)) & ((1 << r) - 1))


@rule
def _block(k0: int, k1: int, c0: int, c1: int) -> tuple[int, int]:
    k2 = k0 ^ k1 ^ _PARITY
    x0 = c0 + k0
    x1 = c1 + k1
    x0 = x0 + x1
    x1 = _rotate(x1, 16) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 42) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 12) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 31) ^ x0
    x0 = x0 + k1
    x1 = x1 + k2 + 1
    x0 = x0 + x1
    x1 = _rotate(x1, 16) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 32) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 24) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 21) ^ x0
    x0 = x0 + k2
    x1 = x1 + k0 + 2
    x0 = x0 + x1
    x1 = _rotate(x1, 16) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 42) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 12) ^ x0
    x0 = x0 + x1
    x1 = _rotate(x1, 31) ^ x0
    x0 = x0 + k0
    x1 = x1 + k1 + 3
    x0 = x0 + x1
    x1 = _rotate(x1, 16) ^ x0
    return x0, x1


if JIT:
    block = _block
else:

    def block(k0: int, k1: int, c0: int, c1: int) -> tuple[int, int]:
        """`_block` on numpy integers, whose wrap-around would warn otherwise."""
        with np.errstate(over="ignore"):
            k0, k1, c0, c1 = (cast("int", np.int64(x)) for x in (k0, k1, c0, c1))
            return _block(k0, k1, c0, c1)


@leaf
def draw(row: NDArray[np.int64], at: int, entity: int, purpose: int) -> int:
    """Next word (signed 64-bit) of the stream whose count stands at `row[at]` and cached word at `row[at + 1]`."""
    n = row[at]
    row[at] = n + 1
    if n & 1:
        word = row[at + 1]
    else:
        word, other = block(row[SEED], row[REPLICA], entity * 16 + purpose, n >> 1)
        row[at + 1] = other
    return word


@leaf
def quantile(params: NDArray[np.int64], table: int, word: int) -> int:
    """The duration in ticks that `word` picks from the quantile table at `params[table]` (see `sim.quantile`)."""
    at = table + 2
    shift = 56
    b = (word >> 56) & 255
    if b == 0:
        b = (word >> 48) & 255
        at += 512
        shift = 48
        if b == 0:
            b = (word >> 40) & 255
            at += 512
            shift = 40
    elif b == 255:
        b = (word >> 48) & 255
        at += 1536
        shift = 48
        if b == 255:
            b = (word >> 40) & 255
            at += 512
            shift = 40
    u = (word >> (shift - 20)) & 0xFFFFF
    value = params[at + 2 * b] + ((params[at + 2 * b + 1] * u + 0x80000) >> 20)
    return (value + 128) >> 8


# --- for the SimPy reference, tests and tools: the same numbers, one at a time -------------------------------------


@entry
def pair(k0: int, k1: int, c0: int, c1: int) -> tuple[int, int]:
    """`block` for callers in Python: a part of the kernel cannot be called from there."""
    return block(k0, k1, c0, c1)


def signed(word: int) -> int:
    """The signed 64-bit integer with the bits of `word`."""
    return ((int(word) + _SIGN) & ((1 << 64) - 1)) - _SIGN


def word(seed: int, replica: int, entity: int, purpose: int, count: int) -> int:
    """Draw number `count` of a stream as an unsigned 64-bit Python int."""
    words = pair(seed, replica, entity * 16 + purpose, count >> 1)
    return int(words[count & 1]) & ((1 << 64) - 1)


def sample(table: NDArray[np.int64], value: int) -> int:
    """Ticks that the 64-bit word `value` picks from a quantile table (a constant's table ignores the word)."""
    if table[0] == 0:
        return int((table[1] + 128) >> 8)
    function: Any = getattr(quantile, "py_func", quantile)
    return int(function(table, 0, np.int64(signed(value))))
