"""Several setpoints with one click, as a person meets them: in a real browser before a scripted twin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboard.browser import screen
from tests.dashboard.conftest import Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, expect  # noqa: E402

from tests.dashboard.browser import chromium  # noqa: E402
from tests.dashboard.fake_twin import FakeTwin  # noqa: E402
from tests.dashboard.test_moves import HALF, HOUR, MOVES, one  # noqa: E402
from tests.dashboard.visit import Beat, go, sizes  # noqa: E402

LONG = [{"control": f"setpoint_with_a_long_name_{n}", "from": 1200 * n, "to": 90 * n} for n in range(3, 9)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_three_setpoints_are_accepted_with_one_click(browser: Browser, served: Page, twin: FakeTwin) -> None:
    rec = twin.propose(moves=MOVES)
    with screen(browser) as tab, Beat(twin):
        go(tab, served, twin)
        expect(tab.page.locator("#needs .advice")).to_contain_text("Set 3 setpoints for the next 8 h")
        expect(tab.page.locator("#needs .advice")).to_contain_text("WIP cap of motor_s to 8 parts")
        expect(tab.page.locator("#needs .advice")).to_contain_text("and 1 more")
        go(tab, served, twin, "decide")
        card = tab.page.locator(f'[data-rec="{rec["id"]}"]')
        expect(card.locator(".moves tbody tr")).to_have_count(3)
        expect(card.locator('.moves [data-control="steel_level"]')).to_contain_text("40 parts (-20)")
        expect(card.locator(".main")).to_have_text("Accept and send 3 setpoints")
        card.locator(".main").click()
        expect(tab.page.locator('.toast[data-kind="ok"]')).to_contain_text("3 commands are sent, one after another")
        rec["progress"] = HALF | {"steel_level": one("under way", "received")}
        twin.rec_v += 1
        expect(card.locator(".said")).to_have_text("Accepted: 1 of 3 set, waiting for the plant")
        expect(card.locator('.moves [data-control="cap_s"] .became')).to_contain_text("set, until Mon")
        assert len(twin.decisions) == 1


def test_half_of_it_needs_someone_until_its_lease_ends(browser: Browser, served: Page, twin: FakeTwin) -> None:
    rec = twin.propose(moves=MOVES)
    rec["progress"] = HALF | {"cap_s": one("set", "read back 8", twin.t + HOUR)}
    twin.advance(rec["id"], "accepted", "operator")
    twin.advance(rec["id"], "failed", "gateway", "steel_level: too_soon")
    for theme in ("dark", "light"):
        with screen(browser, theme=theme) as tab:
            go(tab, served, twin)
            row = tab.page.locator("#needs .bad")
            expect(row).to_contain_text(f"Only 1 of 3 setpoints set ({rec['id']})")
            expect(row).to_contain_text("order-up-to level of bar_steel: too_soon: 60 s after the last change")
            assert len(tab.alarm_pixels()) > 50  # a yellow triangle, with a number and words beside it
            go(tab, served, twin, "decide")
            card = tab.page.locator(f'[data-rec="{rec["id"]}"]')
            expect(card.locator('.moves [data-control="wire_level"]')).to_contain_text("not sent")
            expect(card).to_have_attribute("open", "")
    twin.step(2 * 3600)
    with screen(browser) as tab:
        go(tab, served, twin)
        expect(tab.page.locator("#needs")).to_contain_text("Constraint")
        assert tab.page.locator("#needs .bad").count() == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["desk", "small", "portrait"])
def test_many_setpoints_fit(browser: Browser, served: Page, twin: FakeTwin, size: str, theme: str) -> None:
    open_one = twin.propose(moves=[*MOVES[:2], *LONG])
    half = twin.propose(moves=[*MOVES[:2], *LONG])
    states = ["set", "failed", "waiting", "under way"]
    why = "too_soon: 60 s after the last change, 3600 s must pass between changes"
    half["progress"] = {m["control"]: one(states[n % 4], why, twin.t + HOUR) for n, m in enumerate(half["moves"])}
    twin.advance(half["id"], "failed", "gateway", why)
    with screen(browser, size, theme) as tab, Beat(twin):
        for name in ("overview", "decide"):
            go(tab, served, twin, name)
            found = sizes(tab)
            assert (found["clash"], found["cut"], found["small"]) == ([], [], []), name
        for rec in (open_one, half):
            inside(tab.page.locator(f'[data-rec="{rec["id"]}"] .moves'), tab.page.viewport_size["width"])


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_many_setpoints_can_be_read_on_a_telephone(browser: Browser, served: Page, twin: FakeTwin, theme: str) -> None:
    rec = twin.propose(moves=[*MOVES[:2], *LONG])
    with screen(browser, "portrait", theme) as tab, Beat(twin):
        tab.page.set_viewport_size({"width": 420, "height": 900})
        go(tab, served, twin, "decide")
        inside(tab.page.locator(f'[data-rec="{rec["id"]}"] .moves'), 420)
        expect(tab.page.locator(f'[data-rec="{rec["id"]}"] .main')).to_have_text("Accept and send 8 setpoints")


def inside(table: object, width: int) -> None:
    """Every cell of the table lies on the screen, none is cut and none lies on another."""
    cut = table.evaluate(  # type: ignore[attr-defined]
        """(table, width) => {
             const shown = [...table.querySelectorAll("th, td")].filter((c) => c.getClientRects().length);
             const out = (r) => r.right > width - 8 || r.left < 0;
             const cut = (c) => out(c.getBoundingClientRect()) || c.scrollWidth > c.clientWidth + 1;
             return shown.filter(cut).map((c) => c.textContent);
           }""",
        width,
    )
    assert cut == []
