"""The record of options against all that follows from it: signatures, checks, the command's flags, README's table."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs

from vs_slomo.cli.app import app
from vs_slomo.clips import cuts, duplicates
from vs_slomo.engine import tiles
from vs_slomo.errors import ArgumentError
from vs_slomo.filters import record
from vs_slomo.filters.motion import motion
from vs_slomo.filters.record import CURVE, RECORD, SLOMO, VIEW, MovingOptions, check
from vs_slomo.filters.retime import retime
from vs_slomo.filters.slomo import slomo
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.video.render import graph, render

ROOT = Path(__file__).parents[1]
NAMES = {"vs": vs, "Timecodes": Timecodes}
TYPES = {
    name: hint
    for kind in (record.SlomoOptions, record.CurveOptions, record.ViewOptions)
    for name, hint in typing.get_type_hints(kind, localns=NAMES).items()
}


def keywords(function, positional):
    """What a function takes besides its positional arguments and **options."""
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.name not in positional and p.kind is not p.VAR_KEYWORD]


def test_slomo_has_every_option():
    assert [p.name for p in keywords(slomo, ["clip"])] == list(SLOMO)


@pytest.mark.parametrize(
    ("function", "positional", "also"),
    [(slomo, {"clip"}, ()), (retime, {"clip", "curve"}, CURVE), (motion, {"clip"}, VIEW)],
)
def test_signatures(function, positional, also):
    hints = typing.get_type_hints(function)
    given = keywords(function, positional)
    assert {p.name for p in given} >= set(also)
    for parameter in given:
        assert parameter.default == RECORD[parameter.name].default, parameter
        assert type(parameter.default) is type(RECORD[parameter.name].default), parameter
        assert hints[parameter.name] == TYPES[parameter.name], parameter


@pytest.mark.parametrize("function", [retime, motion])
def test_the_shared_options_are_typed(function):
    (options,) = (p for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_KEYWORD)
    assert options.annotation == "Unpack[MovingOptions]"
    assert not MovingOptions.__annotations__.keys() & {p.name for p in keywords(function, ())}


@pytest.mark.parametrize(("function", "names"), [(slomo, SLOMO), (retime, CURVE), (motion, VIEW)])
def test_docstrings_name_every_option(function, names):
    described = [line.split(":")[0] for line in inspect.getdoc(function).splitlines() if ":" in line]
    assert set(names) <= {name.strip() for line in described for name in line.split(",")}


def test_defaults_are_allowed_and_constants_agree():
    assert check(RECORD, {}) | {"multi": 2} == {name: option.default for name, option in RECORD.items()}
    assert record.SC_THRESHOLD == cuts.THRESHOLD
    assert record.MAX_GAP == duplicates.MAX_GAP
    assert record.LEAST_TILE == tiles.SMALLEST


def flags(command):
    return {
        argument.field_info.name: argument.names
        for argument in app[command].assemble_argument_collection()
        if argument.names and argument.names[0].startswith("--")
    }


@pytest.mark.parametrize("command", ["render", "script"])
def test_the_command_has_every_option(command):
    found = flags(command)
    for name, option in (SLOMO | CURVE).items():
        if option.flag is None:
            assert name not in found
        else:
            assert found[name][0] == (option.flag or f"--{name.replace('_', '-')}")
    assert {name for name, option in (SLOMO | CURVE).items() if option.flag is None} == {
        *("fps_num", "fps_den"),  # --fps
        *("timecodes", "sc_clip", "length"),
    }


@pytest.mark.parametrize(
    ("command", "function", "without"),
    [("render", render, ()), ("script", graph, ("preview", "known"))],  # a script is the whole, to go on from
)
def test_the_command_has_every_argument_of_its_function(command, function, without):
    arguments = {p.name for p in keywords(function, ("input", "progress", *without))}
    assert arguments <= flags(command).keys()


def test_readmes_table():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert record.table() in readme, "replace the table by what `python -m vs_slomo.filters.record` prints"


def test_only_the_command_imports_its_library():
    for path in (ROOT / "vs_slomo").glob("**/*.py"):
        if path.parent.name != "cli":
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            names = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
            assert not {name.partition(".")[0] for name in names} & {"cyclopts", "rich", "tqdm"}, path
            assert "from cyclopts" not in path.read_text(encoding="utf-8")


NUMBERS = {
    "fps_num": [np.int64(30)],
    "fps_den": [np.uint8(1)],
    "multi": [np.int32(3), np.float64(2.5)],
    "scale": [np.float32(0.5), np.int64(1)],
    "tile": [np.int64(256)],
    "sc_threshold": [np.float32(0.5), Fraction(1, 3), 0],
    "dedupe": [np.float32(0.02)],
    "max_gap": [np.int8(3)],
    "num_streams": [np.int64(2)],
    "range": [np.int64(1)],
    "shutter": [np.int64(3)],
    "shutter_angle": [np.float32(90), Fraction(45)],
    "t": [np.float32(0.5), Fraction(1, 4)],
    "span": [np.float64(3), 2],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NUMBERS.items() for value in values])
def test_numbers_of_numpy_are_numbers(name, value):
    checked = check([name], {name: value})[name]
    assert checked == value
    assert not isinstance(checked, np.generic)


@pytest.mark.parametrize("value", [True, np.True_, "1", float("nan")])
@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in ("dedupe", "multi")])
def test_truth_and_text_are_no_numbers(name, value):
    with pytest.raises(ArgumentError, match=f"^{name}: got "):
        check([name], {name: value})


def test_numbers_of_numpy_in_calls(seeing_model):
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=3, fpsnum=10, fpsden=1)
    options = {"model": seeing_model, "device": "cpu"}
    assert slomo(clip, np.int64(2), matrix=np.int64(1), borders=tuple(np.zeros(4, int)), **options).num_frames == 6
    assert slomo(clip, fps_num=np.int64(30), fps_den=np.int64(1), **options).num_frames == 9
    made = retime(clip, np.linspace(0, 2, 5, dtype=np.float32), unit="frames", length=np.int64(4), **options)
    assert made.num_frames == 4
    assert motion(clip, t=np.float32(0.25), **options).view.num_frames == 3


CALLS = """
from fractions import Fraction
import numpy as np
import vapoursynth as vs
from vs_slomo import motion, retime, scan_timecodes, slomo, source, source_timecodes
from vs_slomo.render import encode, render

