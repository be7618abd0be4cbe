"""The page "Twin health" as a person meets it: certificate, drift and refits, sensors, counts by hand, the cable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from tests.dashboard.browser import SIZES, Screen, screen
from tests.dashboard.conftest import ROOT, Page, wait

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, expect  # noqa: E402

from hardware.cable import Cable  # noqa: E402
from hardware.cable_service import build  # noqa: E402
from tests.dashboard.browser import chromium  # noqa: E402
from tests.dashboard.fake_belief import drift_notice, machine, refit  # noqa: E402
from tests.dashboard.fake_twin import FakeTwin  # noqa: E402
from tests.dashboard.visit import Beat, go, sizes  # noqa: E402

READY = {"trust": "#drift .refit", "sensors": "#sensors td", "sources": "#log td"}
HOLD_HEALTH = """() => {
  const real = window.fetch;
  window.fetch = (path, options) => (options || {}).method !== "POST" && String(path).includes("/api/refits")
    ? new Promise(() => {}) : real(path, options);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def open_view(tab: Screen, served: Page, twin: FakeTwin, name: str) -> None:
    """The page with one of its views, filled."""
    go(tab, served, twin, "health")
    tab.page.click(f"#tab-{name}")
    expect(tab.page.locator(f"#view-{name}")).to_be_visible()


def test_the_certificate_says_where_it_holds_and_colours_only_what_is_wrong(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        verdict, heat = tab.page.locator("#fidelity-now .verdict"), tab.page.locator('[data-station="heat"]')
        expect(verdict).to_contain_text("Forecasts hold what they promise")
        expect(tab.page.locator("#fidelity-now")).to_contain_text("From 312 scored forecasts; valid until Tue 06 Jan")
        expect(heat).to_have_attribute("data-light", "green")
        belief = twin.belief
        belief.fidelity |= {"light": "red", "why": ["wip 15 min ahead: 20 of 48 inside the 90 % band"]}
        belief.fidelity["stations"]["heat"] = "amber"
        belief.fidelity["lines"][0] |= {"light": "red", "why": ["20 of 48 inside the 90 % band"]}
        belief.fidelity["outside"] = ["wip"]
        expect(verdict).to_contain_text("not to be trusted: advice is off")
        expect(heat).to_have_attribute("data-light", "amber")
        expect(heat).to_contain_text("doubtful")
        expect(tab.page.locator("#fidelity-now")).to_contain_text("nothing backs the forecasts of: WIP (seen: 9 to 21)")
        first = tab.page.locator("#lines tbody tr").first
        expect(first).to_contain_text("broken")
        expect(first).to_contain_text("92 % (82 % to 96 %)")
        expect(first).to_contain_text("−0.21 parts, ± 1.4 allowed")
        expect(first).to_contain_text("+31 %")
        expect(tab.page.locator("#tab-trust")).to_have_attribute("data-level", "warn")
        expect(tab.page.locator('#lines [data-key="waiting"]')).to_contain_text("1 not judged yet")
        tab.page.locator('#lines [data-key="waiting"] summary').click()
        expect(tab.page.locator('#lines [data-key="waiting"] tbody tr')).to_contain_text("4 of 10 forecasts")


def test_this_shift_stands_beside_what_the_model_alone_says(browser: Browser, served: Page, twin: FakeTwin) -> None:
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        told, last = tab.page.locator('#fidelity-now [data-key="shift"]'), tab.page.locator("#fidelity-now")
        expect(told).to_contain_text(
            "This shift: 152 good parts (140 to 163), model alone 171; from 9 shifts that ended"
        )
        expect(told).to_contain_text("38 so far, until")
        expect(last).to_contain_text("made 149 (counted); forecast at its beginning: 152 good parts (140 to 163)")
        twin.belief.shift |= {"n": 0, "plan": "fixed", "last": None}
        expect(told).to_contain_text("the model alone: no shift has ended that could correct it")
        expect(told).to_contain_text("fixed shifts of 8 h: the plant file has no calendar")
        expect(last).not_to_contain_text("forecast at its beginning")
        twin.belief.shift |= {"mean": None, "why": "its beginning was not heard"}
        expect(told).to_contain_text("This shift: no forecast (its beginning was not heard). The next begins")
        twin.belief.shift = {"mean": None, "why": "closed", "next": None, "last": None, "plan": "shifts"}
        expect(told).to_have_text("No shift runs: closed.")


def test_hours_that_differ_from_the_calendar_stand_beside_the_refits(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    twin.belief.hours = ["stands Mon-Fri 10:30-10:55 although the calendar says open (5 of 5 days)"]
    twin.belief.open = {"shifts": "Mon 06:00-10:00, Mon 10:55-14:00"}
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        box = tab.page.locator('#drift [data-key="hours"]')
        expect(box).to_contain_text("The plant stands Mon-Fri 10:30-10:55 although the calendar says open")
        box.locator("summary").click()
        expect(box).to_contain_text('open: "Mon 06:00-10:00, Mon 10:55-14:00" (breaks included)')
        expect(tab.page.locator("#sum-trust")).to_contain_text("hours differ from the calendar")
        twin.belief.hours, twin.belief.open = [], {}
        expect(box).to_have_count(0)


def test_what_came_stands_against_its_band(browser: Browser, served: Page, twin: FakeTwin) -> None:
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        one = tab.page.locator('[data-key="wip"]')
        expect(one.locator("figcaption")).to_have_text("WIP, parts: 36 of 40 inside")
        assert one.locator("rect.band").count() == 40
        assert one.locator(".came").count() == 36
        assert one.locator(".missed").count() == 4
        bars = tab.page.locator('[data-key="ranks"] .tally')
        assert bars.count() == 10
        assert all(bar.is_visible() for bar in bars.all())
        even = float(tab.page.locator('[data-key="ranks"] .even').get_attribute("y1") or "nan")
        tops = [float(bar.get_attribute("y") or "nan") for bar in bars.all()]
        assert tops == pytest.approx([even] * 10, abs=0.1), "each of ten equal counts ends at the expected line"


def test_machines_are_told_in_words_and_a_change_is_only_told(browser: Browser, served: Page, twin: FakeTwin) -> None:
    belief = twin.belief
    gone = ["cut/vibration", "cut/temperature"]
    belief.machines = [
        machine("heat", "changed", since=twin.t - 600_000, moved=["heat/vibration", "heat/temperature"]),
        machine("wind"),
        machine("turn", "learning", have=40, need=300),
        machine("cut", silent=gone, silent_s=300.0),
        machine("grind", silent=["grind/vibration"], silent_s=300.0),
        machine("pack", "unheard", silent=["pack/vibration", "pack/temperature"]),
    ]
    text = "heat behaves differently: heat/vibration up (+3.1 sd), 12 frames seen"
    belief.notices = [drift_notice(twin.t, id="condition-heat-1", kind="condition", before=0.0, after=0.0, text=text)]
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        cells = tab.page.locator('#drift [data-key="machines"] tbody td:nth-child(2)')
        expect(cells.nth(0)).to_contain_text("changed since Mon 05 Jan")
        expect(cells.nth(0)).to_contain_text("(vibration, temperature)")
        expect(cells.nth(1)).to_have_text("as learnt")
        expect(cells.nth(2)).to_have_text("learning, 40 of 300 readings")
        expect(cells.nth(3)).to_contain_text("no signal for 5 min")
        expect(cells.nth(4)).to_contain_text("as learnt; no signal of vibration for 5 min")
        expect(cells.nth(5)).to_contain_text("no reading yet")
        expect(tab.page.locator('#drift [data-key="machines"] tbody tr').nth(1)).to_contain_text("vibration 4.23 mm/s")
        notice = tab.page.locator('[data-notice="condition-heat-1"]')
        expect(notice).to_contain_text("It is only told: look at the machine, then settle the notice.")
        notice.locator('[name="role"]').fill("engineer")
        notice.locator('[name="reason"]').fill("bearing replaced")
        notice.get_by_role("button", name="Seen", exact=True).click()
        expect(notice).to_have_count(0)
        assert belief.notices[0]["closed"] == "engineer: bearing replaced"
        assert tab.errors == []


def test_two_engineers_decide_one_refit_and_the_second_is_told_politely(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    twin.belief.drifted(twin.t)
    with screen(browser) as one, screen(browser, "landscape", "light") as two, Beat(twin):
        for tab, role in ((one, "engineer"), (two, "shift lead")):
            open_view(tab, served, twin, "trust")
            card = tab.page.locator('[data-refit="c-1"]')
            expect(card).to_contain_text("repair of heat: file 30 min, seen 61 min")
            card.locator('[name="role"]').fill(role)
            card.locator('[name="reason"]').fill("the burner was changed")
        notice = one.page.locator(".notice", has_text="repair time of heat").first
        expect(notice).to_contain_text("Repair time of heat: 2 times what it was (14 seen), since Mon 05 Jan")
        expect(notice).to_contain_text("mean 30 min before, 61 min since")
        expect(notice.locator("table")).to_contain_text("0.612")
        two.page.evaluate(HOLD_HEALTH)  # what the first decides does not reach the second before its click
        one.page.click('[data-refit="c-1"] [data-decision="approve"]')
        expect(one.page.locator('.toast[data-kind="ok"]')).to_contain_text("Approved")
        two.page.click('[data-refit="c-1"] [data-decision="reject"]')
        expect(two.page.locator('.toast[data-kind="bad"]')).to_contain_text("refit c-1 is approved already. Somebody")
        wanted = {"id": "c-1", "decision": "approve", "role": "engineer", "reason": "the burner was changed"}
        assert twin.belief.decided == [wanted]
        expect(one.page.locator('[data-key="past"]')).to_contain_text("Settled (1)")


def test_a_refit_needs_a_role_and_a_reason_and_a_notice_can_be_settled_without_one(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    twin.belief.drifted(twin.t)
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        tab.page.click('[data-refit="c-1"] [data-decision="reject"]')
        expect(tab.page.locator('.toast[data-kind="bad"]')).to_contain_text("say why")
        assert twin.belief.decided == []
        twin.belief.refits = []
        found = tab.page.locator('[data-act="settle"]')
        expect(found).to_be_visible()
        tab.page.locator('[name="reason"]').fill("new heating element, known")
        seq = twin.seq
        tab.wait_seq(seq + 6)
        expect(tab.page.locator('[name="reason"]')).to_have_value("new heating element, known")
        found.click()
        wait("the notice is settled", lambda: bool(twin.belief.notices[0]["closed"]))
        assert twin.belief.notices[0]["closed"] == "operator: new heating element, known"
        expect(tab.page.locator("#drift")).to_contain_text("No drift: 10 charts")


def test_notices_of_every_kind_are_told_in_words_and_a_refit_stands_once(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    t, belief = twin.t, twin.belief
    of_work = {"kind": "work", "text": "work time of heat/motor_s/3: 1.2 times what it was (30 seen)"}
    of_scrap = {"kind": "yield", "place": "test/motor_s/6", "before": 66.0, "after": 20.0}
    belief.notices = [
        drift_notice(t, id="a", place="heat/motor_s/3", **of_work),
        drift_notice(t, id="b", kind="work", place="heat/motor_l/2"),
        drift_notice(t, id="c", text="good parts between scrapped ones of test/motor_s/6: 0.3 times", **of_scrap),
        drift_notice(t, id="d", kind="forecast", place="out/heat", before=0.0, text="out/heat comes out below its ..."),
    ]
    belief.refits = [refit(t, name="work/heat"), refit(t, id="c-2", name="yield/motor_s/6", takes_effect=False)]
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        told = {key: tab.page.locator(f'[data-notice="{key}"]') for key in "abcd"}
        expect(told["a"]).to_contain_text("Work time of heat, motor_s, 3: 1.2 times")
        expect(told["a"].locator('[data-refit="c-1"]')).to_be_visible()
        expect(told["b"]).to_contain_text("The refit proposed above is about this too")
        expect(told["c"]).to_contain_text("mean 66 parts before, 20 parts since")
        expect(told["c"].locator('[data-refit="c-2"]')).to_contain_text("cannot take effect in the running twin")
        expect(told["c"].locator('[data-decision="approve"]')).to_have_count(0)
        expect(told["d"]).to_contain_text("Parts out of heat comes out below")
        expect(tab.page.locator("[data-refit]")).to_have_count(2)


def test_a_refit_in_force_stands_in_words_and_can_be_withdrawn(browser: Browser, served: Page, twin: FakeTwin) -> None:
    said = "setup of heat: a to b: 12 min -> 9 min (8 to 10), its next ones are forecast 14 % better"
    setup = {"name": "setup/heat/a/b", "factor": 0.75, "words": said, "text": "9 min"}
    scrap = {"id": "c-2", "name": "yield/motor_s/6", "factor": 0.02, "words": "share of scrap: 5 % -> 2 % (1 to 3)"}
    twin.belief.refits = [refit(twin.t, **setup), refit(twin.t, **scrap)]
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "trust")
        card = tab.page.locator('[data-refit="c-1"]')
        expect(card).to_contain_text(f"Refit proposed: {said}")
        expect(card).to_contain_text("Factor 0.75 on the plant file")
        expect(tab.page.locator('[data-refit="c-2"]')).to_contain_text("Share of scrap 2 %")
        card.locator('[name="role"]').fill("engineer")
        card.locator('[name="reason"]').fill("new dies")
        card.locator('[data-decision="approve"]').click()
        standing = tab.page.locator('[data-in-force="c-1"]')
        expect(standing).to_contain_text(f"In force: {said}")
        standing.locator("summary").click()
        expect(standing).to_contain_text("by engineer: new dies")
        standing.locator('[name="reason"]').fill("the old dies are back")
        standing.locator('[data-decision="withdraw"]').click()
        expect(tab.page.locator('.toast[data-kind="ok"]').last).to_contain_text(
            "Withdrawn. The plant file counts again"
        )
        expect(tab.page.locator("[data-in-force]")).to_have_count(0)
        assert [one["decision"] for one in twin.belief.decided] == ["approve", "withdraw"]


def test_every_tag_is_in_the_matrix_and_what_it_failed_is_one_key_away(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    twin.belief.unheard = {"wind/out"}
    twin.belief.failed = {"heat/level": {"range": 7}}
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "sensors")
        bad = tab.page.locator('[data-cell="heat|level"]')
        expect(bad).to_have_attribute("data-quality", "bad")
        expect(bad).to_contain_text("7 failed")
        expect(tab.page.locator('[data-cell="wind|out"]')).to_contain_text("not heard")
        expect(tab.page.locator('[data-cell="wire|on_hand"]')).to_have_attribute("data-quality", "good")
        assert tab.page.locator("#matrix .sensor").count() == 3 * 7 + 2
        expect(tab.page.locator("#failed")).to_contain_text("outside of its declared range")
        expect(tab.page.locator("#failed")).to_contain_text("Never heard: wind/out")
        expect(tab.page.locator("#sum-sensors")).to_have_text("▲ 1 bad, 1 never heard, of 23 tags")
        bad.focus()
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#failed h3")).to_have_text("heat: level")
        tab.wait_seq(twin.seq + 6)
        assert tab.page.evaluate("document.activeElement.dataset.cell") == "heat|level", "the focus stays at 2 Hz"


def test_a_manual_count_goes_there_and_its_effect_comes_back(browser: Browser, served: Page, twin: FakeTwin) -> None:
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "sensors")
        form = tab.page.locator("#manual-form")
        form.locator('[name="thing"]').select_option("wire")
        expect(form.locator('[name="property"] option')).to_have_count(4)
        form.locator('[name="thing"]').select_option("hob")
        form.locator('[name="value"]').fill("4")
        form.locator('[name="sd"]').fill("0.5")
        form.locator('[name="role"]').fill("shift lead")
        tab.page.click("#manual-send")
        expect(tab.page.locator("#manual-answer")).to_contain_text("the twin says 4 now, 5 before")
        expected = {"thing": "hob", "property": "level", "value": 4, "sd": 0.5, "role": "shift lead"}
        assert twin.belief.counted == [expected]
        expect(tab.page.locator("#manual-list tbody tr").first).to_contain_text("hob: level4 ± 0.5")
        form.locator('[name="property"]').select_option("moved")
        form.locator('[name="to"]').select_option("heat")
        form.locator('[name="value"]').fill("2")
        tab.page.click("#manual-send")
        expect(tab.page.locator("#manual-answer")).to_contain_text("Taken: 2 parts moved by hand from hob to heat")
        assert twin.belief.counted[1]["to"] == "heat"
        form.locator('[name="thing"]').select_option("wire")
        form.locator('[name="value"]').fill("5000")
        tab.page.click("#manual-send")
        expect(tab.page.locator("#manual-answer")).to_contain_text("Not taken: wire: the store holds 1000 at most")


class Demo:
    """A demo's cable whose time and outbox the test sets: the relay has nobody to relay."""

    def __init__(self, data: Path) -> None:
        self.now, self.waiting = 1_767_592_800.0, 3
        self.cable = Cable(("127.0.0.1", 9), lambda: (self.waiting, 0), clock=lambda: self.now)
        config = uvicorn.Config(build(self.cable), host="127.0.0.1", port=0, log_level="warning", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        wait("the cable listens", lambda: self.server.started)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.file = data / "run" / "cable.json"
        self.file.write_text(json.dumps({"name": "cable", "url": f"http://127.0.0.1:{port}"}))

    def look(self, seconds: float, waiting: int) -> None:
        self.now, self.waiting = self.now + seconds, waiting
        self.cable.look(waiting, 0)

    def end(self) -> None:
        self.file.unlink()
        self.server.should_exit = True
        self.thread.join(timeout=10)


@pytest.fixture
def demo(served: Page) -> Iterator[Demo]:
    made = Demo(served.data)
    yield made
    made.end()


def test_the_cable_is_pulled_and_the_page_tells_what_happens(
    browser: Browser, served: Page, twin: FakeTwin, demo: Demo
) -> None:
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "sources")
        tab.page.click('[data-act="pull"][data-seconds="30"]')
        wait("the cable is out", lambda: demo.cable.out)
        twin.mode = "stale"
        demo.look(12, 940)
        expect(tab.page.locator("#cable-line")).to_have_text("940 messages waiting, 0 lost so far")
        expect(tab.page.locator(".story li", has_text="stale")).to_have_attribute("data-done", "1")
        expect(tab.page.locator("#sum-sources")).to_contain_text("the cable is out")
        demo.look(19, 1400)
        assert not demo.cable.out, "it comes back by itself"
        twin.mode = "live"
        assert demo.cable.story is not None
        demo.cable.story.connected = round(demo.now * 1000) + 900
        demo.look(3, 0)
        expect(tab.page.locator("#cable-line")).to_have_text("1,400 messages waiting → 0, 0 lost")
        expect(tab.page.locator(".story li", has_text="back in step")).to_have_attribute("data-done", "1")
        expect(tab.page.locator(".story")).to_contain_text("after 31.0 s")


def test_where_there_is_no_demo_there_is_no_cable(browser: Browser, served: Page, twin: FakeTwin) -> None:
    assert served.get("/api/cable").json() == {"demo": False}
    assert served.post("/api/cable", {"seconds": 30}).status_code == 404
    (served.data / "run" / "cable.json").write_text(json.dumps({"url": "http://192.0.2.1:80"}))
    try:
        assert served.get("/api/cable").json() == {"demo": False}, "only this machine is asked"
    finally:
        (served.data / "run" / "cable.json").unlink()
    with screen(browser) as tab:
        open_view(tab, served, twin, "sources")
        expect(tab.page.locator("#ledger tbody")).to_contain_text("unknown tag 2")
        expect(tab.page.locator("#sinks")).to_contain_text("11 rows behind")
        expect(tab.page.locator(".cable-panel")).to_be_hidden()


def test_a_degraded_gateway_is_told_with_since_when(browser: Browser, served: Page, twin: FakeTwin) -> None:
    text = "the outbox is 61% full: less is confirmed than comes; the oldest goes first"
    twin.troubles = [{"what": "outbox_filling", "since": twin.t, "text": text}, {"what": "clock_skew", "since": twin.t}]
    with screen(browser) as tab, Beat(twin):
        open_view(tab, served, twin, "sources")
        expect(tab.page.locator("#ledger tbody tr").first).to_contain_text("degraded")
        expect(tab.page.locator("#ledger")).to_contain_text(f": {text}.")
        expect(tab.page.locator("#ledger")).to_contain_text("cell1, since Mon 05 Jan")
        expect(tab.page.locator("#ledger")).to_contain_text("clock skew.")
        expect(tab.page.locator("#sum-sources")).to_have_text("▲ 1 source online, 1 degraded, nothing missing")
        expect(tab.page.locator("#tab-sources")).to_have_attribute("data-level", "warn")
        tab.page.screenshot(path=ROOT / "build" / "screens" / "health-degraded.png")
        twin.troubles = []
        expect(tab.page.locator("#sum-sources")).to_have_text("1 source online, nothing missing")
        expect(tab.page.locator("#ledger tbody tr").first).to_contain_text("online")


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("refits", {"id": "c-1", "decision": "maybe", "role": "engineer", "reason": "x"}, "decision"),
        ("refits", {"id": "c-1", "decision": "approve", "role": "engineer", "reason": " "}, "reason"),
        ("drift", {"id": "x", "why": ""}, "why"),
        ("manual", {"thing": "hob", "property": "level", "value": True, "sd": 0, "role": "r"}, "value"),
        ("manual", {"thing": "hob", "property": "level", "value": 4, "sd": -1, "role": "r"}, "sd"),
        ("cable", {"seconds": "30"}, "seconds"),
    ],
)
def test_what_makes_no_sense_is_not_passed_on(
    served: Page, twin: FakeTwin, path: str, body: dict[str, object], why: str
) -> None:
    twin.belief.drifted(twin.t)
    answer = served.post(f"/api/{path}", body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(why)
    foreign = httpx.post(f"{served.url}/api/{path}", json=body, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403
    assert (twin.belief.decided, twin.belief.counted) == ([], [])


@pytest.mark.parametrize("size", list(SIZES))
def test_every_view_fits_every_screen(browser: Browser, served: Page, twin: FakeTwin, demo: Demo, size: str) -> None:
    twin.belief.drifted(twin.t)
    twin.belief.machines = [machine("heat", "changed", since=twin.t, moved=["heat/vibration"]), machine("wind")]
    twin.belief.unheard, twin.belief.failed = {"wind/out"}, {"heat/level": {"range": 7}}
    twin.belief.hours = ["stands Mon-Fri 10:30-10:55 although the calendar says open (5 of 5 days)"]
    twin.belief.open = {"shifts": ", ".join(f"{day} 06:00-10:00, {day} 10:55-14:00" for day in ("Mon", "Tue", "Wed"))}
    demo.cable.pull(60)
    demo.look(20, 930)
    shots = ROOT / "build" / "screens"
    shots.mkdir(parents=True, exist_ok=True)
    with Beat(twin):
        for theme in {"desk": ("dark", "light"), "portrait": ("light",), "small": ("light",)}.get(size, ("dark",)):
            with screen(browser, size, theme) as tab:
                for name in ("trust", "sensors", "sources"):
                    open_view(tab, served, twin, name)
                    tab.page.wait_for_selector(
                        {"sensors": "#sensors td", "sources": "#log td"}.get(name, "#drift form, .refit")
                    )
                    found, (width, height) = sizes(tab), SIZES[size]
                    assert found["wide"] <= width, (name, theme)
                    assert (found["clash"], found["cut"]) == ([], []), (name, theme)
                    assert found["small"] == [], (name, theme)
                    if size == "desk":
                        assert found["tall"] <= height
                    tab.page.screenshot(
                        path=ROOT / "build/screens" / f"health-{name}-{theme}-{size}.png", full_page=True
                    )
                assert tab.errors == []
