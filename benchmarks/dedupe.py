"""Frames duplicated by known patterns, and what refills them: PSNR against the true frames.

    python benchmarks/dedupe.py ../shared/data

The luma at the replaced frames alone: as they are; mixed from the right neighbours at the right moments; and by
`slomo(clip, 1, dedupe=True)`. Then the same footage at twice the rate, all frames: `slomo(clip, 2)` as everybody does
it, and with dedupe. Noise, where it is asked for, is added after duplicating, to each frame its own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs

from vs_slomo import slomo
from vs_slomo.clips.select import select

core = vs.core

LOST: dict[str, Callable[[int], int]] = {
    "every frame doubled": lambda n: n // 2 * 2,
    "every third lost": lambda n: n - (n % 3 == 2),
    "3:2, frames lost": lambda n: n // 5 * 5 + 3 * (n % 5 >= 3),
    "two in eight lost": lambda n: n - (n % 8 in (3, 6)),
}
"""The frame that is shown in place of frame n, of footage whose frames are the true ones."""
SLOWER = {
    "8 in 24": Fraction(3),
    "24 in 30": Fraction(5, 4),
    "25 in 30": Fraction(6, 5),
    "3:2, 24 in 60": Fraction(5, 2),
}
"""Frames from one picture to the next, of footage that has its pictures at a lower rate."""
CLIPS = ("val/bee_720p.mp4", "val/gopro_walk.mp4", "val/sam2_04_coffee.mp4", "val/sports2d_demo.mp4")
FAST = ("train/london_station_60fps_240p.mp4", "train/bbb_480p24_30s.mp4")
START = {"val/sports2d_demo.mp4": 60, "train/bbb_480p24_30s.mp4": 60}
FRAMES, WIDTH = 41, 448


def footage(path: Path, name: str) -> vs.VideoNode:
    clip = core.bs.VideoSource(str(path / name), showprogress=False, cachemode=0)
    height = round(WIDTH * clip.height / clip.width / 2) * 2
    return clip[START.get(name, 0) :].resize.Bicubic(WIDTH, height, format=vs.YUV420P8)


def noisy(clip: vs.VideoNode, sigma: float) -> vs.VideoNode:
    def add(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        plane = np.asarray(out[0])
        noise = np.random.default_rng(n).normal(0, sigma, plane.shape)
        np.copyto(plane, (plane + noise).round().clip(0, 255).astype(np.uint8))
        return out

    return clip.std.ModifyFrame(clip, add) if sigma else clip


def luma(clip: vs.VideoNode) -> np.ndarray:
    return np.stack([np.asarray(f[0]).astype(np.float32) for f in clip.frames(close=True)])


def psnr(a: np.ndarray, b: np.ndarray, chosen: list[int]) -> float:
    return 10 * math.log10(255**2 / max(float(np.mean((a[chosen] - b[chosen]) ** 2)), 1e-9))


def measure(true: vs.VideoNode, shown: vs.VideoNode, times: list[Fraction], sigma: float) -> str:
    """times: when the picture that frame n shows was taken, in frames."""
    given = noisy(shown, sigma)
    truth, held = luma(true), luma(given)
    replaced = [n for n, t in enumerate(times) if t != n and n < len(times) - 6]
    taken = sorted(set(times))
    pictures = held[[times.index(t) for t in taken]]
    mixed = truth.copy()
    for n in replaced:
        i = max(j for j, t in enumerate(taken) if t <= n)
        share = float((n - taken[i]) / (taken[i + 1] - taken[i]))
        mixed[n] = (1 - share) * pictures[i] + share * pictures[i + 1]
    made = luma(slomo(given, 1, dedupe=True, precision="fp32", num_streams=1))
    found = [psnr(x, truth, replaced) for x in (held, mixed, made)]
    return "  ".join(f"{x:6.2f}" for x in found) + f"  +{found[2] - found[0]:5.2f}  +{found[2] - found[1]:5.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--noise", type=float, default=0, help="standard deviation, of 255")
    args = parser.parse_args()
    core.max_cache_size = 500
    print(f"noise {args.noise}; dB: repeated, mixed, dedupe; dedupe over repeated, over mixed")
    for name in CLIPS:
        true = footage(args.data, name)[:FRAMES]
        for pattern, at in LOST.items():
            shown = [at(n) for n in range(FRAMES)]
            clip = select(true, FRAMES, shown, FRAMES)
            line = measure(true, clip, [Fraction(s) for s in shown], args.noise)
            print(f"{Path(name).stem:28s} {pattern:20s} {line}", flush=True)
    for name in FAST:
        fast = footage(args.data, name)
        for pattern, step in SLOWER.items():
            tick, apart = step.denominator, step.numerator
            last = [math.floor(n / step) for n in range(FRAMES)]
            true = select(fast, len(fast), [tick * n for n in range(FRAMES)], FRAMES)
            clip = select(fast, len(fast), [apart * i for i in last], FRAMES)
            line = measure(true, clip, [step * i for i in last], args.noise)
            print(f"{Path(name).stem:28s} {pattern:20s} {line}", flush=True)
    print("dB of all frames at twice the rate: slomo(clip, 2), with dedupe")
    for name in FAST:
        fast = footage(args.data, name)[: 2 * FRAMES]
        for pattern, held in {"12 in 24, doubled": 2, "8 in 24, doubled": 3}.items():
            clip = noisy(select(fast, len(fast), [n // held * held * 2 for n in range(FRAMES)], FRAMES), args.noise)
            frames = list(range(12, 2 * FRAMES - 18))
            truth = luma(fast)
            found = [
                psnr(luma(slomo(clip, 2, dedupe=d, precision="fp32", num_streams=1)), truth, frames)
                for d in (None, True)
            ]
            print(f"{Path(name).stem:28s} {pattern:20s} {found[0]:6.2f}  {found[1]:6.2f}", flush=True)


if __name__ == "__main__":
    main()
