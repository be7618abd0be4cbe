"""The pages as a person meets them, in a real browser before a scripted twin."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.browser import screen
from tests.dashboard.conftest import ROOT, Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, expect  # noqa: E402

from tests.dashboard.browser import SIZES, chromium  # noqa: E402
from tests.dashboard.fake_twin import FakeTwin, Running  # noqa: E402
from tests.dashboard.visit import FILLED, PATHS, Beat, go, sizes  # noqa: E402


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_normal_is_grey_and_a_fault_is_coloured_only_at_its_station(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    for theme in ("dark", "light"):
        twin.st = [1, 1, 1, 1, 1, 3, 1]
        with screen(browser, theme=theme) as tab, Beat(twin):
            go(tab, served, twin)
            assert tab.alarm_pixels() == [], f"{theme}: a normal plant has no alarm hue"
            twin.st = [1, 1, 5, 1, 1, 3, 1]
            tab.page.wait_for_selector('[data-node="heat"][data-state="down"]')
            places = [tab.box('[data-node="heat"]', 4), tab.box("#down-box", 4), tab.box("#needs .alarm", 4)]
            found = tab.alarm_pixels()
            stray = [(x, y) for x, y in found if not any(a <= x <= c and b <= y <= d for a, b, c, d in places)]
            left, top, right, bottom = places[0]
            assert sum(left <= x <= right and top <= y <= bottom for x, y in found) > 200
            assert stray == [], f"{theme}: colour away from the faulty station, its count and its line"
            # Never colour alone: a word and a number say it too.
            assert "DOWN" in tab.text('[data-node="heat"]')
            assert tab.text('[data-node="heat"] .one') == "1"
            assert "heat is down" in tab.page.locator("#needs").inner_text()


def test_bars_are_as_high_as_their_values(browser: Browser, served: Page, twin: FakeTwin) -> None:
    with screen(browser) as tab:
        go(tab, served, twin)
        for level in (0, 3, 8):
            twin.buf[1] = [level, 8]
            tab.wait_seq(twin.step())
            x, top, right, foot = tab.box('[data-node="hob"] .bar')
            if level:
                _, filled, _, bottom = tab.box('[data-node="hob"] .level')
                assert (bottom - filled) / (foot - top) == pytest.approx(level / 8, abs=0.03)
                assert bottom == pytest.approx(foot, abs=1.5)
            height = float(tab.page.locator('[data-node="hob"] .level').get_attribute("height") or "nan")
            full = float(tab.page.locator('[data-node="hob"] .level').get_attribute("data-full") or "nan")
            assert height / full == pytest.approx(level / 8, abs=1e-3)
            assert f"queue {level} of 8" in tab.text('[data-node="hob"]')
            assert right > x
        share = float(tab.page.locator('[data-kpi="throughput"] .band').get_attribute("x") or "nan") / 300
        assert share == pytest.approx(10.2 / 15, abs=0.01), "the band begins at its lower end on a scale of 0 to 15"


def test_every_value_says_whether_it_is_measured_estimated_stale_or_bad(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    twin.q = [0, 2, 3, 0, 0, 5, 0]
    with screen(browser) as tab, Beat(twin):
        go(tab, served, twin)
        assert "≈ 0 of 8" in tab.text('[data-node="assemble"]')
        assert "stale" in tab.text('[data-node="hob"]')
        expect(tab.page.locator('[data-node="hob"] .hatched')).to_be_visible()
        expect(tab.page.locator('[data-node="cut"] .hatched')).to_be_hidden()
        assert "bad sensor" in tab.text('[data-node="heat"]')
        expect(tab.page.locator('[data-kpi="throughput"] .kpi-mark')).to_have_text("≈ estimated")
        expect(tab.page.locator('[data-kpi="output"] .kpi-mark')).to_have_text("measured")


def test_a_lost_stream_greys_the_page_within_3_s_and_it_recovers_by_itself(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    with screen(browser) as tab:
        go(tab, served, twin)
        begin = time.monotonic()
        tab.page.wait_for_function("document.documentElement.dataset.stale === '1'", timeout=6000)
        assert time.monotonic() - begin < 3.0
        expect(tab.page.locator("#mode")).to_have_text("STALE")
        expect(tab.page.locator("#banner")).to_contain_text("no live connection")
        assert "grayscale(1)" in tab.page.evaluate("getComputedStyle(document.getElementById('page')).filter")
        twin.broken = True
        twin.step()
        time.sleep(0.7)
        expect(tab.page.locator("#mode")).to_have_text("STALE")
        twin.broken = False
        tab.wait_seq(twin.step())
        expect(tab.page.locator("#mode")).to_have_text("LIVE")
        assert tab.page.evaluate("document.documentElement.dataset.stale") == "0"
        expect(tab.page.locator("#banner")).to_be_empty()


def test_a_page_opened_before_a_silent_twin_says_stale_at_once(browser: Browser, served: Page, twin: FakeTwin) -> None:
    time.sleep(3.2)
    with screen(browser) as tab:
        tab.page.goto(served.url)
        tab.page.wait_for_selector("body[data-seq]")
        expect(tab.page.locator("#mode")).to_have_text("STALE")
        assert served.get("/readyz").status_code == 503
        tab.wait_seq(twin.step())
        expect(tab.page.locator("#mode")).to_have_text("LIVE")
        assert served.get("/readyz").status_code == 200


def test_a_hidden_tab_closes_its_stream_and_fills_the_gap_when_shown_again(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    def show(hidden: bool) -> None:
        value = "true" if hidden else "false"
        tab.page.evaluate(f"Object.defineProperty(document, 'hidden', {{get: () => {value}, configurable: true}})")
        tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    with screen(browser) as tab:
        go(tab, served, twin)
        show(hidden=True)
        seen = int(tab.page.evaluate("document.body.dataset.seq"))
        missed = []
        for value in (31.0, 47.0, 23.0):
            twin.kpi["wip"] = [value, value, value]
            missed.append((twin.t + 30_000, value))
            seq = twin.step()
            deadline = time.monotonic() + 10
            while served.get("/api/frame").json()["seq"] < seq and time.monotonic() < deadline:
                time.sleep(0.05)
        assert int(tab.page.evaluate("document.body.dataset.seq")) == seen, "a hidden tab takes nothing"
        assert served.metric("stream_clients") == 0
        show(hidden=False)
        tab.wait_seq(twin.seq)
        for t, value in missed:
            tab.page.wait_for_function(
                HAS_POINT,
                arg=[t, value],
                timeout=5000,
            )


def test_the_map_fits_although_no_frame_comes_after_it(browser: Browser, served: Page, twin: FakeTwin) -> None:
    """The map that was asked for before the page had its size is asked for again at once: a twin that is slow or silent
    sends nothing that would have it drawn anew.
    """
    held: list[Any] = []

    def hold(route: Any) -> None:
        if held or "aspect=1.90" in route.request.url:  # what is asked for before there is a map
            route.continue_()
        else:
            held.append(route)

    with screen(browser, "portrait") as tab:
        tab.page.route("**/api/plant*", hold)
        tab.page.goto(served.url)
        for _ in range(100):
            twin.step()
            tab.page.wait_for_timeout(200)
            if held:
                break
        tab.page.set_viewport_size({"width": 1920, "height": 1080})
        tab.page.wait_for_timeout(200)
        held[0].continue_()
        tab.page.wait_for_selector("#map svg [data-node]")
        tab.page.wait_for_function(MAP_FITS, timeout=5000)


MAP_FITS = """() => {
  const map = document.getElementById("map"), plant = window.plantwin.plant;
  return Math.abs(Math.log(map.clientWidth / map.clientHeight / plant.aspect)) < 0.25;
}"""


def test_two_operators_race_and_the_second_sees_why_not(browser: Browser, served: Page, twin: FakeTwin) -> None:
    rec = twin.propose()
    with screen(browser) as one, screen(browser, "landscape", "light") as two:
        for tab in (one, two):
            go(tab, served, twin, "decide")
            tab.page.wait_for_selector(f'[data-rec="{rec["id"]}"] .main')
        # The second has not seen yet that the first decided: nothing new reaches it before its click.
        two.page.evaluate(HOLD_FRAMES)
        one.page.click(f'[data-rec="{rec["id"]}"] .main')
        expect(one.page.locator('.toast[data-kind="ok"]')).to_contain_text("Accepted")
        two.page.click(f'[data-rec="{rec["id"]}"] .main')
        expect(two.page.locator('.toast[data-kind="bad"]')).to_contain_text(f"{rec['id']} is already accepted")
        assert [d["id"] for d in twin.decisions] == [rec["id"]]
        assert two.errors == [] or all("409" in error for error in two.errors)


def test_accepting_leads_to_a_confirmed_command_on_the_timeline(browser: Browser, served: Page, twin: FakeTwin) -> None:
    with screen(browser) as tab, Beat(twin):
        go(tab, served, twin, "decide")
        expect(tab.page.locator("#nothing")).to_contain_text("Doing nothing is best")
        expect(tab.page.locator("#nothing")).to_contain_text("Last checked Mon")
        rec = twin.propose()
        card = tab.page.locator(f'[data-rec="{rec["id"]}"]')
        expect(card.locator(".sentence")).to_have_text("Raise WIP cap of motor_s from 6 to 8 parts for the next 8 h")
        expect(card.locator("[data-expires]")).to_contain_text("plant time")
        expect(tab.page.locator("#count-decide")).to_have_text("1")
        card.locator(".main").click()
        expect(card.locator('[data-status="accepted"]').last).to_contain_text("operator")
        twin.advance(rec["id"], "sent", "twin")
        twin.advance(rec["id"], "confirmed", "gateway", "read back 8")
        expect(card.locator('li[data-status="confirmed"]')).to_contain_text("the plant read the new value back")
        expect(card.locator('li[data-status="confirmed"]')).to_contain_text("read back 8")
        rec["realised"] = {
            "value": 44.0, "lo": -12.0, "hi": 103.0, "counterfactual": 512.0, "cost": 468.0, "label": "model-based",
        }  # fmt: skip
        twin.advance(rec["id"], "evaluated", "twin")
        expect(card.locator(".realised")).to_contain_text("+44 EUR")
        expect(card.locator(".tag")).to_have_text("model-based")
        expect(tab.page.locator("#count-decide")).to_be_empty()


def test_a_check_of_an_open_proposal_is_not_told_as_doing_nothing(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    twin.advice = {"evaluated": 3, "t": twin.t, "why": "r-41 is open and still pays"}
    with screen(browser) as tab, Beat(twin):
        go(tab, served, twin)
        expect(tab.page.locator("#needs")).to_contain_text("Advice was last checked")
        expect(tab.page.locator("#needs")).not_to_contain_text("Doing nothing is best")
        twin.advice = {"evaluated": 4, "t": twin.t, "why": "doing nothing is best: of 20 candidates, none"}
        expect(tab.page.locator("#needs")).to_contain_text("Doing nothing is best; checked")


def test_a_decision_without_an_answer_is_not_called_undone(browser: Browser, served: Page, twin: FakeTwin) -> None:
    """The twin may have taken it: only the card says."""
    rec = twin.propose()
    with screen(browser) as tab, Beat(twin):
        go(tab, served, twin, "decide")
        body = '{"detail": "the twin may have taken it or not (/decisions: ReadTimeout)"}'
        tab.page.route("**/api/decisions", lambda route: route.fulfill(status=503, body=body))
        tab.page.click(f'[data-rec="{rec["id"]}"] .main')
        said = tab.page.locator('.toast[data-kind="bad"]')
        expect(said).to_contain_text("Not known whether it was done: the twin may have taken it or not")
        expect(said).not_to_contain_text("Not done")


def test_rejecting_takes_two_taps_and_keeps_the_reason(browser: Browser, served: Page, twin: FakeTwin) -> None:
    rec = twin.propose()
    with screen(browser, "portrait", "light") as tab, Beat(twin):
        go(tab, served, twin, "decide")
        card = tab.page.locator(f'[data-rec="{rec["id"]}"]')
        card.locator("summary").click()
        expect(card.locator(".reasons button")).to_have_count(6)
        twin.advice = {"evaluated": 13, "t": twin.t, "why": "checked again"}
        tab.wait_seq(twin.seq + 3)
        expect(card.locator("details.reject")).to_have_attribute("open", "")
        card.get_by_text("Gain too small").click()
        expect(tab.page.locator(f'.past[data-rec="{rec["id"]}"]')).to_contain_text("Rejected: Gain too small")
        assert twin.decisions[0]["reason"] == "gain_too_small"


def test_pause_and_theme_are_one_tap_on_every_page(browser: Browser, served: Page, twin: FakeTwin) -> None:
    with screen(browser) as tab, Beat(twin):
        go(tab, served, twin, "health")
        tab.page.click("#pause")
        expect(tab.page.locator("#autonomy")).to_have_text("paused")
        assert twin.paused
        tab.page.click("#pause")
        expect(tab.page.locator("#autonomy")).to_have_text("approve")
        tab.page.click("#theme")
        expect(tab.page.locator("html")).to_have_attribute("data-mantine-color-scheme", "light")
        tab.page.click("nav >> text=Overview")
        tab.page.wait_for_selector(FILLED["overview"])
        assert tab.page.evaluate("localStorage.getItem('plantwin-theme')") == "light"


def test_a_slow_callback_does_not_age_the_frame(browser: Browser, served: Page, twin: FakeTwin) -> None:
    """Bodies that take four seconds at the twin hold up neither the poll nor the stream of anyone."""
    with screen(browser) as tab:
        go(tab, served, twin)
        twin.slow_s = 4.0
        tab.page.click("nav >> text=Decide")
        ages, seqs, end = [], [], time.monotonic() + 2.5
        while time.monotonic() < end:
            twin.step()
            time.sleep(0.25)
            ages.append(served.metric("frame_age_seconds"))
            seqs.append(int(tab.page.evaluate("Number(document.body.dataset.seq)")))
        assert max(ages) < 1.5
        assert len(set(seqs)) >= 3
        assert tab.page.locator("#decide").count() == 0, "the callback really was slow"
        twin.slow_s = 0.0
        tab.page.wait_for_selector("#decide")


HOLD_FRAMES = """() => {
  window.plantwin.source.close();
  const real = window.fetch;
  window.fetch = (path, options) =>
    String(path).startsWith("/api/frame") ? Promise.reject(new Error("held")) : real(path, options);
}"""
HAS_POINT = """([t, v]) => {
  const series = window.plantwin.trends.wip, i = series.t.indexOf(t);
  return i >= 0 && series.v[i] === v;
}"""


@pytest.mark.parametrize("size", list(SIZES))
def test_every_page_fits_every_screen(browser: Browser, served: Page, twin: FakeTwin, size: str) -> None:
    """No horizontal scrolling, nothing overlaps, targets of at least 44 px, nothing from elsewhere; screenshots."""
    shots = ROOT / "build" / "screens"
    Path(shots).mkdir(parents=True, exist_ok=True)
    done = twin.propose()
    for status, by in (("accepted", "operator"), ("sent", "twin"), ("confirmed", "gateway")):
        twin.advance(done["id"], status, by)
    twin.propose(**{"from": 8, "to": 9})
    with Beat(twin):
        for theme in ("dark", "light"):
            with screen(browser, size, theme) as tab:
                for name in PATHS:
                    go(tab, served, twin, name)
                    found = sizes(tab)
                    width, height = SIZES[size]
                    assert found["wide"] <= width, (name, theme)
                    assert (found["clash"], found["cut"]) == ([], []), (name, theme)
                    assert found["small"] == [], (name, theme)
                    if size == "desk":
                        assert found["tall"] <= height
                    tab.page.screenshot(path=shots / f"{name}-{theme}-{size}.png", full_page=True)
                outside = [url for url in tab.asked if not url.startswith((served.url, "data:", "blob:"))]
                assert outside == []
                assert not any(url.startswith("ws") for url in tab.asked)
                assert tab.errors == []


MISSING = (
    "Ingest does not answer: commands, counts by hand and refits wait. Start plantwin ingest.",
    "The policy did not answer within 5 s (3 times): rule and search go on. Restart plantwin advise.",
)


LONG = (
    "Gateway cell1: the outbox is 61% full: less is confirmed than comes; the oldest goes first. Twin health says.",
    "7 of 190 tags have never been heard (heat/level, wind/out and 5 more): what they would tell is estimated.",
)


@pytest.mark.parametrize("size", ["desk", "laptop"])
def test_what_is_longer_than_a_line_is_whole_and_the_pages_make_room(
    browser: Browser, served: Page, twin: FakeTwin, size: str
) -> None:
    twin.sync = twin.sync | {"missing": [*MISSING, *LONG]}
    with Beat(twin):
        for theme in ("dark", "light"):
            with screen(browser, size, theme) as tab:
                for name in PATHS:
                    go(tab, served, twin, name)
                    text = tab.page.locator(".missing-text")
                    expect(text).to_have_text(" ".join([*MISSING, *LONG]))
                    cut = "e => [e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight, e.clientHeight]"
                    wide, tall, high = text.evaluate(cut)
                    assert (wide, tall) == (0, 0), (name, theme, "nothing is hidden")
                    assert high > 30, "several lines"
                    box = tab.page.locator("#missing").bounding_box()
                    main = tab.page.locator(f".{name}").bounding_box()
                    assert box is not None
                    assert main is not None
                    assert main["y"] >= box["y"] + box["height"], (name, theme, "the page begins below")
                    found, (width, height) = sizes(tab), SIZES[size]
                    assert found["wide"] <= width, (name, theme)
                    assert (found["clash"], found["cut"]) == ([], []), (name, theme)
                    if size == "desk":
                        assert found["tall"] <= height, "the pages that fill the screen still do"
                    tab.page.screenshot(path=ROOT / "build" / "screens" / f"degraded-long-{name}-{theme}-{size}.png")


@pytest.mark.parametrize("size", list(SIZES))
def test_degraded_is_one_line_in_words_that_fits(browser: Browser, served: Page, twin: FakeTwin, size: str) -> None:
    shots = ROOT / "build" / "screens"
    Path(shots).mkdir(parents=True, exist_ok=True)
    with Beat(twin):
        for theme in ("dark", "light"):
            with screen(browser, size, theme) as tab:
                go(tab, served, twin)
                line = tab.page.locator("#missing")
                expect(line).to_be_empty()
                twin.sync = twin.sync | {"missing": list(MISSING)}
                expect(line).to_contain_text(f"Degraded (2): {MISSING[0]}")
                expect(line.locator(".missing-line")).to_have_attribute("title", "\n".join(MISSING))
                for name in PATHS:
                    go(tab, served, twin, name)
                    expect(line).to_contain_text("Restart plantwin advise")
                    found, (width, height) = sizes(tab), SIZES[size]
                    assert found["wide"] <= width, (name, theme)
                    assert (found["clash"], found["cut"]) == ([], []), (name, theme)
                    if size == "desk":
                        assert found["tall"] <= height
                        assert line.bounding_box()["height"] <= 44  # type: ignore[index]
                tab.page.screenshot(path=shots / f"degraded-{theme}-{size}.png")
                twin.sync = twin.sync | {"missing": []}
                expect(line).to_be_empty()


def test_the_dashboard_survives_a_twin_that_comes_back_anew(
    browser: Browser, served: Page, twin: FakeTwin, running: Running
) -> None:
    assert running.twin is twin
    with screen(browser) as tab:
        go(tab, served, twin)
        newest = twin.seq
        twin.seq = 5
        twin.step()
        tab.page.wait_for_function("Number(document.body.dataset.seq) < 10", timeout=5000)
        tab.page.wait_for_selector(FILLED["overview"])
        twin.seq = newest
        tab.wait_seq(twin.step())


def test_one_list_chooses_what_is_forecast_however_many_series_there_are(
    browser: Browser, served: Page, twin: FakeTwin
) -> None:
    many = """() => {
      const fc = window.plantwin.forecast, one = Object.values(fc.series)[0];
      for (let i = 0; i < 14; i++) fc.series[`stock/k${i}`] = one;
    }"""
    with screen(browser) as tab:
        go(tab, served, twin, "decide")
        first = tab.page.locator("#fan-choose option")
        assert first.count() == len(tab.page.evaluate("Object.keys(window.plantwin.forecast.series)"))
        tab.page.evaluate(many)
        tab.page.locator("#fan-choose select").select_option(index=1)
        assert tab.page.locator("#fan-choose option").count() >= 14
        tab.page.locator("#fan-choose select").select_option("stock/k7")
        expect(tab.page.locator("#fan p")).to_contain_text("k7 on hand")
        assert tab.page.locator("#fan-choose select").input_value() == "stock/k7"
        assert tab.errors == []
