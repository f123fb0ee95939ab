"""The older methods on the timing, the laziness and the formats of `slomo`: what the paper's introduction compares.

    sample   the nearer source frame
    blend    both, mixed by time, in code values or in light
    mc       block matching: the plugin MVTools
    flow     classical optical flow: OpenCV's DIS

Each takes the timing arguments of `filter.slomo` (multi, fps_num and fps_den, timecodes, slow_motion) and its `sc` and
`sc_threshold`. Frames at t = 0 are the source's, bit for bit; the others are made when they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict, Unpack

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import cuts, formats, frames
from vs_slomo.clips.frames import along, following
from vs_slomo.engine.engine import PairCache, dis_flow
from vs_slomo.errors import SlomoError
from vs_slomo.model.superslomo import Flows, Motion, flows_at
from vs_slomo.model.warp import backwarp, resize_field
from vs_slomo.timing.positions import HALF, Factor, Times
from vs_slomo.timing.timecodes import Timecodes

from .light import from_light, to_light
from .options import check_switch
from .slomo import fill, multiplied, picked


class Common(TypedDict, total=False):
    """What all of them can be told besides `multi`, as in `filter.slomo`."""

    fps_num: int | None
    fps_den: int | None
    timecodes: Timecodes | str | os.PathLike[str] | None
    slow_motion: bool
    sc: bool
    sc_threshold: float


def sample(clip: vs.VideoNode, multi: Factor = 2, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, each the nearer source frame (at t = 1/2 the earlier)."""
    return spread(clip, (), lambda *_: None, multi, **common)


