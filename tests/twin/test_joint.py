"""Several controls with one click: what is admissible, and what is said when only some of them come to be."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.plant import Plant
from sim.plantfile import PlantError
from tests.twin.joints import IDS, MOVES, NOW, PRESENT, body, joint_line
from tests.twin.journals import LINE, SENSORS, written
from twin.decisions import Book, Present, Refused, all_problems, limit_problems
from twin.joint import FAILED, SET, UNDER_WAY, WAITING, command_id, controls_of, moves_of
from twin.log import EvidenceLog, verify
from twin.model import Command

ACCEPT = {"id": "r-1", "version": 1, "decision": "accept", "reason": "", "key": "k"}
NAMES = list(IDS)
TO = {move["control"]: move["to"] for move in MOVES}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return joint_line(tmp_path_factory.mktemp("joint"))


@pytest.fixture
def book(plant: Plant, tmp_path: Path) -> Iterator[Book]:
    log = EvidenceLog(tmp_path / "log.db", "demo")
    yield Book(plant, log)
    log.close()


def accepted(book: Book, commands: int = 3) -> dict[str, Any]:
    """A joint recommendation that was accepted, with the commands of its first moves noted."""
    found = book.propose(body(), NOW, "a")
    book.decide(ACCEPT, NOW, "operator", {"t": NOW.t})
    for control in NAMES[:commands]:
        book.command(found, {"id": IDS[control], "expires": NOW.t + 600_000, "lease_s": 300}, NOW, control)
    return found


def done(control: str, **more: Any) -> Command:
    known = Command(target=control, value=TO[control], step="executed", read_back=float(TO[control]), t=NOW.t + 1000)
    for name, value in more.items():
        setattr(known, name, value)
    return known


def seen(now_ms: int = 2000, **commands: Command) -> Present:
    """The present when the journal holds these commands, by control."""
    return replace(NOW, t=NOW.t + now_ms, commands={IDS[control]: c for control, c in commands.items()})


def test_one_acceptance_confirms_when_all_are_read_back(book: Book) -> None:
    found = accepted(book)
    book.tick(seen(cap=done("cap"), cap_b=done("cap_b")))
    assert found["status"] == "accepted"  # the third command is not in the journal
    assert [found["progress"][name]["state"] for name in NAMES] == [SET, SET, UNDER_WAY]
    book.tick(seen(cap=done("cap"), cap_b=done("cap_b"), base_a=Command(step="received")))
    assert found["status"] == "sent"
    book.tick(seen(4000, cap=done("cap"), cap_b=done("cap_b"), base_a=done("base_a")))
    assert (found["status"], found["confirmed"]) == ("confirmed", NOW.t + 4000)
    assert found["timeline"][-1]["note"] == "read back cap 8, cap_b 5, base_a 20"
    assert found["progress"]["cap"]["until"] == NOW.t + 1000 + 300_000


def test_ids_of_commands_are_their_recommendations_own() -> None:
    """`r-1` with two moves and `r-1-2` with one must not mean one command; neither may any other pair."""
    names = ["r-1", "r-1-2", "2-r-1", "c2-r-1", "-r-1", "c-r-1"]
    ids = [command_id({"id": name}, n) for name in names for n in range(12)]
    assert len(set(ids)) == len(ids)
    assert command_id({"id": "r-1"}) == "c-r-1"  # as it was when there was one


@pytest.mark.parametrize(
    ("moves", "says"),
    [
        ([], "1 to 64"),
        ({}, "list of 1 to 64"),
        (MOVES * 30, "found 90"),
        ([MOVES[0], MOVES[1] | {"why": "x"}], r"moves\[1\] must hold control, from and to and nothing else"),
        ([MOVES[0], {"control": "cap_b", "from": 4}], r"moves\[1\] must hold"),
        ([MOVES[0], MOVES[1] | {"to": 5.5}], r"moves\[1\] must be a control's id and two whole numbers"),
        ([MOVES[0], MOVES[1] | {"to": True}], "two whole numbers"),
        ([MOVES[0], MOVES[1] | {"control": 3}], "a control's id"),
        ([MOVES[0], MOVES[1], MOVES[1]], "cap_b is moved more than once"),
        ([MOVES[1], MOVES[0]], r"moves\[0\] must be the body's own cap 6 to 8, found cap_b 4 to 5"),
        ([MOVES[0] | {"to": 9}], r"moves\[0\] must be"),
        ([MOVES[0], MOVES[1] | {"control": "valve"}], "control 'valve' is not in plant"),
    ],
)
def test_a_malformed_list_of_moves_changes_nothing(book: Book, moves: Any, says: str) -> None:
    with pytest.raises(Refused, match=says):
        book.propose(body() | {"moves": moves}, NOW, "a")
    assert book.recs == {}
    assert book.log.checkpoint().seq == 0


def test_an_id_leaves_room_for_the_ids_of_its_commands(book: Book) -> None:
    with pytest.raises(Refused, match="id must leave room for 3 commands"):
        book.propose(body() | {"id": "r" * 62}, NOW, "a")
    assert book.propose(body() | {"id": "r" * 61}, NOW, "a")["status"] == "proposed"


def test_a_body_without_moves_is_one_move(book: Book) -> None:
    plain = {k: v for k, v in body().items() if k != "moves"}
    assert moves_of(book.propose(plain, NOW, "a")) == [MOVES[0]]
    assert controls_of({"control": "cap", "from": 1, "to": 2, "moves": None}) == ["cap"]


def test_every_problem_of_every_move_is_named_and_common_ones_once(plant: Plant) -> None:
    moves = [MOVES[0] | {"to": 9}, MOVES[1] | {"to": 99}, MOVES[2] | {"to": 21}]
    now = replace(NOW, paused=True, controls=PRESENT | {"base_a": 8}, states={"cut": ["down"], "wash": ["down"]})
    problems = all_problems(plant, now, body(moves=moves))
    assert sum("paused" in p for p in problems) == 1
    for part in ("cap <= 8, found 9", "99 is outside 2..11", "21 is not a multiple", "base_a is 8 now", "base_a <= 16"):
        assert any(part in p for p in problems), part


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(MOVES),
    st.tuples(st.integers(2, 11), st.integers(2, 11), st.integers(1, 10)),
    st.sets(st.sampled_from(["cut", "wash"])),
)
def test_no_order_breaks_a_limit_that_the_end_keeps(
    plant: Plant, order: list[dict[str, Any]], to: tuple[int, int, int], down: set[str]
) -> None:
    """Limits bind one control each: what is admissible for the whole stays within them after every command."""
    moves = [m | {"to": value} for m, value in zip(MOVES, (to[0], to[1], 4 * to[2]), strict=True)]
    now = replace(NOW, states={"cut": ["work"], "wash": ["work"]} | {name: ["down"] for name in down})
    if all_problems(plant, now, body(moves=moves)):
        return
    values = dict(PRESENT)
    for move in order:
        values[move["control"]] = next(m["to"] for m in moves if m["control"] == move["control"])
        between = replace(now, controls=dict(values))
        assert not any(limit_problems(plant, between, name, value) for name, value in values.items())


def test_a_plant_file_cannot_let_two_controls_cross(tmp_path: Path) -> None:
    """The one pair of settings that bind each other, (s, S), is kept apart by the ranges of its controls."""
    stock = "fa: {item: a, from: line, initial: 5, holding: 0.2 EUR/h}"
    raw = "  raw: {item: bar, from: mill_co, initial: 5, policy: {kind: s_S, reorder: 4, level: 9}}"
    text = LINE[: LINE.index("\ncontrols:")].replace(stock, f"{stock}\n{raw}")
    text += "\nsuppliers: {mill_co: {lead: constant(1 h)}}"
    crossing = """
