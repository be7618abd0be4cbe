"""Plant files: what is read, and that everything wrong is found at once, at its line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.plant import DONE, SCRAP, UNLIMITED, Dist, Plant
from sim.plantfile import CONVENTIONS, PlantError, bundled, load, resolve, validate

ROOT = Path(__file__).parents[2]
BASE = """\
# What for?
#
# Second paragraph.
plantwin: 1
site: demo
area: hall
line: tiny
timezone: Europe/Berlin
products:
  nut: {routing: [cut, pack], revenue: 4 EUR}
stations:
  cut: {units: 2, work: {nut: gamma(mean=55 s, cv=0.4)}, fails: {after: exponential(2 h), repair: 5 min, crew: fitters}}
  pack: {work: 10 s, calendar: always}
buffers:
  b: {before: pack, capacity: 4, holding: 0.36 EUR/h}
crews:
  fitters: {size: 1}
calendars:
  day: {open: "Mon-Fri 06:00-22:00"}
release:
  nut: {policy: conwip, cap: 6, base_stock: 10, consumes: {rod: 2}}
suppliers:
  acme: {}
stocks:
  rod: {item: rod, from: acme, policy: {kind: base_stock, level: 30, every: 8 h}, lead: constant(2 d), initial: 5}
  out: {item: nut, from: line, holding: 0.2 EUR/h}
demand:
  shop: {stock: out, arrivals: poisson(36/h), unmet: backorder, backlog: 3 EUR/h}
controls:
  cap: {sets: release.nut.cap, from: 2, to: 11, every: 10 min, worth: 5 EUR}
limits:
  - {if: cut.down, then: cap <= 8}
sensors:
  - {thing: cut, property: out, unit: 2, product: nut, tag: cut/count, bits: 16, resets: shift}
  - {thing: b, property: level, tag: b/level, type: int, range: [0, 4]}
