"""The demonstration: a scene of our own, whose frames in between are known, through the filter into a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import vapoursynth as vs

from vs_slomo.clips.frames import read_planes, write_planes
from vs_slomo.filters.baselines import blend
from vs_slomo.filters.slomo import slomo
from vs_slomo.given import file_name, whole_number
from vs_slomo.metrics import psnr
from vs_slomo.outputs import check_output
from vs_slomo.training.scenes import Scene
from vs_slomo.video.render import Progress, encode

SEED = 7
RATE = Fraction(15)
"""Source frames a second."""


@dataclass(frozen=True)
class DemoScore:
    """PSNR in dB against the true frames, mean over the new frames: the filter, and plain blending."""

    slomo: float
    blend: float


def scene_clip(frames: int, step: Fraction, width: int, height: int, seed: int = SEED) -> vs.VideoNode:
    """Return a scene as a clip, YUV420P8 in BT.709: a textured background, shapes that turn, something thin and fast.

    step: time from frame to frame; 1 is from source frame to source frame.
    """
    scene = Scene.random(seed, height, width)
    blank = vs.core.std.BlankClip(None, width, height, vs.RGB24, frames, RATE.numerator, RATE.denominator, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        with torch.inference_mode():
            write_planes(out, range(3), 255 * scene.frame(float(n * step)).unsqueeze(0))
        return out

    drawn = blank.std.ModifyFrame(blank, draw)
    return drawn.resize.Bicubic(format=vs.YUV420P8, matrix=1).std.SetFrameProps(_Transfer=1, _Primaries=1)


def demo(
    output: str | os.PathLike[str],
    *,
    multi: int = 4,
    frames: int = 24,
    width: int = 640,
    height: int = 360,
    seed: int = SEED,
    overwrite: bool = False,
    progress: Progress | None = None,
    **interpolation: Any,
) -> DemoScore:
    """Make a scene of `frames` frames, multiply them, write the video, and return how near the new frames are.

    interpolation: further arguments of `slomo`. Raises ArgumentError, and what `slomo` and `encode` raise.
    """
    multi, frames = whole_number("multi", multi, 2, 1000), whole_number("frames", frames, 2, 100_000)
    width, height = (whole_number(name, value, 32, 4096) for name, value in (("width", width), ("height", height)))
    seed = whole_number("seed", seed, 0, (1 << 31) - 1)
    check_output(file_name("output", output), overwrite=overwrite)
    truth = scene_clip((frames - 1) * multi + 1, Fraction(1, multi), width, height, seed)
    source = truth[::multi].std.AssumeFPS(fpsnum=RATE.numerator, fpsden=RATE.denominator)
    made = slomo(source, multi, **interpolation)[: len(truth)]
    errors: list[tuple[float, float]] = []

    def compare(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        if n % multi:
            got, mixed, true = (read_planes(x, range(3)) / 255 for x in f[1:])
            errors.append((psnr(got, true), psnr(mixed, true)))
        return f[0]

    rgb = [x.resize.Bicubic(format=vs.RGB24) for x in (made, blend(source, multi, sc=False)[: len(truth)], truth)]
    encode(made.std.ModifyFrame([made, *rgb], compare), output, overwrite=overwrite, progress=progress)
    return DemoScore(*np.mean(errors, axis=0))
