"""Between frames of the host and tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
import vapoursynth as vs
from torch import Tensor

from vs_slomo.errors import FormatError
from vs_slomo.model.box import Box
from vs_slomo.model.unet import MULTIPLE
from vs_slomo.timing.positions import Times

LONGEST, CHUNK = 4000, 500
"""Offsets that one SelectEvery gets, as a period and as a piece: its search for duplicates takes quadratic time."""

PlaneGroup = tuple[tuple[int, ...], float, float]
"""Planes of one size, and that size's ratio to the picture's in x and y."""


def select(clip: vs.VideoNode, cycle: int, offsets: Sequence[int], length: int) -> vs.VideoNode:
    """Return `length` frames: of every `cycle` frames those at `offsets`; past its end the clip's last frame.

    Nothing is listed frame by frame where the pattern is short: a player's clip may have no known end.
    """
    periods = -(-length // len(offsets))
    repeats = periods if len(offsets) > LONGEST else 1
    if cycle * repeats == 1:  # which SelectEvery refuses
        repeats = 2
    if repeats > 1:
        offsets = [cycle * i + offset for i in range(repeats) for offset in offsets]
        cycle, periods = cycle * repeats, -(-periods // repeats)
    missing = periods * cycle - clip.num_frames
    if missing > 0:
        clip = clip + clip[-1].std.Loop(missing)
    if len(offsets) <= LONGEST:
        return clip.std.SelectEvery(cycle, offsets, modify_duration=False)[:length]
    pieces = (offsets[i : i + CHUNK] for i in range(0, length, CHUNK))
    return vs.core.std.Splice([clip.std.SelectEvery(clip.num_frames, p, modify_duration=False) for p in pieces])[
        :length
    ]


def along(clip: vs.VideoNode, times: Times) -> vs.VideoNode:
    """Return, for each output frame, the frame k of the clip that `times` gives."""
    cycle, period = times.period
    return select(clip, cycle, [times.at(n)[0] for n in range(period)], times.length)


def shifted(clip: vs.VideoNode, offset: int) -> vs.VideoNode:
    """Return the clip whose frame k is frame k + offset; the first and the last one are repeated."""
    last = clip.num_frames - 1
    offset = max(-last, min(offset, last))
    if offset > 0:
        return clip[offset:] + clip[-1].std.Loop(offset)
    return clip[0].std.Loop(-offset) + clip[:offset] if offset < 0 else clip


def following(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip whose frame k is frame k + 1; the last one is repeated."""
    return shifted(clip, 1)


def plane_groups(video_format: vs.VideoFormat) -> tuple[PlaneGroup, ...]:
    """Return the planes that can be moved together: RGB as one, luma alone, both chroma planes as one."""
    x, y = 2.0**-video_format.subsampling_w, 2.0**-video_format.subsampling_h
    planes = tuple(range(video_format.num_planes))
    if x == y == 1:
        return ((planes, 1.0, 1.0),)
    return ((planes[:1], 1.0, 1.0), (planes[1:], x, y))


def read_planes(frame: vs.VideoFrame, planes: Iterable[int]) -> Tensor:
    """Return (1, C, h, w) on the CPU in the frame's own numbers: float32, whatever its sample type."""
    stacked = np.stack([np.asarray(frame[p]) for p in planes])
    return torch.from_numpy(stacked.astype(np.float32, copy=False)).unsqueeze(0)


def raw_planes(frame: vs.VideoFrame, planes: Iterable[int]) -> Tensor:
    """Return (1, C, h, w) on the CPU in the frame's own numbers and type."""
    return torch.from_numpy(np.stack([np.asarray(frame[p]) for p in planes])).unsqueeze(0)


def write_planes(
    frame: vs.VideoFrame,
    planes: Iterable[int],
    values: Tensor,
    box: Box | None = None,
    ratio_x: float = 1,
    ratio_y: float = 1,
) -> None:
    """Write (1, C, h, w) into a writable frame; floats are rounded and clamped to the range of an integer format.

    box: the part of the picture that is written; None is all of it. ratio_x, ratio_y: see `plane_groups`.
    """
    if frame.format.sample_type == vs.SampleType.INTEGER and values.is_floating_point():
        values = values.round().clamp(0, 2**frame.format.bits_per_sample - 1)
    values = values.float() if values.is_floating_point() else values
    for p, plane in zip(planes, values[0].cpu().numpy(), strict=True):
        whole = np.asarray(frame[p])
        np.copyto(whole if box is None else box.of(whole, ratio_x, ratio_y), plane, casting="unsafe")


def read_rgb(frame: vs.VideoFrame, matrix: Tensor, box: Box | None = None) -> Tensor:
    """Return a frame of `formats.network_clip` as RGB, (1, 3, h, w) float32 in [0, 1], h and w multiples of 32.

    matrix: (3, 3), from YUV; unused for RGB and GRAY. box: the part of the frame; None is all of it. What lies
    outside [0, 1] is clamped, NaN is 0; at the right and the bottom the edge is repeated.
    """
    planes = read_planes(frame, range(frame.format.num_planes))
    planes = planes if box is None else box.of(planes)
    if frame.format.color_family == vs.ColorFamily.GRAY:
        planes = planes.expand(1, 3, -1, -1)
    elif frame.format.color_family == vs.ColorFamily.YUV:
        planes = torch.einsum("rc,bchw->brhw", matrix, planes)
    padding = (0, -planes.shape[-1] % MULTIPLE, 0, -planes.shape[-2] % MULTIPLE)
    return F.pad(planes.nan_to_num(0.0).clamp(0, 1), padding, mode="replicate")


def identical(a: vs.VideoFrame, b: vs.VideoFrame) -> bool:
    """Whether both frames hold the same pixels, alpha included."""
    if not all(np.array_equal(np.asarray(a[p]), np.asarray(b[p])) for p in range(a.format.num_planes)):
        return False
    alphas = [alpha(a), alpha(b)]
    return alphas[0] is None or alphas[1] is None or identical(alphas[0], alphas[1])


def alpha(frame: vs.VideoFrame) -> vs.VideoFrame | None:
    """Return the frame's alpha plane, a GRAY frame in its property `_Alpha`, if it has one.

    Raises FormatError where it has another size than the frame.
    """
    value = frame.props.get("_Alpha")
    if not isinstance(value, vs.VideoFrame):
        return None
    if (value.width, value.height) != (frame.width, frame.height):
        own = f"{frame.width}x{frame.height}"
        raise FormatError(f"clip: got an alpha of {value.width}x{value.height}, allowed: the picture's own size, {own}")
    return value


def new_frame(source: vs.VideoFrame) -> vs.VideoFrame:
    """Return a writable copy without what is true only of the source (host's "Reserved Frame Properties")."""
    frame = source.copy()
    for name in ("_PictType", "_AbsoluteTime"):
        frame.props.pop(name, None)
    return frame
