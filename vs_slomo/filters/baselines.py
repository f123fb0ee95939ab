"""The older methods that the paper's introduction compares, with the timing and the formats of `slomo`.

    sample   the nearer source frame
    blend    both, mixed by time, in code values or in light
    mc       block matching: the plugin MVTools
    flow     classical optical flow: OpenCV's DIS

Each takes the timing arguments of `slomo` (multi, fps_num and fps_den, timecodes, slow_motion) and its `sc` and
`sc_threshold`. Frames at t = 0 are the source's, bit for bit; the others are made when they are requested.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypedDict, Unpack

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import cuts, formats, frames
from vs_slomo.clips.select import LONGEST, Pattern, per_output_frame, select, shifted
from vs_slomo.clips.thumbnails import bare
from vs_slomo.engine.cache import ByteCache
from vs_slomo.engine.settings import PAIR_BYTES
from vs_slomo.errors import SlomoError
from vs_slomo.model.dis import classical_motion, dis_flow
from vs_slomo.model.warp import resize_field
from vs_slomo.timing.positions import HALF, Factor, Times
from vs_slomo.timing.timecodes import Timecodes

from .inputs import Inputs, SourceInputs
from .light import from_light, to_light
from .options import check_switch
from .slomo import fill, multiplied, picked


class Common(TypedDict, total=False):
    """The options that all of them take besides `multi`, as in `slomo`."""

    fps_num: int | None
    fps_den: int | None
    timecodes: Timecodes | str | os.PathLike[str] | None
    slow_motion: bool
    sc: bool
    sc_threshold: float


def sample(clip: vs.VideoNode, multi: Factor = 2, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, each the nearer source frame (at t = 1/2 the earlier)."""
    return interpolated(SourceInputs(native=formats.check_clip(clip)), lambda *_: None, multi, **common)


