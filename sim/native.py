"""The kernel's machine code without numba: kept beside numba's cache, loaded by LLVM's loader, called through ctypes.

A process that runs a few simulations and ends waits longer for the import of numba than for its work. So whatever
numba compiles as an entry is also kept here, byte for byte the same object code, with the types of its arguments; a
process that asked for it (`ask`) loads that and never imports numba, unless it calls an entry, or an entry with types,
that was not kept. Then numba is imported after all, and the answer is the same.

Never stale: the files lie in the folder of `sim.cache`, whose name is a digest of all of `sim/*.py` and of the versions
of numba and Python, in a folder of this processor and this LLVM. Never half written: renamed into place when complete,
and checked against their digest before they are run. Only what calls nothing outside itself is kept: no entry that
raises, allocates or calls Python.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

JIT = True
_HARMLESS = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS"}
"""Settings of numba that change no machine code; with any other one set, nothing is kept and nothing loaded."""
_FORM = re.compile(r"(\w+)\[(\d)\](!?)")
_NAME = re.compile(r'@(?:"([^"]+)"|([\w.$]+))')
_EXCEPTION = ".const.pickle"
_wanted = False
_lock = threading.Lock()
_alive: list[Any] = []
"""Engines and what they loaded: their memory holds the code that is called."""


def ask() -> None:
    """Start quickly: before anything of the kernel is imported, by a process that calls it only a few times."""
    global _wanted  # noqa: PLW0603 - a process asks once, for all of itself
    _wanted = True


def plain_numba() -> bool:
    """Does numba compile here as it does everywhere: no setting of its own, on a platform this was tried on?"""
    if sys.platform != "linux" or platform.machine() != "x86_64" or Path(".numba_config.yaml").exists():
        return False
    return not any(name.startswith("NUMBA_") and name not in _HARMLESS for name in os.environ)


def usable() -> bool:
    """Did this process ask for a quick start, and can it have one?"""
    return _wanted and "numba" not in sys.modules and plain_numba()


def _folder(cache: Path) -> Path:
    """Code of this processor and this LLVM."""
    import llvmlite
    import llvmlite.binding as llvm

    known = (llvmlite.__version__, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return cache / f"native-{hashlib.sha256(repr(known).encode()).hexdigest()[:16]}"


# --- keeping -----------------------------------------------------------------------------------------------------


def keep(cache: Path, names: tuple[str, str], forms: list[str], code: bytes, module: Any) -> None:
    """Keep the object `code` of an entry: (its name, the name of its function in the code); forms of its arguments and
    of its answer (see `form_of`), "" for one that cannot be passed; its LLVM module. Does nothing where it cannot be.
    """
    name, function = names
    if "" in forms or not plain_numba():
        return
    folder = _folder(cache)
    path = folder / f"{name}-{hashlib.sha256(' '.join(forms).encode()).hexdigest()[:12]}.native"
    if path.exists() or not _stands_alone(module, function):
        return
    outside = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    outside += [v.name for v in module.global_variables if v.is_declaration]
    header = {"function": function, "forms": forms, "outside": outside, "sha256": hashlib.sha256(code).hexdigest()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n" + code)
        Path(temporary).replace(path)
    except OSError:
        return  # as with a full disk: the next process starts as slowly as this one


def _stands_alone(module: Any, function: str) -> bool:
    """Does the function use nothing but what the module defines and LLVM's own operations, and never raise?"""
    own = {f.name: f for f in module.functions if not f.is_declaration}
    # an exception that a function raises is such a constant of its code
    values = {v.name for v in module.global_variables if not v.is_declaration and not v.name.startswith(_EXCEPTION)}
    seen: set[str] = set()
    waiting = [function]
    while waiting:
        name = waiting.pop()
        if name in seen or name in values or name.startswith("llvm."):
            continue
        if name not in own:
            return False
        seen.add(name)
        waiting += [quoted or bare for quoted, bare in _NAME.findall(str(own[name]))]
    return True


# --- loading -----------------------------------------------------------------------------------------------------


