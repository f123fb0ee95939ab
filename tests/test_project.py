"""What the repository promises about itself: code style, types, the two commands, what is in the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(p.stem for p in (ROOT / "vs_slomo").glob("*.py"))


def run(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


def test_lint():
    run(sys.executable, "-m", "ruff", "check", ".")


def test_format():
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


@pytest.mark.timeout(900)
def test_types():
    run(sys.executable, "-m", "mypy")


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [
        c for c in re.findall(r"^python3 -m venv .*$", text, re.MULTILINE) if c.startswith("python3 -m venv .venv &&")
    ]


def test_ci_runs_the_readmes_test_command():
    commands = readme_commands()
    assert len(commands) == 2
    setup, tests = commands
    assert setup.endswith("vs-slomo demo")
    assert tests.endswith("pytest")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [line for line in ci.splitlines() if line.startswith("python3")] == [tests]


def test_no_paths_of_a_machine_and_no_registry():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    forbidden = re.compile("/" + r"work/|/ro" + r"ot/|pypi\." + r"org|files\.python" + "hosted")
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".cfg", ".vpy", ".json", ".txt", ""} and path.is_file():
            found = forbidden.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found, f"{name}: {found[0] if found else ''}"


@pytest.mark.timeout(600)
def test_the_wheel_is_whole_and_runs_outside_the_checkout(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {"vs_slomo/py.typed", "vs_slomo/models/bundled.safetensors"} <= set(names)
    assert not [n for n in names if n.startswith(("tests", "examples", "docs", "benchmarks"))]
    code = (
        "import sys; sys.path.insert(0, 'site'); import vapoursynth as vs; import vs_slomo; "
        "assert 'site' in vs_slomo.__file__; "
        "clip = vs.core.std.BlankClip(None, 64, 48, vs.GRAY8, length=2); "
        "assert vs_slomo.slomo(clip, 3, device='cpu').get_frame(1).width == 64"
    )
    run(sys.executable, "-I", "-c", code, cwd=tmp_path)