controls:
  low: {sets: stocks.raw.reorder, from: 1, to: 9, step: 1, every: 10 min, class: supply, worth: 5 EUR}
  high: {sets: stocks.raw.level, from: 8, to: 20, step: 1, every: 10 min, class: supply, worth: 5 EUR}
sensors:
"""
    with pytest.raises(PlantError, match=r"above the reorder point|below the level"):
        written(tmp_path, text + crossing + SENSORS, "crossing")


def test_a_newer_one_replaces_those_that_share_a_control_and_no_others(book: Book) -> None:
    first = book.propose(body(1, MOVES[:2]), NOW, "a")
    other = book.propose(body(2, MOVES[2:]), NOW, "a")
    third = book.propose(body(3, MOVES[1:2]), NOW, "a")
    assert (first["status"], first["reason"]) == ("superseded", "by r-3")
    assert (other["status"], third["status"]) == ("proposed", "proposed")


def test_any_control_that_was_moved_by_hand_withdraws_it(book: Book) -> None:
    found = book.propose(body(), NOW, "a")
    book.tick(replace(NOW, controls=PRESENT | {"cap_b": 7, "base_a": 16}))
    assert found["status"] == "withdrawn"
    assert found["reason"] == "premise changed: cap_b is 7 now, 4 was assumed; base_a is 16 now, 12 was assumed"
    again = book.propose(body(2), NOW, "a")
    with pytest.raises(Refused, match="base_a is 16 now"):
        book.decide(ACCEPT | {"id": "r-2", "key": "k2"}, replace(NOW, controls=PRESENT | {"base_a": 16}), "operator")
    assert again["status"] == "withdrawn"


def test_what_is_being_set_is_not_set_by_another_at_once(book: Book) -> None:
    first, second = book.propose(body(1, MOVES[:2]), NOW, "a"), None
    book.decide(ACCEPT, NOW, "operator", {"t": NOW.t})
    second = book.propose(body(2, MOVES[1:]), NOW, "a")
    with pytest.raises(Refused, match="cap_b: being set by r-1 just now"):
        book.decide(ACCEPT | {"id": "r-2", "key": "k2"}, NOW, "operator")
    assert (first["status"], second["status"]) == ("accepted", "proposed")


@pytest.mark.parametrize("order", list(itertools.permutations(NAMES)))
def test_it_fails_only_when_it_is_known_what_stands(book: Book, order: tuple[str, ...]) -> None:
    """Acknowledgements in any order: one refused, two carried out; the note is whole, whichever came last."""
    found = accepted(book)
    rejected = Command(target="cap_b", step="rejected", reason="too_soon: 5 s after the last change", t=NOW.t + 1)
    fates = {"cap": done("cap"), "cap_b": rejected, "base_a": done("base_a")}
    for n in range(1, 4):
        book.tick(seen(**{name: fates[name] for name in order[:n]}))
        assert (found["status"] == "failed") == (n == 3)
        assert Book.replay(book.plant, book.log).recs == book.recs
    assert found["reason"] == (
        "cap_b: too_soon: 5 s after the last change; "
        "set already, and stands until its lease ends: cap 6 to 8, base_a 12 to 20"
    )
    assert found["timeline"][-1]["by"] == "gateway"
    assert found["progress"]["base_a"] == {
        "state": SET, "note": "read back 20", "by": "gateway", "t": NOW.t + 1000, "until": NOW.t + 301_000
    }  # fmt: skip


def test_what_was_not_sent_is_named(book: Book) -> None:
    found = accepted(book, commands=2)
    book.tick(seen(cap=done("cap"), cap_b=Command(step="rejected", reason="limit: cut.down: cap_b <= 4")))
    assert found["status"] == "failed"
    assert found["reason"].endswith("stands until its lease ends: cap 6 to 8; not sent: base_a")


def test_a_change_by_hand_in_the_middle_ends_it_with_what_was_found(book: Book) -> None:
    """Someone turns the first setpoint at the machine before the last one is done: their value stands, and is told."""
    found = accepted(book)
    book.tick(seen(cap=done("cap"), cap_b=done("cap_b"), base_a=Command(step="accepted")))
    why = "changed_at_machine: the plant shows 7, leased was 8"
    ended = done("cap", step="lease_ended", read_back=7.0, reason=why)
    book.tick(seen(cap=ended, cap_b=done("cap_b"), base_a=done("base_a")))
    assert found["status"] == "failed"
    assert f"cap: read back 7.0, expected 8 ({why})" in found["reason"]
    assert "stands until its lease ends: cap_b 4 to 5, base_a 12 to 20" in found["reason"]


def test_silence_is_not_taken_for_a_refusal(book: Book) -> None:
    found = accepted(book)
    book.tick(seen(599_000, cap=done("cap"), cap_b=Command(step="accepted"), base_a=done("base_a")))
    assert found["status"] == "sent"
    book.tick(seen(600_000, cap=done("cap"), cap_b=Command(step="accepted"), base_a=done("base_a")))
    assert "cap_b: no execution was acknowledged in time (last step: accepted)" in found["reason"]


def test_commands_are_due_one_after_another(book: Book) -> None:
    found = accepted(book, commands=0)
    assert book.due(found, NOW) == MOVES[0]
    book.command(found, {"id": IDS["cap"], "expires": NOW.t + 600_000}, NOW, "cap")
    assert book.due(found, NOW) == MOVES[0]  # a kill between note and post: again, as it was signed
    assert book.due(found, seen(cap=Command(step="accepted"))) is None
    now = replace(seen(cap=done("cap")), controls=PRESENT | {"cap": 8})
    assert book.due(found, now) == MOVES[1]
    assert book.due(found, replace(now, stale="no row for 4 s")) == MOVES[1]  # the gateway looks at the plant itself


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"controls": PRESENT | {"cap": 8, "cap_b": 9}}, "cap_b is 9 now, the recommendation assumed 4"),
        ({"controls": PRESENT | {"cap": 8}, "paused": True}, "the optimiser is paused"),
        ({"controls": PRESENT | {"cap": 8}, "mode": "manual"}, "manual mode"),
    ],
)
def test_what_is_not_admissible_any_more_is_not_sent(book: Book, change: dict[str, Any], says: str) -> None:
    found = accepted(book, commands=1)
    assert book.due(found, replace(seen(cap=done("cap")), **change)) is None
    assert found["status"] == "failed"
    assert says in found["reason"]
    assert "stands until its lease ends: cap 6 to 8; not sent: base_a" in found["reason"]


def test_a_limit_that_came_up_between_two_commands_stops_the_rest(book: Book) -> None:
    found = accepted(book, commands=2)
    now = replace(
        seen(cap=done("cap"), cap_b=done("cap_b")),
        controls={"cap": 8, "cap_b": 5, "base_a": 12},
        states={"cut": ["work"], "wash": ["down"]},
    )
    assert book.due(found, now) is None
    assert "base_a: not sent: limit while wash is down: base_a <= 16, found 20" in found["reason"]


def test_a_clock_that_went_back_leaves_what_was_set_named(book: Book) -> None:
    found = accepted(book, commands=2)
    book.tick(replace(seen(cap=done("cap"), cap_b=Command(step="received")), t=NOW.t - 400_000))
    assert found["reason"].startswith("the plant's clock went back; set already")
    assert "not known whether it was done: cap_b; not sent: base_a" in found["reason"]


def test_rows_of_a_time_with_one_command_replay(book: Book, plant: Plant) -> None:
    """As the twin wrote them: no moves, the command without its control."""
    found = book.propose({k: v for k, v in body().items() if k != "moves"}, NOW, "a")
    book.decide(ACCEPT, NOW, "operator", {"t": NOW.t})
    fields = {"id": "c-r-1", "target": "cap", "expires": NOW.t + 600_000, "lease_s": 300}
    book._write("command", {"id": "r-1", "command": fields}, NOW, "service:twin")
    again = Book.replay(plant, book.log)
    assert again.recs["r-1"]["commands"] == {"cap": fields}
    assert again.due(again.recs["r-1"], NOW) == MOVES[0]
    again.tick(seen(cap=done("cap")))
    assert (found["status"], again.recs["r-1"]["status"]) == ("accepted", "confirmed")


FATES = st.sampled_from(["done", "wrong", "rejected", "by hand", "silent", "received"])
calm = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fate(control: str, name: str) -> Command | None:
    return {
        "done": done(control),
        "wrong": done(control, read_back=float(TO[control] - 1)),
        "rejected": Command(target=control, step="rejected", reason="out_of_range"),
        "by hand": done(control, step="lease_ended", read_back=3.0, reason="changed_at_machine"),
        "received": Command(target=control, step="received"),
        "silent": None,
    }[name]


@calm
@given(
    st.lists(FATES, min_size=3, max_size=3),
    st.permutations(NAMES),
    st.integers(0, 3),
    st.none() | st.integers(0, 2),
)
def test_whatever_becomes_of_the_commands_the_end_is_told_whole(
    plant: Plant, fates: list[str], order: list[str], noted: int, refused: int | None
) -> None:
    """Any fate of any command, heard in any order, of any number noted, with or without one that ingest refuses."""
    with tempfile.TemporaryDirectory() as folder:
        log = EvidenceLog(Path(folder) / "log.db", "demo")
        book = Book(plant, log)
        found = accepted(book, noted)
        known = {name: fates[NAMES.index(name)] if name in NAMES[:noted] else "never" for name in NAMES}
        if refused is not None and NAMES[refused] in NAMES[noted:]:
            known[NAMES[refused]] = "refused"
            book.refuse(found, NAMES[refused], NOW, "no gateway has it")
        heard: dict[str, Command] = {}
        for name in order:
            if name in NAMES[:noted] and (one := fate(name, fates[NAMES.index(name)])) is not None:
                heard[name] = one
            before = found["status"], found["version"]
            book.tick(seen(**heard))
            if before[0] in ("failed", "confirmed"):
                assert (found["status"], found["version"]) == before  # an end is an end
            assert Book.replay(plant, log).recs == book.recs
        pending = [name for name in NAMES[:noted] if known[name] in ("silent", "received")]
        bad = [name for name in NAMES if known[name] in ("wrong", "rejected", "by hand", "refused")]
        if pending:
            assert found["status"] in ("accepted", "sent")
            book.tick(seen(600_000, **heard))
            bad += pending
        if bad:
            assert found["status"] == "failed"
            states = {name: found["progress"][name]["state"] for name in NAMES}
            assert [name for name in NAMES if states[name] == FAILED] == [name for name in NAMES if name in bad]
            assert [name for name in NAMES if states[name] == SET] == [n for n in NAMES if known[n] == "done"]
            assert [name for name in NAMES if states[name] == WAITING] == [n for n in NAMES if known[n] == "never"]
            assert all(name in found["reason"] for name in NAMES)
        else:
            all_set = all(known[name] == "done" for name in NAMES)
            assert found["status"] == ("confirmed" if all_set else "accepted")
        assert Book.replay(plant, log).recs == book.recs
        assert verify(log.path, log.checkpoint()) == []
        log.close()
