"""What the doctor says of the kernel on a CUDA device, on machines that lack one thing after the other."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from hardware import doctor, doctor_cuda
from hardware.doctor_cuda import PROGRAM, Seen, judge

WHOLE = Seen(12080, 0, ("NVIDIA H100",), "0.68.1", "", "Built-in", "")


@pytest.mark.parametrize(
    ("seen", "says", "todo"),
    [
        (Seen(), "no NVIDIA driver (libcuda.so.1)", "install NVIDIA's driver"),
        (Seen(13000, 100), "driver for CUDA 13.0, but error 100 of cuInit", "--gpus all"),
        (Seen(12040), "driver for CUDA 12.4, but no device", "CUDA_VISIBLE_DEVICES"),
        (Seen(12040, 0, ("A100",)), "A100; driver for CUDA 12.4; numba is missing", "sim"),
        (Seen(12040, 0, ("A100",), "0.68.1", "", "Built-in", "no libnvvm.so"), "no libnvvm.so", "numba-cuda[cu12]"),
        (Seen(13000, 0, ("A100",), "0.68.1", "0.30.4", "NVIDIA", "gone"), "numba-cuda 0.30.4", "numba-cuda[cu13]"),
        (Seen(13000, 0, ("A100",), "0.68.1", "", "Built-in", ""), "made for CUDA 12 at most", "numba-cuda[cu13]"),
        (Seen(simulator=True), "NUMBA_ENABLE_CUDASIM is set", "unset it"),
        (WHOLE, "NVIDIA H100; driver for CUDA 12.8; numba 0.68.1, its built-in target", ""),
    ],
)
def test_the_first_missing_thing_is_named(seen: Seen, says: str, todo: str) -> None:
    said, advice = judge(seen)
    assert says in said
    assert todo in advice
    assert bool(advice) == bool(todo)


def test_the_finding_is_a_note_until_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_cuda, "look", Seen)
    assert doctor.cuda_kernel()[0].status == doctor.NOTE
    monkeypatch.setattr(doctor_cuda, "look", lambda: WHOLE)
    assert doctor.cuda_kernel()[0].status == doctor.OK


class Driver:
    """A driver library with two devices, the second of which cannot be named."""

    def __init__(self, error: int) -> None:
        self.error = error

    def cuDriverGetVersion(self, out: Any) -> int:  # noqa: N802 - the library's own name
        out._obj.value = 13000
        return 0

    def cuInit(self, _flags: int) -> int:  # noqa: N802
        return self.error

    def cuDeviceGetCount(self, out: Any) -> int:  # noqa: N802
        out._obj.value = 2
        return 0

    def cuDeviceGet(self, out: Any, ordinal: int) -> int:  # noqa: N802
        out._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, _length: int, device: Any) -> int:  # noqa: N802
        name.value = b"NVIDIA T4"
        return int(device.value)


def test_the_driver_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Driver(0))
    monkeypatch.setattr(doctor_cuda, "_target", lambda: ("Built-in", "no libNVVM"))
    seen = doctor_cuda.look()
    assert (seen.driver, seen.devices, seen.compiler_error) == (13000, ("NVIDIA T4",), "no libNVVM")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Driver(804))
    seen = doctor_cuda.look()
    assert (seen.driver, seen.driver_error, seen.devices) == (13000, 804, ())


def test_a_machine_without_driver_is_not_asked_further(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(doctor_cuda, "_target", lambda: pytest.fail("nothing to look at"))
    assert doctor_cuda.look().driver == 0


def test_the_target_s_program_answers_with_and_without_a_compiler() -> None:
    """Whatever is installed here, it answers, and a folder without libraries is named as such."""
    environment = os.environ | {"CUDA_HOME": "/nowhere", "NUMBA_ENABLE_CUDASIM": "0"}
    argv = (sys.executable, "-c", PROGRAM)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"target", "available", "compiler"}
    assert found["target"]
