"""A degraded gateway says so in the status of its sources: what, since when, until it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hardware.deviceclock import DeviceClock
from hardware.link import Hooks, Link
from hardware.outbox import Limits, Outbox, Pending
from hardware.store import Store
from hardware.tagbus import TagBus
from hardware.troubles import LASTING_S, Troubles, of_gateway
from hardware.uplink import Uplink
from ingest.wire import Status, Tag, parse
from tests.ingest.kit import CELL1, CELL2

TAGS = [Tag(i=0, name="turn/count", type="counter")]
T = 1_767_592_800_000


@dataclass
class Told(Link):
    """A connection that remembers what was published."""

    said: list[tuple[str, Status]] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        assert retain
        self.said.append((topic, parse("status", payload)))
        return True


@dataclass
class Site:
    """Two sources of one gateway, with a clock that the test moves."""

    store: Store
    monkeypatch: pytest.MonkeyPatch
    now: float = 100.0
    watch: Troubles = field(default_factory=Troubles)

    def __post_init__(self) -> None:
        self.monkeypatch.setattr("hardware.troubles.time.monotonic", lambda: self.now)
        self.link = Told("127.0.0.1", 1, "x", hooks=Hooks())
        limits = Limits(max_bytes=10_000)
        self.uplinks = [Uplink(Outbox(self.store, root, limits), self.link, TAGS) for root in (CELL1, CELL2)]

    def look(self, seconds: float, *common: tuple[str, str]) -> list[tuple[str, list[tuple[str, int]]]]:
        """So much later (plant time goes sixty times as fast): what is told now, by cell."""
        self.now += seconds
        self.link.said.clear()
        self.watch.look(self.uplinks, common, T + int(60_000 * (self.now - 100)))
        cell = {CELL1: 1, CELL2: 2}
        return [
            (str(cell[topic.rpartition("/")[0]]), [(one.what, (one.since - T) // 60_000) for one in status.degraded])
            for topic, status in self.link.said
        ]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with Store(tmp_path / "outbox.db") as store:
        yield Site(store, monkeypatch)


def test_what_lasts_is_told_once_with_its_beginning_and_again_when_it_is_over(site: Site) -> None:
    bus = ("fieldbus_down", "the fieldbus does not answer")
    assert site.look(1, bus) == []
    assert site.look(LASTING_S, bus) == [("1", [("fieldbus_down", 1)]), ("2", [("fieldbus_down", 1)])]
    assert site.look(60, bus) == [], "nothing is new"
    assert site.look(1) == [("1", []), ("2", [])]
    assert site.look(1, bus) == site.look(1) == site.look(5) == [], "a connection made anew is nothing to tell of"


def test_an_outbox_that_fills_is_told_by_its_own_source_until_it_has_room(site: Site) -> None:
    outbox = site.uplinks[0].outbox
    outbox.append([Pending("event", "event", {"t": 1, "kind": "alarm", "text": "x" * 200}) for _ in range(20)])
    assert 5_000 < outbox.bytes < 10_000
    assert site.look(1) == []
    assert site.look(5) == [("1", [("outbox_filling", 1)])]
    assert site.uplinks[0].troubles[0].text.startswith(f"the outbox is {outbox.bytes / 10_000:.0%} full")
    outbox.confirm(6)
    assert 4_000 < outbox.bytes < 5_000
    assert site.look(1) == [], "on the edge it does not come and go"
    outbox.confirm(12)
    assert site.look(1) == [("1", [])]


def test_what_is_wrong_with_all_of_a_gateway() -> None:
    class Adapter:
        timed, clock, connected = True, None, True

    clock = DeviceClock()
    bus = TagBus(Adapter(), {}, lambda _: None, lambda: 0, clock)  # type: ignore[arg-type]
    assert list(of_gateway(bus, True, "")) == []
    clock.skew_ms = -3_400
    found = dict(of_gateway(bus, True, "disk full"))
    assert found["clock_skew"] == "the device's clock is 3.4 s ahead: times are corrected, and uncertain"
    assert found["disk"] == "the outbox cannot be written (disk full): nothing is sent"
    clock.skew_ms = 1_900
    assert list(of_gateway(bus, True, "")) == [], "within the tolerance"
    assert dict(of_gateway(bus, False, "")).keys() == {"fieldbus_down"}
