"""One set of rules on every machine: compiled, pure Python, CUDA simulator, and a CUDA device where there is one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim import kernel
from tests.sim.engine_rows import LIMIT, digests
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, compiled_random, horizon

ROOT = Path(__file__).parents[2]
REPLICAS = 2
LONGEST_S = 800
"""For a process that hangs; a test's own timeout is shorter, but for those of PTX."""
PLANTS = {str(seed): 300 for seed in (0, 3, 5, 8, 13, 21, 34, 54, 55, 89)}


def everything() -> dict[str, int]:
    """Some random plants and all bundled ones, for a few hundred events each."""
    return PLANTS | {name: horizon(compiled_bundled(name), 150) for name in BUNDLED}


def run_python(*arguments: str, **variables: str) -> str:
    """Standard output of a Python process with further environment variables."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    ("engine", "variables"),
    [
        ("kernel", {"NUMBA_DISABLE_JIT": "1"}),
        ("cuda", {"NUMBA_DISABLE_JIT": "1", "NUMBA_ENABLE_CUDASIM": "1"}),
    ],
    ids=["pure Python", "CUDA simulator"],
)
def test_engine_does_the_same_as_the_compiled_kernel(engine: str, variables: dict[str, str]) -> None:
    plants = everything()
    pairs = [f"{name}={until}" for name, until in plants.items()]
    found = json.loads(run_python("tests.sim.engine_rows", engine, str(REPLICAS), *pairs, **variables))
    assert found == digests("kernel", REPLICAS, plants)


def test_the_simulator_needs_pure_python() -> None:
    with pytest.raises(AssertionError, match="NUMBA_ENABLE_CUDASIM=1 works only with NUMBA_DISABLE_JIT=1"):
        run_python("tests.sim.engine_rows", "cuda", "1", "0=10", NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="0")


def compiler_libraries() -> tuple[Path, Path] | None:
    """NVVM and libdevice of a CUDA toolkit, or None."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    for home in [*homes, Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]:
        folders = ("nvvm/lib64", "nvvm/lib", "lib64", "lib", "nvvm/bin")
        nvvm = next((home / f / "libnvvm.so" for f in folders if (home / f / "libnvvm.so").exists()), None)
        device = home / "nvvm" / "libdevice" / "libdevice.10.bc"
        if nvvm and device.exists():
            return nvvm.resolve(), device.resolve()
    return None


@pytest.fixture(scope="module")
def ptx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder of PTX, and what `tests.sim.ptx` says of each: every kernel for the oldest device, a small one also for
    an H100. Skips where the compiler libraries are missing.
    """
    libraries = compiler_libraries()
    if libraries is None:
        pytest.skip("no CUDA compiler libraries (NVVM and libdevice) under $CUDA_HOME or /usr/local/cuda*")
    folder = tmp_path_factory.mktemp("ptx")
    arguments = (*(str(path) for path in libraries), str(folder), "7.5", "9.0:linear")
    found: dict[str, dict[str, Any]] = json.loads(run_python("tests.sim.ptx", *arguments))["kernels"]
    return folder, found


def assert_sound(found: dict[str, dict[str, Any]]) -> None:
    """Each has one entry, is for the device asked for, and rounds every product and sum."""
    for name, one in found.items():
        assert one["entries"] == 1, name
        assert one["target"], name
        assert one["fused"] == 0, f"{name}: a fused multiply-add would round once where the CPU rounds twice"
        assert name.startswith("fill") or one["length"] > 10_000, name


@pytest.mark.timeout(900)  # a minute and a half of computing, on a machine that may be busy
def test_kernels_compile_to_ptx(ptx: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    """The CUDA simulator proves wrapper and indexing, not typing for the device: compile it, which needs no device."""
    folder, found = ptx
    assert_sound(found)
    assert {name.split()[0] for name in found} >= {"advance", "record", "steer", "gather", "linear"}
    text = (folder / "linear-7.5.ptx").read_text(encoding="utf-8")
    # without .rn the assembler is free to fuse them after all
    assert re.search(r"mul\.rn\.f64", text)
    assert re.search(r"add\.rn\.f64", text)
    assert not re.search(r"(mul|add)\.f64", text)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["advance-7.5", "linear-7.5", "linear-9.0"])
def test_kernels_assemble_for_present_devices(name: str, ptx: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    """PTX of the oldest device is what a newer one is given, too. A kernel that holds all rules takes a minute."""
    path = os.pathsep.join([*(str(home / "bin") for home in Path("/usr/local").glob("cuda*")), os.environ["PATH"]])
    assembler = shutil.which("ptxas", path=path)
    if assembler is None:
        pytest.skip("PTX was made, but there is no ptxas to assemble it")
    source = ptx[0] / f"{name}.ptx"
    argv = (assembler, "-O1", "-arch=sm_90", str(source), "-o", str(ptx[0] / "out"))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
def test_device_does_the_same() -> None:
    cuda = pytest.importorskip("sim.cuda")
    if cuda.simulated() or not cuda.available():
        pytest.skip("no CUDA device")
    for name in everything():
        compiled = compiled_random(int(name)) if name.isdigit() else compiled_bundled(name)
        until = horizon(compiled, 1000)
        rows = kernel.new_rows(compiled, SEED, 64)
        found, traces = cuda.trace_device(rows, compiled, until, 4 * LIMIT)
        expected = [kernel.trace(row, compiled, until) for row in rows]
        assert np.array_equal(found, rows), name
        assert all(np.array_equal(one, other) for one, other in zip(traces, expected, strict=True)), name
