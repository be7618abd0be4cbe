"""The life of a recommendation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.plant import Plant
from tests.twin.journals import line
from twin.decisions import LEAST_WALL_MS, Book, Present, Refused, inadmissible, overdue
from twin.joint import command_id
from twin.log import EvidenceLog, verify
from twin.model import Command

NOW = Present(t=1_000_000, pos=7, speed=60.0, controls={"cap": 6}, states={"cut": ["work"]})


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return line(tmp_path_factory.mktemp("plant"))


@pytest.fixture
def book(plant: Plant, tmp_path: Path) -> Iterator[Book]:
    log = EvidenceLog(tmp_path / "log.db", "demo")
    yield Book(plant, log)
    log.close()


def rec(number: int = 1, **more: Any) -> dict[str, Any]:
    gain = {"mean": 18.0, "lo": 4.0, "hi": 31.0, "unit": "EUR", "worse": 0.04}
    return {"id": f"r-{number}", "control": "cap", "from": 6, "to": 8, "gain": gain, "horizon_s": 3600} | more


def decide(decision: str = "accept", version: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": "r-1", "version": version, "decision": decision, "reason": "", "key": ""} | more


def statuses(found: dict[str, Any]) -> list[str]:
    return [step["status"] for step in found["timeline"]]


@pytest.mark.parametrize(("back_ms", "status"), [(60_000, "confirmed"), (3_600_000, "failed")])
def test_an_action_at_a_plant_that_began_anew_is_no_longer_in_force(book: Book, back_ms: int, status: str) -> None:
    found = book.propose(rec(), NOW, "service:advise")
    book.decide(decide(), NOW, "operator", {"t": NOW.t})
    book.command(found, {"id": "c-r-1", "expires": NOW.t + 600_000}, NOW)
    done = {"c-r-1": Command(target="cap", value=8, step="executed", read_back=8.0)}
    book.tick(replace(NOW, t=NOW.t + 5000, commands=done))
    book.tick(replace(NOW, t=NOW.t + 5000 - back_ms, commands={}))
    assert found["status"] == status
    assert ("cannot be measured" in str(found.get("reason"))) == (status == "failed")


def test_from_proposal_to_confirmation(book: Book) -> None:
    found = book.propose(rec(), NOW, "service:advise")
    assert (found["status"], found["version"], found["created"]) == ("proposed", 1, NOW.t)
    book.decide(decide(), NOW, "operator", {"t": NOW.t})
    book.command(found, {"id": "c-r-1", "expires": NOW.t + 600_000}, NOW)
    book.sent(found, NOW, "in the journal")
    seen = replace(
        NOW, t=NOW.t + 5000, commands={"c-r-1": Command(target="cap", value=8, step="executed", read_back=8.0)}
    )
    book.tick(seen)
    assert statuses(found) == ["proposed", "accepted", "sent", "confirmed"]
    assert overdue([found], NOW.t + 3_599_000) == []
    assert overdue([found], NOW.t + 3_600_000) == [found]
    book.outcome(found, {"value": 3.0, "label": "model-based"}, seen)
    assert (found["status"], found["realised"]["label"]) == ("evaluated", "model-based")


def test_it_lives_at_least_two_minutes_of_wall_time(book: Book) -> None:
    fast = replace(NOW, speed=600.0)
    assert book.propose(rec(expires=NOW.t + 1), fast, "a")["expires"] == NOW.t + 600 * LEAST_WALL_MS
    assert book.propose(rec(2), replace(NOW, speed=1.0), "a")["expires"] == NOW.t + 15 * 60_000


def test_two_operators_race_for_one_recommendation(book: Book) -> None:
    book.propose(rec(), NOW, "a")
    book.decide(decide("accept", key="one"), NOW, "operator", {})
    with pytest.raises(Refused, match="is accepted"):
        book.decide(decide("reject", reason="no", key="two"), NOW, "operator")
    assert book.decide(decide("accept", key="one"), NOW, "operator")["version"] == 2  # the same click again


def test_a_decision_on_an_older_version_is_refused(book: Book) -> None:
    book.propose(rec(), NOW, "a")
    book.decide(decide("defer"), NOW, "operator")
    with pytest.raises(Refused, match="version 2, yours is 1"):
        book.decide(decide("accept"), NOW, "operator")
    assert book.decide(decide("accept", version=2), NOW, "operator", {})["status"] == "accepted"


def test_an_expired_one_is_refused_with_the_reason(book: Book) -> None:
    found = book.propose(rec(), NOW, "a")
    late = replace(NOW, t=found["expires"])
    with pytest.raises(Refused, match="is expired"):
        book.decide(decide(), late, "operator")
    assert statuses(found) == ["proposed", "expired"]


def test_a_changed_premise_withdraws(book: Book) -> None:
    found = book.propose(rec(), NOW, "a")
    book.tick(replace(NOW, controls={"cap": 7}))
    assert found["status"] == "withdrawn"
    assert "premise changed: cap is 7 now, 6 was assumed" in found["reason"]
    with pytest.raises(Refused, match="premise changed"):
        book.decide(decide(version=2), NOW, "operator")


def test_advise_may_withdraw_what_is_open_and_nothing_else(book: Book) -> None:
    found = book.propose(rec(), NOW, "a")
    book.propose({"id": "r-1", "status": "withdrawn", "reason": "the station is up again"}, NOW, "a")
    assert (found["status"], found["reason"]) == ("withdrawn", "the station is up again")
    with pytest.raises(Refused, match="no longer open"):
        book.propose({"id": "r-1", "status": "withdrawn"}, NOW, "a")


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (replace(NOW, paused=True), "paused"),
        (replace(NOW, stale="no row for 5 s"), "stale"),
        (replace(NOW, mode="manual"), "manual mode"),
        (replace(NOW, controls={"cap": 5}), "premise changed"),
        (replace(NOW, control_t={"cap": NOW.t - 60_000}), "10 min must pass"),
        (replace(NOW, states={"cut": ["down"]}), "cap <= 8, found 9"),
    ],
)
def test_admissibility_is_checked_again_on_acceptance(book: Book, now: Present, says: str) -> None:
    book.propose(rec(to=9), NOW, "a")
    with pytest.raises(Refused, match=says):
        book.decide(decide(), now, "operator")
    with pytest.raises(Refused):
        book.propose(rec(2, to=9), now, "a")
    assert "r-2" not in book.recs


@pytest.mark.parametrize("to", [1, 12, 6])
def test_values_outside_the_control_are_inadmissible(plant: Plant, to: int) -> None:
    assert inadmissible(plant, NOW, "cap", 6, to)


@pytest.mark.parametrize(
    "body",
    [
        {},
        rec(id="../x"),
        {k: v for k, v in rec().items() if k != "gain"},
        rec(to=7.5),
        rec(gain={"mean": float("nan"), "lo": 0, "hi": 0}),
        rec(horizon_s=0),
        rec(control="valve"),
    ],
)
def test_a_malformed_recommendation_changes_nothing(book: Book, body: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        book.propose(body, NOW, "a")
    assert book.recs == {}
    assert book.log.checkpoint().seq == 0


def test_a_rejection_needs_a_reason_and_a_newer_one_supersedes(book: Book) -> None:
    first = book.propose(rec(), NOW, "a")
    with pytest.raises(Refused, match="needs a reason"):
        book.decide(decide("reject"), NOW, "operator")
    second = book.propose(rec(2), NOW, "a")
    assert (first["status"], second["status"]) == ("superseded", "proposed")


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        (Command(step="rejected", reason="out of range"), "failed", "out of range"),
        (Command(step="executed", read_back=7.0), "failed", "read back 7.0, expected 8"),
        (Command(step="executed", read_back=8.0), "confirmed", "read back 8"),
        (Command(step="received"), "sent", ""),
    ],
)
def test_the_command_is_followed_by_its_acknowledgements(book: Book, command: Command, status: str, says: str) -> None:
    found = book.propose(rec(), NOW, "a")
    book.decide(decide(), NOW, "operator", {"t": NOW.t})
    book.command(found, {"expires": NOW.t + 1000}, NOW)
    book.sent(found, NOW, "")
    book.tick(replace(NOW, commands={command_id(found): command}))
    assert found["status"] == status
    assert says in found["timeline"][-1]["note"]


def test_silence_until_the_command_expires_is_a_failure(book: Book) -> None:
    found = book.propose(rec(), NOW, "a")
    book.decide(decide(), NOW, "operator", {"t": NOW.t})
    book.command(found, {"expires": NOW.t + 1000}, NOW)
    book.sent(found, NOW, "")
    book.tick(replace(NOW, t=NOW.t + 1000, commands={command_id(found): Command(step="received")}))
    assert found["status"] == "failed"


def test_everything_is_rebuilt_from_the_log(book: Book, plant: Plant) -> None:
    book.propose(rec(), NOW, "a")
    book.decide(decide(key="k"), NOW, "operator", {"t": NOW.t})
    book.command(book.recs["r-1"], {"id": "c-r-1", "expires": NOW.t + 9}, NOW)
    book.propose(rec(2), NOW, "a")
    book.advise(3, "nothing is better", NOW, "a")
    book.pause(True, NOW, "operator")
    again = Book.replay(plant, book.log)
    assert again.recs == book.recs
    assert (again.evaluated, again.paused, again.version) == (3, True, book.version)
    assert again.decide(decide(key="k"), NOW, "operator")["status"] == "accepted"
    assert verify(book.log.path, book.log.checkpoint()) == []