def blend(clip: vs.VideoNode, multi: Factor = 2, *, linear: bool = False, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, each a mean of its neighbours, weighted by time.

    linear: mix light instead of code values, by the frames' `_Transfer` (BT.709 where there is none) and the matrix of
        `formats.rgb_matrix`. Alpha is always mixed as code values.
    """
    clip = formats.check_clip(clip)
    check_switch("linear", linear)
    if not linear:
        return interpolated(SourceInputs(native=clip), mix_codes, multi, **common)
    seen = formats.network_clip(clip, 1, half=False, range_in=None)
    return interpolated(SourceInputs(native=clip, network=seen), mix_light, multi, **common)


def mc(clip: vs.VideoNode, multi: Factor = 2, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, moved in blocks by MVTools (`mv.FlowInter`).

    MVTools takes GRAY and YUV of 8 to 16 bit: for the new frames, RGB and float become YUV of 16 bit and come back. It
    knows 256 moments between two frames, and requests the first frames when the script loads. Alpha is the nearer
    frame's.

    Raises SlomoError where the plugin is not installed.
    """
    if not hasattr(vs.core, "mv"):
        raise SlomoError("mc: needs the plugin MVTools, which is not installed (package: vapoursynth-mvtools)")
    clip = formats.check_clip(clip)
    return interpolated(SourceInputs(native=clip), copy_planes, multi, made_by=partial(compensated, clip), **common)


def flow(clip: vs.VideoNode, multi: Factor = 2, *, occlusion: bool = True, **common: Unpack[Common]) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, moved by DIS flow (Kroeger et al., ECCV 2016).

    The flows at t are the paper's approximation from both directions, and the warps are mixed by time. occlusion: a
    warp counts less where following the flow there and back does not end at the start. Without it, both count one half
    everywhere.
    """
    clip = formats.check_clip(clip)
    check_switch("occlusion", occlusion)
    source = SourceInputs(native=clip, gray=formats.gray_clip(clip))
    return interpolated(source, Classical(occlusion=occlusion), multi, **common)


@dataclass(frozen=True, kw_only=True)
class BaselineInputs(Inputs):
    """What a new frame is made from.

    first, second: both source frames. cut: the decision of `cuts.detect`; None where cuts do not matter. made: a clip
    as long as the output, whose pictures another filter makes.
    """

    first: SourceInputs
    second: SourceInputs
    cut: vs.VideoNode | None = None
    made: vs.VideoNode | None = None


Maker = Callable[[vs.VideoFrame, int, float, BaselineInputs], None]
"""Writes a new frame into a copy of the nearer one, from k, t and the frames of `BaselineInputs`."""


def interpolated(
    source: SourceInputs,
    maker: Maker,
    multi: Factor = 2,
    *,
    made_by: Callable[[Times], vs.VideoNode] | None = None,
    sc: bool = True,
    sc_threshold: float = cuts.THRESHOLD,
    fps_num: int | None = None,
    fps_den: int | None = None,
    timecodes: Timecodes | str | os.PathLike[str] | None = None,
    slow_motion: bool = False,
) -> vs.VideoNode:
    """Return the originals, and what `maker` makes between them; across a cut the nearer frame.

    source: the clip, and what else the maker sees of each of its frames. made_by: returns `BaselineInputs.made` for the
    output's times. Raises ArgumentError and FormatError.
    """
    clip = source.native
    check_switch("sc", sc)
    cuts.check_threshold(sc_threshold)
    cut = cuts.detect(clip, sc_threshold) if sc else None

    def made(times: Times) -> vs.VideoNode:
        def at(offset: int) -> SourceInputs:
            return source.each(lambda x: per_output_frame(shifted(x, offset), times))

        fed = BaselineInputs(
            first=at(0),
            second=at(1),
            cut=None if cut is None else per_output_frame(cut, times),
            made=None if made_by is None else made_by(times),
        )

        def new_frame(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
            (k, t), given = times.at(n), fed.frames(f)
            a, b = given.first.native, given.second.native
            formats.check_progressive(a)
            formats.check_progressive(b)
            out = frames.new_frame(a if t <= HALF else b)
            if (given.cut is None or not given.cut.props[cuts.NEXT]) and not frames.identical(a, b):
                with torch.inference_mode():
                    maker(out, k, float(t), given)
            return out

        blank = clip.std.BlankClip(length=times.length, keep=True)
        return picked(fed.first.native, [blank.std.ModifyFrame(fed.clips, new_frame)], cut, times)

    return multiplied(clip, made, multi, fps_num=fps_num, fps_den=fps_den, timecodes=timecodes, slow_motion=slow_motion)


def mix_codes(out: vs.VideoFrame, _k: int, t: float, given: BaselineInputs) -> None:
    """Mix code values."""
    fill(out, given.first.native, given.second.native, lambda plane0, plane1, *_: torch.lerp(plane0, plane1, t))


def mix_light(out: vs.VideoFrame, k: int, t: float, given: BaselineInputs) -> None:
    """Mix light.

    Code values are mixed first. Then the difference between mixed light and mixed code values is added, at each plane's
    size. So chroma is not resampled, and nothing changes where both frames are the same.
    """
    mix_codes(out, k, t, given)
    a, b = given.first.native, given.second.native
    transfer = int(a.props.get("_Transfer", 1))
    matrix = formats.rgb_matrix(a.props, (a.width, a.height))
    rgb0, rgb1 = (frames.read_rgb(source.network, matrix) for source in (given.first, given.second))
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
"""MVTools' block size, overlapped by half. With quarter-pixel motion it was the best of those tried on real footage
(docs/evaluation.md)."""
QUARTER_PIXEL = 1920 * 1088
"""Motion is found to a quarter of a pixel up to this picture size, above it to a half: a super clip then holds 4
pictures instead of 16."""
SMALLEST = 64
"""Smaller pictures are padded: MVTools 29 crashes at 32x32."""
MOMENTS = 256
"""The number of moments between two frames that MVTools knows."""


def compensated(clip: vs.VideoNode, times: Times) -> vs.VideoNode:
    """Return MVTools' frame for each output frame, as a clip of the output's length and the clip's format."""
    x = compensable(clip)
    sup = x.mv.Super(pel=4 if x.width * x.height <= QUARTER_PIXEL else 2)
    vectors = [sup.mv.Analyse(isb=backward, blksize=BLOCK, overlap=BLOCK // 2) for backward in (True, False)]
    cycle, period = times.period

    def place(n: int) -> tuple[int, int]:
        k, t = times.at(n)
        return k, min(max(round(t * MOMENTS), 1), MOMENTS - 1)

    needed = range(1, MOMENTS) if period > LONGEST else sorted({place(n)[1] for n in range(period)})
    order = {moment: i for i, moment in enumerate(needed)}
    # It rounds down to a 256th: half a step keeps the moment away from the edge.
    inter = [x.mv.FlowInter(sup, *vectors, time=100 * (moment + 0.5) / MOMENTS) for moment in order]
    choices = vs.core.std.Interleave(inter, modify_duration=False)

    def taken(n: int) -> int:
        k, moment = place(n)
        return k * len(order) + order[moment]

    out = select(choices, cycle * len(order), Pattern(period, taken), times.length)
    if x is not clip:
        matrix = {"matrix_in": vs.MATRIX_BT709} if clip.format.color_family == vs.ColorFamily.RGB else {}
        out = out.std.Crop(right=x.width - clip.width, bottom=x.height - clip.height)
        out = out.resize.Bilinear(format=clip.format.id, **matrix)
    return out


def compensable(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip in a format that MVTools takes; the clip itself where it does already."""
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
    return bare(clip).resize.Bilinear(width, height, format=known.id, src_width=width, src_height=height, **matrix)


def copy_planes(out: vs.VideoFrame, _k: int, _t: float, given: BaselineInputs) -> None:
    """Copy the picture that another filter made."""
    picture = given.made
    if picture is not None:
        for p in range(out.format.num_planes):
            np.copyto(np.asarray(out[p]), np.asarray(picture[p]))


class Classical:
    """DIS flow, found once for each pair."""

    def __init__(self, *, occlusion: bool) -> None:
        self.occlusion = occlusion
        self.cache: ByteCache[tuple[int, int], Tensor] = ByteCache("pairs", PAIR_BYTES)

    def __call__(self, out: vs.VideoFrame, k: int, t: float, given: BaselineInputs) -> None:
        """Write the frame at t."""
        first, second = given.first, given.second
        flows = self.cache.get((k, k + 1), lambda: both_flows(first.gray, second.gray))
        motion = classical_motion((flows[:, :2], flows[:, 2:]), t, occlusion=self.occlusion)
        fill(out, first.native, second.native, lambda p0, p1, x, y: motion.for_planes(x, y).render(p0, p1))


def both_flows(gray0: vs.VideoFrame, gray1: vs.VideoFrame) -> Tensor:
    """Return DIS flow from one frame to the other and back, (1, 4, H, W)."""
    pictures = [np.asarray(frame[0]) for frame in (gray0, gray1)]
    return torch.cat([dis_flow(*pictures), dis_flow(*pictures[::-1])], 1)
