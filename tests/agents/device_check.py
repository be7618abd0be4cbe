"""Every bundled plant with controls on a device beside the host: `python -m tests.agents.device_check [PLANT ...]`.

In numba's simulator of a device (NUMBA_ENABLE_CUDASIM=1, NUMBA_DISABLE_JIT=1) or on a real one. Prints "same".
"""

from __future__ import annotations

import sys
import time

from agents.envs.check import check_device
from tests.agents.kit import PLANTS

STEPS = 4


def main(argv: list[str]) -> None:
    """Check the plants named, or all."""
    for name in argv or PLANTS:
        for decide in ("interval", "events"):
            began = time.perf_counter()
            check_device(name, STEPS, 2, decide=decide, reward_unit=1.0)
            print(name, decide, "same", f"{time.perf_counter() - began:.1f} s", file=sys.stderr)
    print("same")


if __name__ == "__main__":
    main(sys.argv[1:])
