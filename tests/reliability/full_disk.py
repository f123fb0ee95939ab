"""Writes into file systems of many sizes, most of them too small.

    python tests/reliability/full_disk.py --count 161

What is right: a whole file, or one of our errors and no file. The file systems are in memory (tmpfs), which takes root;
else a limit on the size of a file stands in.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from tally import Tally, frames

FRAMES = 12
ENDINGS = {".mkv": "x264", ".mp4": "x264", ".webm": "vp9", ".avi": "mpeg4", ".ts": "x264", ".mov": "prores"}


@contextmanager
def small(size: int) -> Iterator[Path]:
    """Give a folder that holds so many bytes."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={max(size // 4096, 1) * 4096}", "tmpfs", folder],
            check=False, capture_output=True,
        )  # fmt: skip
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            if mounted.returncode:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
            yield Path(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            if not mounted.returncode:
                subprocess.run(["umount", folder], check=True)


def writers() -> dict[str, Callable[[Path], None]]:
    """Return by name what writes a file into a folder; the file is called x and an ending."""
    import numpy as np
    import vapoursynth as vs

    from vs_slomo import weights
    from vs_slomo.outputs import write_text
    from vs_slomo.render import encode
    from vs_slomo.timing.timecodes import Timecodes

    noise = np.random.default_rng(0).integers(0, 255, (FRAMES, 64, 64)).astype(np.uint8)
    blank = vs.core.std.BlankClip(width=64, height=64, format=vs.YUV420P8, length=FRAMES, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), noise[n])
        return out

    clip = blank.std.ModifyFrame(blank, draw)
    codes = Timecodes.lasting([Fraction(1, 24), Fraction(1, 25)] * 3000)
    films = {
        ending: lambda folder, ending=ending, codec=codec: encode(clip, folder / f"x{ending}", codec=codec)
        for ending, codec in ENDINGS.items()
    }
    return films | {
        "numbered pictures": lambda folder: encode(clip, folder / "x%03d.png"),
        "model": lambda folder: weights.convert("bundled", folder / "x.safetensors"),
        "timecodes": lambda folder: codes.write(folder / "x.txt"),
        "text": lambda folder: write_text(folder / "x.csv", "1,2,3\n" * 20000),
    }


def whole(name: str, folder: Path) -> bool:
    """Whether what was written is whole."""
    from vs_slomo import weights

    if name == "numbered pictures":
        return len([*folder.iterdir()]) == FRAMES
    (path,) = folder.iterdir()
    if name == "model":
        return weights.read_info(path).width > 0
    if name == "timecodes":
        return len(path.read_text().splitlines()) == 6002
    if name == "text":
        return path.stat().st_size == 120000
    return frames(path) == FRAMES


def outcome(name: str, write: Callable[[Path], None], size: int) -> str:
    """Return what came of writing into so many bytes."""
    from vs_slomo.errors import SlomoError

    with small(size) as folder:
        try:
            write(folder)
        except (SlomoError, OSError) as error:
            left = [x.name for x in folder.iterdir()]
            return f"left {left} after {error}" if left else "refused"
        return "whole" if whole(name, folder) else "status 0, not whole"


def main() -> int:
    """Try sizes, and print what is wrong and a count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=161)
    arguments = parser.parse_args()
    import logging

    logging.disable()
    os.environ.setdefault("VS_SLOMO_HOME", tempfile.gettempdir())
    tally = Tally("whole", "refused")
    known = writers()
    largest = {"model": 24 << 20, "numbered pictures": 160 << 10, "timecodes": 128 << 10, "text": 256 << 10}
    names = [*known]
    for n in range(arguments.count):
        name = names[n % len(names)]
        step = (n // len(names) + 1) / (arguments.count / len(names))
        size = int(largest.get(name, 160 << 10) * step)
        tally.add(f"{name}, {size} bytes", outcome(name, known[name], size))
    return tally.end("tried")


if __name__ == "__main__":
    sys.exit(main())
