"""Every documented call, as a user writes it: type checkers in strict mode accept all of it. It is never run."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import vapoursynth as vs

from vs_slomo import MotionClips, Timecodes, motion, retime, slomo, source, source_timecodes
from vs_slomo.baselines import blend, flow, mc, sample
from vs_slomo.render import render

clip: vs.VideoNode = source("input.mp4")
clip = source(Path("input.mp4"), source="bs")
codes: Timecodes = source_timecodes("input.mp4")

# Factors and rates.
for factor in (2, 2.5, "5/2", Fraction(5, 2)):
    clip = slomo(clip, factor)
clip = slomo(clip, multi=4, slow_motion=True)
clip = slomo(clip, fps_num=60000, fps_den=1001, timecodes=codes)
clip = slomo(clip, fps_num=60, timecodes="codes.txt")

# Words and numbers, in variables too.
scale: float | Literal["auto"] | None
for scale in (None, "auto", 1, 0.5, 0.25):
    clip = slomo(clip, scale=scale)
stage: Literal["unet", "dis", "fast"] = "dis"
clip = slomo(clip, flow=stage, precision="bf16", sc_action="blend", device="cpu", model=Path("own.safetensors"))
clip = slomo(clip, dedupe=True, max_gap=3, borders="auto", debug="flow")
clip = slomo(clip, dedupe=0.02, borders=(0, 8, 0, 8), curved=False, num_streams=2, matrix=1, range=0, tile=512)

# Curves: keyframes in a variable, an easing that is a str, a function, an array, a file.
keyframes = [(0, 0), (2, 1, "smooth"), (3.5, Fraction(3, 2), "hold"), ("4", 2)]
clip = retime(clip, keyframes)
pairs: list[tuple[float, float]] = [(0.0, 0.0), (1.0, 2.0)]
clip = retime(clip, pairs, unit="frames", length=100)
easing: str = "linear"
clip = retime(clip, [(0, 0, easing), (1, 1, easing)], shutter=5, shutter_angle=90)
lists: list[list[float]] = [[0, 0], [1, 2]]
clip = retime(clip, lists, fps_num=25, timecodes=codes)
clip = retime(clip, lambda time: time / 2)
positions: Sequence[float] = [0, 0.5, 1]
clip = retime(clip, positions, unit="frames", flow="unet", scale=0.5, curved=False)
clip = retime(clip, "ramp.txt")

# Flow and masks.
layers: MotionClips = motion(clip, t=0.25, span=8, flow="dis", scale="auto")
clip = layers.forward
forward, backward, visibility, occluded, revealed, view = motion(clip)
all_clips: list[vs.VideoNode] = [forward, backward, visibility, occluded, revealed, view]

# The older methods, and a file from a file.
for method in (sample, blend, mc, flow):
    clip = method(clip, 3, sc=False, fps_num=None)
clip = blend(clip, linear=True)
clip = flow(clip, occlusion=False)
made: Path = render("input.mp4", "output.mp4", multi=2, codec="x265", crf=20, audio="copy", tracks=["audio", "tags"])
