"""Compile the kernel for a CUDA device without having one: `python -m tests.sim.ptx NVVM LIBDEVICE FOLDER`.

numba looks for the compiler libraries under `$CUDA_HOME/nvvm`; toolkits keep them elsewhere, so FOLDER becomes such a
home made of links. It prints the length of the PTX and its number of kernels.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

CC = (7, 5)
"""Compute capability to compile for: the oldest that present toolkits know."""


def make_home(nvvm: Path, libdevice: Path, folder: Path) -> None:
    """Arrange the compiler libraries as numba expects them, and point it there."""
    (folder / "nvvm" / "lib64").mkdir(parents=True, exist_ok=True)
    (folder / "nvvm" / "libdevice").mkdir(parents=True, exist_ok=True)
    for source, name in ((nvvm, "lib64/libnvvm.so"), (libdevice, "libdevice/libdevice.10.bc")):
        target = folder / "nvvm" / name
        if not target.exists():
            target.symlink_to(source)
    os.environ["CUDA_HOME"] = str(folder)


def compile_advance() -> str:
    """PTX of the kernel that advances replicas."""
    from numba import int64, void

    from sim.cuda import advance_replica, cuda

    device = SimpleNamespace(compute_capability=CC)
    # numba asks the current device for the capability when it compiles callees, even though it was told
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        ptx, _ = cuda.compile_ptx(advance_replica, void(int64[:, ::1], int64[::1], int64), cc=CC)
    return str(ptx)


if __name__ == "__main__":
    make_home(*(Path(argument) for argument in sys.argv[1:4]))
    text = compile_advance()
    print(len(text), text.count(".visible .entry"))
