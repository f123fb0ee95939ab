"""The demonstration: a scene whose true frames are known, slowed down by the filter, beside its source in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import vapoursynth as vs

from vs_slomo.clips.frames import read_planes
from vs_slomo.filters.baselines import blend
from vs_slomo.filters.slomo import slomo
from vs_slomo.given import file_name, whole_number
from vs_slomo.metrics import psnr
from vs_slomo.outputs import check_output
from vs_slomo.video.render import Progress, encode

from .landscape import Landscape

RATE = Fraction(15)
"""Source frames a second of `scene_clip`."""
SHOWN_RATE = Fraction(30)
"""Frames a second of the demonstration."""


@dataclass(frozen=True)
class DemoScore:
    """PSNR in dB against the true frames, mean over the new frames: the filter, and plain blending."""

    slomo: float
    blend: float


def scene_clip(frames: int, step: Fraction, width: int, height: int) -> vs.VideoNode:
    """Return the scene as a clip, YUV420P8 in BT.709. step: time from frame to frame; 1 is a source frame's."""
    scene = Landscape(width, height)
    blank = vs.core.std.BlankClip(None, width, height, vs.RGB24, frames, RATE.numerator, RATE.denominator, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out, picture = f.copy(), scene.frame(float(n * step))
        for p in range(3):
            np.copyto(np.asarray(out[p]), picture[..., p])
        return out

    drawn = blank.std.ModifyFrame(blank, draw)
    return drawn.resize.Bicubic(format=vs.YUV420P8, matrix=1).std.SetFrameProps(_Transfer=1, _Primaries=1)


def titled(clip: vs.VideoNode, text: str) -> vs.VideoNode:
    """Return an RGB24 clip with a line of text at its foot."""
    size, face = max(0.0017 * clip.height, 0.2), cv2.FONT_HERSHEY_SIMPLEX
    (width, height), below = cv2.getTextSize(text, face, size, 1)
    left, foot = round(0.03 * clip.height), round(0.95 * clip.height)
    mask, shade = np.zeros((clip.height, clip.width), np.uint8), np.ones((clip.height, clip.width), np.float32)
    cv2.rectangle(shade, (left - below, foot - height - below), (left + width + below, foot + below), 0.3, -1)
    cv2.putText(mask, text, (left, foot), face, size, 255, 1, cv2.LINE_AA)

    def write(n: int, f: vs.VideoFrame) -> vs.VideoFrame:  # noqa: ARG001  # the host's names
        out = f.copy()
        for p in range(3):
            plane = np.asarray(out[p])
            np.copyto(plane, np.maximum(plane * shade, mask).astype(np.uint8))
        return out

    return clip.std.ModifyFrame(clip, write)


def demo(
    output: str | os.PathLike[str],
    *,
    multi: int = 8,
    frames: int = 38,
    width: int = 640,
    height: int = 360,
    overwrite: bool = False,
    progress: Progress | None = None,
    **interpolation: Any,
) -> DemoScore:
    """Slow a scene of `frames` frames down, write source and result side by side, and measure the new frames.

    The source is shown as a player slows it down: each frame `multi` times. The true frames are known.

    width, height: of either half. interpolation: further arguments of `slomo`. Raises ArgumentError, and what `slomo`
    and `encode` raise.
    """
    multi = whole_number("multi", multi, 2, 1000, "an integer from 2 to 1000")
    frames = whole_number("frames", frames, 2, 100_000, "an integer from 2 to 100000")
    width, height = (whole_number(name, value, 32, 4096) for name, value in (("width", width), ("height", height)))
    check_output(file_name("output", output), overwrite=overwrite)
    truth = scene_clip((frames - 1) * multi + 1, Fraction(1, multi), width, height)
    truth = truth.std.AssumeFPS(fpsnum=SHOWN_RATE.numerator, fpsden=SHOWN_RATE.denominator)
    source = truth[::multi].std.AssumeFPS(fpsnum=SHOWN_RATE.numerator, fpsden=SHOWN_RATE.denominator)
    made = slomo(source, multi, slow_motion=True, **interpolation)[: len(truth)]
    mixed = blend(source, multi, slow_motion=True, sc=False)[: len(truth)]
    repeated = vs.core.std.Interleave([source] * multi).std.AssumeFPS(source)[: len(truth)]
    errors: list[tuple[float, float]] = []

    def compare(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        if n % multi:
            got, other, true = (read_planes(x, range(3)) / 255 for x in f[1:])
            errors.append((psnr(got, true), psnr(other, true)))
        return f[0]

    held, *rgb = (x.resize.Bicubic(format=vs.RGB24) for x in (repeated, made, mixed, truth))
    halves = titled(held, "source, slowed down"), titled(rgb[0], f"vs_slomo, {multi} times the frames")
    both = vs.core.std.StackHorizontal(halves).std.ModifyFrame([vs.core.std.StackHorizontal(halves), *rgb], compare)
    encode(both.resize.Bicubic(format=vs.YUV420P8, matrix=1), output, overwrite=overwrite, progress=progress)
    return DemoScore(*np.mean(errors, axis=0))
