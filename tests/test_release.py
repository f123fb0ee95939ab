"""The release script: what it refuses, and what it writes for vsrepo."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)
ABOUT = release.project(ROOT)


def git(folder, *arguments):
    who = ("-c", "user.name=x", "-c", "user.email=x@y")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """A repository that can be released."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    log = f"# Changelog\n\n## [Unreleased]\n\n## [{ABOUT['version']}] - 2026-11-27\n\n### Added\n\n- It.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "x")
    git(tmp_path, "remote", "add", "origin", ABOUT["urls"]["Source"] + ".git")
    return tmp_path


def test_a_clean_checkout_has_no_problems(checkout):
    assert release.problems(checkout) == []


def test_what_is_in_the_way_is_said(checkout):
    git(checkout, "tag", f"v{ABOUT['version']}")
    git(checkout, "remote", "set-url", "origin", "https://example.org/other.git")
    log = checkout / "CHANGELOG.md"
    log.write_text(
        log.read_text().replace("[Unreleased]\n", "[Unreleased]\n\n### Fixed\n\n- That.\n").replace(" - 2026", "2026")
    )
    found = release.problems(checkout)
    for part in ("not committed", "tagged already", "no heading", "under Unreleased", "origin is https://example.org"):
        assert sum(part in problem for problem in found) == 1, part
    assert len(found) == 5


def test_the_entry_for_vsrepo(tmp_path):
    wheel = tmp_path / "vs_slomo-1.2.3-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    entry = release.vsrepo_entry(ABOUT | {"version": "1.2.3"}, wheel, datetime(2026, 11, 27, 8, 30, tzinfo=UTC))
    assert json.loads(json.dumps(entry)) == entry
    assert entry["type"] == "PyWheel"
    assert entry["modulename"] == "vs_slomo"
    (made,) = entry["releases"]
    assert made["published"] == "2026-11-27T08:30:00Z"
    assert made["wheel"]["url"].endswith(f"/v1.2.3/{wheel.name}")
    assert made["wheel"]["hash"] == hashlib.sha256(b"wheel").hexdigest()


def test_readmes_links_hold_on_an_index():
    text = "![a](docs/images/x.webp) [b](docs/y.md#z) [c](#here) [d](https://example.org/e) [f](LICENSE)"
    made = release.absolute(text, "https://h", "v1")
    assert made.startswith("![a](https://h/raw/v1/docs/images/x.webp) [b](https://h/blob/v1/docs/y.md#z) [c](#here) ")
    assert "[d](https://example.org/e) [f](https://h/blob/v1/LICENSE)" in made
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for link in release.re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", readme):
        assert (ROOT / link).exists(), link


def test_the_projects_page_has_what_an_index_shows():
    assert set(ABOUT["urls"]) >= {"Source", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith("https://") for url in ABOUT["urls"].values())
    assert ABOUT["authors"]
    assert "Environment :: GPU :: NVIDIA CUDA" in ABOUT["classifiers"]


def test_the_projects_address_stands_in_one_place():
    host = ABOUT["urls"]["Source"].rpartition("/")[0]
    found = [path for folder in ("docs", "examples", "vs_slomo", ".ci") for path in (ROOT / folder).rglob("*")]
    texts = [p for p in (*found, *ROOT.glob("*.*")) if p.suffix in (".py", ".md", ".ipynb", ".toml", ".cfg", ".vpy")]
    assert [path.name for path in texts if host in path.read_text(encoding="utf-8")] == ["pyproject.toml"]