clip = source("input.mp4")
slomo(clip, multi=4)
slomo(clip, 5 / 2, model="SuperSloMo.ckpt")
slomo(clip, "5/2", flow="dis", precision="bf16", scale="auto")
slomo(clip, Fraction(5, 2), scale=0.5, device="cuda:1", tile=512)
slomo(clip, fps_num=60000, fps_den=1001, timecodes=source_timecodes("input.mp4"))
slomo(clip, fps_num=60, timecodes="times.txt")
slomo(clip, timecodes=scan_timecodes(clip))
slomo(clip, sc_action="blend", sc_threshold=0.3, sc_clip=clip)
slomo(clip, 1, dedupe=True)
slomo(clip, 2, dedupe=0.03, max_gap=3)
slomo(clip, borders="auto")
slomo(clip, borders=(0, 132, 0, 132), curved=False, num_streams=2)
slomo(clip, matrix=1, range=0, debug="flow")
given = {"model": "bundled"}
slomo(clip, model=given["model"])
retime(clip, [(0, 0), (2, 2, "smooth"), (6, 3, "smooth"), (8, 4), (10, 6)])
keyframes = [(0, 0), (48, 48, "hold"), (72, 48), (120, 96)]
retime(clip, keyframes, unit="frames")
easing: str = "smooth"
retime(clip, [(0, 0, easing), (4, 1.5)], curved=False, flow="unet")
retime(clip, [(0, 239), (240, -1)], unit="frames")
retime(clip, [(0, "1/24"), (Fraction(1, 2), 3)])
retime(clip, lambda t: t * t / 10)
retime(clip, np.linspace(0, 10, 100), unit="frames", fps_num=60)
retime(clip, [0.0, 0.5, 1.0], unit="frames")
retime(clip, "ramp.txt", shutter=9, shutter_angle=180)
view: vs.VideoNode = motion(clip, t=0.25, flow="dis", sc=False).view
"""
WRONG = """
from vs_slomo import motion, retime, slomo, source

clip = source("input.mp4")
slomo(clip, flow="raft")
slomo(clip, precision="fp8")
slomo(clip, scale="half")
slomo(clip, sc_action="fade")
slomo(clip, debug="cuts")
retime(clip, "ramp.txt", unit="hours")
retime(clip, "ramp.txt", flow="raft")
retime(clip, "ramp.txt", multi=2)
motion(clip, debug="flow")
"""


@pytest.mark.timeout(900)
def test_types_of_documented_calls(tmp_path):
    """In a strict user's project the documented calls check, and each line of WRONG from line 5 on is an error."""
    (tmp_path / "calls.py").write_text(CALLS)
    (tmp_path / "wrong.py").write_text(WRONG)
    settings = "[mypy-vapoursynth.*]\nignore_missing_imports = True\n[mypy-vs_slomo.*]\nignore_errors = True\n"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n{settings}")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", tmp_path / "mypy.ini"]
    command += ["--cache-dir", ROOT / ".mypy_cache" / "calls", tmp_path / "calls.py", tmp_path / "wrong.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    lines = [int(line.split("wrong.py:")[1].split(":")[0]) for line in errors if "wrong.py:" in line]
    assert len(lines) == len(errors), done.stdout + done.stderr
    assert sorted(set(lines)) == list(range(5, WRONG.count("\n") + 1)), done.stdout
