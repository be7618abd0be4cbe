"""Reading a plant file: `load` gives the plant or raises, `validate` lists every problem at once.

Each problem reads `file:line: what, expected, found, what to do`. A PLANT argument is the name of a bundled
plant (`sim/plants/NAME.yaml`) or a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from sim import plantread as read
from sim.calendars import zone
from sim.override import override
from sim.plant import Demand, Plant, Product, Station
from sim.plantcheck import check
from sim.plantread import ALWAYS, Draft
from sim.plantroute import read_products
from sim.plantsensor import check_sensors, read_sensors
from sim.units import QuantityError, Scale, seconds, suggestion, whole
from sim.yamlfile import Fields, Item, Problems, one_of, read_tree

BUNDLED = Path(__file__).parent / "plants"
"""The folder of the plants that come with the package."""

CONVENTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "blocking": ("after_service", {"before_service": "blocking before service"}),
    "failure_clock": ("odf", {"tdf": "failures by calendar time (tdf)"}),
    "interrupted_part": ("resumes", {"repeats": "repeating work after a repair", "scrapped": "scrapping at a failure"}),
    "at_close": ("finish", {"freeze": "freezing the part in hand"}),
    "review_order": ("receive_satisfy_review_order", {}),
    "pipeline_holding": ("not_charged", {"charged": "holding cost on the pipeline"}),
    "oee_planned_stops": ("outside_planned_busy_time", {"inside_planned_busy_time": "planned stops inside OEE"}),
}
"""Each convention with its value in this version and the values that later versions will know."""

_TOP = (
    *("plantwin", "site", "area", "line", "timezone", "tick", "time_unit", "currency", "start", "unlimited"),
    *("products", "stations", "buffers", "crews", "calendars", "release", "suppliers", "stocks", "demand"),
    *("conventions", "controls", "limits", "sensors"),
)
_LATER_TOP = {
    "energy": "energy",
    "tariff": "energy tariffs",
    "vehicles": "vehicles",
    "conveyors": "conveyors",
    "setups": "setups",
    "operators": "operator pools",
    "people": "operator pools",
    "maintenance": "preventive maintenance",
    "transport": "transport",
    "assembly": "assembly (bills of material)",
    "lots": "lots",
    "batches": "batches",
    "dispatching": "dispatching rules",
    "dispatch": "dispatching rules",
}
_DEFAULT_START = "2026-01-05 00:00"
_MAX_UNLIMITED = 1_000_000


class PlantError(Exception):
    """A plant file that cannot be used. `problems` lists every one, a line of text each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def bundled() -> list[str]:
    """Names of the plants that come with the package."""
    return sorted(p.stem for p in BUNDLED.glob("*.yaml"))


