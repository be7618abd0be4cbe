"""One set of rules on every machine: compiled, pure Python, CUDA simulator, and a CUDA device where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim import kernel
from tests.sim.engine_rows import LIMIT, digests
from tests.sim.engines import BUNDLED, SEED, compiled_bundled, compiled_random, horizon

ROOT = Path(__file__).parents[2]
REPLICAS = 2
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
        timeout=240,
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


def test_kernel_compiles_to_ptx(tmp_path: Path) -> None:
    """The CUDA simulator proves wrapper and indexing, not typing for the device: compile it, which needs no device."""
    libraries = compiler_libraries()
    if libraries is None:
        pytest.skip("no CUDA compiler libraries (NVVM and libdevice) under $CUDA_HOME or /usr/local/cuda*")
    length, entries = run_python("tests.sim.ptx", *(str(path) for path in libraries), str(tmp_path)).split()
    assert int(length) > 10_000
    assert int(entries) == 1


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
