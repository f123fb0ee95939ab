"""Gives hostile values to every argument of every public function, and to every option of the command.

    python tests/reliability/hostile_arguments.py [--only NAMES] [--part K/N] [--values K/N]

What is right is a result, or one of our errors: bounded, printable, within SECONDS of the processor and MEGABYTES. For
the command it is an exit status of 0, 1 or 2 without a traceback. Each argument has a process of its own, forked from
one that has imported torch. Everything else is printed.
"""

from __future__ import annotations

import argparse
import collections
import io
import itertools
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES = 20, 4000
"""For one value: of the processor, and of address space above what torch takes."""
FRAMES = 3
MENTIONED = 4
"""Wrong values that are printed for each argument."""


class Rude:
    """An object whose own code raises."""

    ERROR = OSError("no")

    def __repr__(self) -> str:
        raise self.ERROR

    __str__ = __float__ = __int__ = __len__ = __iter__ = __index__ = __bool__ = __repr__


def values(folder: Path) -> dict[str, Any]:
    """Return hostile values by name."""
    import numpy as np

    pipe, empty, binary = folder / "pipe", folder / "empty", folder / "binary"
    if not pipe.exists():
        os.mkfifo(pipe)
        empty.touch()
        binary.write_bytes(bytes(range(256)) * 4)
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    texts = ["", " ", "0", "-1", "1", "2", "0.5", "1e309", "-inf", "nan", "1e99999999", "1/0", "1/3", "0x10", "1_0"]
    texts += ["9" * 5000, "a" * 10000, "a" * 300 + ".mkv", "\0", "a\0b", "\x1b[31mred", "\u2028", "[1", "{{x}}", "%d"]
    texts += ["~nobody", "~nobody/x.mkv", "..", ".", "\udcff", "-", "--", "--opt=--", "a,b,,", ":", "5:1", "None"]
    texts += ["1" * 5000 + ":2", "0:00:99999999999", "http://", "file:///etc/passwd", "\u0661\u0662", "\uff11"]
    numbers = [0, -1, 1, 2, 3, 17, 10**6, 2**31, 2**63, 10**400, -(10**400), 10**5000]
    numbers += [0.0, -0.0, 0.5, 1.5, 1e308, 1e-320, float("inf"), float("-inf"), float("nan")]
    numbers += [Fraction(1, 3), Fraction(10**400, 3), Fraction(3, 10**400), Decimal("1e500"), Decimal("NaN"), 1j]
    numbers += [np.float32(0.5), np.float64("nan"), np.int64(2), np.uint8(1), np.bool_(True), np.array([1, 2])]
    others = [None, True, False, b"bytes", [], (), {}, set(), object(), [None], [1] * 1000, nested, {"a": 1}, int]
    others += [lambda *_: 1, lambda *_: "x", Rude(), [Rude()], (Rude(), 1), range(3), iter([1, 2]), itertools.count()]
    others += [pipe, str(pipe), empty, str(binary), folder, str(folder), Path("\0"), bytearray(3)]
    others += [[(0, 0), ("1e999999", 1)], [(0, 0), (1, float("nan"))], [(0,)], (0, 0, 0, 0), (-1, 0, 0, 0), ("1",) * 4]
    return {f"{n}": value for n, value in enumerate([*texts, *numbers, *others])}


Call = tuple[Callable[..., Any], dict[str, Any], set[str]]
"""A function, good arguments, and those that are not changed."""


