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
    """The modules in the order of the table, each row from left to right."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", text.partition("## Modules")[2].partition("\n## ")[0], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)(?:\.py|/)`", row)]


ORDER = table()
ABOVE_FORMATS = ORDER[: ORDER.index("formats")]


def there(name):
    return (PACKAGE / f"{name}.py").exists() or (PACKAGE / name / "__init__.py").exists()


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
    assert files - set(ORDER) <= {"__init__", "__main__"}
    assert len(ORDER) == len(set(ORDER))


def test_imports_are_found():
    """The checks below rest on it."""
    assert {"vs_slomo.errors.WeightsError", "vs_slomo.model.SuperSloMo", "torch"} <= set(
        imported(PACKAGE / "weights.py")
    )
    assert imported_here("model") == {"fusion", "unet", "warp"}


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_upwards(name):
    allowed = {*ORDER[: ORDER.index(name)], name}
    assert imported_here(name) <= allowed


@pytest.mark.parametrize("name", ABOVE_FORMATS)
def test_nothing_above_formats_imports_vapoursynth(name):
    assert not {m.split(".")[0] for path in sources(name) for m in imported(path)} & {"vapoursynth", "vstools"}


def test_what_is_above_formats_runs_without_vapoursynth():
    modules = [f"vs_slomo.{name}" for name in ABOVE_FORMATS if there(name)]
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
