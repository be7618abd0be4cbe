"""How the kernel's functions are compiled: one place for the decorators and for what they switch off in numba.

Measured on `line10`, one core (benchmarks/kernel.py): a call passes an array as a structure of seven words and counts a
reference to it; an index of a signed type is first tested for being negative and then wrapped around. The kernel
allocates nothing, so there is nothing to count; it never uses a negative index, so there is nothing to wrap; and
compiled into one loop its functions pass nothing at all. Together this took an event from 158 to 82 ns. Each of the
three is left out by itself where a version of numba does not offer it; results are the same, only slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import sim.cache  # sets the folder of compiled code; must come before numba

from numba import njit, types  # isort: skip
from numba.core import config
from numba.np import arrayobj

F = TypeVar("F", bound=Callable[..., Any])

CACHE_FOLDER = sim.cache.folder()
JIT: bool = not config.DISABLE_JIT  # type: ignore[attr-defined]


def _offers(**option: bool) -> bool:
    """Does this numba know the compiler option?"""
    try:
        njit(**option)(lambda: 1)  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError):
        return False
    return True


_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
if _offers(_nrt=False):
    _OPTIONS["_nrt"] = False
_INLINED = _OPTIONS | ({"forceinline": True} if _offers(forceinline=True) else {"inline": "always"})


def _never_negative(name: str) -> bool:
    """Is this (mangled) compiled function one of the kernel's, whose indices are never negative?"""
    return name.startswith("_ZN3sim")


def _index_without_wrap() -> None:
    """Leave out the test for negative indices in the kernel's functions, and in no other."""
    usual = getattr(arrayobj, "fix_integer_index", None)
    if usual is None:
        return

    def fix_integer_index(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        if _never_negative(builder.function.name):
            return context.cast(builder, index, kind, types.intp)
        return usual(context, builder, kind, index, size)

    arrayobj.fix_integer_index = fix_integer_index


_index_without_wrap()


def entry(function: F) -> F:
    """Compile a function that Python calls, or one so rarely needed that it should not swell its callers."""
    return cast("F", njit(**_OPTIONS)(function))


def rule(function: F) -> F:
    """Compile a kernel function into its callers (a plain Python function when NUMBA_DISABLE_JIT=1)."""
    return cast("F", njit(**_INLINED)(function))


leaf = rule
rare = entry
"""As `entry`, for rules that few events need: one copy of them serves all callers."""
