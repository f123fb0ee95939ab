"""What the site tells a newcomer to type: its scripts run, and its commands are understood."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction
from pathlib import Path

import media
import pytest
import vapoursynth as vs

from vs_slomo.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
FILES = ("input.mp4", "film.mkv", "episode.mkv", "ride.mp4", "phone.mp4")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    for name in FILES:
        media.picture(folder / name, seconds=5, rate=Fraction(10))
    return folder


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.stem)
def test_scripts_run(page, footage, monkeypatch):
    monkeypatch.chdir(footage)
    names: dict[str, object] = {}
    exec("from vs_slomo import slomo, source\nclip = source('input.mp4')", names)
    for block in blocks(page, "python"):
        exec(block, names)
        for made in [x for x in names.values() if isinstance(x, vs.VideoNode)]:
            made.get_frame(1).close()
    vs.clear_outputs()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_are_understood(page):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    for line in (x for x in lines if x.startswith("vs-slomo ")):
        tokens = shlex.split(line.partition(" > ")[0], comments=True)[1:]
        tokens = ["decoded" if token in ("URL", "HASH") else token for token in tokens]
        app.parse_args(tokens, exit_on_error=False, print_error=False)
