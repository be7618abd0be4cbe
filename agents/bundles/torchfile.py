"""The tensors of a file written by `torch.save(state_dict)`, read without torch and without unpickling.

Such a file is a zip: `NAME/data.pkl` is a pickle that says which tensor lies where, `NAME/data/K` holds the numbers.
The pickle is not loaded: `pickletools.genops` takes it apart into opcodes, and the few that a dictionary of tensors
needs are understood here. No name in it is ever looked up, nothing is imported, nothing is called: whatever else occurs
is refused by name.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles.zipguard import Archive, Limits
from agents.errors import BundleError

MOST_TENSORS = 128
MOST_BYTES = 256 * 1024 * 1024
MOST_INDEX = 1024 * 1024
_MEMBER = re.compile(
    r"[A-Za-z0-9_.-]{1,80}/(data\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d{1,4})"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A name in the pickle that would be imported by others; here it stays a name."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    count: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


_MARK = object()
_DICT = _Named("collections", "OrderedDict")
_REBUILD = _Named("torch._utils", "_rebuild_tensor_v2")
_STORAGES = {f"{kind}Storage" for kind in "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()}


def read_state(where: str, content: bytes) -> dict[str, NDArray[np.float32]]:
    """Name -> float32 array of a file's content; `BundleError` says what was expected and found."""
    archive = Archive(where, content, Limits(2 * MOST_TENSORS, MOST_BYTES, _expected))
    tops = {name.partition("/")[0] for name in archive.members}
    if len(tops) != 1:
        raise BundleError(f"{where}: expected one folder, found {sorted(tops)!r:.200}")
    top = tops.pop()
    order = archive.read(f"{top}/byteorder") if f"{top}/byteorder" in archive.members else b"little"
    if order != b"little":
        raise BundleError(f"{where}: expected little-endian numbers, found {order!r:.40}")
    if archive.members.get(f"{top}/data.pkl") and archive.members[f"{top}/data.pkl"].file_size > MOST_INDEX:
        raise BundleError(f"{where}: expected an index of at most {MOST_INDEX} bytes, found a longer one")
    state = _Machine(f"{where}, {top}/data.pkl").run(archive.read(f"{top}/data.pkl"))
    if len(state) > MOST_TENSORS:
        raise BundleError(f"{where}: expected at most {MOST_TENSORS} tensors, found {len(state)}")
    return {name: _array(where, name, tensor, archive, top) for name, tensor in state.items()}


def _expected(name: str) -> str:
    return "" if _MEMBER.fullmatch(name) else "expected what torch.save writes (data.pkl, data/0, ...), found this"


def _array(where: str, name: str, tensor: Any, archive: Archive, top: str) -> NDArray[np.float32]:
    """The numbers of one tensor, copied out of its storage."""
    where = f"{where}, tensor {name!r:.80}"
    if not isinstance(tensor, _Tensor):
        raise BundleError(f"{where}: expected a tensor, found {type(tensor).__name__}")
    if tensor.storage.kind != "FloatStorage":
        raise BundleError(f"{where}: expected float32 (FloatStorage), found {tensor.storage.kind}")
    shape, stride, size = tensor.shape, tensor.stride, math.prod(tensor.shape)
    if len(shape) > 2 or len(stride) != len(shape):
        raise BundleError(f"{where}: expected at most two lengths with a stride each, found {shape} and {stride}")
    reach = tensor.offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 1
    if 0 in shape or size > tensor.storage.count or reach > tensor.storage.count:
        raise BundleError(
            f"{where}: expected at most the {tensor.storage.count} numbers of its storage, found shape {shape} with "
            f"strides {stride} from {tensor.offset}"
        )
    raw = archive.read(f"{top}/data/{tensor.storage.key}")
    if len(raw) != 4 * tensor.storage.count:
        raise BundleError(f"{where}: expected {4 * tensor.storage.count} bytes in its storage, found {len(raw)}")
    flat = np.frombuffer(raw, dtype="<f4")[tensor.offset :]
    strided = np.lib.stride_tricks.as_strided(flat, shape, tuple(4 * s for s in stride), writeable=False)
    return np.array(strided, dtype=np.float32)


