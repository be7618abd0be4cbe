"""How numba compiles the kernel's functions: the decorators of `sim.jit`, and what they switch off in numba.

Measured on `line10`, one core (benchmarks/kernel.py): a call passes an array as a structure of seven words and counts a
reference to it; an index of a signed type is first tested for being negative and then wrapped around. The kernel
allocates nothing, so there is nothing to count; it never uses a negative index, so there is nothing to wrap; and
compiled into one loop its functions pass nothing at all. Together this took an event from 158 to 82 ns. Each of the
three is left out by itself where a version of numba does not offer it; results are the same, only slower.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeVar, cast

import sim.cache  # sets the folder of compiled code; must come before numba
from sim import native

from numba import njit, types, _dynfunc  # type: ignore[attr-defined]  # isort: skip
from numba.core import cgutils, codegen, config, cpu
from numba.extending import intrinsic
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
_PART = _OPTIONS | {"cache": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


_PARTS: set[str] = set()
"""Mangled names, up to their argument types, of the functions that are only ever compiled into an entry."""
_CALLED: dict[str, bool] = {}
"""Those of them that stay functions of their own there; are calls of them rare?"""


def _mangled(function: Callable[..., Any]) -> str:
    words = [*function.__module__.split("."), *function.__qualname__.split(".")]
    return "_ZN" + "".join(f"{len(word)}{word}" for word in words) + "B"


def _plain_name(function: Any) -> str:
    return function.name.split("B", 1)[0] + "B"


def _is_part(library: Any) -> bool:
    """Does the library hold one of the functions that are only compiled into an entry?"""
    known = library.__dict__.get("_plantwin_part")
    if known is None:
        known = any(not f.is_declaration and _plain_name(f) in _PARTS for f in library._final_module.functions)
        if library._final_module.name and any(not f.is_declaration for f in library._final_module.functions):
            library._plantwin_part = known
    return known


def _index_without_wrap() -> None:
    """Leave out the test for negative indices in the kernel's functions, and in no other."""
    usual: Any = arrayobj.fix_integer_index

    def fix_integer_index(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        if builder.function.name.startswith("_ZN3sim"):
            return context.cast(builder, index, kind, types.intp)
        return usual(context, builder, kind, index, size)

    arrayobj.fix_integer_index = fix_integer_index


def _params_stay() -> None:
    """Say of every number read from a read-only array in the kernel that nothing changes it meanwhile.

    Else every store into a row makes the optimiser read the constants of the plant again.
    """
    usual: Any = arrayobj.load_item

    def load_item(context: Any, builder: Any, kind: Any, pointer: Any) -> Any:
        value = usual(context, builder, kind, pointer)
        if not kind.mutable and getattr(value, "opname", "") == "load" and builder.function.name.startswith("_ZN3sim"):
            value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    arrayobj.load_item = load_item


@ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.py_object)
def _not_alone(_function: object, _arguments: object) -> object:
    """What Python reaches when it calls a part: an error instead of code that is not there."""
    raise TypeError("this function of the kernel is compiled into its callers only; call an entry (sim.kernel.drive)")


def _link_all_parts(library: Any) -> None:
    """Link again what the linker left out because nothing linked before it called it."""
    module = library._final_module

    def missing() -> set[str]:
        return {f.name for f in module.functions if f.is_declaration and _plain_name(f) in _PARTS}

    wanted = missing()
    while wanted:
        for other in library._linking_libraries:
            given = other._get_module_for_linking()
            if any(not f.is_declaration and f.name in wanted for f in given.functions):
                module.link_in(given, preserve=True)
        before, wanted = wanted, missing()
        if wanted == before:
            raise RuntimeError(f"{library.name}: expected code for {sorted(wanted)}, found none to link")


def _compile_parts_once() -> None:
    """A part is neither optimised nor turned into machine code by itself, only within the entries that need it."""
    library, context = codegen.JITCodeLibrary, cpu.CPUContext
    finalize: Any = library.finalize
    optimize: Any = library._optimize_final_module
    executable: Any = context.get_executable

    def finish(self: Any) -> None:
        if _is_part(self):
            self._raise_if_finalized()
            self._finalized = True
            for function in self._final_module.functions:
                name = _plain_name(function)
                if not function.is_declaration and name in _CALLED:
                    function.add_function_attribute("noinline")
                    if _CALLED[name]:
                        function.add_function_attribute("cold")
            return
        waiting: list[Any] = list(self._linking_libraries)
        found: dict[Any, None] = {}
        while waiting:
            other = waiting.pop()
            if other not in found:
                found[other] = None
                if _is_part(other):
                    waiting += other._linking_libraries
        self._linking_libraries = list(found)
        finalize(self)

    def optimize_final_module(self: Any) -> None:
        """Nobody outside calls the parts: only then may the optimiser drop what they do not need of an array."""
        _link_all_parts(self)
        for function in self._final_module.functions:
            if not function.is_declaration and _plain_name(function) in _PARTS:
                function.linkage = "internal"
        optimize(self)

    def get_executable(self: Any, code: Any, fndesc: Any, env: Any) -> Any:
        if not _is_part(code):
            made = executable(self, code, fndesc, env)
            _keep_native(code, fndesc)
            return made
        name = fndesc.qualname.rsplit(".", maxsplit=1)[-1]
        stub = ctypes.cast(_not_alone, ctypes.c_void_p).value
        return _dynfunc.make_function(fndesc.lookup_module(), name, "compiled into its callers", stub, env, (code,))

    setattr(library, "finalize", finish)  # noqa: B010 - a method is replaced on purpose
    setattr(library, "_optimize_final_module", optimize_final_module)  # noqa: B010
    setattr(context, "get_executable", get_executable)  # noqa: B010


