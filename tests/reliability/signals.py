"""Sends signals to renders at random moments, from the start of the command to its end.

    python tests/reliability/signals.py --count 100 [--first N]

What is right: the process ends soon, by the signal itself (in Python's own start, by its KeyboardInterrupt), and leaves
no file; or it had ended before with status 0 and a whole file.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tally import Tally, frames

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 120
FRAMES = 40

HEEDING = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
START = f"{HEEDING}; from vs_slomo.cli import main; sys.exit(main(sys.argv[1:]))"
"""What a shell's background job starts ignores Ctrl-C, and whatever that starts."""


def film(folder: Path) -> Path:
    """Write a short film."""
    from vs_slomo.video.ffmpeg import ffmpeg

    path = folder / "film.mkv"
    source = ["-f", "lavfi", "-i", f"testsrc2=s=64x64:r=25:d={FRAMES / 25}", "-f", "lavfi", "-i", "sine=d=1.6"]
    subprocess.run([ffmpeg(), "-v", "error", *source, "-c:v", "ffv1", str(path)], check=True)
    return path


def render(path: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the command."""
    command = [sys.executable, "-c", START, "render", str(path), "-o", str(out / "x.mkv"), "--multi", "4"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0)


def outcome(path: Path, number: int, delay: float) -> str:
    """Return what came of a signal after so many seconds: "ended by it", "had ended", or what is wrong."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        with render(path, out) as process:
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
            try:
                said = process.communicate(timeout=PATIENCE)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                return f"still runs after {PATIENCE} s"
        left = [x.name for x in out.iterdir()]
        status = process.returncode
        if status == 0:
            return "had ended" if left == ["x.mkv"] else f"status 0, left {left}"
        if left == ["x.mkv"] and status == -number and frames(out / "x.mkv") == 4 * FRAMES:
            return "had ended"  # the command had, and Python was about to
        if left:
            return f"status {status}, left {left}"
        if status == -number:
            return "ended by it"
        if number == signal.SIGINT and b"KeyboardInterrupt" in said and b"vs_slomo/video" not in said:
            return "ended in Python's start"
        return f"status {status}: {said[-300:]!r}"


def tried(first: int, count: int) -> Iterator[tuple[int, str, float, str]]:
    """Yield number, signal, delay and outcome."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = film(folder)
        began = time.monotonic()
        (out := folder / "out").mkdir()
        with render(path, out) as process:
            process.communicate()
        whole = time.monotonic() - began
        for n in range(first, first + count):
            chance = random.Random(n)
            number, delay = chance.choice(SIGNALS), chance.uniform(0.05, 1) * whole
            yield n, signal.Signals(number).name, delay, outcome(path, number, delay)


def main() -> int:
    """Send signals, and print what is wrong and a count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine, threads wait for each other most of the time
    os.environ.setdefault("VS_SLOMO_HOME", tempfile.gettempdir())
    tally = Tally("ended by it", "had ended", "ended in Python's start")
    for n, name, delay, result in tried(arguments.first, arguments.count):
        tally.add(f"{n} ({name} after {delay:.2f} s)", result, say=n % 10 == 9)
    return tally.end("signals")


if __name__ == "__main__":
    sys.exit(main())
