"""Rules of the house that the linters do not know."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("twin", "sim", "agents", "ingest", "dashboard", "hardware")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

LONG_FILES: dict[str, str] = {
    "sim/state.py": "one declaration of everything a row and the params hold, and the constants made from it",
}
"""File -> why it is longer than the house's limit."""
LONG_FUNCTIONS: dict[str, str] = {}
"""file:function -> why it is longer than the house's limit."""

FORBIDDEN_MODULES = set("pickle _pickle cPickle cloudpickle dill joblib shelve marshal runpy imp".split())
FORBIDDEN_BUILTINS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_NAMES = {
    *(f"builtins.{name}" for name in FORBIDDEN_BUILTINS),
    *(f"yaml.{name}" for name in "load load_all unsafe_load unsafe_load_all full_load full_load_all".split()),
    *(f"yaml.{name}" for name in "Loader CLoader UnsafeLoader CUnsafeLoader FullLoader CFullLoader".split()),
    "numpy.lib.format.read_pickle", "pandas.read_pickle", "pandas.eval", "torch.jit.load", "torch.package",
    "torch.hub.load", "torch.utils.model_zoo.load_url", "torch.serialization.add_safe_globals",
    "stable_baselines3.common.save_util.load_from_zip_file", "stable_baselines3.common.save_util.load_from_pkl",
    "stable_baselines3.common.save_util.json_to_data", "stable_baselines3.common.save_util.open_path",
}  # fmt: skip
"""What could run code from data, called or handed on."""
SUSPECT = {name.rpartition(".")[2] for name in FORBIDDEN_NAMES} | {"load", "load_replay_buffer"}
FORBIDDEN_LOADS = re.compile(r"(PPO|A2C|DQN|DDPG|SAC|TD3|Algorithm|VecNormalize|Policy)\.load(_replay_buffer)?$")
"""Class methods of Stable-Baselines3, of its classes and of ours that inherit from them: they unpickle."""
ALLOWED: dict[tuple[str, str], tuple[int, str]] = {
    ("sim/ownrules.py", "exec"): (1, "a plant's own rules, where the user has said so (docs/own-rules.md)"),
    ("sim/ownrules.py", "compile"): (1, "the same text, whose hash was taken"),
    ("sim/ownrules.py", "spec_from_file_location"): (1, "the module that text is run in"),
    ("agents/control/own.py", "import_module"): (
        1,
        "a policy as a Python callable, where the user has said --allow-code",
    ),
    ("plantwin.py", "import_module"): (2, "the module of a command by the table there, of a benchmark by its name"),
}
"""(file, what) -> how often, and why it may."""


@cache
def product() -> list[tuple[str, ast.Module, str]]:
    """(path from the root, syntax tree, text) of every product file."""
    files = (ROOT / "plantwin.py", *sorted(file for name in PACKAGES for file in (ROOT / name).rglob("*.py")))
    texts = [(str(path.relative_to(ROOT)), path.read_text()) for path in files]
    return [(path, ast.parse(text), text) for path, text in texts]


