"""The measurement: every method makes the frames that were left out, and each is scored against the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips.formats import guessed_matrix
from vs_slomo.clips.frames import read_planes, write_planes
from vs_slomo.errors import SourceError
from vs_slomo.metrics import interpolation_error, psnr, ssim
from vs_slomo.model.dis import dis_flow

from .cases import LeftOut
from .methods import Method

HIGHEST = 100.0
"""PSNR in dB that stands for no error at all, and for more."""
MOVING = 2.0
"""Pixels between the kept frames beyond which a part of the picture moves."""
UNKNOWN = math.nan
"""The score of a metric that could not be measured."""


@dataclass(frozen=True)
class Metric:
    """One column of `Score`. title: for tables. digits: behind the point. best: picks the best of several values."""

    name: str
    title: str
    digits: int
    best: Callable[..., float]


METRICS = (
    Metric("psnr", "PSNR", 2, max),
    Metric("ssim", "SSIM", 4, max),
    Metric("ie", "IE", 2, min),
    Metric("moving", "PSNR moving", 2, max),
    Metric("ssimulacra2", "SSIMULACRA2", 2, max),
)
"""All metrics: a new one is a row here, a field of `Score`, and a value in `score`."""


@dataclass(frozen=True)
class Score:
    """How far a method's frame at t is from the truth.

    psnr: in dB. ie: in steps of 8 bit. moving: PSNR of the parts that move (see `moving_parts`). ssimulacra2: 100 is
    equal. What could not be measured is UNKNOWN.
    """

    clip: str
    case: str
    t: float
    method: str
    psnr: float
    ssim: float
    ie: float
    moving: float = UNKNOWN
    ssimulacra2: float = UNKNOWN


Watch = Callable[[LeftOut, Mapping[str, Tensor], Tensor, list[Score]], None]
"""Told of each new frame: its case, all methods' pictures, the truth, and their scores."""


def evaluate(
    cases: Iterator[LeftOut],
    methods: Mapping[str, Method],
    *,
    watch: Watch | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Score]:
    """Return every method's score of every frame that the cases leave out.

    progress: told of every case that is done.
    """
    scores: list[Score] = []
    clips: dict[str, vs.VideoNode] = {}
    visible = has_ssimulacra2()
    for case in cases:
        # The last case's clips are kept until the new ones exist: they share the engine, which the last one frees.
        _kept, clips = clips, {name: method(case.seen, case.multi) for name, method in methods.items()}
        moving = moving_parts(case.seen[case.at : case.at + 2])
        for n, truth in enumerate(rgb_frames(case.truth), 1):
            made = {name: next(rgb_frames(clip[case.at * case.multi + n])) for name, clip in clips.items()}
            new = [
                Score(
                    *(case.clip, case.name, n / case.multi, name),
                    *measured(picture, truth),
                    moving=psnr_of(picture, truth, moving),
                    ssimulacra2=ssimulacra2(picture, truth) if visible else UNKNOWN,
                )
                for name, picture in made.items()
            ]
            scores += new
            if watch is not None:
                watch(case, made, truth, new)
        if progress is not None:
            progress(f"{case.clip} {case.name}".strip())
    if not scores:
        raise SourceError("nothing to measure: no two frames without a cut between them")
    return scores


def rgb_frames(clip: vs.VideoNode) -> Iterator[Tensor]:
    """Yield the frames as RGB of 8 bit, (3, H, W) in [0, 1]; see `formats.guessed_matrix` for the matrix."""
    matrix = guessed_matrix(clip.width, clip.height)
    rgb = clip.resize.Bicubic(format=vs.RGB24, matrix_in=matrix) if clip.format.id != vs.RGB24 else clip
    try:
        for n in range(len(rgb)):
            yield read_planes(rgb.get_frame(n), range(3))[0] / 255
    except vs.Error as error:
        raise SourceError(f"a frame could not be made: {error}") from error


def measured(picture: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """Return PSNR (at most HIGHEST), SSIM and IE."""
    return min(psnr(picture, truth), HIGHEST), ssim(picture, truth), interpolation_error(picture, truth)


def moving_parts(pair: vs.VideoNode) -> Tensor:
    """Return where DIS flow from one frame of the pair to the other is more than MOVING pixels, (H, W) bool."""
    pictures = [(255 * x).round().byte().permute(1, 2, 0).contiguous().numpy() for x in rgb_frames(pair)]
    gray0, gray1 = (np.asarray(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), np.uint8) for x in pictures)
    if min(gray0.shape) < 16:  # smaller than DIS takes
        return torch.zeros(gray0.shape, dtype=torch.bool)
    moving: Tensor = dis_flow(gray0, gray1)[0].square().sum(0).sqrt() > MOVING
    return moving


def psnr_of(picture: Tensor, truth: Tensor, part: Tensor) -> float:
    """Return PSNR of a part of the picture, at most HIGHEST; UNKNOWN where the part is empty."""
    return min(psnr(picture[:, part], truth[:, part]), HIGHEST) if part.any() else UNKNOWN


def has_ssimulacra2() -> bool:
    """Whether the plugin vszip is there, which `ssimulacra2` needs: pip install 'vs-slomo[ssimulacra2]'."""
    return hasattr(vs.core, "vszip") and hasattr(vs.core.vszip, "SSIMULACRA2")


def ssimulacra2(picture: Tensor, truth: Tensor) -> float:
    """Return SSIMULACRA2 of two pictures, (3, H, W) in [0, 1], sRGB.

    100 is equal, from about 90 on a difference is hardly seen; below 0 is far off.
    """
    compared = vs.core.vszip.SSIMULACRA2(_clip_of(truth), _clip_of(picture))
    with compared.get_frame(0) as frame:
        return float(frame.props["SSIMULACRA2"])


def _clip_of(picture: Tensor) -> vs.VideoNode:
    """Return a picture as a clip of one frame, RGB in single precision."""
    height, width = picture.shape[-2:]
    blank = vs.core.std.BlankClip(format=vs.RGBS, width=width, height=height, length=1, keep=True)
    frame = blank.get_frame(0).copy()
    write_planes(frame, range(3), picture.float().unsqueeze(0))
    return blank.std.ModifyFrame(blank, lambda n, f: frame)  # noqa: ARG005  # the host's names