def functions(folder: Path) -> dict[str, Call]:
    """Return every public function with good arguments."""
    import vapoursynth as vs

    import vs_slomo
    from vs_slomo import baselines, weights
    from vs_slomo import render as rendering
    from vs_slomo.filters.record import CURVE, MOVING, SLOMO, VIEW
    from vs_slomo.measure import cases, compare, demo, methods
    from vs_slomo.timing.timecodes import Timecodes
    from vs_slomo.training import config

    clip = vs.core.std.BlankClip(width=64, height=64, format=vs.YUV420P8, length=FRAMES)
    film, small = str(folder / "film.mkv"), {"clip": clip}
    codes = Timecodes.constant(FRAMES, Fraction(24))
    common = dict.fromkeys(("multi", "fps_num", "fps_den", "timecodes", "slow_motion", "sc", "sc_threshold"))
    graph = dict.fromkeys(
        ("span", "source", "codec", "progressive", "deinterlace", "multi", "fps_num", "curve", "scale", "model")
    )
    encoded = dict.fromkeys(("codec", "crf", "preset", "options", "tracks", "overwrite", "progress"))
    rendered = {"input": film, "output": str(folder / "out.mkv"), "overwrite": True, "scale": 0.125}
    also = dict.fromkeys(("audio", "subtitles", "audio_track"))
    return {
        "slomo": (vs_slomo.slomo, small | dict.fromkeys(SLOMO), set()),
        "retime": (
            vs_slomo.retime,
            small | {"curve": [(0, 0), (0.1, 0.1)]} | dict.fromkeys((*CURVE, "fps_num", "fps_den", "timecodes")),
            set(),
        ),
        "motion": (vs_slomo.motion, small | dict.fromkeys((*VIEW, *MOVING)), set()),
        "source": (vs_slomo.source, {"path": film, "source": None}, set()),
        "source_timecodes": (vs_slomo.source_timecodes, {"path": film, "source": None}, set()),
        "scan_timecodes": (vs_slomo.scan_timecodes, small, set()),
        "Timecodes.write": (codes.write, {"path": str(folder / "t.txt"), "version": 2}, set()),
        "sample": (baselines.sample, small | common, set()),
        "blend": (baselines.blend, small | common | {"linear": None}, set()),
        "flow": (baselines.flow, small | common | {"occlusion": None}, set()),
        "weights.find": (weights.find, {"model": "bundled"}, set()),
        "weights.read_info": (weights.read_info, {"model": "bundled"}, set()),
        "weights.load": (weights.load, {"model": "bundled"}, set()),
        "weights.convert": (
            weights.convert,
            {"source": "bundled", "target": str(folder / "m.safetensors")}
            | dict.fromkeys(("name", "version", "licence", "scale", "mean", "last_activation", "levels", "fusion")),
            set(),
        ),
        "weights.fetch": (weights.fetch, {"url": "http://127.0.0.1:9/x", "name": None, "sha256": None}, set()),
        "graph": (rendering.graph, {"input": film} | graph, set()),
        "render": (rendering.render, rendered | encoded | also, set()),
        "encode": (
            rendering.encode,
            {"clip": clip, "output": str(folder / "out.mkv"), "overwrite": True} | encoded,
            set(),
        ),
        "compare": (
            compare.compare,
            {"input": film, "output": str(folder / "c.html"), "overwrite": True, "names": ["sample"], "max_size": 64}
            | dict.fromkeys(("span", "source", "pictures", "model", "scale")),
            set(),
        ),
        "find_cases": (
            lambda **given: list(itertools.islice(cases.find_cases(**given), 2)),
            {"folder": str(folder / "films")} | dict.fromkeys(("stride", "cases", "max_size")),
            set(),
        ),
        "methods": (methods.methods, {"names": ["sample"], "sc": True, "model": "bundled", "scale": None}, set()),
        "demo": (
            demo.demo,
            {"output": str(folder / "d.mkv"), "multi": 2, "frames": 2, "width": 64, "height": 64, "overwrite": True}
            | dict.fromkeys(("seed", "scale", "model")),
            set(),
        ),
        "load_config": (config.load_config, {"path": folder / "run.toml"}, set()),
    }


