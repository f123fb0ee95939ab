"""The motion between neighbouring frames: what every node that needs flow is fed, and what it makes of it.

clip, k, k+1 +- native planes, untouched -------------------------+
             +- network_clip: YUV, RGB or GRAY at the networks' size +- Pairs: the flow, found once -> Pair
             +- gray_clip, full size, for classical flow -----------+
             +- cuts, duplicates: tiny clips of decisions ----------+-> Moment

`curved` feeds the same of k-1 and k+2 too: how a pair's motion bends is read from the pairs before and behind it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import borders as borders_of
from vs_slomo.clips import cuts, duplicates, durations, formats, frames
from vs_slomo.engine.engine import (
    Engine,
    FrameCache,
    Pair,
    PairCache,
    shared_engine,
)
from vs_slomo.model.box import Box
from vs_slomo.timing.positions import Times

from .options import Options


class Moment(NamedTuple):
    """Where an output frame lies: t in [0, 1) of the way from source frame `first` to `second`, across a cut or not."""

    first: int
    second: int
    t: Fraction
    cut: bool

    @classmethod
    def of(cls, n: int, times: Times, told: vs.VideoFrame) -> Moment:
        """Return output frame n's. told: from the last of the clips that `feed` returns."""
        (k, t), props = times.at(n), told.props
        if duplicates.FIRST not in props:
            return cls(k, k + 1, t, bool(props[cuts.NEXT]))
        first, second, t = duplicates.planned(props)
        return cls(k + first, k + second, t, (first, second) == (0, 1) and bool(props[cuts.NEXT]))


def feed(clip: vs.VideoNode, times: Times, options: Options, cut: vs.VideoNode | None) -> list[vs.VideoNode]:
    """Return what is needed for each output frame: both frames of each of the inputs of `Pairs`, and its `Moment`.

    cut: what `Options.cuts` returned. With `curved` there stands between those two what `neighbours` takes apart.
    """
    settings = options.settings
    inputs = [clip, formats.network_clip(clip, settings.scale, half=settings.half, range_in=options.range)]
    if settings.flow == "dis":
        inputs.append(formats.gray_clip(clip))
    if cut is None:
        cut = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=clip.num_frames, keep=True)
        cut = cut.std.SetFrameProps(**{cuts.NEXT: 0})
    if options.dedupe is None:
        told = frames.along(cut, times)
        both = [frames.along(x, times) for clip_ in inputs for x in (clip_, frames.following(clip_))]
    else:
        told = duplicates.plan(times, duplicates.detect(clip, options.dedupe), cut, options.max_gap)
        ends = (duplicates.FIRST, duplicates.SECOND)
        both = [duplicates.pick(x, times, told, end, options.max_gap) for x in inputs for end in ends]
    if options.borders == "auto":
        told = told.std.CopyFrameProps(borders_of.find(clip).std.Loop(times.length), props=[borders_of.FOUND])
    elif isinstance(options.borders, tuple):
        borders_of.check_fits(options.borders, clip)
        told = told.std.SetFrameProp(borders_of.FOUND, intval=list(options.borders))
    if not options.curved:
        return [*both, told]
    around = [frames.along(frames.shifted(x, o), times) for o in (-1, 2) for x in inputs]
    beside = [told.std.CopyFrameProps(frames.along(frames.shifted(cut, o), times), props=[cuts.NEXT]) for o in (-1, 1)]
    return [*both, *around, *beside, told]


def neighbours(f: list[vs.VideoFrame]) -> tuple[list[vs.VideoFrame], list[vs.VideoFrame]]:
    """Return what `feed` would have for the pairs before and behind, of what it has with `curved`."""
    *f, before, behind, _ = f
    count = len(f) // 4
    here, first, last = f[: 2 * count], f[2 * count : 3 * count], f[3 * count :]
    return (
        [x for pair in zip(first, here[::2], strict=True) for x in pair] + [before],
        [x for pair in zip(here[1::2], last, strict=True) for x in pair] + [behind],
    )