def resolve(name_or_path: str | Path) -> Path:
    """The file of a bundled plant's name or of a path; raises `PlantError` when there is neither."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    name = str(name_or_path)
    if name in bundled():
        return BUNDLED / f"{name}.yaml"
    hint = suggestion(name, bundled())
    raise PlantError([f"{name}: expected a plant file or a bundled plant's name, found neither; {hint}"])


def load(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Plant:
    """The plant of that name or file, with `overrides` [path -> text] in place of what the file says.

    Raises `PlantError` with every problem.
    """
    plant, problems, _ = validate(resolve(name_or_path), overrides)
    if plant is None:
        raise PlantError(problems)
    return plant


def validate(
    path: str | Path, overrides: Mapping[str, str] | None = None
) -> tuple[Plant | None, list[str], list[str]]:
    """The plant (None when there are problems), the problems, and notes on what was assumed."""
    file = Path(path)
    problems = Problems(file.name)
    top = read_tree(file, problems)
    if top is None:
        return None, problems.lines(), []
    plant = _plant(override(top, overrides or {}), problems, file)
    errors = problems.lines()
    return (None if errors else plant), errors, problems.notes


def _plant(top: Item, problems: Problems, file: Path) -> Plant:
    f = Fields(top, _TOP, _LATER_TOP)
    f.need("plantwin", _version, 1, "1")
    scale = Scale(f.take("tick", _tick, Fraction(1, 1000)), f.take("currency", _currency, "EUR"))
    draft = Draft(scale, problems)
    for name, entry in f.entries.items():
        draft.where[name] = entry.line
    line = f.need("line", read.identifier, "plant", "line1")
    calendars = read.read_calendars(draft, f.mapping("calendars"))
    stations = read.read_stations(draft, f.mapping("stations"))
    stations = read.read_buffers(draft, f.mapping("buffers"), stations)
    releases = read.read_releases(draft, f.mapping("release"))
    products = read_products(draft, f.mapping("products"), stations, releases)
    for section, things in (("stations", stations), ("products", products)):
        if not things:
            top.problems.error(draft.line(section), f"{section}: expected at least one, found none; add one")
    plant = Plant(
        id=line,
        site=f.need("site", read.identifier, "site", "demo"),
        area=f.need("area", read.identifier, "area", "machining"),
        line=line,
        timezone=f.take("timezone", lambda t: zone(t).key, "UTC"),
        tick_s=float(scale.tick_s),
        time_unit=f.take("time_unit", one_of("s", "min", "h", "d"), "s"),
        currency=scale.currency,
        start=f.take("start", _start, datetime.fromisoformat(_DEFAULT_START)),
        products=tuple(products),
        stations=tuple(stations),
        crews=tuple(read.read_crews(draft, f.mapping("crews"))),
        calendars=tuple(calendars),
        stocks=tuple(read.read_stocks(draft, f.mapping("stocks"))),
        suppliers=tuple(read.read_suppliers(draft, f.mapping("suppliers"))),
        demands=tuple(read.read_demands(draft, f.mapping("demand"))),
        controls=tuple(read.read_controls(draft, f.mapping("controls"))),
        limits=tuple(read.read_limits(draft, f.sequence("limits"))),
        sensors=tuple(read_sensors(draft, f.sequence("sensors"))),
        conventions=_conventions(f),
        unlimited=f.take("unlimited", _unlimited, 10_000),
        question=_question(file),
        path=file,
    )
    plant = replace(_default_calendar(plant, problems), start=plant.start.replace(tzinfo=zone(plant.timezone)))
    check(plant, draft)
    check_sensors(plant, draft)
    _queue_notes(plant, problems)
    return plant


def _default_calendar(plant: Plant, problems: Problems) -> Plant:
    """One declared calendar is everybody's; `always` opts out."""
    only = plant.calendars[0].id if len(plant.calendars) == 1 else None
    given: list[str] = []

    def chosen(owner: str, written: str | None) -> str | None:
        if written is None and only is not None:
            given.append(owner)
            return only
        return None if written == ALWAYS else written

    def station(s: Station) -> Station:
        return replace(s, calendar=chosen(s.id, s.calendar))

    def demand(d: Demand) -> Demand:
        return replace(d, calendar=chosen(d.id, d.calendar))

    def product(p: Product) -> Product:
        written = p.release.calendar
        calendar = chosen(f"release of {p.id}", written) if p.release.policy == "push" else written
        return replace(p, release=replace(p.release, calendar=None if calendar == ALWAYS else calendar))

    result = replace(
        plant,
        stations=tuple(station(s) for s in plant.stations),
        demands=tuple(demand(d) for d in plant.demands),
        products=tuple(product(p) for p in plant.products),
    )
    if given:
        problems.note(f"calendar {only}, the only one, applies to {', '.join(given)} ('calendar: {ALWAYS}' opts out)")
    return result


def _queue_notes(plant: Plant, problems: Problems) -> None:
    open_ended = [s.id for s in plant.stations if s.buffer is None]
    if open_ended:
        problems.note(f"no buffer is declared before {', '.join(open_ended)}: the queue there is unlimited")


def _conventions(fields: Fields) -> dict[str, str]:
    if not fields.has("conventions"):
        return {name: value for name, (value, _) in CONVENTIONS.items()}
    f = Fields(fields.entries["conventions"], CONVENTIONS)
    return {name: f.take(name, one_of(value, later=later), value) for name, (value, later) in CONVENTIONS.items()}


def _version(text: str) -> int:
    if text != "1":
        raise QuantityError("format 1", text, "this plantwin reads 'plantwin: 1'")
    return 1


def _tick(text: str) -> Fraction:
    tick = seconds(text)
    if not Fraction(1, 1_000_000) <= tick <= 60:
        raise QuantityError("a tick between 1 us and 1 min", text, "1 ms fits most plants")
    return tick


def _currency(text: str) -> str:
    if not (text.isalpha() and text.isascii() and text.isupper() and len(text) == 3):
        raise QuantityError("a currency code such as EUR", text, "write its three letters")
    return text


def _start(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise QuantityError("local time such as '2026-01-05 06:00'", text, "write it so") from err
    if moment.tzinfo is not None:
        raise QuantityError("local time without an offset", text, "the offset follows from 'timezone'")
    return moment


def _unlimited(text: str) -> int:
    places = whole(text, 1, "a number of parts")
    if places > _MAX_UNLIMITED:
        raise QuantityError(f"at most {_MAX_UNLIMITED} parts", text, "a row of the simulator must hold them all")
    return places


def _question(file: Path) -> str:
    """The first paragraph of the first comment: what the plant is for."""
    words: list[str] = []
    for text in file.read_text(encoding="utf-8").splitlines():
        said = text.lstrip("#").strip() if text.startswith("#") else ""
        if not said and (words or text.strip()):
            break
        words += [said] if said else []
    return " ".join(words)
