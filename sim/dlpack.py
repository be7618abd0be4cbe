"""Hand memory to torch, cupy, JAX or numpy without copying it: DLPack and the CUDA array interface.

numba's device arrays speak the CUDA array interface only. A `MemoryView` speaks both, for any strided part of an array.
The structures are those of dlpack.h (version 0.8, the unversioned capsule that every consumer knows).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

CPU, CUDA = 1, 2
"""Kinds of device in DLPack."""
_CODES = {"i": 0, "u": 1, "f": 2}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


_ALIVE: dict[int, tuple[object, ...]] = {}
"""What each exported structure needs to stay alive, by its address, until its consumer deletes it."""


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _delete(address: int, alive: dict[int, tuple[object, ...]] = _ALIVE) -> None:
    alive.pop(address, None)


_api = ctypes.pythonapi
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(("PyCapsule_New", _api))
_NAME = ctypes.create_string_buffer(b"dltensor")  # a capsule keeps the address of its name


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _drop(capsule: int) -> None:
    """A capsule that nobody consumed still has its name."""
    if _is_valid(capsule, ctypes.cast(_NAME, ctypes.c_char_p)):
        _ALIVE.pop(_pointer(capsule, ctypes.cast(_NAME, ctypes.c_char_p)), None)


for _callback in (_delete, _drop):
    # a consumer may call these while the interpreter is being taken down, after this module's names are gone
    _api.Py_IncRef(ctypes.py_object(_callback))


@dataclass(frozen=True, slots=True, eq=False)
class MemoryView:
    """Strided memory that others may read and write: address, shape, strides in bytes, and who owns it.

    `device` is the DLPack pair of kind and number. `stream` is the CUDA stream on which the owner works (1: the
    default one). `ready` waits until the owner's work is done; a consumer of DLPack is never given unfinished memory.
    """

    owner: object
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    device: tuple[int, int]
    stream: int
    ready: Callable[[], None]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.device[0] != CUDA:
            raise AttributeError("memory of numba's simulator of a device is on the host: use numpy.from_dlpack")
        return {
            "shape": self.shape,
            "strides": self.strides,
            "data": (self.address, False),
            "typestr": self.dtype.str,
            "stream": self.stream,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for one consumer. Raises BufferError where a copy or another device is asked for."""
        del max_version  # a producer may always answer with an older version
        if copy or (dl_device is not None and tuple(dl_device) != self.device):
            raise BufferError(f"a view of memory of device {self.device} is never a copy; copy what you made of it")
        if stream != -1:  # -1: the consumer asks not to wait
            self.ready()
        return _capsule(self)


def _capsule(view: MemoryView) -> object:
    count, size = len(view.shape), view.dtype.itemsize
    shape = (ctypes.c_int64 * count)(*view.shape)
    strides = (ctypes.c_int64 * count)(*(stride // size for stride in view.strides))
    managed = _Managed(
        _Tensor(view.address, *view.device, count, _CODES[view.dtype.kind], size * 8, 1, shape, strides, 0),
        None,
        ctypes.cast(_delete, ctypes.c_void_p),
    )
    address = ctypes.addressof(managed)
    _ALIVE[address] = (managed, shape, strides, view)
    return _new(address, ctypes.cast(_NAME, ctypes.c_char_p), ctypes.cast(_drop, ctypes.c_void_p))
