"""A page in a real browser: Chromium without a window, driven by Playwright, with everything that it complains of."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from jobs.images import browser

PATIENCE = 300_000
"""Milliseconds after which a browser that does not answer is given up. No test is about speed."""
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
"""What keeps a Chromium from looking for its maker's hosts."""
DRAWN = """() => [...document.querySelectorAll(".plot")]
.every(plot => plot.querySelector(".main-svg") || plot.closest("details:not([open])"))"""
"""Whether every plot is drawn that is not folded away."""


@dataclass
class Opened:
    """An open page. `complaints`: its console's errors, its exceptions and dialogs, and every request but that for itself."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def too_wide(self) -> list[str]:
        """What reaches over the right edge of the window, if the page can be scrolled sideways."""
        return self.page.evaluate(
            """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.body.querySelectorAll("*")]
            .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest(".scroll, nav, svg"))
            .map(one => `${one.tagName} ${one.className} ${Math.round(one.getBoundingClientRect().right)}`)"""
        ) or (["the page"] if self.page.evaluate("document.documentElement.scrollWidth > innerWidth") else [])

    def colour(self, selector: str, style: str) -> str:
        """A colour of the first such element as it is shown."""
        return self.page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{style}")

    def unfold(self) -> None:
        """Open what is folded, and wait for its plots."""
        self.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        self.page.wait_for_function(DRAWN)

    def shown(self, selector: str) -> list[str]:
        """The texts of such elements that can be seen."""
        return [one.inner_text() for one in self.page.locator(selector).all() if one.is_visible()]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Where there is none the test is skipped; in CI it fails."""
    program = browser()
    if program is None:
        message = "no Chromium on PATH, and none in TRUING_CHROMIUM: `make browser` installs one where it may"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(QUIET), timeout=PATIENCE)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(started: Browser, path: Path, width: int, *, dark: bool = False) -> Iterator[Opened]:
    """A page of a file, when all its plots are drawn but those that are folded away."""
    with started.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    ) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        found = Opened(page)
        page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("request", lambda asked: found.complaints.append(asked.url) if asked.url != path.as_uri() else None)
        page.on("dialog", lambda dialog: (found.complaints.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        page.wait_for_function(DRAWN)
        yield found
