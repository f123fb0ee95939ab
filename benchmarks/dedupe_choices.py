"""What dedupe's threshold and its reading of patterns were chosen by.

python benchmarks/dedupe_choices.py ../shared/data
"""

from __future__ import annotations

import argparse
import math
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import vapoursynth as vs
from dedupe import LOST, SLOWER, noisy

from vs_slomo.clips import cuts
from vs_slomo.clips import duplicates as dedupe
from vs_slomo.clips.select import select
from vs_slomo.timing.positions import Timing

core = vs.core
CLIPS = {
    "val/bee_720p.mp4": 30,
    "val/gopro_walk.mp4": 30,
    "val/sam2_04_coffee.mp4": 30,
    "val/sports2d_demo.mp4": 60,
    "train/bbb_480p24_30s.mp4": 60,
    "train/asl_book.mkv": 20,
    "train/tears_of_steel_70s.webm": 336,
    "train/mdn_toy_pig.mp4": 30,
    "train/london_station_60fps_240p.mp4": 20,
    "train/rooftop_pan_360p.mp4": 20,
    "train/nail_2.ts": 0,
    "train/selfie_1440x1080.mp4": 0,
    "train/sam2_01_dog.mp4": 30,
    "train/bug_bw.mp4": 20,
    "train/friday_bw.mp4": 20,
}
FRAMES = 48
THRESHOLDS = (0.012, 0.014, 0.016, 0.018, 0.02, 0.025, 0.03, 0.04)


def footage(data: Path, name: str) -> vs.VideoNode:
    clip = core.bs.VideoSource(str(data / name), showprogress=False, cachemode=0)[CLIPS[name] :]
    return clip.resize.Bicubic(640, 360, format=vs.YUV420P8, range=0)


def largest(clip: vs.VideoNode) -> np.ndarray:
    """Return the difference that `dedupe.detect` compares with its threshold, of each pair of frames."""
    small = cuts.bare(clip).resize.Bilinear(*dedupe.SIZE, format=vs.GRAYS)
    frames = np.stack([np.asarray(f[0]).copy() for f in small.frames(close=True)])
    (width, height), block = dedupe.SIZE, dedupe.BLOCK
    blocks = np.abs(np.diff(frames, axis=0)).reshape(-1, height // block, block, width // block, block)
    return blocks.mean((2, 4)).max((1, 2))


def coded(clip: vs.VideoNode, crf: int, folder: Path) -> vs.VideoNode:
    path = folder / f"{crf}.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "yuv4mpegpipe", "-i", "-"]
    command += ["-c:v", "libx264", "-preset", "fast", "-crf", str(crf), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        clip.output(encoder.stdin, y4m=True)
        encoder.stdin.close()
    return core.bs.VideoSource(str(path), showprogress=False, cachemode=0)


def off(clip: vs.VideoNode, shown: list[int], times: list[Fraction]) -> tuple[float, float]:
    """Return by how many frames the moments are off that are shown, refilled and as they are.

    shown: the clip's frame in place of frame n, taken at times[n].
    """
    held = select(clip, len(clip), shown, len(shown))
    even = Timing(len(shown), Fraction(1))
    plan = dedupe.plan(even, dedupe.detect(held), cuts.detect(held), dedupe.MAX_GAP)
    found, inner = [], range(8, len(shown) - 8)
    for n in inner:
        with plan.get_frame(n) as frame:
            first, second, t = dedupe.planned(frame.props)
        a, b = times[n + first], times[n + second]
        found.append(abs(float(a + (b - a) * t - n)))
    return float(np.mean(found)), float(np.mean([n - times[n] for n in inner], dtype=float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    core.max_cache_size = 500

    differences: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CLIPS:
            clip = footage(data, name)
            differences.setdefault("no duplicate", []).append(largest(clip[:FRAMES]))
            doubled = select(clip, 20, [n // 2 for n in range(40)], 40)
            kinds = {f"noise of {s}": noisy(doubled, s) for s in (5, 10)}
            kinds |= {f"CRF {c}": coded(doubled, c, Path(folder)) for c in (18, 28, 36)}
            for kind, made in kinds.items():
                differences.setdefault(kind, []).append(largest(made)[::2])
    print(f"share of frames that count as duplicates, by threshold; it is {dedupe.THRESHOLD}")
    print(" " * 14, *(f"{t:7.3f}" for t in THRESHOLDS))
    for kind, found in differences.items():
        together = np.concatenate(found)
        print(f"{kind:14s}", *(f"{(together < t).mean():7.3f}" for t in THRESHOLDS), flush=True)

    print("\nframes that moments are off by, on average: with dedupe, repeated")
    lost = LOST | {"one in seven lost": lambda n: n - (n % 7 == 3), "one in twenty lost": lambda n: n - (n % 20 == 9)}
    sums: dict[str, list[tuple[float, float]]] = {}
    for name in CLIPS:
        clip = footage(data, name)
        for pattern, at in lost.items():
            shown = [at(n) for n in range(FRAMES)]
            sums.setdefault(pattern, []).append(off(clip, shown, [Fraction(s) for s in shown]))
        for pattern, step in SLOWER.items():
            if len(clip) > FRAMES * step.denominator:
                last = [math.floor(n / step) for n in range(FRAMES)]
                found = off(clip, [step.numerator * i for i in last], [step * i for i in last])
                sums.setdefault(pattern, []).append(found)
    for pattern, found in sums.items():
        made, held = np.mean(found, axis=0)
        print(f"{pattern:24s} {made:.3f}  {held:.3f}  ({len(found)} clips)")


if __name__ == "__main__":
    main()
