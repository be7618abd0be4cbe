"""What the twin has to do without: each thing in words, told in the frame, gone when it is back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sim.plant import Plant
from tests.twin.journals import SENSORS, line
from tests.twin.rig import Rig
from twin.missing import HEARD_WITHIN_MS, of_errors, of_ingest, of_policy

SIGNALS = """
signals:
  - {of: cut, tag: cut/vibration, in: mm/s}
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return line(tmp_path_factory.mktemp("plant"), SENSORS + SIGNALS)


def missing(rig: Rig) -> list[str]:
    rig.engine.make_frame()
    found: list[str] = rig.client.get("/frame").json()["sync"]["missing"]
    return found


class Ill:
    """Ingest that answers `health`, or not at all."""

    def __init__(self) -> None:
        self.health: dict[str, Any] | None = None

    def __call__(self, _: httpx.Request) -> httpx.Response:
        if self.health is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(200 if self.health["journal"] == "ok" else 503, json=self.health)


def test_ingest_is_looked_at_and_what_ails_it_is_told_until_it_is_well(rig: Rig) -> None:
    ill = Ill()
    rig.courier.client.close()
    rig.courier.client = httpx.Client(transport=httpx.MockTransport(ill), base_url="http://ingest")
    rig.courier.work()
    assert missing(rig) == ["Ingest does not answer: commands, counts by hand and refits wait. Start plantwin ingest."]
    ill.health = {"ok": False, "journal": "disk full", "broker": "down", "degraded": "9000 messages wait"}
    rig.courier.look()
    found = missing(rig)
    assert [text.partition(":")[0] for text in found] == [
        "Ingest writes nothing (disk full)",
        "Ingest has no connection to the broker",
        "Ingest cannot keep up (9000 messages wait). Send less, or give it a faster disk.",
    ]
    assert "plantwin_twin_degraded 3" in rig.client.get("/metrics").text
    ill.health = {"ok": True, "journal": "ok", "broker": "connected", "degraded": ""}
    rig.courier.look()
    assert missing(rig) == []
    assert "plantwin_twin_degraded 0" in rig.client.get("/metrics").text


def test_it_is_looked_at_again_only_after_a_while(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(rig.courier, "look", lambda: asked.append(1))
    rig.courier._looked = float("-inf")
    rig.courier.work()
    assert asked == [1]
    monkeypatch.undo()
    rig.courier.look()
    monkeypatch.setattr(rig.courier, "look", lambda: asked.append(1))
    rig.courier.work()
    assert asked == [1]


def test_a_policy_that_does_not_answer_is_told_counted_and_kept_over_a_restart(rig: Rig, plant: Plant) -> None:
    why = "the policy did not answer within 5 s"
    rig.post("/advice", evaluated=1, why="doing nothing is best")
    told = {"ok": False, "why": why, "late": 2, "failed": 1}
    assert rig.post("/advice", evaluated=0, policy=told).json() == {"policy": told}
    expected = (
        "The policy did not answer within 5 s (3 times): rule and search propose without it. Restart plantwin advise, "
        "or give it another policy."
    )
    assert missing(rig) == [expected]
    advice = rig.client.get("/frame").json()["advice"]
    assert (advice["evaluated"], advice["why"], advice["policy"]) == (1, "doing nothing is best", told)
    metrics = rig.client.get("/metrics").text
    assert "plantwin_policy_late_total 2" in metrics
    assert "plantwin_policy_failed_total 1" in metrics
    rig.engine.log.close()
    rig.engine = rig.start(plant)
    assert rig.engine.missing() == [expected]
    assert rig.engine.book.advice_why == "doing nothing is best"


@pytest.mark.parametrize("policy", [7, {}, {"ok": 1}, {"ok": True, "late": -1, "failed": 0}, {"ok": True, "late": 0}])
def test_what_is_no_word_on_a_policy_is_refused(rig: Rig, policy: Any) -> None:
    assert rig.post("/advice", policy=policy).status_code == 422
    assert rig.engine.book.policy is None


def test_tags_nobody_has_told_are_named_after_a_while(rig: Rig) -> None:
    assert missing(rig) == []
    rig.go(HEARD_WITHIN_MS // 1000 + 10)
    assert "in/a" in rig.engine.tracker.state.tags  # what came in one moment is in its place
    (found,) = missing(rig)
    assert found.startswith("1 of 14 tags have never been heard (cut/vibration): what they would tell is estimated.")
    rig.w.data(620, cut__vibration=1.0)
    rig.go(630)
    assert missing(rig) == []


def test_words() -> None:
    assert of_ingest({}) == of_ingest({"journal": "ok", "broker": "connected", "degraded": ""}) == []
    (told,) = of_ingest({"sources": ["cell1: the outbox is 61% full"]})
    assert told == "Gateway cell1: the outbox is 61% full. Twin health, Sources, says since when."
    assert of_policy(None) == of_policy({"ok": True, "why": "", "late": 3, "failed": 0}) == []
    assert of_policy({"ok": False, "why": "x", "late": 1, "failed": 0})[0].startswith("X (1 time):")
    assert of_errors({"fold: KeyError": 100.0, "ingest: ConnectError": 159.0}, 170.0) == []
    assert of_errors({"fold: KeyError": 120.0}, 170.0) == [
        "The twin meets faults (fold: KeyError). Look at its output."
    ]
