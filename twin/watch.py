"""How the twin watches itself: forecasts scored, their bands adjusted, drift charted, the certificate.

The record (`scores`, charts of forecast ranks) is rebuilt from the evidence log; charts of spans come with the journal
(they are part of the tracker's state, so that a replay gives the same notices).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from twin import machines
from twin.drift import Drift, Notice, divided, sentence
from twin.fidelity import certify
from twin.model import TwinState, held
from twin.scores import Scores, widened

ONE_STEP_S = 900
"""Horizon of the forecasts whose ranks are charted."""


class Watch:
    """The record of one plant's forecasts. `names`: series, in the order of the history's columns. `signals`: do
    machines tell signals, which share the budget of false notices?
    """

    def __init__(self, names: list[str], *, signals: bool = False) -> None:
        self.scores = Scores(names)
        charted = [name for name in names if _charted(name)]
        self.drift = Drift(streams=len(charted), budget=divided(signals=signals).ranks)
        self.closed: dict[
            str, str
        ] = {}  # notices of spans that a person has settled: those belong to the journal's fold
        self.logged: set[str] = set()
        self.last: dict[str, Any] = {"light": "unknown", "why": [], "lines": [], "stations": {}, "n": 0}

    def remember(self, row: dict[str, Any]) -> None:
        """Take a row of the evidence log, in its order: forecast, score, or a drift notice that was closed."""
        body = row["body"]
        if row["type"] == "forecast":
            self.scores.take(body["checks"])
        elif row["type"] == "score":
            self.scores.add(body)
            done = (body["name"], body["ahead_s"], body["t"])
            self.scores.waiting = [c for c in self.scores.waiting if (c["name"], c["ahead_s"], c["t"]) != done]
            self._rank(body)
        elif row["type"] == "drift" and body.get("closed"):
            self.close(body["id"], body["closed"])
        elif row["type"] == "drift":
            self.logged.add(body["id"])

    def take(self, checks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The checks of a new forecast that will be scored, with the factor its band has now."""
        return self.scores.take(c | {"widen": self.scores.widen(c["name"], c["ahead_s"])} for c in checks)

    def settle(self, state: TwinState) -> tuple[list[dict[str, Any]], list[Notice]]:
        """Score what has ended; the new score rows and notices."""
        rows = self.scores.settle(state.history)
        return rows, [notice for row in rows if (notice := self._rank(row)) is not None]

    def close(self, notice: str, why: str, folded: Iterable[str] | None = None) -> bool:
        """Settle a notice; `folded`: ids of those of the journal's fold (None: believe the id). False: no such open
        one.
        """
        if self.drift.close(notice, why):
            return True
        if notice in self.closed or (folded is not None and notice not in set(folded)):
            return False
        self.closed[notice] = why
        return True

    def notices(self, state: TwinState) -> list[dict[str, Any]]:
        """Every notice so far, the newest first; a refit approved after a notice of its parameter settles it."""
        found = [told(one) for one in self.drift.notices]
        for one in state.learned.drift.notices:
            why = self.closed.get(one.id, "")
            family = "fail" if one.kind == "failure" else one.kind
            for name, refit in state.refits.items():
                kind, _, place = name.partition("/")
                about = f"{one.place}/".startswith(f"{place}/") or (kind == "yield" and one.place.endswith(f"/{place}"))
                if not why and kind == family and refit.t >= one.t and about:
                    why = "refit approved"
            found.append(told(one) | {"closed": why})
        for change in state.learned.changes:
            one_told = machines.told(change)
            found.append(one_told | {"closed": self.closed.get(one_told["id"], "")})
        return sorted(found, key=lambda one: -one["t"])

    def open(self, state: TwinState) -> list[dict[str, Any]]:
        return [one for one in self.notices(state) if not one["closed"]]

    def _rank(self, row: dict[str, Any]) -> Notice | None:
        if row["ahead_s"] != ONE_STEP_S or not _charted(row["name"]) or "share" not in row:
            return None
        if any(one.place == row["name"] for one in self.drift.open):
            return None  # told already: as long as nobody has settled it, the next forecasts will be no better
        return self.drift.rank("forecast", row["name"], row["share"], row["t"])

    def adjusted(self, made: dict[str, Any]) -> dict[str, Any]:
        """A forecast with its bands as wide as the record says they must be (`lo`, `hi`; the model's are `raw`)."""
        series = {}
        for name, one in made["series"].items():
            factors = [self.scores.widen(name, (t - made["t"]) / 1000) for t in one["t"]]
            shapes = zip(one["mean"], one["lo"], one["hi"], factors, strict=True)
            bands = [widened(mean, lo, hi, factor) for mean, lo, hi, factor in shapes]
            raw = {"lo": one["lo"], "hi": one["hi"]}
            lo, hi = [round(max(b[0], 0.0), 3) for b in bands], [round(b[1], 3) for b in bands]
            series[name] = one | {"lo": lo, "hi": hi, "raw": raw, "widen": round(max(factors, default=1.0), 3)}
        return made | {"series": series}

    def certify(self, state: TwinState, places: dict[str, float]) -> dict[str, Any]:
        """The certificate now, kept in `last`."""
        named: list[str] = []
        found = self.open(state)
        for one in found:
            station = one["place"].split("/")
            if one["kind"] != "condition":  # told, but no word about how well the station is forecast
                named += [station[-1] if one["kind"] == "forecast" else station[0]]
        self.last = certify(self.scores, state.t, places, named) | {"drifting": len(found)}
        return self.last

    def fresh(self, state: TwinState) -> list[dict[str, Any]]:
        """Notices of spans and of machines that the log does not have yet."""
        folded = [told(one) for one in state.learned.drift.notices if one.id not in self.logged]
        folded += [machines.told(change) for change in state.learned.changes]
        found = [one for one in folded if one["id"] not in self.logged]
        self.logged.update(one["id"] for one in found)
        return found


def folded(state: TwinState) -> set[str]:
    """Ids of the notices that follow from the journal."""
    changes = (machines.told(change)["id"] for change in state.learned.changes)
    return {one.id for one in state.learned.drift.notices}.union(changes)


def _charted(name: str) -> bool:
    return name in ("wip", "output", "backlog") or name.startswith(("out/", "stock/"))


def places(stations: list[str], stocks: list[str], state: TwinState) -> dict[str, float]:
    """Present values of the series that are levels."""
    found = {"wip": float(sum(state.wip)), "backlog": float(sum(k.backorder for k in state.stocks))}
    found |= {f"at/{name}": float(held(s)) for name, s in zip(stations, state.stations, strict=True)}
    return found | {f"stock/{name}": float(k.on_hand) for name, k in zip(stocks, state.stocks, strict=True)}


def told(notice: Notice) -> dict[str, Any]:
    """A notice as the API and the log give it."""
    return msgspec.to_builtins(notice) | {"text": sentence(notice)}
