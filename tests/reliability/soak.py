"""Makes many frames in one process, and prints its resident memory on the way.

    python tests/reliability/soak.py --frames 20000 [--every 2000] [--size 64x64] [--multi 8] [--model FILE]

What is right: from the first tenth on, memory grows by at most GROWTH megabytes.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import sys
import time
from pathlib import Path

GROWTH = 200


def resident() -> float:
    """Return this process's resident memory in megabytes."""
    found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1000 if found else 0.0


class Mallinfo(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def allocated() -> tuple[float, float, float]:
    """Return megabytes that glibc has given out, keeps free, and has mapped by themselves."""
    function = ctypes.CDLL(None).mallinfo2
    function.restype = Mallinfo
    info = function()
    return info.uordblks / 1e6, info.fordblks / 1e6, info.hblkhd / 1e6


def moving(width: int, height: int, length: int):  # the host is imported late
    """Return a clip of a texture that moves by other steps in every frame."""
    import numpy as np
    import vapoursynth as vs

    rng = np.random.default_rng(1)
    texture = rng.integers(0, 255, (4 * height, 4 * width)).astype(np.uint8)
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.YUV420P8, length=length, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        y, x = (3 * n) % (3 * height), (5 * n) % (3 * width)
        np.copyto(np.asarray(out[0]), texture[y : y + height, x : x + width])
        return out

    return blank.std.ModifyFrame(blank, draw).std.BoxBlur(hradius=2, vradius=2)


def main() -> int:
    """Make the frames."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--every", type=int, default=2000)
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--multi", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--model", default="bundled")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine, threads wait for each other most of the time
    import vapoursynth as vs

    from vs_slomo import slomo

    width, height = map(int, arguments.size.split("x"))
    core = vs.core
    if arguments.threads:
        core.num_threads = arguments.threads
    source = moving(width, height, -(-arguments.frames // arguments.multi))
    clip = slomo(source, arguments.multi, model=arguments.model)[: arguments.frames]
    seen, began = [], time.monotonic()
    for n, frame in enumerate(clip.frames(close=True), 1):
        frame.format  # noqa: B018
        if n % arguments.every == 0 or n == arguments.frames:
            seen.append(resident())
            used, free, mapped = allocated()
            cached = getattr(core, "used_cache_size", 0) / 1e6
            print(  # noqa: T201
                f"{n:6} frames {time.monotonic() - began:6.0f} s  {seen[-1]:7.0f} MB resident; given out {used:.0f}, "
                f"free {free:.0f}, mapped {mapped:.0f}, the host's frames {cached:.0f}",
                flush=True,
            )
    grown = max(seen[1:], default=seen[0]) - seen[0]
    print(f"grown by {grown:.0f} MB after the first {arguments.every} frames")  # noqa: T201
    return int(grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
