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
from typing import Any

from sim import plantread as read
from sim.calendars import zone
from sim.override import override
from sim.plant import Demand, Plant, Product, Station
from sim.plantcheck import check
from sim.plantdraft import ALWAYS, Draft, identifier
from sim.plantengine import read_engine
from sim.plantrelease import read_groups, read_releases
from sim.plantroute import read_products
from sim.plantsensor import check_sensors, read_sensors, read_signals
from sim.plantstation import read_buffers, read_stations, with_setups
from sim.plantsupply import read_demands, read_stocks, read_suppliers
from sim.schema import Key, Kind, Reader, Section, inner, word
from sim.units import QuantityError, Scale, seconds, suggestion, whole
from sim.yamlfile import Item, Problems, read_tree

BUNDLED = Path(__file__).parent / "plants"
"""The folder of the plants that come with the package."""

CONVENTIONS: dict[str, tuple[str, ...]] = {
    "blocking": ("after_service", "before_service"),
    "failure_clock": ("odf", "tdf"),
    "interrupted_part": ("resumes", "repeats", "scrapped"),
    "at_close": ("finish", "freeze"),
    "review_order": (
        "receive_satisfy_review_order",
        "receive_review_order_satisfy",
        "review_order_receive_satisfy",
    ),
    "pipeline_holding": ("not_charged", "charged"),
    "oee_planned_stops": ("outside_planned_busy_time", "inside_planned_busy_time"),
    "oee_setups": ("inside_planned_busy_time", "outside_planned_busy_time"),
}
"""Each convention with the values it may have, the default first."""

_CONVENTION_SAYS = {
    "blocking": "a part that has no room behind its station waits in the unit, or is not even begun",
    "failure_clock": "the clock of failures that name none",
    "interrupted_part": "what a failure does to the part in hand where it says nothing",
    "at_close": "what a closing calendar does to the part in hand where it says nothing",
    "review_order": "order of the events of one moment at a stock point",
    "pipeline_holding": "whether a stock's holding cost is charged on what is on its way to it",
    "oee_planned_stops": "whether maintenance counts as planned busy time",
    "oee_setups": "whether setups count as planned busy time",
}
CONVENTION = Section(
    "conventions",
    "They move results more than any tolerance; `validate` and `simulate` print those in force.",
    tuple(Key(name, word(*values), _CONVENTION_SAYS[name], values[0]) for name, values in CONVENTIONS.items()),
)


_MAX_UNLIMITED = 1_000_000


def _read(says: str, text: Any) -> Kind:
    return Kind(says, lambda _draft, item: text(item.text()))


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


