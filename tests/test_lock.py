"""The lock file, pyproject.toml and the installed environment say the same.

`python tests/test_lock.py --write` writes lock.txt anew from the environment it runs in.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = (
    "base", "sim", "experiment", "ingest", "dashboard", "edge", "train", "onnx", "tensorboard", "mlflow", "search",
    "dev",
)  # fmt: skip
UNLOCKED = ("cluster",)
"""Parts outside the lock: who wants them takes the newest that fits (Ray brings hundreds of megabytes of its own)."""
HEADER = """\
# Exact versions of everything plantwin installs, by the part that first needs it. Used as pip's constraints, so that a
# part of plantwin brings only its own (see Makefile). No hashes: the build of torch differs between machines.
# Written by: python tests/test_lock.py --write
"""


def project() -> dict[str, list[str]]:
    """Requirement strings of each part; `base` for the unconditional ones."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"base": table["dependencies"], **table["optional-dependencies"]}


def closure(part: str) -> dict[str, list[Requirement]]:
    """Every distribution that a part brings, with the requirements that ask for it, read from what is installed."""
    parts = project()
    found: dict[str, list[Requirement]] = {}
    waiting = [Requirement(text) for text in (*parts["base"], *parts[part])]
    seen: set[str] = set()
    while waiting:
        need = waiting.pop()
        if str(need) in seen:
            continue
        seen.add(str(need))
        name = canonicalize_name(need.name)
        if name == "plantwin":
            waiting += [Requirement(text) for extra in need.extras for text in parts[extra]]
            continue
        found.setdefault(name, []).append(need)
        for text in distribution(name).requires or []:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *need.extras)):
                waiting.append(inner)
    return found


def locked() -> dict[str, str]:
    """Name -> exact version of every line of the lock file."""
    versions: dict[str, str] = {}
    for line in (ROOT / "lock.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, exact = line.partition("==")
            versions[canonicalize_name(name)] = exact
    return versions


def written() -> str:
    """The text of the lock file for the environment at hand."""
    text = [HEADER]
    done: set[str] = set()
    for part in SECTIONS:
        text.append(f"\n# {part}\n")
        for name in sorted(set(closure(part)) - done):
            done.add(name)
            text.append(f"{name}=={distribution(name).version.partition('+')[0]}\n")
    return "".join(text)


def test_lock_holds_exact_versions_only() -> None:
    for line in (ROOT / "lock.txt").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.]*", line), line


def test_lock_satisfies_every_requirement() -> None:
    versions = locked()
    for part in set(project()) - set(UNLOCKED):
        for name, needs in closure(part).items():
            assert name in versions, f"{name} (needed by {part}) is not in lock.txt"
            for need in needs:
                met = need.specifier.contains(versions[name], prereleases=True)
                assert met, f"{need} is not met by {versions[name]}"


def test_lock_holds_nothing_else() -> None:
    assert set(locked()) == set().union(*(closure(part) for part in SECTIONS))


def test_demo_brings_no_torch() -> None:
    assert not {"torch", "stable-baselines3", "gymnasium", "pytest"} & set(closure("demo"))


def test_installed_versions_are_the_locked_ones() -> None:
    for name, exact in locked().items():
        try:
            found = distribution(name).version
        except PackageNotFoundError:
            found = "nothing"
        assert found.partition("+")[0] == exact, f"{name}: lock.txt says {exact}, installed is {found}"


EXTRAS_OF = {
    "twin": ("sim", "ingest", "experiment"),  # pictures
    "sim": ("sim", "experiment", "cluster"),
    "agents": ("sim", "train", "ingest", "onnx", "tensorboard", "mlflow", "search"),
    "ingest": ("ingest", "sim", "edge"),  # the history of an OPC UA server
    "dashboard": ("dashboard",),
    "hardware": ("edge", "sim", "ingest"),  # the demo's cable has an HTTP interface
    "plantwin.py": (),
}
"""Package -> the extras whose libraries it may import directly (beside the base)."""


def imported(path: Path) -> set[str]:
    """Top-level names of the third-party modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(EXTRAS_OF) - {"plantwin", "benchmarks"}


def test_every_import_is_asked_for_by_an_extra_of_its_package() -> None:
    owners = packages_distributions()  # of what is installed; what is not (Ray) is taken by its own name
    parts = project()
    missing = []
    for package, extras in EXTRAS_OF.items():
        texts = [text for part in ("base", *extras) for text in parts[part]]
        direct = {canonicalize_name(Requirement(text).name) for text in texts}
        files = [ROOT / package] if package.endswith(".py") else sorted((ROOT / package).rglob("*.py"))
        for path in files:
            for name in sorted(imported(path)):
                if not {canonicalize_name(owner) for owner in owners.get(name, [name])} & direct:
                    missing.append(f"{path.relative_to(ROOT)} imports {name}, which extras {extras} do not ask for")
    assert missing == []


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        (ROOT / "lock.txt").write_text(written())
    else:
        sys.exit("usage: python tests/test_lock.py --write")