class Pairs:
    """The flows of the latest pairs of a node; one callback at a time (the host's rule for a ModifyFrame node)."""

    def __init__(self, options: Options, frames: int, kept: FrameCache | None = None) -> None:
        """frames: of the clip, how many. kept: shared by its nodes, so that each is read once for both of its pairs."""
        self.options, self.frames = options, frames
        # Three are needed at once, and the fourth is the next one's, forwards or backwards.
        self.cache: PairCache[Pair] = PairCache(least=4 if options.curved else 1)
        self.bent: tuple[tuple[int, int], Pair | None] | None = None
        self.kept = kept or FrameCache(options.settings.device)

    @cached_property
    def engine(self) -> Engine:
        """Loaded with the first frame that needs it, not with the script."""
        return shared_engine(self.options.settings)

    def get(self, moment: Moment, f: list[vs.VideoFrame]) -> Pair | None:
        """Return the moment's pair, from the frames that `feed` gives; None where there is nothing to move."""
        if not self.options.curved:
            return self.even(moment, f)
        if self.bent is None or self.bent[0] != moment[:2]:
            self.bent = moment[:2], self.bend(moment, f)
        return self.bent[1]

    def even(self, moment: Moment, f: list[vs.VideoFrame]) -> Pair | None:
        """Return the moment's pair by its own two frames alone."""
        return self.cache.get(moment[:2], lambda: self.find(moment, f))

    def bend(self, moment: Moment, f: list[vs.VideoFrame]) -> Pair | None:
        """Find a pair and how its motion bends: not at all, where there is no pair of the same scene on either side."""
        pair = self.even(moment, f)
        if pair is None or moment.first == 0 or moment.second >= self.frames - 1:
            return pair
        around = neighbours(f)
        before, behind = (self.beside(moment, offset, own) for offset, own in zip((-1, 1), around, strict=True))
        if before is None or behind is None or not before.box == pair.box == behind.box:
            return pair
        lasts, earlier, later = (durations.duration(own[0]) for own in (f, *around))
        pace = (float(earlier / lasts), float(later / lasts)) if lasts and earlier and later else (1.0, 1.0)
        return self.engine.bent(pair, before, behind, pace)

    def beside(self, moment: Moment, offset: int, f: list[vs.VideoFrame]) -> Pair | None:
        """Find the pair `offset` frames from the moment's; None across a cut, and of a frame shown twice."""
        if f[-1].props[cuts.NEXT]:
            return None
        return self.even(moment._replace(first=moment.first + offset, second=moment.second + offset), f)

    def find(self, moment: Moment, f: list[vs.VideoFrame]) -> Pair | None:
        """Find a pair's flow; None where both frames are the same."""
        a, b = f[:2]
        if frames.identical(a, b):
            return None
        scale = self.options.settings.scale
        box = self.box(a, b, f[-1])
        # The part of the networks' input that covers the box, and the part of the picture that this is made of.
        fed = Box(
            math.floor(box.left * scale),
            math.floor(box.top * scale),
            math.ceil(box.right * scale),
            math.ceil(box.bottom * scale),
        )
        seen = Box(*(round(x / scale) for x in fed))
        rgb0, rgb1 = (
            self.kept.get(("rgb", k, fed), partial(self.rgb, small, frame, fed))
            for k, frame, small in zip(moment[:2], (a, b), f[2:4], strict=True)
        )
        gray = None
        if self.options.settings.flow == "dis":
            gray = (seen.of(np.asarray(f[4][0])), seen.of(np.asarray(f[5][0])))
        pair = self.engine.pair(rgb0, rgb1, gray)
        return replace(pair, box=box, origin=(box.left - seen.left, box.top - seen.top))

    def rgb(self, small: vs.VideoFrame, frame: vs.VideoFrame, fed: Box) -> Tensor:
        """Return what the networks see of a frame. small: the same of `formats.network_clip`."""
        matrix = formats.rgb_matrix(frame.props, (frame.width, frame.height), self.options.matrix)
        return frames.read_rgb(small, matrix, fed)

    def planes(self, k: int, frame: vs.VideoFrame, planes: tuple[int, ...]) -> Tensor:
        """Return planes of source frame k in their own type, on the device."""
        return self.kept.get((k, planes), partial(frames.raw_planes, frame, planes))

    def box(self, a: vs.VideoFrame, b: vs.VideoFrame, told: vs.VideoFrame) -> Box:
        """Return the part of the picture that may be moved: without its bars, if those of both frames are as wide."""
        width, height = a.width, a.height
        said = told.props.get(borders_of.FOUND)
        if said is None or not any(said):
            return Box(0, 0, width, height)
        left, top, right, bottom = said
        if self.options.borders == "auto" and not all(
            own >= x for frame in (a, b) for own, x in zip(borders_of.bars(frame), said, strict=True)
        ):
            return Box(0, 0, width, height)
        return Box(left, top, width - right, height - bottom)
