"""The plant with rules of its own of docs/own-rules.md, written into a folder."""

from __future__ import annotations

import re
from pathlib import Path

from sim.compile import Compiled, compile_plant
from sim.ownrules import allow
from sim.plantfile import load

PAGE = (Path(__file__).parents[2] / "docs" / "own-rules.md").read_text(encoding="utf-8")
PLANT, CODE = (re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0] for kind in ("yaml", "python"))


def write(folder: Path, code: str = CODE, engine: str | None = None) -> Path:
    """The plant file; `engine` in place of its `drum.py:Drum`."""
    (folder / "drum.py").write_text(code, encoding="utf-8")
    path = folder / "drum.yaml"
    path.write_text(PLANT if engine is None else PLANT.replace("drum.py:Drum", engine), encoding="utf-8")
    return path


def drum(folder: Path, code: str = CODE) -> Compiled:
    """The compiled plant, its code allowed."""
    return compile_plant(allow(load(write(folder, code))))


def rules(body: str) -> str:
    """A class `Drum` with this body, from line 3 of the file on."""
    return "from sim.reference import Reference\nclass Drum(Reference):\n" + body
