"""The decorators of the kernel's functions, for whoever writes one: `entry`, `rule` (`leaf`), `rare` and `shared`.

numba compiles them (`sim.jit_numba`). In a process that asked for a quick start they stay as they are: the machine code
of the entries is loaded from the cache without numba (`sim.native`), whose import takes longer than most simulations.
Same machine code, same answers; what the cache does not have, numba compiles there too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, cast

import sim.cache
from sim import native

F = TypeVar("F", bound=Callable[..., Any])

CACHE_FOLDER = sim.cache.folder()
QUICK = native.usable()
"""Is the machine code loaded without numba?"""
_maker: Any = native if QUICK else import_module("sim.jit_numba")
JIT: bool = _maker.JIT
"""Is there compiled code at all (not when NUMBA_DISABLE_JIT=1)?"""


def entry(function: F) -> F:
    """Compile a function that Python calls, or one so rarely needed that it should not swell its callers."""
    return cast("F", _maker.entry(function))


def rule(function: F) -> F:
    """Compile a kernel function into its callers (a plain Python function when NUMBA_DISABLE_JIT=1)."""
    return cast("F", _maker.rule(function))


leaf = rule


def rare(function: F) -> F:
    """Compile a kernel function once into each entry, where its callers call it: for what few events need."""
    return cast("F", _maker.rare(function))


def shared(function: F) -> F:
    """As `rare`, for what most events need, and in several places."""
    return cast("F", _maker.shared(function))


prefetch: Callable[[Any, int, int], None] = _maker.prefetch
"""`prefetch(rows, i, j)`: ask for the cache line of rows[i, j] (written soon), without waiting for it."""
