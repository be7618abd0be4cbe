"""Refits written into a plant file: each lands where its parameter is, comments stay, what has no place is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.plantfile import load, resolve
from twin.calibrate import Row
from twin.parameters import parameters
from twin.patch import patch

PLACED = {
    "work/turning/gm40/turning": "gamma(mean=11 min, cv=0.15)",
    "work/test/gm63/test": "triangular(5 min, 6 min, 7 min)",
    "repair/paint/failure": "lognormal(mean=90 min, cv=0.9)",
    "fail/hobbing/failure": "weibull(scale=30 h, shape=1.4)",
    "setup/winding/stator_s/stator_l": "gamma(mean=25 min, cv=0.25)",
    "lead/wire/express": "gamma(mean=40 h, cv=0.2)",
    "lead/export40/regular": "gamma(mean=36 h, cv=0.2)",
    "demand/home40": "exponential(20 min)",
}
SHARED = {"lead/castings_s/regular": "gamma(mean=8 d, cv=0.15)", "yield/gm40/test": "2.5 %"}
"""Their place in the file is that of other parameters, too (a supplier's lead time, an anchored step)."""


def row(name: str, text: str) -> Row:
    zeros = (0.0,) * 7
    return Row(name, name, "s", *zeros, 0.0, 0, 0, 0.0, 0.0, 0.0, 1.0, None, "differs", text)


def test_every_refit_lands_where_its_parameter_is(tmp_path: Path) -> None:
    plant, out = load("gearmotor"), tmp_path / "plant2.yaml"
    assert patch(plant, [row(name, text) for name, text in (PLACED | SHARED).items()], out) == list(SHARED)
    old, new = ({p.name: p for p in parameters(where)} for where in (plant, load(str(out))))
    assert {name for name in old if old[name].dist != new[name].dist or old[name].size != new[name].size} == set(PLACED)
    assert new["lead/wire/express"].size == pytest.approx(40 * 3600e3)
    assert new["demand/home40"].size == pytest.approx(20 * 60e3)
    assert new["fail/hobbing/failure"].cv == pytest.approx(old["fail/hobbing/failure"].cv)
    source = resolve("gearmotor").read_text()
    comments = [line.split("#", 1)[1] for line in source.splitlines() if "#" in line]
    written = out.read_text()
    assert all(comment in written for comment in comments)
    changed = set(source.splitlines()) ^ set(written.splitlines())
    assert len(changed) < 40  # the lines that were changed, and no others
