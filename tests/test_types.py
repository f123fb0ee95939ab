"""Documented calls and all examples in a user's strict project, by both type checkers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
EXAMPLES = sorted((ROOT / "examples").glob("*.vpy"))
MISTYPED = DATA / "mistyped.py"

pytestmark = [
    pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="no test of behaviour: once, on Python 3.12"),
    pytest.mark.timeout(600),
]


@pytest.fixture(params=["mypy", "basedpyright"])
def checked(request):
    """Return a type checker: from files to its exit status and what it says."""
    pytest.importorskip(request.param)
    own = {"mypy": ["--strict", "--scripts-are-modules"], "basedpyright": ["--pythonpath", sys.executable]}

    def check(*files):
        command = [sys.executable, "-m", request.param, *own[request.param], *map(str, files)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return check


def test_every_documented_call(checked):
    status, said = checked(DATA / "typed.py")
    assert status == 0, said


def test_every_example(checked):
    status, said = checked(*EXAMPLES)
    assert status == 0, said


def test_wrong_calls_are_refused(checked):
    lines = MISTYPED.read_text(encoding="utf-8").splitlines()
    wrong = {n for n, line in enumerate(lines, 1) if re.match(r"(slomo|retime|motion)\(|.*# no such", line)}
    assert len(wrong) > 10
    _, said = checked(MISTYPED)
    found = {int(n) for n in re.findall(r"mistyped\.py:(\d+):.*?error", said)}
    assert found == wrong
