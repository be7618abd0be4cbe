"""Checks of controls and limits: settings that exist, ranges that make sense, rules that leave a choice."""

from __future__ import annotations

from collections.abc import Callable

from sim.plant import STATES, Control, Limit, Plant
from sim.plantcheck import Path, Reporter
from sim.settings import settings

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
"""Comparisons a limit may use."""
_WEIGHT = 1000


def check(report: Reporter) -> None:
    """Record what is wrong with controls and limits."""
    _controls(report)
    _limits(report)


def bounds(plant: Plant, control: Control) -> tuple[int, int, str]:
    """The lowest and highest value that means something for what a control sets, and why."""
    section, thing, *rest = control.sets.split(".")
    least = plant.unlimited
    if section == "release":
        lot = next(p.lot for p in plant.products if p.id == thing)
        return (lot if rest == ["cap"] else 0), least, f"lot {lot}, unlimited {least}"
    if section == "groups":
        mix = next(dict(g.mix) for g in plant.groups if g.id == thing)
        lot = max((p.lot for p in plant.products if p.id in mix), default=1)
        return lot, least, f"largest lot {lot}, unlimited {least}"
    if section == "buffers":
        return 1, least, f"at least one part, unlimited {least}"
    if section == "stations" and rest == ["at_level"]:
        condition = next(s.condition for s in plant.stations if s.id == thing)
        levels = len(condition.wear) if condition is not None else 64
        return 1, levels, f"level 1 to {levels}, which is never"
    if section == "stations":
        return -_WEIGHT, _WEIGHT, f"weights are within {_WEIGHT}"
    if section == "calendars":
        week = round(7 * 86_400 / plant.tick_s)
        return 0, week, "a closing is put off by less than a week"
    return _stock_bounds(plant, thing, rest[0])


def _stock_bounds(plant: Plant, thing: str, name: str) -> tuple[int, int, str]:
    stock = next(k for k in plant.stocks if k.id == thing)
    span = {c.sets: (c.low, c.high) for c in plant.controls}
    if stock.policy == "s_S" and name == "level" and stock.reorder is not None:
        highest = span.get(f"stocks.{thing}.reorder", (0, stock.reorder))[1]
        return highest + 1, 10**9, f"above the reorder point, at most {highest}"
    if stock.policy == "s_S" and name == "reorder" and stock.level is not None:
        lowest = span.get(f"stocks.{thing}.level", (stock.level, 0))[0]
        return -1000, lowest - 1, f"below the level, at least {lowest}"
    return (-1000 if name == "reorder" else 0), 10**9, "a number of units"


def _controls(report: Reporter) -> None:
    current = settings(report.plant)
    report.doubles("controls", "one control a setting", [(c.sets, c.id) for c in report.plant.controls])
    for c in report.plant.controls:
        path = ("controls", c.id)
        if not c.sets or not report.known(path, "a setting that exists", c.sets, current):
            continue
        value = current[c.sets]
        if not c.low <= value <= c.high or (value - c.low) % c.step:
            grid = f"{c.sets} = {value} to be one of {c.low}, {c.low + c.step} .. {c.high}"
            report.fault(path, grid, "that it is not", "change the range, the step or the setting")
        low, high, why = bounds(report.plant, c)
        if c.high > high:
            word = (
                f"'to' of at most unlimited ({high})" if high == report.plant.unlimited else f"'to' of at most {high}"
            )
            todo = "lower it or raise 'unlimited:'" if high == report.plant.unlimited else f"lower it ({why})"
            report.fault((*path, "to"), word, c.high, todo)
        if c.low < low:
            report.fault((*path, "from"), f"'from' of {low} or more", c.low, f"raise it ({why})")


def _limits(report: Reporter) -> None:
    controls = {c.id: c for c in report.plant.controls}
    stations = [s.id for s in report.plant.stations]
    for n, limit in enumerate(report.plant.limits, 1):
        path = ("limits", str(n))
        if limit.control and report.known(path, "a declared control in 'then'", limit.control, controls):
            _leaves_room(report, path, controls[limit.control], limit)
        if limit.condition:
            thing, dot, state = limit.condition.rpartition(".")
            if not dot:
                report.fault(path, "'STATION.STATE' in 'if'", f"'{limit.condition}'", "write it so")
            elif report.known(path, "a station in 'if'", thing, stations):
                report.known(path, "a state in 'if'", state, STATES)


def _leaves_room(report: Reporter, path: Path, control: Control, limit: Limit) -> None:
    """A limit that allows no value, or that the file itself breaks, is a slip of the pen."""
    compare, rule = OPERATORS[limit.op], f"'{control.id} {limit.op} {limit.value:g}'"
    grid = range(control.low, control.high + 1, control.step)
    if not any(compare(x, limit.value) for x in grid):
        found = f"none in {control.low}..{control.high} with {rule}"
        report.fault(path, f"a value of {control.id} to be left", found, "correct the number")
        return
    present = settings(report.plant).get(control.sets)
    if not limit.condition and present is not None and not compare(present, limit.value):
        report.fault(path, f"the present {control.sets} to obey {rule}", present, "correct one of them")