class _Machine:
    """Understands the opcodes of a pickled dictionary of tensors, and no others."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.simple: dict[str, Callable[[], object]] = {
            "MARK": lambda: _MARK,
            "EMPTY_DICT": dict,
            "EMPTY_TUPLE": tuple,
            "NEWTRUE": lambda: True,
            "NEWFALSE": lambda: False,
            "NONE": lambda: None,
            "TUPLE": lambda: tuple(self._since_mark()),
            "TUPLE1": lambda: tuple(self._take(1)),
            "TUPLE2": lambda: tuple(self._take(2)),
            "TUPLE3": lambda: tuple(self._take(3)),
            "BINPERSID": self._storage,
            "REDUCE": self._reduce,
        }

    def run(self, content: bytes) -> dict[str, Any]:
        """The dictionary at the end of the pickle."""
        try:
            for opcode, argument, _ in pickletools.genops(content):
                self._step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, RecursionError, OverflowError) as e:
            raise BundleError(f"{self.where}: expected a dictionary of tensors, found a damaged one ({e})") from e
        result = self.stack[0] if len(self.stack) == 1 else None
        if not isinstance(result, dict):
            raise BundleError(f"{self.where}: expected a dictionary of tensors, found {type(result).__name__}")
        return result

    def _step(self, name: str, argument: Any) -> None:
        if name in {"PROTO", "STOP"}:
            return
        if name in {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}:
            self.stack.append(argument)
        elif name in {"BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = self.stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            self.stack.append(self._named(module, attribute))
        elif name in {"SETITEM", "SETITEMS"}:
            self._put(self._take(2) if name == "SETITEM" else self._since_mark())
        elif name == "BUILD":
            self._take(1)  # attributes of the dictionary: torch's versions of its modules, which say nothing here
        elif name in self.simple:
            self.stack.append(self.simple[name]())
        else:
            shown = f" {argument!r:.80}" if argument is not None else ""
            raise BundleError(
                f"{self.where}: expected the opcodes of a dictionary of tensors, found {name}{shown}; nothing was run"
            )

    def _named(self, module: str, name: str) -> _Named:
        known = (module == "torch" and name in _STORAGES) or _Named(module, name) in {_DICT, _REBUILD}
        if not known:
            raise BundleError(
                f"{self.where}: expected tensors only, found the name {module}.{name}, which loading would call or "
                f"import; nothing was run, do not use this file"
            )
        return _Named(module, name)

    def _reduce(self) -> object:
        function, arguments = self._take(2)
        if function == _DICT and arguments == ():
            return {}
        if function != _REBUILD or not isinstance(arguments, tuple) or len(arguments) != 6:
            raise BundleError(f"{self.where}: expected a tensor, found a call of {_shown(function)}; nothing was run")
        storage, offset, shape, stride, _, hooks = arguments
        if not isinstance(storage, _Storage) or hooks != {} or not _whole((offset,)):
            raise BundleError(f"{self.where}: expected a tensor in a storage, found one in {_shown(storage)}")
        if not _whole(shape) or not _whole(stride):
            raise BundleError(f"{self.where}: expected a shape and strides, found {_shown(shape)} and {_shown(stride)}")
        return _Tensor(storage, offset, shape, stride)

    def _storage(self) -> _Storage:
        (told,) = self._take(1)
        if isinstance(told, tuple) and len(told) == 5 and told[0] == "storage" and isinstance(told[1], _Named):
            _, kind, key, _, count = told
            if kind.module == "torch" and isinstance(key, str) and _whole((count,)):
                return _Storage(key, count, kind.name)
        raise BundleError(f"{self.where}: expected a storage of numbers, found {_shown(told)}")

    def _put(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise BundleError(f"{self.where}: expected a dictionary to fill, found {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise BundleError(f"{self.where}: expected names of tensors, found {_shown(key)}")
            target[key] = value

    def _take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise BundleError(f"{self.where}: expected {count} values on the stack, found {len(self.stack)}")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while at >= 0 and self.stack[at] is not _MARK:
            at -= 1
        if at < 0:
            raise BundleError(f"{self.where}: expected a mark on the stack, found none")
        taken = self.stack[at + 1 :]
        del self.stack[at:]
        return taken


def _shown(value: Any) -> str:
    """What a value is; never its whole text, since tuples of tuples can be small in a file and endless in print."""
    if isinstance(value, str | int | _Named):
        return f"{value!r:.120}"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__


def _whole(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= 4 and all(type(x) is int and 0 <= x < 1 << 40 for x in values)