def commands(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return the commands: good tokens, and the options to try with hostile text; "" is the first argument."""
    film, out = str(folder / "film.mkv"), str(folder / "out.mkv")
    options = "--multi --fps --range --start --end --source --codec --curve --dedupe-threshold --model --scale --flow"
    options += " --device --precision --tile --sc-threshold --sc-action --max-gap --borders --num-streams --matrix"
    options += " --colour-range --debug-view --unit --shutter --shutter-angle"
    encoding = "--output --crf --preset --ffmpeg-options --audio --tracks --audio-track"
    return {
        "render": ([film, "-o", out, "-y", "--scale", "1/8"], ["", *options.split(), *encoding.split()]),
        "script": ([film], ["", *options.split()]),
        "demo": (
            ["-o", str(folder / "d.mkv"), "--frames", "2", "--multi", "2"],
            ["--output", "--multi", "--frames", "--model", "--flow", "--device"],
        ),
        "evaluate": (
            [str(folder / "films"), "--methods", "sample", "--cases", "1"],
            ["", "--stride", "--cases", "--max-size", "--output", "--pictures", "--methods", "--model", "--scale"],
        ),
        "compare": (
            [film, "-o", str(folder / "c.html"), "-y", "--methods", "sample", "--max-size", "64"],
            ["", "--output", "--range", "--source", "--max-size", "--pictures", "--methods", "--model", "--scale"],
        ),
        "bench": (
            ["--size", "64x64", "--rounds", "1", "--no-reference", "--no-start"],
            ["--size", "--multi", "--rounds", "--plot", "--largest", "--model", "--scale", "--flow", "--tile"],
        ),
        "train": ([str(folder / "run.toml")], ["", "--pack", "--megabytes"]),
        "weights show": (["bundled"], [""]),
        "weights convert": (
            ["bundled", str(folder / "m.safetensors")],
            ["", "--name", "--version", "--licence", "--scale", "--levels", "--fusion", "--flow"],
        ),
        "weights fetch": (["http://127.0.0.1:9/x"], ["", "--name", "--sha256"]),
        "": ([], [""]),
    }


SLOW = {("demo", "frames"), ("demo", "width"), ("demo", "height"), ("demo", "--frames"), ("bench", "--rounds")}
"""Where a large number is allowed and takes long: those of at most 100 are tried."""
LONG = {("demo", "multi"), ("demo", "--multi"), ("bench", "--multi"), ("render", "--multi"), ("render", "--fps")}
LONG |= {("render", "--shutter"), ("compare", "pictures")}


COSTLY = ("bench", "compare", "demo", "evaluate")
"""Tried last."""


def tried(folder: Path, only: str, part: tuple[int, int]) -> Iterator[tuple[str, str, Any]]:
    """Yield function and argument, and what calls it with a value by its name."""
    found: list[tuple[str, str, Any]] = []
    for name, (call, good, fixed) in functions(folder).items():
        found += [(name, argument, ("call", call, good)) for argument in good.keys() - fixed]
    for name, (tokens, options) in commands(folder).items():
        found += [(f"$ {name}", option, ("command", name.split(), tokens)) for option in options]
    found.sort(key=lambda x: (x[0].removeprefix("$ ") in COSTLY, *x[:2]))
    yield from (x for n, x in enumerate(found) if any(map(x[0].startswith, only.split(","))) and n % part[1] == part[0])


def called(kind: tuple[str, Any, Any], argument: str, value: Any) -> str:
    """Call with a value; return "result", "refused", or what is wrong."""
    from vs_slomo.errors import SlomoError

    how, call, good = kind
    if how == "call":
        given = {name: x for name, x in good.items() if x is not None} | {argument: value}
        try:
            call(**given)
        except SlomoError as error:
            text = str(error)
            if len(text) > 2100 or not text.replace("\n", "").isprintable():
                return f"a message of {len(text)} characters, or that controls the terminal"
            return "refused"
        except BaseException as error:  # noqa: BLE001  # this is what is looked for
            if error.args == Rude.ERROR.args:
                return "result"  # a caller's own code may raise what it likes
            return f"{type(error).__name__}: {str(error)[:100]!r}"
        return "result"
    from vs_slomo.cli import main

    if not isinstance(value, str):
        return "result"
    tokens = [value, *good[1:]] if not argument else [*good, argument, value]
    said, out = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(out):
            status = main([*call, *tokens])
    except SystemExit as error:
        status = error.code
    except BaseException as error:  # noqa: BLE001  # this is what is looked for
        return f"{type(error).__name__}: {str(error)[:100]!r}"
    text = said.getvalue()
    if status not in (0, 1, 2) or "Traceback" in text or "\x1b[31mred" in text or len(text) > 40000:
        return f"status {status}, said {text[-200:]!r} ({len(text)} characters)"
    return "refused" if status else "result"


def watched(kind: Any, argument: str, folder: Path, taken: slice) -> Iterator[tuple[str, str]]:
    """Call in children with every value; yield the value and what came of it. One that harms ends its child."""
    names = [*values(folder)][taken.start :: taken.stop]
    while names:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + (MEGABYTES << 20),) * 2)
            given = values(folder)
            for each in names:
                os.write(write, f"{each}\t".encode())
                before = time.process_time()
                result = called(kind, argument, given[each]).replace("\n", " ").replace("\t", " ")
                seconds = time.process_time() - before
                result = f"took {seconds:.0f} s" if seconds > SECONDS else result
                os.write(write, f"{result.encode('ascii', 'backslashreplace').decode()}\n".encode())
            os._exit(0)
        os.close(write)
        text, clock = b"", time.monotonic()
        while True:
            if not select_ready(read):
                if time.monotonic() - clock > 12 * SECONDS:
                    os.kill(pid, signal.SIGKILL)
                    break
                continue
            data = os.read(read, 65536)
            if not data:
                break
            text, clock = text + data, time.monotonic()
        _, status = os.waitpid(pid, 0)
        os.close(read)
        lines = text.decode().split("\n")
        for line in lines[:-1]:
            each, _, result = line.partition("\t")
            names.remove(each)
            yield each, result
        if status or lines[-1]:
            each = lines[-1].partition("\t")[0]
            if each in names:
                names.remove(each)
                yield each, f"hangs, or died of signal {os.WTERMSIG(status)}"
            elif status:
                return


def select_ready(handle: int) -> bool:
    """Whether there is something to read within a second."""
    import select

    return bool(select.select([handle], [], [], 1)[0])


def prepare(folder: Path) -> None:
    """Write the files that good arguments name."""
    from subprocess import run

    from vs_slomo.video.ffmpeg import ffmpeg

    film = folder / "film.mkv"
    source = ["-f", "lavfi", "-i", f"testsrc2=s=64x64:r=24:d={FRAMES / 24}", "-c:v", "ffv1"]
    run([ffmpeg(), "-v", "error", *source, str(film)], check=True)
    (folder / "films").mkdir()
    (folder / "films" / "film.mkv").write_bytes(film.read_bytes())
    (folder / "run.toml").write_text('data = "none"\nrun = "run"\n')


def main() -> int:
    """Try everything, and print what is wrong and a count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--values", default="0/1")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine, threads wait for each other most of the time
    first, parts = map(int, arguments.part.split("/"))
    taken = slice(*map(int, arguments.values.split("/")))
    import torch

    import vs_slomo.measure.compare
    import vs_slomo.weights.download  # noqa: F401  # imported before the fork
    from vs_slomo.errors import shown

    torch.set_num_threads(1)
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["VS_SLOMO_HOME"] = str(folder / "home")
        prepare(folder)
        os.chdir(folder)
        known = values(folder)
        for function, argument, kind in tried(folder, arguments.only, (first, parts)):
            skipped = (function.removeprefix("$ "), argument) in SLOW | LONG
            print(f"  {function}({argument})", file=sys.stderr, flush=True)  # noqa: T201
            wrong = 0
            for each, result in watched(kind, argument, folder, taken):
                right = result in ("result", "refused") or (skipped and result.startswith(("hangs", "took")))
                counts["refused" if result == "refused" else "result" if right else "wrong"] += 1
                wrong += not right
                if not right and wrong <= MENTIONED:
                    print(f"{function}({argument}={shown(known[each])[:60]}): {result}", flush=True)  # noqa: T201
    print(f"{sum(counts.values())} tried: {dict(counts)}")  # noqa: T201
    return int(bool(counts["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