class Kept:
    """One kept function: its arguments' forms and, once loaded, its address."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises OSError or ValueError for one that cannot be used."""
        first, _, self.code = path.read_bytes().partition(b"\n")
        header = json.loads(first)
        if hashlib.sha256(self.code).hexdigest() != header["sha256"]:
            raise ValueError(f"{path}: expected code with the digest of its first line, found another; delete it")
        self.name, self.outside = str(header["function"]), [str(name) for name in header["outside"]]
        *self.forms, self.answer = (str(form) for form in header["forms"])
        words = sum(1 if form == "int64" else 5 + 2 * int(_shape(form)[1]) for form in self.forms)
        kinds = (ctypes.c_void_p, ctypes.c_void_p, *([ctypes.c_int64] * words))
        # the functions of numba: status f(answer, exception, arguments ...); ctypes lets other threads run meanwhile
        self.call = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(self._load())

    def words(self, arguments: tuple[Any, ...]) -> list[int] | None:
        """The arguments as machine words: an array is (owner, owner, items, item size, data, shape, strides). None
        where they are of other types than the code.
        """
        if len(arguments) != len(self.forms):
            return None
        words: list[int] = []
        for value, form in zip(arguments, self.forms, strict=True):
            if form == "int64":
                if type(value) is not int:
                    return None
                words.append(value)
                continue
            kind, dimensions, fixed = _shape(form)
            if not _is(value, kind, int(dimensions), readonly=fixed == "!"):
                return None
            words += (0, 0, value.size, value.itemsize, value.__array_interface__["data"][0])
            words += (*value.shape, *value.strides)
        return words

    def __call__(self, words: list[int]) -> int | None:
        answer, exception = ctypes.c_int64(), ctypes.c_void_p()
        status = self.call(ctypes.addressof(answer), ctypes.addressof(exception), *words)
        if status not in (0, -2):  # numba's "ok" and "None"
            raise RuntimeError(f"{self.name}: expected the status 0 of the compiled function, found {status}")
        return answer.value if self.answer == "int64" else None

    def _load(self) -> int:
        """Address of the function, after its object code is in memory."""
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
        # The wrappers for Python lie in the same object. They are never called, but the loader wants addresses for what
        # they call; given to this engine alone, for numba may come later with the true ones.
        missing = [name for name in self.outside if not llvm.address_of_symbol(name)]
        module = llvm.parse_assembly("".join(f'declare void @"{name}"()\n' for name in missing))
        engine = llvm.create_mcjit_compiler(module, machine)
        for name in missing:
            stop = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
            engine.add_global_mapping(module.get_function(name), stop)
        engine.add_object_file(llvm.ObjectFileRef.from_data(self.code))
        engine.finalize_object()
        address = engine.get_function_address(self.name)
        if not address:
            raise ValueError(f"{self.name}: expected it in the kept code, found none")
        _alive.append(engine)
        return int(address)


def _shape(form: str) -> tuple[str, str, str]:
    found = _FORM.fullmatch(form)
    if found is None:
        raise ValueError(f"{form!r}: expected the form of an argument, as int64[2]")
    kind, dimensions, fixed = found.groups()
    return kind, dimensions, fixed


def _is(value: Any, kind: str, dimensions: int, *, readonly: bool) -> bool:
    """Would numba give this value the type that the code was compiled for?"""
    import numpy as np

    if type(value) is not np.ndarray or value.dtype != np.dtype(kind) or value.ndim != dimensions:
        return False
    flags = value.flags
    return bool(flags.c_contiguous and flags.aligned and flags.writeable is not readonly)


# --- the decorators of a quick start -----------------------------------------------------------------------------


class Entry:
    """Calls the kept code; what was not kept, numba compiles."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function
        self.__name__, self.__doc__, self.__wrapped__ = function.__name__, function.__doc__, function
        self._kept: list[Kept] | None = None
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled is None:
            for kept in self._all() if self._kept is None else self._kept:
                words = kept.words(arguments)
                if words is not None:
                    return kept(words)
            self._compile()
        assert self._compiled is not None
        return self._compiled(*arguments)

    def _all(self) -> list[Kept]:
        with _lock:
            if self._kept is None:
                import sim.jit

                name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
                found: list[Kept] = []
                for path in sorted(_folder(sim.jit.CACHE_FOLDER).glob(f"{name}-*.native")):
                    try:
                        found.append(Kept(path))
                    except (OSError, ValueError, KeyError):
                        continue  # numba has it too
                self._kept = found
            return self._kept

    def _compile(self) -> None:
        with _lock:
            if self._compiled is None:
                from sim import jit_numba

                for make, function in _rules:
                    jit_numba.adopt(function, make)
                _rules.clear()
                self._compiled = jit_numba.entry(self.py_func)


_rules: list[tuple[str, Callable[..., Any]]] = []
"""What numba has to know of if it is needed after all: (decorator, function)."""


def entry(function: Callable[..., Any]) -> Any:
    """As `sim.jit.entry`, of kept code."""
    return Entry(function)


def rule(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `sim.jit.rule`: part of the entries' code already, so Python never calls it."""
    _rules.append(("rule", function))
    return function


def rare(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `sim.jit.rare`."""
    _rules.append(("rare", function))
    return function


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `sim.jit.shared`."""
    _rules.append(("shared", function))
    return function


def prefetch(rows: Any, i: int, j: int) -> None:
    """As `sim.jit.prefetch`: in the entries' code, and nothing in Python."""


_rules.append(("prefetch", prefetch))
