"""The site: it builds without a warning, its references are whole, and it can be read in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import Page, chromium

from vs_slomo.filters.record import SLOMO

pytest.importorskip("sphinx")
pytest.importorskip("furo")
ROOT = Path(__file__).parents[1]
COMMANDS = ("render", "script", "demo", "evaluate", "compare", "bench", "train", "weights fetch")


def build(source: Path, output: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        output.with_suffix(".trees"),
    ]
    done = subprocess.run([*command, source, output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    output = tmp_path_factory.mktemp("site") / "html"
    build(ROOT / "docs", output)
    return output


def text(site: Path, page: str) -> str:
    return (site / f"{page}.html").read_text(encoding="utf-8")


def test_references_have_every_option_and_command(site):
    filters, command = text(site, "filters"), text(site, "command")
    for name in SLOMO:
        assert re.search(rf"<strong>[\w, ]*\b{name}\b[\w, ]*</strong>", filters) or name in ("debug", "range"), name
        assert f'<span class="pre">{name}</span>' in filters
    for name in COMMANDS:
        assert re.search(rf"<h\d>vs-slomo {name}<", command), name
    assert "--fps" in command


def test_nothing_is_left_to_fill_and_every_page_is_there(site):
    pages = {p.relative_to(ROOT / "docs").with_suffix("").as_posix() for p in (ROOT / "docs").glob("**/*.md")}
    for page in pages:
        assert not re.search(r"^<p>@\w+|:::", text(site, page), re.MULTILINE), page
        assert f"{page}.html" in text(site, "index"), page


def test_pictures_are_small_and_there(site):
    found = re.findall(r'src="(_static/gallery/[^"]+)"', text(site, "gallery"))
    assert len(found) >= 10
    assert all((site / name).is_file() for name in found)
    assert sum(p.stat().st_size for p in (ROOT / "docs" / "images").glob("**/*.*")) < 3e6


def test_it_builds_with_pages_that_others_write(tmp_path):
    """Pages may arrive, and some are linked before they are there."""
    for name in ("docs", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    later = tmp_path / "docs" / "cluster.md"
    there = later.exists()
    later.unlink() if there else later.write_text("# A cluster\n\nSee [players](players.md).\n")
    (tmp_path / "docs" / "quite-new.md").write_text("# Quite new\n\nSee [its tests](../tests/test_site.py).\n")
    build(tmp_path / "docs", tmp_path / "html")
    index = text(tmp_path, "html/index")
    assert ("cluster.html" in index) is not there
    assert "quite-new.html" in index


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_pages_in_a_browser(site, scheme, width):
    with chromium() as browser:
        page = Page(browser, site / "gallery.html", viewport={"width": width, "height": 800}, color_scheme=scheme)
        slider = page.page.locator(".slider").first
        assert slider.locator("img").nth(1).evaluate("e => e.naturalWidth") > 300
        slider.locator("input").fill("20")
        assert "80%" in slider.locator(".left").get_attribute("style")
        right = slider.locator(".right")
        wide = right.bounding_box()["width"]
        right.click(position={"x": 0.6 * wide, "y": 50}, force=True)  # the other picture lies over it
        page.page.wait_for_function("Math.abs(document.querySelector('.slider input').value - 60) < 2")  # it follows
        assert page.overflow() <= 0
        assert page.errors == []
