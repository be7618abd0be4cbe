"""Chromium through Playwright, and eyes for screenshots: which pixels have an alarm hue."""

from __future__ import annotations

import base64
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SIZES = {
    "desk": (1920, 1080),
    "laptop": (1440, 900),
    "small": (1366, 768),
    "landscape": (1180, 820),
    "portrait": (820, 1180),
}

ALARM_PIXELS = """async (png) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const data = pen.getImageData(0, 0, image.width, image.height).data, found = [];
  for (let i = 0; i < data.length; i += 4) {
    const r = data[i] / 255, g = data[i + 1] / 255, b = data[i + 2] / 255;
    const top = Math.max(r, g, b), low = Math.min(r, g, b), d = top - low;
    if (d < 0.25 || d / top < 0.4) continue;
    const sixth = top === r ? (g - b) / d : top === g ? 2 + (b - r) / d : 4 + (r - g) / d;
    const hue = (60 * sixth + 360) % 360;
    if (hue < 70 || hue > 285) found.push([(i / 4) % image.width, Math.floor(i / 4 / image.width)]);
  }
  return found;
}"""
"""Pixels that are clearly coloured (not grey, not blue or green): red, orange, yellow, magenta."""


@dataclass
class Screen:
    """A browser tab and what it asked for and complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def alarm_pixels(self) -> list[tuple[int, int]]:
        """Coordinates of the pixels with an alarm hue, as the tab looks now."""
        png = base64.b64encode(self.page.screenshot()).decode()
        blank = self.page.context.new_page()
        try:
            return [(x, y) for x, y in blank.evaluate(ALARM_PIXELS, png)]
        finally:
            blank.close()

    def box(self, selector: str, margin: float = 0.0) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of an element on the screen."""
        found = self.page.locator(selector).first.bounding_box()
        assert found, f"{selector}: expected an element that is drawn"
        x, y, w, h = found["x"], found["y"], found["width"], found["height"]
        return x - margin, y - margin, x + w + margin, y + h + margin

    def text(self, selector: str) -> str:
        """Text of an element of the map (drawings have no inner_text)."""
        return self.page.locator(selector).text_content() or ""

    def wait_seq(self, seq: int) -> None:
        self.page.wait_for_function("seq => Number(document.body.dataset.seq) >= seq", arg=seq, timeout=15_000)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser with a fresh profile; skips, saying so, where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def screen(browser: Browser, size: str = "desk", theme: str = "dark") -> Iterator[Screen]:
    """A tab of one size and theme with its own storage."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    context.add_init_script(f"try {{ localStorage.setItem('plantwin-theme', '{theme}') }} catch {{}}")
    made = Screen(context.new_page())
    made.page.on("request", lambda request: made.asked.append(request.url))
    made.page.on("websocket", lambda socket: made.asked.append(socket.url))
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.page.on(
        "console",
        lambda said: made.errors.append(f"{said.text} {said.location['url']}") if said.type == "error" else None,
    )
    try:
        yield made
    finally:
        context.close()
