"""A headless Chromium for the tests that look at pages; they are skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[object]:
    """Yield Playwright's browser, driving the Chromium that is installed: Playwright's own is not fetched."""
    api = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs Chromium: apt install chromium, or its path in $CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """A page of a file, and what went wrong on it: errors of its scripts, of the console, and of what it loads."""

    def __init__(self, browser, file: Path, **options: object) -> None:
        self.page = browser.new_page(**options)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text))
        self.page.on("requestfailed", lambda request: self.errors.append(request.url[:200]))
        self.page.goto(file.as_uri())

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def style(self, selector: str, name: str) -> str:
        """Return a computed style of the first such element."""
        return self.page.eval_on_selector(selector, f"e => getComputedStyle(e).{name}")