def blend(clip: vs.VideoNode, multi: Factor = 2, *, linear: bool = False, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, each a mixture of its neighbours, weighted by time.

    linear: mix light instead of code values, by the frames' `_Transfer` (BT.709 where there is none) and the colour
        rule of `formats.rgb_matrix`. Alpha is mixed as it is.
    """
    clip = formats.check_clip(clip)
    check_switch("linear", linear)
    if not linear:
        return spread(clip, (), mixture, multi, **common)
    return spread(clip, [formats.network_clip(clip, 1, half=False, range_in=None)], mixed_light, multi, **common)


def mc(clip: vs.VideoNode, multi: Factor = 2, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, moved in blocks by MVTools (`mv.FlowInter`).

    MVTools takes GRAY and YUV of 8 to 16 bit: RGB and float become YUV of 16 bit on the way, for the new frames only.
    It knows 256 moments between two frames, and asks for the first frames when the script loads. Alpha is the nearer
    frame's.

    Raises SlomoError where the plugin is not installed.
    """
    if not hasattr(vs.core, "mv"):
        raise SlomoError("mc: needs the plugin MVTools, which is not installed (package: vapoursynth-mvtools)")
    clip = formats.check_clip(clip)
    return spread(clip, partial(compensated, clip), copy_planes, multi, **common)


def flow(clip: vs.VideoNode, multi: Factor = 2, *, occlusion: bool = True, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, moved by DIS flow (Kroeger et al., ECCV 2016).

    The flows at t are the paper's approximation from both directions, and the warps are mixed by time. occlusion: a
    warp counts less where its flow there and back does not return. Without it, both count one half everywhere.
    """
    clip = formats.check_clip(clip)
    check_switch("occlusion", occlusion)
    return spread(clip, [formats.gray_clip(clip)], Classical(occlusion=occlusion), multi, **common)


Maker = Callable[[vs.VideoFrame, int, float, Sequence[vs.VideoFrame]], None]
"""Writes a new frame into a copy of the nearer one, from k, t, and frames k and k + 1 of the clip and of each input."""


def spread(
    clip: vs.VideoNode,
    inputs: Sequence[vs.VideoNode] | Callable[[Times], Sequence[vs.VideoNode]],
    maker: Maker,
    multi: Factor = 2,
    *,
    sc: bool = True,
    sc_threshold: float = cuts.THRESHOLD,
    fps_num: int | None = None,
    fps_den: int | None = None,
    timecodes: Timecodes | str | os.PathLike[str] | None = None,
    slow_motion: bool = False,
) -> vs.VideoNode:
    """Return the originals and what `maker` makes between them; across a cut the nearer frame.

    inputs: further clips, of which the maker sees frames k and k + 1; or, from the times, clips as long as the
    output, of which it sees frame n. Raises ArgumentError and FormatError.
    """
    clip = formats.check_clip(clip)
    check_switch("sc", sc)
    cuts.check_threshold(sc_threshold)
    cut = cuts.detect(clip, sc_threshold) if sc else None

    def made(times: Times) -> vs.VideoNode:
        seen = [clip] if callable(inputs) else [clip, *inputs]
        fed = [along(node, times) for x in seen for node in (x, following(x))]
        fed += inputs(times) if callable(inputs) else ()
        fed += [] if cut is None else [along(cut, times)]

        def new_frame(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
            (k, t), (a, b) = times.at(n), f[:2]
            formats.check_progressive(a)
            formats.check_progressive(b)
            out = frames.new_frame(a if t <= HALF else b)
            if (cut is None or not f[-1].props[cuts.NEXT]) and not frames.identical(a, b):
                with torch.inference_mode():
                    maker(out, k, float(t), f)
            return out

        blank = clip.std.BlankClip(length=times.length, keep=True)
        return picked(fed[0], [blank.std.ModifyFrame(fed, new_frame)], cut, times)

    return multiplied(clip, made, multi, fps_num=fps_num, fps_den=fps_den, timecodes=timecodes, slow_motion=slow_motion)


def mixture(out: vs.VideoFrame, _: int, t: float, f: Sequence[vs.VideoFrame]) -> None:
    """Mix code values."""
    fill(out, f[0], f[1], lambda plane0, plane1, *_: torch.lerp(plane0, plane1, t))


def mixed_light(out: vs.VideoFrame, k: int, t: float, f: Sequence[vs.VideoFrame]) -> None:
    """Mix light: the mixture of code values, and added to it what that makes of a difference, at each plane's size.

    So where both frames are the same nothing changes, and chroma is not resampled.
    """
    a, b, *full = f[:4]
    mixture(out, k, t, f)
    transfer = int(a.props.get("_Transfer", 1))
    matrix = formats.rgb_matrix(a.props, (a.width, a.height))
    rgb0, rgb1 = (frames.read_rgb(frame, matrix) for frame in full)
    mixed = torch.lerp(to_light(rgb0, transfer), to_light(rgb1, transfer), t)
    change = from_light(mixed, transfer) - torch.lerp(rgb0, rgb1, t)
    if a.format.color_family == vs.ColorFamily.YUV:
        change = torch.einsum("yr,brhw->byhw", torch.linalg.inv(matrix), change)
    for planes, ratio_x, ratio_y in frames.plane_groups(a.format):
        plane0, plane1 = frames.read_planes(a, planes), frames.read_planes(b, planes)
        height, width = plane0.shape[-2:]
        added = resize_field(change[:, list(planes)], ratio_x, ratio_y)[..., :height, :width]
        steps = torch.tensor([code_steps(a, p) for p in planes]).view(1, -1, 1, 1)
        frames.write_planes(out, planes, torch.lerp(plane0, plane1, t) + added * steps)


def code_steps(frame: vs.VideoFrame, plane: int) -> float:
    """Return by how much a plane's numbers grow from 0 to 1 (of chroma: from -1/2 to 1/2)."""
    if frame.format.sample_type == vs.SampleType.FLOAT:
        return 1.0
    bits: int = frame.format.bits_per_sample
    rgb = frame.format.color_family == vs.ColorFamily.RGB
    if frame.props.get("_Range", int(rgb)):
        return 2.0**bits - 1
    return (224 if plane and not rgb else 219) * 2.0 ** (bits - 8)


BLOCK = 8
"""MVTools' block size, overlapped by half: with the motion at a quarter pixel, the best on real footage of those tried
(docs/evaluation.md)."""
QUARTER_PIXEL = 1920 * 1088
"""Pixels up to which motion is sought at a quarter pixel, above at a half: a super clip holds 16 pictures, or 4."""
SMALLEST = 64
"""What is smaller is padded: at 32x32, MVTools 29 takes down the process."""
MOMENTS = 256
"""MVTools' own resolution of t."""


def compensated(clip: vs.VideoNode, times: Times) -> list[vs.VideoNode]:
    """Return MVTools' frame for each output frame, as a clip of the output's length and the clip's format."""
    x = compensable(clip)
    sup = x.mv.Super(pel=4 if x.width * x.height <= QUARTER_PIXEL else 2)
    vectors = [sup.mv.Analyse(isb=backward, blksize=BLOCK, overlap=BLOCK // 2) for backward in (True, False)]
    cycle, period = times.period
    places = [(k, min(max(round(t * MOMENTS), 1), MOMENTS - 1)) for k, t in map(times.at, range(period))]
    order = {moment: i for i, moment in enumerate(sorted({moment for _, moment in places}))}
    # It cuts off behind the 256th: half a step keeps away from the edge.
    inter = [x.mv.FlowInter(sup, *vectors, time=100 * (moment + 0.5) / MOMENTS) for moment in order]
    choices = vs.core.std.Interleave(inter, modify_duration=False)
    taken = [k * len(order) + order[moment] for k, moment in places]
    out = frames.select(choices, cycle * len(order), taken, times.length)
    if x is not clip:
        matrix = {"matrix_in": vs.MATRIX_BT709} if clip.format.color_family == vs.ColorFamily.RGB else {}
        out = out.std.Crop(right=x.width - clip.width, bottom=x.height - clip.height)
        out = out.resize.Bilinear(format=clip.format.id, **matrix)
    return [out]


def compensable(clip: vs.VideoNode) -> vs.VideoNode:
    """Return a clip as MVTools takes it: the same one where it does."""
    f = clip.format
    family = vs.ColorFamily.GRAY if f.color_family == vs.ColorFamily.GRAY else vs.ColorFamily.YUV
    exact = f.sample_type == vs.SampleType.INTEGER and f.color_family != vs.ColorFamily.RGB
    bits = f.bits_per_sample if exact else 16
    subsampling = (f.subsampling_w, f.subsampling_h)
    known = vs.core.query_video_format(
        family, vs.SampleType.INTEGER, bits, *(subsampling if max(subsampling) < 2 else (0, 0))
    )
    # Whole chroma samples.
    width, height = (max(size, SMALLEST) for size in (clip.width, clip.height))
    if known.id == f.id and (width, height) == (clip.width, clip.height):
        return clip
    matrix = {"matrix": vs.MATRIX_BT709} if f.color_family == vs.ColorFamily.RGB else {}
    return formats.bare(clip).resize.Bilinear(
        width, height, format=known.id, src_width=width, src_height=height, **matrix
    )


def copy_planes(out: vs.VideoFrame, _k: int, _t: float, f: Sequence[vs.VideoFrame]) -> None:
    """Take the pictures that another filter made."""
    for p in range(out.format.num_planes):
        np.copyto(np.asarray(out[p]), np.asarray(f[2][p]))


DOUBT = 0.5
"""How much a flow that does not return counts: a logit for each tolerance by which it misses."""
MOST_DOUBT = 3.0


class Classical:
    """DIS flow, found once for each pair."""

    def __init__(self, *, occlusion: bool) -> None:
        self.occlusion = occlusion
        self.cache: PairCache[Tensor] = PairCache()

    def __call__(self, out: vs.VideoFrame, k: int, t: float, f: Sequence[vs.VideoFrame]) -> None:
        """Write the frame at t."""
        flows = self.cache.get((k, k + 1), lambda: both_flows(*f[2:4]))
        if flows is not None:
            motion = classical_motion((flows[:, :2], flows[:, 2:]), t, occlusion=self.occlusion)
            fill(out, f[0], f[1], lambda p0, p1, x, y: motion.resized(x, y).render(p0, p1))


def both_flows(gray0: vs.VideoFrame, gray1: vs.VideoFrame) -> Tensor:
    """Return DIS flow from one frame to the other and back, (1, 4, H, W)."""
    pictures = [np.asarray(frame[0]) for frame in (gray0, gray1)]
    return torch.cat([dis_flow(*pictures), dis_flow(*pictures[::-1])], 1)


def classical_motion(flows: Flows, t: float, *, occlusion: bool) -> Motion:
    """Return what F01 and F10, (1, 2, H, W), make of the frame at t; see `flow`."""
    f01, f10 = flows
    ft0, ft1 = flows_at(flows, t)
    if not occlusion:
        return Motion(ft0, ft1, torch.zeros_like(f01[:, :1]), 0.5)  # at 1/2 a logit of 0 means half each
    logit = backwarp(hidden(f01, f10), ft0) - backwarp(hidden(f10, f01), ft1)
    return Motion(ft0, ft1, DOUBT * logit, t)


def hidden(there: Tensor, back: Tensor) -> Tensor:
    """Return how far a flow misses its start on the way there and back, in tolerances, (1, 1, H, W).

    The tolerance grows with the motion (Sundaram et al., ECCV 2010). A pixel that the other frame does not show has
    nowhere to go, so its flow does not come back.
    """
    returning = backwarp(back, there)
    missed = (there + returning).square().sum(1, keepdim=True)
    moved = (there.square() + returning.square()).sum(1, keepdim=True)
    return (missed / (0.01 * moved + 0.5)).sqrt().clamp(max=MOST_DOUBT)
