"""Compile the kernel for CUDA devices without having one: `python -m tests.sim.ptx NVVM LIBDEVICE FOLDER [ASKED ...]`.

numba's built-in target looks for the compiler libraries under `$CUDA_HOME/nvvm`; toolkits keep them elsewhere, so
FOLDER becomes such a home made of links, and the PTX of each kernel is written there as `KERNEL-CC.ptx`. ASKED is a
compute capability CC such as 7.5 (all of CCS where none is named), or CC:KERNEL,KERNEL.. for some of the kernels.
Prints a line of JSON: which numba target compiled, and for each kernel and capability the length of the PTX, its
entries and its fused multiply-adds.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

CCS = ("7.5", "8.0", "9.0")
"""The oldest that present toolkits know, A100, H100."""


def make_home(nvvm: Path, libdevice: Path, folder: Path) -> None:
    """Arrange the compiler libraries as numba expects them, and point it there."""
    (folder / "nvvm" / "lib64").mkdir(parents=True, exist_ok=True)
    (folder / "nvvm" / "libdevice").mkdir(parents=True, exist_ok=True)
    for source, name in ((nvvm, "lib64/libnvvm.so"), (libdevice, "libdevice/libdevice.10.bc")):
        target = folder / "nvvm" / name
        if not target.exists():
            target.symlink_to(source)
    os.environ["CUDA_HOME"] = str(folder)


def signatures() -> dict[str, Any]:
    """Every kernel by name with the types it is launched with."""
    from numba import boolean, float32, float64, int64, void

    from sim import cuda_kernels as ck

    rows, vector, factors = int64[:, ::1], int64[::1], float64[::1]
    return {
        "advance": (ck.advance_replica, void(rows, vector, vector, vector)),
        "step": (ck.step_replica, void(rows, vector, vector, int64, vector)),
        "record": (ck.record_replica, void(rows, vector, int64, int64[:, :, ::1])),
        "steer": (ck.steer_replica, void(rows, vector, vector, rows, int64)),
        "gather": (ck.gather_replica, void(rows, vector, factors, float32[:, ::1])),
        "linear": (ck.linear_replica, void(rows, vector, factors, factors)),
        "clear": (ck.clear_replica, void(rows, vector, vector, rows)),
        "restore": (ck.restore_replica, void(rows, vector, rows, boolean[::1])),
        "put": (ck.put_replica, void(rows, vector, vector, rows)),
        "take": (ck.take_replica, void(rows, vector, rows)),
        "fill": (ck.fill_replica, void(vector, int64)),
    }


def compile_kernel(name: str, cc: str) -> str:
    """PTX of a kernel for a compute capability."""
    from sim.cuda_kernels import cuda

    major, _, minor = cc.partition(".")
    capability = (int(major), int(minor))
    device = SimpleNamespace(compute_capability=capability)
    function, signature = signatures()[name]
    # numba asks the current device for the capability when it compiles callees, even though it was told
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        ptx, _ = cuda.compile_ptx(function, signature, cc=capability)
    return str(ptx)


def main(argv: list[str]) -> None:
    """Compile all kernels and say what came of it."""
    folder = Path(argv[2])
    make_home(Path(argv[0]), Path(argv[1]), folder)
    import numba.cuda

    found: dict[str, Any] = {"target": numba.cuda.implementation, "kernels": {}}
    for asked in argv[3:] or CCS:
        cc, _, names = asked.partition(":")
        for name in names.split(",") if names else signatures():
            text = compile_kernel(name, cc)
            (folder / f"{name}-{cc}.ptx").write_text(text, encoding="utf-8")
            found["kernels"][f"{name} {cc}"] = {
                "target": f".target sm_{cc.replace('.', '')}" in text,
                "length": len(text),
                "entries": text.count(".visible .entry"),
                "fused": text.count("fma."),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
