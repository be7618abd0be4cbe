"""Where compiled kernels are kept: a folder named by everything that can change the machine code.

numba's own cache looks only at the file that holds a function. The kernel's functions inline functions and
constants of other files, so a change there would silently run old machine code. Hence one folder for each content
of `sim/*.py` and each version of numba.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

KEEP = 8
"""Folders of other versions that are kept; of the others, those over a day old are removed."""
DAY = 86_400.0


def fingerprint(source: Path | None = None, numba: str | None = None) -> str:
    """Sixteen hexadecimal digits that change with any `*.py` of `source` (default: here) and with numba's version."""
    if numba is None:
        try:
            numba = version("numba")
        except PackageNotFoundError:
            numba = "none"
    digest = hashlib.sha256(f"numba {numba} python {sys.version_info[:3]}".encode())
    for path in sorted((source or Path(__file__).parent).glob("*.py")):
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def root() -> Path:
    """The folder of all caches: `$PLANTWIN_CACHE`, else the user's cache folder, else a private temporary one."""
    named = os.environ.get("PLANTWIN_CACHE")
    candidates = [Path(named)] if named else []
    base = os.environ.get("XDG_CACHE_HOME")
    candidates.append((Path(base) if base else Path.home() / ".cache") / "plantwin")
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(candidate, os.W_OK):
            return candidate
    private = Path(tempfile.gettempdir()) / f"plantwin-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid():
        # somebody else's folder could feed us machine code
        return Path(tempfile.mkdtemp(prefix="plantwin-"))
    return private


def folder() -> Path:
    """Point numba at the folder of this version, make it and return it. Call it before numba compiles anything.

    Works before and after numba is imported, because numba reads its setting when a function is decorated.
    """
    here = root() / f"kernel-{fingerprint()}"
    if not here.is_dir():
        here.mkdir(parents=True, exist_ok=True)
        _forget_old(here.parent, here)
    os.environ["NUMBA_CACHE_DIR"] = str(here)
    numba = sys.modules.get("numba")
    if numba is not None:
        numba.config.CACHE_DIR = str(here)
    return here


def _forget_old(parent: Path, current: Path) -> None:
    """Remove all but the newest few folders and those made within a day; another process may do the same meanwhile."""
    import shutil
    import time

    def age(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0

    others = sorted((path for path in parent.glob("kernel-*") if path != current), key=age, reverse=True)
    for path in (path for path in others[KEEP:] if age(path) < time.time() - DAY):
        shutil.rmtree(path, ignore_errors=True)