def aliases(nodes: list[ast.AST]) -> dict[str, str]:
    """Name in a file -> what it was imported as, such as `np` -> `numpy`, `load` -> `torch.load`."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The full name of `a.b.c`, through the imports of its file; "" for what is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def is_constant(node: ast.AST | None, *values: object) -> bool:
    return isinstance(node, ast.Constant) and any(node.value is value for value in values)


def wrong_call(node: ast.Call, name: str) -> Iterator[str]:
    """What is wrong with the arguments of a call."""
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    last = name.rpartition(".")[2]
    if "allow_pickle" in keywords and not is_constant(keywords["allow_pickle"], False):
        yield "allow_pickle"
    if name in {"numpy.load", "numpy.lib.npyio.load"} and len(node.args) > 2 and not is_constant(node.args[2], False):
        yield "allow_pickle"
    if "shell" in keywords and not is_constant(keywords["shell"], False):
        yield "shell"
    if name == "torch.load" and not is_constant(keywords.get("weights_only"), True):
        yield "torch.load"
    if name == "ruamel.yaml.YAML" and any(
        not is_constant(value) and getattr(value, "value", "") not in {"rt", "safe"}
        for value in (*node.args[:1], *([keywords["typ"]] if "typ" in keywords else []))
    ):
        yield "unsafe YAML"
    if name == "importlib.import_module":
        module = node.args[0] if node.args else keywords.get("name")
        if not isinstance(module, ast.Constant):
            yield "import_module"
        elif str(module.value).split(".")[0] in FORBIDDEN_MODULES:
            yield f"import {module.value!r}"
    if last in {"spec_from_file_location", "SourceFileLoader"}:
        yield last


def violations(tree: ast.AST) -> Iterator[str]:
    """Whatever could run code from data, with its line."""
    nodes = list(ast.walk(tree))
    names = aliases(nodes)
    calls = [(node, dotted(node.func, names)) for node in nodes if isinstance(node, ast.Call)]
    fine = {id(node.func) for node, name in calls if name == "torch.load"}  # its arguments are looked at below
    for call, name in calls:
        yield from (f"{call.lineno}: {what}" for what in wrong_call(call, name))
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level:
                yield f"{node.lineno}: relative import"
            yield from (f"{node.lineno}: import {name}" for name in modules if name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_BUILTINS:
            yield f"{node.lineno}: {node.id}"
        elif isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            if name.rpartition(".")[2] in SUSPECT and forbidden(name) and id(node) not in fine:
                yield f"{node.lineno}: {name}"


def forbidden(name: str) -> bool:
    """Whether a full name is of something that could run code from data."""
    return name in FORBIDDEN_NAMES or name == "torch.load" or FORBIDDEN_LOADS.search(name) is not None


BAD = """
import pickle
from . import x
eval('1')
PPO.load('a')
np.load('a', allow_pickle=True)
run(shell=True)
import joblib
from cloudpickle import loads
import torch as t; t.load('a')
from torch import load as read; read('a', weights_only=False)
torch.load('a', weights_only=flag)
f = torch.load
import yaml as y; y.load(s, Loader=y.SafeLoader)
yaml.load(s, yaml.UnsafeLoader)
from yaml import full_load; full_load(s)
import numpy as np; np.load('a', None, True)
np.load('a', allow_pickle=flag)
from stable_baselines3 import A2C as Agent; Agent.load('a')
stable_baselines3.PPO.load('a')
ResidentPPO.load('a')
VecNormalize.load('a', env)
from builtins import exec as run; run('1')
map(eval, texts)
importlib.import_module(name)
from importlib import import_module; import_module('pickle')
importlib.util.spec_from_file_location('a', 'b')
from ruamel.yaml import YAML; YAML(typ='unsafe')
from stable_baselines3.common.save_util import load_from_zip_file; load_from_zip_file('a')
torch.serialization.add_safe_globals([os.system])
"""
GOOD = """
import numpy as np, torch, yaml
from ruamel.yaml import YAML
np.load('a', allow_pickle=False)
np.load('a')
re.compile('a')
model.eval()
torch.load('a', weights_only=True)
yaml.safe_load(s)
YAML(), YAML(typ='rt'), YAML(typ='safe')
importlib.import_module('sim.native')
plantfile.load('a')
bundle.load('a')
run(shell=False)
ast.literal_eval('1')
"""


def test_the_check_itself_finds_what_it_should() -> None:
    found = {int(line.split(":")[0]) for line in violations(ast.parse(BAD))}
    lines = range(2, BAD.count("\n") + 1)
    assert found == set(lines), [BAD.splitlines()[line - 1] for line in lines if line not in found]
    assert list(violations(ast.parse(GOOD))) == []


def test_product_code_never_runs_code_from_data() -> None:
    found = [(path, line) for path, tree, _ in product() for line in violations(tree)]
    # places that run code from a file, where the user has said that it may
    assert [f"{path}:{line}" for path, line in found if (path, line.partition(": ")[2]) not in ALLOWED] == []
    times = Counter((path, line.partition(": ")[2]) for path, line in found)
    assert times == {place: often for place, (often, _) in ALLOWED.items()}, (
        "an exception is no longer, or once more, needed"
    )


def test_files_are_short() -> None:
    lengths = {path: sum(bool(line.strip()) for line in text.splitlines()) for path, _, text in product()}
    long = {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE}
    assert {path: lines for path, lines in long.items() if path not in LONG_FILES} == {}
    assert set(LONG_FILES) <= set(long), "an exception is no longer needed"


def test_functions_are_short() -> None:
    long = {}
    for path, tree, _ in product():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                words = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) else 0
                lines = (node.end_lineno or 0) - node.lineno + 1 - words
                if lines > LONGEST_FUNCTION:
                    long[f"{path}:{node.name}"] = lines
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(long), "an exception is no longer needed"


def test_packages_say_what_they_are_and_import_nothing() -> None:
    for name in PACKAGES:
        tree = ast.parse((ROOT / name / "__init__.py").read_text())
        assert len(tree.body) == 1
        assert ast.get_docstring(tree)