def validate(path: str | Path, overrides: Mapping[str, str] | None = None) -> tuple[Plant | None, list[str], list[str]]:
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
    draft = Draft(Scale(Fraction(1, 1000)), problems, file.parent)
    r = Reader(draft, top, TOP)
    _ = r["plantwin"]
    draft.scale = Scale(r["tick"], r["currency"])
    for name, entry in r.entries.items():
        draft.where[name] = entry.line
    draft.conventions = _conventions(draft, r)
    groups = read_groups(draft, r.mapping("groups"))
    calendars = read.read_calendars(draft, r.mapping("calendars"))
    stations = read_buffers(draft, r.mapping("buffers"), read_stations(draft, r.mapping("stations")))
    releases = read_releases(draft, r.mapping("release"), {p for g in groups for p, _ in g.mix})
    products = read_products(draft, r.mapping("products"), stations, releases)
    for section, things in (("stations", stations), ("products", products)):
        if not things and (stations or products or not r.mapping("stocks")):  # stocks alone are a plant as well
            top.problems.error(draft.line(section), f"{section}: expected at least one, found none; add one")
    suppliers, terms = read_suppliers(draft, r.mapping("suppliers"))
    plant = Plant(
        id=r["line"],
        enterprise=r["enterprise"],
        site=r["site"],
        area=r["area"],
        line=r["line"],
        timezone=r["timezone"],
        tick_s=float(draft.scale.tick_s),
        time_unit=r["time_unit"],
        currency=draft.scale.currency,
        start=r["start"],
        products=tuple(products),
        stations=tuple(with_setups(draft, stations, products)),
        crews=tuple(read.read_crews(draft, r.mapping("crews"))),
        pools=tuple(read.read_pools(draft, r.mapping("operators"))),
        calendars=tuple(calendars),
        groups=tuple(groups),
        stocks=tuple(read_stocks(draft, r.mapping("stocks"), terms)),
        suppliers=tuple(suppliers),
        demands=tuple(read_demands(draft, r.mapping("demand"))),
        tariff=read.read_tariff(draft, r.entries["energy"]) if r.has("energy") else None,
        controls=tuple(read.read_controls(draft, r.mapping("controls"))),
        limits=tuple(read.read_limits(draft, r.sequence("limits"))),
        sensors=(*read_sensors(draft, r.sequence("sensors")), *read_signals(draft, r.sequence("signals"))),
        conventions=draft.conventions,
        unlimited=r["unlimited"],
        question=_question(file),
        path=file,
        rules=read_engine(draft, r, BUNDLED),
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
        if d.season or d.book:  # these have hours of their own
            return replace(d, calendar=None if d.calendar == ALWAYS else d.calendar)
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


def _conventions(draft: Draft, top: Reader) -> dict[str, str]:
    if not top.has("conventions"):
        return {name: values[0] for name, values in CONVENTIONS.items()}
    r = Reader(draft, top.entries["conventions"], CONVENTION)
    return {name: r[name] for name in CONVENTIONS}


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


TOP = Section(
    "the file",
    "The first comment of the file is the question the plant is to answer. Keys that start with `x-` are yours.",
    (
        Key("plantwin", _read("`1`", _version), "version of this format", 1, example="1"),
        Key("enterprise", _read("id", identifier), "ISA-95 name above the site", ""),
        Key("site", _read("id", identifier), "ISA-95 names; they make up the MQTT topics", "site", example="demo"),
        Key("area", _read("id", identifier), "", "area", example="machining"),
        Key("line", _read("id", identifier), "also the plant's id", "plant", example="line1"),
        Key("timezone", _read("IANA name", lambda t: zone(t).key), "of calendars and tariffs", "UTC"),
        Key("tick", _read("time", _tick), "the clock of the simulation, 1 us to 1 min", Fraction(1, 1000), "`1 ms`"),
        Key("time_unit", word("s", "min", "h", "d"), "of reported times and rates", "s"),
        Key("currency", _read("three capital letters", _currency), "of all money", "EUR"),
        Key("start", _read("local date and time", _start), "of tick 0 where a run does not say otherwise",
            datetime.fromisoformat("2026-01-05 00:00"), "`2026-01-05 00:00`, a Monday"),
        Key("unlimited", _read("whole number", _unlimited),
            "places of a queue without a limit; more parts in the system stop a run", 10_000),
        *(Key(name, inner("list" if name in ("limits", "sensors", "signals") else "mapping"), says) for name, says in (
            ("products", "what is made"), ("stations", "work centers"), ("buffers", "queues with limits"),
            ("crews", "repair crews"), ("operators", "pools of operators"), ("calendars", "opening hours"),
            ("release", "how each product enters"), ("groups", "CONWIP caps over several products"),
            ("suppliers", "who delivers"), ("stocks", "stock points"), ("demand", "customers"),
            ("energy", "tariff and CO2"), ("conventions", "named choices"),
            ("engine", "rules of your own, in SimPy"), ("controls", "numbers that may be changed"),
            ("limits", "rules no command may break"),
            ("sensors", "tags"), ("signals", "analog signals of machines"))),
    ),
    {
        **dict.fromkeys(("vehicles", "agv", "fleet"), "vehicles"), "conveyors": "conveyors", "transport": "transport",
        "skills": "skill matrices",
    },
    {
        "tariff": "write 'energy: {tariff: ..}'", "conwip": "write 'groups'",
        **dict.fromkeys(("setups", "maintenance", "dispatch", "dispatching", "batches"), "write it at the stations"),
        **dict.fromkeys(("assembly", "bom"), "write 'needs: {STOCK: n}' at the step"),
        "lots": "write 'lot' at the product",
    },
)  # fmt: skip


def _question(file: Path) -> str:
    """The first paragraph of the first comment: what the plant is for."""
    words: list[str] = []
    for text in file.read_text(encoding="utf-8").splitlines():
        said = text.lstrip("#").strip() if text.startswith("#") else ""
        if not said and (words or text.strip()):
            break
        words += [said] if said else []
    return " ".join(words)
