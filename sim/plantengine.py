"""The engine a plant file asks for: rules of its own, written in SimPy, in a file beside it (docs/own-rules.md).

Reading a plant file never runs that code: here only its place is looked at.
"""

from __future__ import annotations

from pathlib import Path

from sim.plant import OwnRules
from sim.plantdraft import Draft
from sim.schema import TEXT, Key, Reader, Section, whole_of

MOST_STATE = 1_000_000
ENGINE = Section(
    "engine",
    "Rules that the compiled kernel does not know, as a subclass of the SimPy model (see own-rules.md). They run with "
    "`--allow-code` only.",
    (
        Key("simpy", TEXT, "`FILE.py:CLASS`; the file lies in the plant file's folder or below", "",
            example="my_rules.py:MyRules"),
        Key("state", whole_of(0, MOST_STATE), "whole numbers that the rules keep in the row", 0),
    ),
)  # fmt: skip


def read_engine(draft: Draft, top: Reader, bundled: Path) -> OwnRules | None:
    """The rules of the plant's own; None without. In the folder `bundled` there may be none."""
    r = top.block("engine", ENGINE)
    if r is None:
        return None
    text, state = r["simpy"], r["state"]
    if not r.has("simpy"):
        return None
    item = r.entries["simpy"]
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        item.fail("FILE.py:CLASS", "write the file, a colon and the class, as my_rules.py:MyRules")
        return None
    folder = draft.folder.resolve()
    if folder == bundled.resolve():
        item.fail("no rules of its own in a bundled plant", "copy the plant into a folder of yours")
        return None
    path = (folder / file).resolve()
    if not path.is_relative_to(folder):
        item.fail("a file in the plant file's folder or below", f"move it into {folder}")
        return None
    if not path.is_file():
        item.fail(f"a file {file} beside the plant file", f"write it, or correct its name ({path})")
        return None
    return OwnRules(path, name, state)
