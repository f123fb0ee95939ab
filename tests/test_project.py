"""What the repository promises about itself: code style, types, the two commands, what is in the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
once = pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="no test of behaviour: once, on Python 3.12")


def run(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"


@once
def test_lint():
    run(sys.executable, "-m", "ruff", "check", ".")


@once
def test_format():
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


@once
@pytest.mark.timeout(900)
def test_types():
    run(sys.executable, "-m", "mypy")


@once
def test_spelling():
    pytest.importorskip("codespell_lib")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    run(sys.executable, "-m", "codespell_lib", *listed.stdout.split())


@once
def test_lines_of_markdown_are_short():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    lines = (
        (page, n, line) for page in pages for n, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1)
    )
    assert [f"{page.relative_to(ROOT)}:{n}" for page, n, line in lines if len(line) >= 120] == []


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


def versions() -> list[str]:
    """Return the Python versions that the project says it supports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    return [c.removeprefix(prefix[:-2]) for c in project["classifiers"] if c.startswith(prefix)]


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def ci(tmp_path):
    """Run a copy of `.ci/run` with these Pythons on the PATH; they make an environment of stand-ins."""
    if sys.platform == "win32" or not shutil.which("git"):
        pytest.skip("needs bash and git")
    here, tools = tmp_path / "checkout", tmp_path / "tools"
    (here / ".ci").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(ROOT / ".ci" / "run", here / ".ci" / "run")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=here, check=True)
    script(tools / "python3", "exit 1")  # neither the system's nor pyenv's
    script(tools / "chromium", "exit 1")  # so that none is installed

    def run_ci(pythons: list[str], *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        for version in {*versions()} - {*pythons}:
            script(tools / f"python{version}", "exit 1")  # this machine may have it
        for version in pythons:
            make = (
                f'for x in pip vapoursynth pytest; do printf "#!/bin/sh\\necho $x {version} \\$PWD; exit {status}\\n"'
            )
            make = f"{make} > .venv/bin/$x; chmod +x .venv/bin/$x; done"
            case = f'case "$1" in -c) echo {version};; -m) test ! -e .venv && mkdir -p .venv/bin && {make};; esac'
            script(tools / f"python{version}", case)
        paths = {"PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
        return subprocess.run(
            ["bash", str(here / ".ci" / "run"), *arguments],
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            check=False,
        )

    yield run_ci
    assert not list(tmp_path.glob("vs-slomo-ci.*"))


def test_ci_tests_each_version_in_a_clone_of_its_own(ci):
    done = ci(versions())
    assert done.returncode == 0, done.stderr
    tested = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("pytest")]
    assert sorted(version for version, _ in tested) == versions()
    assert len({place for _, place in tested}) == len(versions())
    assert done.stdout.splitlines()[-1].startswith("pytest 3.12 ")


def test_ci_stops_where_tests_fail(ci):
    done = ci(versions(), status=3)
    assert done.returncode == 3
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["pip", "3.13"]]


def test_ci_says_which_python_is_missing(ci):
    done = ci(["3.12"])
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Python 3.13 is not here, so nothing was tested: install it")
    assert ci(["3.12"], "3.12").returncode == 0


def test_the_changelog_has_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\]( - \d{4}-\d\d-\d\d)?", release) for release in releases[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


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


@once
@pytest.mark.timeout(600)
def test_the_wheel_is_whole_and_runs_outside_the_checkout(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    pytest.importorskip("twine")
    run(sys.executable, "-m", "twine", "check", "--strict", str(wheel))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {"vs_slomo/py.typed", "vs_slomo/models/bundled.safetensors"} <= set(names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"vs_slomo"}
    code = (
        "import sys; sys.path.insert(0, 'site'); import vapoursynth as vs; import vs_slomo; "
        "assert 'site' in vs_slomo.__file__; "
        "clip = vs.core.std.BlankClip(None, 64, 48, vs.GRAY8, length=2); "
        "assert vs_slomo.slomo(clip, 3, device='cpu').get_frame(1).width == 64"
    )
    run(sys.executable, "-I", "-c", code, cwd=tmp_path)


@once
@pytest.mark.timeout(600)
def test_the_sdist_has_all_that_its_tests_need(tmp_path):
    pytest.importorskip("build")
    run(sys.executable, "-m", "build", "--sdist", "-o", str(tmp_path), str(ROOT))
    (sdist,) = tmp_path.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", str(sdist))
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / sdist.name.removesuffix(".tar.gz")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if not listed.returncode:
        assert [name for name in listed.stdout.split("\n") if name and not (folder / name).exists()] == []
    # Collected in a process that finds the unpacked package, not this checkout.
    paths = {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_timing.py", cwd=folder)
