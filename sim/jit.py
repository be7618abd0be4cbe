"""How the kernel's functions are compiled: one place for the decorators.

An array passed to a compiled function is passed as a structure of seven words and counted as a reference. The kernel
never allocates, so counting has nothing to do in it: `_nrt` switches it off. It is an internal numba option, so it is
probed once and left out where it is gone. Small functions are compiled into their callers for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import sim.cache  # sets the folder of compiled code; must come before numba

from numba import njit  # isort: skip
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

CACHE_FOLDER = sim.cache.folder()
JIT: bool = not config.DISABLE_JIT  # type: ignore[attr-defined]


def _options() -> dict[str, Any]:
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    try:
        njit(_nrt=False)(lambda: 1)  # type: ignore[call-overload]
        options["_nrt"] = False
    except (KeyError, TypeError, ValueError):
        pass
    return options


_OPTIONS = _options()


def rule(function: F) -> F:
    """Compile a kernel function (a plain Python function when NUMBA_DISABLE_JIT=1)."""
    return cast("F", njit(**_OPTIONS)(function))


def leaf(function: F) -> F:
    """Compile a small kernel function into its callers."""
    return cast("F", njit(inline="always", **_OPTIONS)(function))