def _remember_object_code() -> None:
    """What comes from numba's cache keeps its object code at hand, for `_keep_native`."""
    usual: Any = codegen.CPUCodeLibrary.__dict__["_unserialize"].__func__

    def unserialize(cls: Any, owner: Any, state: Any) -> Any:
        library = usual(cls, owner, state)
        if state[1] == "object":
            library._plantwin_object = state[2][0]
        return library

    setattr(codegen.CPUCodeLibrary, "_unserialize", classmethod(unserialize))  # noqa: B010 - as above


def _keep_native(library: Any, fndesc: Any) -> None:
    """Keep an entry's machine code also where a process without numba can load it."""
    if fndesc.modname.startswith("sim."):
        code = library.__dict__.get("_plantwin_object") or library._compiled_object
        if code is not None:
            names = (f"{fndesc.modname}.{fndesc.qualname}", fndesc.llvm_func_name)
            forms = [_form(kind) for kind in (*fndesc.argtypes, fndesc.restype)]
            native.keep(CACHE_FOLDER, names, forms, bytes(code), library._get_module_for_linking())


def _form(kind: Any) -> str:
    """A type as `sim.native` writes it: int64, none, int64[2], int64[1]! (read-only); "" for any other."""
    if kind in (types.int64, types.none):
        return str(kind)
    if isinstance(kind, types.Array) and kind.layout == "C" and kind.aligned and isinstance(kind.dtype, types.Number):
        return f"{kind.dtype}[{kind.ndim}]{'' if kind.mutable else '!'}"
    return ""


def adopt(function: Callable[..., Any], decorator: str) -> None:
    """Let numba find the compiled form of a rule that stayed a plain function in a quick start."""
    make: dict[str, Callable[[Any], Any]] = {"rule": rule, "rare": rare, "shared": shared}
    made: Any = prefetch if decorator == "prefetch" else make[decorator](function)
    if JIT:
        _adopted.append(made)  # numba's type of it holds it only weakly
        setattr(function, "_numba_type_", types.Dispatcher(made))  # noqa: B010 - a function has no such attribute


_adopted: list[Any] = []


def _prefetch(_typing: Any, rows: Any, i: Any, j: Any) -> Any:
    """Ask for the cache line of rows[i, j], without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kit: Any = cgutils
        array = kit.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
        start = builder.ptrtoint(array.data, args[1].type)
        for index, stride in zip(args[1:], kit.unpack_tuple(builder, array.strides, 2), strict=True):
            start = builder.add(start, builder.mul(index, stride))
        byte, flag = kit.voidptr_t, kit.int32_t
        kind = kit.ir.FunctionType(kit.ir.VoidType(), [byte, flag, flag, flag])
        function = kit.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(start, byte), flag(1), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(rows, i, j), generate


_fetch: Any = intrinsic(_prefetch)


_index_without_wrap()
_params_stay()
_compile_parts_once()
_remember_object_code()


def entry(function: F) -> F:
    """Compile a function that Python calls, or one so rarely needed that it should not swell its callers."""
    return cast("F", njit(**_OPTIONS)(function))


def rule(function: F) -> F:
    """Compile a kernel function into its callers (a plain Python function when NUMBA_DISABLE_JIT=1)."""
    _PARTS.add(_mangled(function))
    return cast("F", njit(forceinline=True, **_PART)(function))


leaf = rule


def rare(function: F) -> F:
    """Compile a kernel function once into each entry, where its callers call it: for what few events need."""
    _PARTS.add(_mangled(function))
    _CALLED[_mangled(function)] = True
    return cast("F", njit(forceinline=False, **_PART)(function))  # left out, it would be taken from the caller


def shared(function: F) -> F:
    """As `rare`, for what most events need, and in several places."""
    _PARTS.add(_mangled(function))
    _CALLED[_mangled(function)] = False
    return cast("F", njit(forceinline=False, **_PART)(function))


if JIT:

    @rule
    def prefetch(rows: Any, i: int, j: int) -> None:
        """Ask for the cache line of rows[i, j] (written soon), without waiting for it."""
        _fetch(rows, i, j)

else:

    def prefetch(rows: Any, i: int, j: int) -> None:
        """Nothing to prepare without compiled code."""
