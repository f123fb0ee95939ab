"""The table of modules in docs/design.md is true: imports point upwards only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vs_slomo"


def table():
    """The rows of the table, each with its names."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", text.partition("## Packages")[2].partition("\n## ")[0], re.MULTILINE)
    return [re.findall(r"`(\w+)`", row) for row in rows]


RANKS = table()
ORDER = [name for row in RANKS for name in row]
WITHOUT_HOST = [name for name in ORDER[: ORDER.index("filters")] if name != "clips"] + ["training"]


def sources(name):
    """A module's file, or a package's files."""
    path = PACKAGE / f"{name}.py"
    return [path] if path.exists() else sorted((PACKAGE / name).glob("**/*.py"))


def imported(path):
    """Every module that a file imports, anywhere in it, from the top of the package: "vs_slomo.warp", "torch"."""
    package = ["vs_slomo", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *filter(None, [node.module])]
            # `from . import warp` names a module, `from .warp import backwarp` what is in one.
            yield from (".".join([*base, alias.name]) for alias in node.names)


def imported_here(name):
    """The modules of the table that a module imports."""
    found = (module.split(".") for path in sources(name) for module in imported(path))
    return {parts[1] for parts in found if parts[0] == "vs_slomo" and len(parts) > 1} & set(ORDER)


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_table_is_complete():
    files = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert files - {"__init__", "__main__"} == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


def test_few_modules_stand_beside_the_packages():
    assert len(list(PACKAGE.glob("[!_]*.py"))) <= 8


def test_imports_are_found():
    """The checks below rest on it."""
    assert {"vs_slomo.errors.WeightsError", "torch"} <= set(imported(PACKAGE / "weights" / "files.py"))
    assert imported_here("engine") >= {"model", "weights"}


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_upwards(name):
    rank = next(i for i, row in enumerate(RANKS) if name in row)
    allowed = {other for row in RANKS[:rank] for other in row}
    assert imported_here(name) - {name} <= allowed


@pytest.mark.parametrize("name", WITHOUT_HOST)
def test_nothing_that_runs_without_the_host_imports_it(name):
    assert not {m.split(".")[0] for path in sources(name) for m in imported(path)} & {"vapoursynth", "vstools"}


def test_it_runs_without_vapoursynth():
    files = [path for name in WITHOUT_HOST for path in sources(name) if "cuda" not in path.parts]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    assert "vs_slomo.weights" in modules
    done = python(f"import sys; sys.modules['vapoursynth'] = None; import {', '.join(modules)}")
    assert done.returncode == 0, done.stderr


def test_importing_the_package_is_light():
    done = python("import sys, vs_slomo; print(*sorted(m.partition('.')[0] for m in sys.modules))")
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"torch", "vapoursynth", "cv2", "numpy", "safetensors"}


def test_importing_what_reads_a_script_does_not_load_torch():
    done = python("import sys, vs_slomo.weights, vs_slomo.cli; print('torch' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_what_the_documents_import_is_there():
    lines = [
        "from vs_slomo import Timecodes, motion, retime, scan_timecodes, slomo, source, source_timecodes",
        "from vs_slomo.weights import ModelInfo, convert, fetch, load, read_info, save",
        "from vs_slomo.render import encode, render",
        "from vs_slomo.metrics import interpolation_error, psnr, ssim",
        "from vs_slomo.baselines import blend, flow, mc, sample",
        "from vs_slomo.errors import ArgumentError, FormatError, RenderError, SlomoError, SourceError, WeightsError",
        "from vs_slomo.cli import main",
    ]
    done = python("\n".join(lines))  # one process: every start costs seconds
    assert done.returncode == 0, done.stderr
