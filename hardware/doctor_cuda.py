"""What the kernel on a CUDA device needs, one thing after the other: driver, device, numba's target, compiler library.

Looking is apart from judging, so that every machine that lacks something can be told without having it.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from plantwin import how_to_add

ON_CPU = "nothing: --engine kernel runs the same on the CPU"
NEWEST_BUILT_IN = 12
"""Newest major version of CUDA that the target inside numba itself is made for."""
PROGRAM = """
import json
import numba.cuda as cuda
found = {"target": cuda.implementation, "available": False, "compiler": ""}
try:
    found["available"] = bool(cuda.is_available())
except Exception as error:
    found["compiler"] = f"{type(error).__name__}: {error}"
try:
    from numba.cuda.cudadrv import nvvm
    nvvm.NVVM()
    nvvm.LibDevice()
except Exception as error:
    found["compiler"] = f"{type(error).__name__}: {error}".strip().splitlines()[0]
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found: versions are "" where a thing is missing, `driver` is the newest CUDA it knows (13.0: 13000)."""

    driver: int = 0
    driver_error: int = 0
    devices: tuple[str, ...] = ()
    numba: str = ""
    numba_cuda: str = ""
    target: str = ""
    compiler_error: str = ""
    simulator: bool = False


def judge(seen: Seen) -> tuple[str, str]:
    """What to say, and what to do: the first thing that is missing; nothing to do ("") where all is there."""
    if seen.simulator:
        return "NUMBA_ENABLE_CUDASIM is set: numba simulates a device, slowly", "unset it to use a real one"
    if not seen.driver:
        return "no NVIDIA driver (libcuda.so.1)", f"{ON_CPU}; where there is a device, install NVIDIA's driver"
    cuda = f"driver for CUDA {seen.driver // 1000}.{seen.driver % 1000 // 10}"
    if seen.driver_error or not seen.devices:
        reason = f"error {seen.driver_error} of cuInit" if seen.driver_error else "no device"
        todo = f"{ON_CPU}; in a container hand the device in (--gpus all), and see that CUDA_VISIBLE_DEVICES names it"
        return f"{cuda}, but {reason}", todo
    where = f"{', '.join(seen.devices)}; {cuda}"
    if not seen.numba:
        return f"{where}; numba is missing", how_to_add("sim")
    package = f"pip install 'numba-cuda[cu{min(max(seen.driver // 1000, 12), 13)}]'"
    target = f"numba {seen.numba}, " + (f"numba-cuda {seen.numba_cuda}" if seen.numba_cuda else "its built-in target")
    if seen.compiler_error:
        said = f"{where}; {target}: no compiler library (libNVVM, libdevice): {seen.compiler_error}"
        return said, f"{package} brings both, or point CUDA_HOME at a CUDA toolkit"
    if not seen.numba_cuda and seen.driver // 1000 > NEWEST_BUILT_IN:
        said = f"{where}; {target}, which is made for CUDA {NEWEST_BUILT_IN} at most"
        return said, f"{package}: NVIDIA's own target, which replaces it"
    return f"{where}; {target}", ""


def look() -> Seen:
    """Look at this machine; takes a second or two only where there is a driver."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in {"", "0"}:
        return Seen(simulator=True)
    driver, error, devices = _driver()
    numba, numba_cuda = _version("numba"), _version("numba-cuda")
    if not devices or not numba:
        return Seen(driver, error, devices, numba, numba_cuda)
    target, compiler_error = _target()
    return Seen(driver, error, devices, numba, numba_cuda, target, compiler_error)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _driver() -> tuple[int, int, tuple[str, ...]]:
    """The driver's version, its error if it cannot start, and the names of its devices; asked directly."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0, 0, ()
    number = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    driver = number.value
    error = int(library.cuInit(0))
    if error:
        return driver, error, ()
    library.cuDeviceGetCount(ctypes.byref(number))
    names = []
    for ordinal in range(number.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
        if library.cuDeviceGet(ctypes.byref(device), ordinal) or library.cuDeviceGetName(name, 128, device):
            continue
        names.append(name.value.decode(errors="replace"))
    return driver, 0, tuple(names)


def _target() -> tuple[str, str]:
    """Which CUDA target numba has, and what its compiler library says; in a process of its own, as it may crash."""
    argv = (sys.executable, "-c", PROGRAM)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    found = json.loads(done.stdout.splitlines()[-1])
    compiler = str(found["compiler"])
    if not compiler and not found["available"]:
        compiler = "numba finds no device that it can use (see python -m numba -s)"
    return str(found["target"]), compiler
