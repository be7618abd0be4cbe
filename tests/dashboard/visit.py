"""How the tests go about the pages: open one, keep the plant going, look whether everything fits."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from playwright.sync_api import expect

from tests.dashboard.browser import Screen
from tests.dashboard.conftest import Page
from tests.dashboard.fake_twin import FakeTwin

PATHS = {"overview": "/", "decide": "/decide", "health": "/health"}
FILLED = {"overview": "#map svg [data-node]", "decide": "#fan svg", "health": "#tab-trust[data-level]"}


class Beat:
    """Steps the script twice a second while a test looks at the screen: the plant goes on."""

    def __init__(self, twin: FakeTwin) -> None:
        self.twin = twin
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.stopped.wait(0.4):
            self.twin.step(10)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()


def go(tab: Screen, served: Page, twin: FakeTwin, name: str = "overview") -> None:
    """Open a page and wait until it shows the newest frame and its own content."""
    if tab.page.url.startswith(served.url):
        tab.page.click(f'nav a[href="{PATHS[name]}"]')
    else:
        tab.page.goto(served.url + PATHS[name])
    tab.page.wait_for_selector(FILLED[name], timeout=20_000)
    tab.wait_seq(twin.step())
    expect(tab.page.locator("#mode")).to_have_text("LIVE")


SIZE_CHECK = """() => {
  const clash = [], small = [], cut = [];
  const shown = (what) => [...document.querySelectorAll(what)].filter((e) => e.getClientRects().length);
  const apart = (a, b) =>
    a.left >= b.right - 1 || b.left >= a.right - 1 || a.top >= b.bottom - 1 || b.top >= a.bottom - 1;
  const pairs = (things) => things.forEach((a, i) => things.slice(i + 1).forEach((b) => {
    if (a.contains(b) || b.contains(a) || apart(a.getBoundingClientRect(), b.getBoundingClientRect())) return;
    clash.push([a.className, b.className]);
  }));
  const header = document.querySelector(".mantine-AppShell-header").getBoundingClientRect();
  const items = [...document.querySelector(".header").children];
  pairs(shown(".panel"));
  pairs(items);
  pairs([...document.querySelectorAll(".status")]);
  for (const item of items) {
    const r = item.getBoundingClientRect();
    if (r.bottom > header.bottom + 1 || r.top < header.top - 1 || r.right > innerWidth + 1) cut.push(item.className);
  }
  for (const panel of shown(".panel")) {
    const r = panel.getBoundingClientRect();
    if (r.height < 70) cut.push([panel.className, r.height]);
  }
  for (const target of document.querySelectorAll("button, a, summary, input, select")) {
    const r = target.getBoundingClientRect();
    if (r.width && (r.height < 43.5 || r.width < 43.5)) small.push([target.textContent, r.width, r.height]);
    if (r.right > innerWidth + 1) cut.push(target.textContent);
  }
  return {wide: document.documentElement.scrollWidth, tall: document.documentElement.scrollHeight, clash, small, cut};
}"""


def sizes(tab: Screen) -> dict[str, Any]:
    """What `SIZE_CHECK` finds once every panel has what it shows: one that still waits for its figures is low, so up to
    five seconds are allowed until nothing is cut or lies on another.
    """
    end = time.monotonic() + 5.0
    while True:
        found: dict[str, Any] = tab.page.evaluate(SIZE_CHECK)
        if not (found["cut"] or found["clash"]) or time.monotonic() > end:
            return found
        time.sleep(0.1)