"""


def read(tmp_path: Path, text: str) -> tuple[Plant | None, list[str], list[str]]:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return validate(path)


def test_a_whole_file_becomes_the_plant_it_describes(tmp_path: Path) -> None:
    plant, problems, notes = read(tmp_path, BASE)
    assert problems == []
    assert plant is not None
    assert (plant.id, plant.question, plant.tick_s, plant.currency) == ("tiny", "What for?", 0.001, "EUR")
    assert plant.start.isoformat() == "2026-01-05T00:00:00+01:00"
    cut, pack = plant.stations
    assert cut.fails is not None
    assert (cut.units, cut.fails.after, cut.fails.crew) == (2, Dist("exponential", (7_200_000.0,)), "fitters")
    assert (cut.calendar, cut.capacity, pack.calendar, pack.capacity, pack.buffer) == ("day", UNLIMITED, None, 4, "b")
    assert pack.holding == pytest.approx(0.36 / 3_600_000)
    nut = plant.products[0]
    assert [s.work for s in nut.steps] == [Dist("gamma", (55_000.0, 0.4)), Dist("constant", (10_000.0,))]
    assert [s.next for s in nut.steps] == [((1, 1.0),), ((DONE, 1.0),)]
    assert (nut.release.cap, nut.release.base_stock, nut.release.consumes) == (6, 10, (("rod", 2),))
    assert nut.release.calendar is None
    rod, out = plant.stocks
    assert (rod.source, rod.level, rod.review, rod.lead) == ("acme", 30, 28_800_000, Dist("constant", (172_800_000.0,)))
    assert (out.source, out.level, out.lead) == ("line", None, None)
    assert plant.demands[0].calendar == "day"
    assert plant.controls[0].klass == "release"
    assert plant.limits[0].op == "<="
    assert plant.sensors[0].type == "counter"
    assert plant.conventions == {name: values[0] for name, values in CONVENTIONS.items()}
    assert notes[0] == "calendar day, the only one, applies to cut, shop ('calendar: always' opts out)"
    assert notes[1] == "no buffer is declared before cut: the queue there is unlimited"


def test_rework_scrap_and_a_second_visit(tmp_path: Path) -> None:
    test = "{step: test, station: pack, next: {again: 8 %, scrap: 1 %, pack: rest}}"
    routing = f"[cut, {test}, {{step: again, station: cut, work: 20 s, next: test}}, pack]"
    plant, problems, _ = read(tmp_path, BASE.replace("[cut, pack]", routing))
    assert problems == []
    assert plant is not None
    steps = plant.products[0].steps
    assert [s.id for s in steps] == ["cut", "test", "again", "pack"]
    assert dict(steps[1].next) == pytest.approx({2: 0.08, SCRAP: 0.01, 3: 0.91})
    assert steps[2].next == ((1, 1.0),)
    assert steps[2].work == Dist("constant", (20_000.0,))


def test_observed_times_as_tables(tmp_path: Path) -> None:
    counted = BASE.replace("work: 10 s", "work: {empirical: [1, 2.5], counts: [3, 1], unit: s}")
    plant, problems, _ = read(tmp_path, counted)
    assert problems == []
    assert plant is not None
    assert plant.products[0].steps[1].work == Dist("discrete", (1000.0, 0.75, 2500.0, 0.25))
    listed = BASE.replace("work: 10 s", "work: {nut: {empirical: [2.5, 1], unit: s}}")
    plant, problems, _ = read(tmp_path, listed)
    assert plant is not None
    assert plant.products[0].steps[1].work == Dist("empirical", (1000.0, 2500.0))


def test_anchors_merges_and_private_keys(tmp_path: Path) -> None:
    text = BASE.replace("stations:", "x-usual: &usual {units: 3, work: 7 s}\nstations:")
    text = text.replace("pack: {work: 10 s, calendar: always}", "pack: {<<: *usual, units: 1, calendar: always}")
    plant, problems, _ = read(tmp_path, text)
    assert problems == []
    assert plant is not None
    assert plant.stations[1].units == 1
    assert plant.products[0].steps[1].work == Dist("constant", (7_000.0,))


# (what is replaced, by what, part of the message)
WRONG = [
    ("work: 10 s", "work: 10", "station pack, work: expected a duration such as '45 s', found '10'; write the unit"),
    ("units: 2", "unit: 2", "did you mean 'units'?"),
    ("units: 2", "units: zero", "whole number of 1 or more"),
    ("units: 2", "units: 2, skills: [x]", "skill matrices found; this feature is not in this version"),
    ("units: 2", "units: 2, needs: {rod: 1}", "expected no such key, found 'needs'; write it at the step"),
    ("units: 2", "units: 2, maintenance: {}", "expected the key 'preventive', found none"),
    ("units: 2", "units: 2, calendar: nigth", "expected a declared calendar, found 'nigth'"),
    ("fails: {after", "fails: {clock: wall, after", "expected odf or tdf or parts, found 'wall'"),
    ("after: exponential(2 h), ", "", "expected the key 'after', found none"),
    ("after: exponential(2 h)", "after: 0 s", "a mean above 0"),
    ("crew: fitters", "crew: fiters", "did you mean 'fitters'?"),
    ("capacity: 4, ", "", "buffer b: expected the key 'capacity', found none; write for example 'capacity: 4'"),
    ("capacity: 4", "capacity: -1", "whole number of places"),
    ("capacity: 4", "capacity: 20000", "at most unlimited (10000) places"),
    ("holding: 0.36 EUR/h", "holding: 0.36", "write the currency 'EUR'"),
    ("before: pack", "before: pakc", "expected a declared station"),
    ("[cut, pack]", "[cut]", "the station is unreachable"),
    ("[cut, pack]", "[cut, pakc]", "did you mean 'pack'?"),
    ("[cut, pack]", "[cut, pack, cut]", "write {step: NAME, station: cut} for the second visit"),
    ("[cut, pack]", "[cut, {station: pack, next: {cut: 40 %, done: 50 %}}]", "sum to 100 %, found 90 %"),
    ("[cut, pack]", "[cut, {station: pack, next: {cut: 60 %, done: 50 %}}]", "sum to 100 %, found 110 %"),
    ("[cut, pack]", "[cut, {station: pack, next: {cut: 100 %, done: rest}}]", "below 100 % beside 'rest'"),
    ("[cut, pack]", "[cut, {station: pack, next: {cut: rest, done: rest}}]", "'rest' once"),
    ("[cut, pack]", "[cut, {station: pack, next: cut}]", "a way out of every step"),
    ("[cut, pack]", "[{station: cut, next: done}, pack]", "no part comes to 'pack'"),
    ("[cut, pack]", "[cut, {station: pack, next: {cat: 5 %, done: rest}}]", "did you mean 'cut'?"),
    ("[cut, pack]", "[]", "at least one step"),
    ("{nut: gamma(mean=55 s, cv=0.4)}", "{not: 5 s}", "did you mean 'nut'?"),
    ("{nut: gamma(mean=55 s, cv=0.4)}", "{nut/pack: 5 s}", "expected a work time for nut/cut, found none"),
    ("gamma(mean=55 s, cv=0.4)", "gamma(mean=-55 s, cv=0.4)", "times are never negative"),
    ("cap: 6,", "cap: 6, arrivals: poisson(3/h),", "no 'arrivals' with policy conwip"),
    ("cap: 6,", "", "expected the key 'cap'"),
    ("cap: 6,", "cap: 60000,", "a cap of at most unlimited (10000)"),
    ("policy: conwip", "policy: kanban", "'kanban' at the buffers"),
    ("consumes: {rod: 2}", "consumes: {out: 2}", "a circle of needs through nut"),
    ("consumes: {rod: 2}", "consumes: {rot: 2}", "did you mean 'rod'?"),
    ("release:\n  nut:", "release:\n  not:", "expected a release, found none"),
    ("from: acme,", "from: acne,", "did you mean 'acme'?"),
    ("lead: constant(2 d), ", "", "expected the key 'lead'"),
    ("kind: base_stock", "kind: s_S", "expected the key 'reorder', found none"),
    ("every: 8 h", "every: 0 h", "expected a time above 0"),
    ("from: line, holding", "from: line, lead: 2 d, holding", "no 'lead' for a stock from the line"),
    ("item: nut", "item: not", "expected a product as item"),
    ("unmet: backorder", "unmet: lost", "no 'backlog' where unmet demand is lost"),
    ("arrivals: poisson(36/h)", "arrivals: poisson(36)", "write '/' and a unit of time"),
    ("stock: out", "stock: in", "expected a declared stock, found 'in'"),
    ("sets: release.nut.cap", "sets: release.nut.caps", "a setting that exists, found 'release.nut.caps'"),
    ("from: 2, to: 11", "from: 8, to: 11", "release.nut.cap = 6 to be one of 8, 9 .. 11"),
    ("from: 2, to: 11", "from: 1, to: 11, step: 2", "release.nut.cap = 6 to be one of 1, 3 .. 11"),
    ("from: 2, to: 11", "from: 11, to: 2", "at least 'from' (11)"),
    ("from: 2, to: 11", "from: 2, to: 20000", "'to' of at most unlimited"),
    ("every: 10 min, worth", "every: 10, worth", "write the unit"),
    ("every: 10 min, worth", "class: supply, every: 10 min, worth", "'release' for what it sets"),
    ("then: cap <= 8", "then: cup <= 8", "did you mean 'cap'?"),
    ("then: cap <= 8", "then: cap <= 1", "a value of cap to be left"),
    ("if: cut.down, then: cap <= 8", "then: cap <= 4", "the present release.nut.cap to obey 'cap <= 4', found 6"),
    ("then: cap <= 8", "then: cap is 8", "'CONTROL <= NUMBER'"),
    ("if: cut.down", "if: cut.broken", "expected a state in 'if'"),
    ("if: cut.down", "if: cat.down", "expected a station in 'if'"),
    ("thing: b,", "thing: c,", "expected a thing of this plant, found 'c'"),
    ("property: level", "property: state", "expected a property of a buffer, found 'state'"),
    ("tag: b/level", "tag: cut/count", "sensors.2, tag: expected a tag of its own"),
    ("tag: b/level", "tag: b level", "joined by '/'"),
    ("tag: b/level", "tag: mode", "other than 'set/..' and 'mode'"),
    ("type: int", "type: enum", "int or float for level, found 'enum'"),
    ("unit: 2", "unit: 3", "a unit of cut (1..2), found 3"),
    ("product: nut", "product: bolt", "expected a product, found 'bolt'"),
    ("bits: 16", "bits: 12", "8, 16, 32 or 64 bits"),
    ("range: [0, 4]", "range: [4, 0]", "[lowest, highest]"),
    ("  b: {before", "  cut: {before", "expected a name of its own, found 'cut' in"),
    ("  fitters: {size: 1}", "  Fitters: {size: 1}", "an id of a-z 0-9 _ -"),
    ("Mon-Fri", "Mon-Fry", "'Fry' is no day"),
    ("Europe/Berlin", "Europe/Berlim", "expected a time zone"),
    ("plantwin: 1", "plantwin: 2", "this plantwin reads 'plantwin: 1'"),
    ("line: tiny", "line: tiny\nenergy: {}", "energy: expected the key 'tariff', found none"),
    ("site: demo", "site: demo\nconventions: {blocking: sometimes}", "after_service or before_service"),
    ("site: demo", "site: demo\nvehicles: {}", "vehicles found; this feature is not in this version"),
    ("line: tiny", "line: tiny\nlinee: x", "did you mean 'line'?"),
    ("line: tiny", "line: tiny\ntick: 2 min", "a tick between 1 us and 1 min"),
    ("line: tiny", "line: tiny\nstart: yesterday", "local time such as"),
    ("line: tiny", "line: tiny\ncurrency: euros", "a currency code"),
    ("site: demo", "", "the file: expected the key 'site', found none"),
    ("  pack: {work: 10 s", "  cut: {work: 10 s", "found 'cut' again"),
    ("stations:\n", "stations: 3\nx-y:\n", "expected a mapping, found '3'"),
    ("sensors:\n", "sensors: {}\nx-y:\n", "expected a list, found a mapping"),
    ("units: 2", "units: [2]", "expected a value, found a list"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[w[1] or w[0] for w in WRONG])
def test_a_wrong_file_is_refused_at_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in BASE
    text = BASE.replace(old, new, 1)
    plant, problems, _ = read(tmp_path, text)
    assert plant is None
    hits = [p for p in problems if message in p]
    assert hits, problems
    form = re.compile(r"tiny\.yaml:(\d+): .+")
    lines = [form.fullmatch(p) for p in problems]
    assert all(lines)
    assert all(1 <= int(m.group(1)) <= text.count("\n") + 1 for m in lines if m)


def test_the_line_is_the_one_of_the_slip(tmp_path: Path) -> None:
    _, problems, _ = read(tmp_path, BASE.replace("capacity: 4, ", ""))
    line = next(n for n, text in enumerate(BASE.splitlines(), 1) if "before: pack" in text)
    assert problems[0].startswith(f"tiny.yaml:{line}: ")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = BASE.replace("work: 10 s", "work: 10").replace("cap <= 8", "cup <= 8").replace("36/h", "36")
    _, problems, _ = read(tmp_path, text)
    numbers = [int(p.split(":")[1]) for p in problems]
    assert len(problems) == 3
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "text",
    [
        *("", "- 1\n- 2\n", "a: [", "a: b: c", "\t", "[" * 5000, "x: &a {<<: *a}", "a: &a [*a]", "{? [1]: 2}"),
        "plantwin: !!python/name:os.system",
    ],
)
def test_what_is_no_plant_is_refused_without_a_crash(tmp_path: Path, text: str) -> None:
    plant, problems, _ = read(tmp_path, text)
    assert plant is None
    assert problems


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_mutilated_file_crashes_the_reader(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Cut something out or put something in anywhere: either it is still a plant, or there are problems."""
    start = data.draw(st.integers(0, len(BASE)))
    cut = data.draw(st.integers(0, 30))
    put = data.draw(st.text(st.sampled_from("abz09 .:,-[]{}()*&!|>'\"#%\n\t/\\é"), max_size=6))
    plant, problems, _ = read(tmp_path_factory.mktemp("m"), BASE[:start] + put + BASE[start + cut :])
    assert (plant is None) == bool(problems)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"site: \xff\xfe")
    plant, problems, _ = validate(tmp_path / "latin.yaml")
    assert plant is None
    assert "UTF-8" in problems[0]
    assert validate(tmp_path)[0] is None


@pytest.mark.parametrize("name", bundled())
def test_bundled_plants_are_valid_and_say_what_they_are_for(name: str) -> None:
    plant = load(name)
    assert plant.id == name
    assert len(plant.question) > 20


def test_a_name_that_is_neither_file_nor_bundled_is_answered_with_a_suggestion() -> None:
    with pytest.raises(PlantError, match="did you mean 'gearmotor'"):
        load("gearmotr")
    assert resolve("line3").name == "line3.yaml"


def test_a_gateway_reads_plants_without_numpy() -> None:
    blocked = "import sys; sys.modules['numpy'] = sys.modules['scipy'] = None"
    code = f"{blocked}; from sim.plantfile import load; print(len(load('gearmotor').sensors))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(load("gearmotor").sensors)
