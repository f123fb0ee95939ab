"""The motion between neighbouring frames: what a node that needs flow is fed, and how it finds a pair's flow.

clip, k, k+1 +- native planes, untouched -----------------------------+
             +- network_clip: YUV, RGB or GRAY at the networks' size -+- PairFinder: the flow, found once -> Pair
             +- gray_clip at full size, if the flow stage needs it ---+
             +- ahead.flow_clip: classical flow, for a GPU -----------+
             +- cuts, duplicates, borders: a tiny clip, the plan -----+-> Moment

With `curved`, frames k-1 and k+2 are fed too: the previous and the next pair show how a pair's motion bends.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import borders as borders_of
from vs_slomo.clips import cuts, duplicates, durations, formats, frames
from vs_slomo.clips.select import per_output_frame, shifted
from vs_slomo.engine.cache import ByteCache, FrameCache
from vs_slomo.engine.engine import Engine, shared_engine
from vs_slomo.engine.pair import Pair
from vs_slomo.engine.settings import PAIR_BYTES, Settings
from vs_slomo.model.box import Box
from vs_slomo.model.flow import WithClassical
from vs_slomo.timing.positions import Times

from . import ahead
from .inputs import AroundInputs, PairInputs, SourceInputs
from .options import Options


class Moment(NamedTuple):
    """Where an output frame lies: at t in [0, 1) on the way from source frame `first` to `second`.

    cut: whether there is a cut between both.
    """

    first: int
    second: int
    t: Fraction
    cut: bool

    @classmethod
    def of(cls, n: int, times: Times, plan: vs.VideoFrame) -> Moment:
        """Return output frame n's moment. plan: frame n of `PairInputs.plan`."""
        (k, t), props = times.at(n), plan.props
        if duplicates.FIRST not in props:
            return cls(k, k + 1, t, bool(props[cuts.NEXT]))
        first, second, t = duplicates.planned(props)
        return cls(k + first, k + second, t, (first, second) == (0, 1) and bool(props[cuts.NEXT]))

    def moved(self, offset: int) -> Moment:
        """Return the same moment between the frames that stand `offset` farther."""
        return self._replace(first=self.first + offset, second=self.second + offset)


def frame_inputs(clip: vs.VideoNode, times: Times, options: Options, cut: vs.VideoNode | None) -> PairInputs:
    """Return what a node is fed for each output frame. cut: as `Options.cuts` returns it."""
    settings, stage = options.settings, options.settings.stage
    gray = formats.gray_clip(clip) if stage.needs_gray else None
    source = SourceInputs(
        native=clip,
        network=formats.network_clip(clip, settings.scale, half=settings.half, range_in=options.given["range"])
        if stage.needs_colour
        else None,
        gray=gray,
        flow=ahead.flow_clip(gray, stage)
        if gray and isinstance(stage, WithClassical) and ahead.pays(options)
        else None,
    )
    if cut is None:
        cut = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=clip.num_frames, keep=True)
        cut = cut.std.SetFrameProps(**{cuts.NEXT: 0})

    def at(offset: int) -> SourceInputs:
        return source.each(lambda x: per_output_frame(shifted(x, offset), times))

    if options.dedupe is None:
        plan = with_borders(per_output_frame(cut, times), clip, options)
        first, second = at(0), at(1)
    else:
        max_gap = options.given["max_gap"]
        decisions = duplicates.plan(times, duplicates.detect(clip, options.dedupe), cut, max_gap)
        first, second = (
            source.each(partial(duplicates.pick, times=times, decisions=decisions, which=end, max_gap=max_gap))
            for end in (duplicates.FIRST, duplicates.SECOND)
        )
        plan = with_borders(decisions, clip, options)
    if not options.curved:
        return PairInputs(first=first, second=second, plan=plan)
    previous_plan, next_plan = (
        plan.std.CopyFrameProps(per_output_frame(shifted(cut, offset), times), props=[cuts.NEXT]) for offset in (-1, 1)
    )
    around = AroundInputs(previous=at(-1), next=at(2), previous_plan=previous_plan, next_plan=next_plan)
    return PairInputs(first=first, second=second, plan=plan, around=around)


def with_borders(plan: vs.VideoNode, clip: vs.VideoNode, options: Options) -> vs.VideoNode:
    """Return the plan with the clip's borders in its property `SlomoBorders`, if there are any to mind.

    Raises ArgumentError where they do not fit the clip.
    """
    if options.borders == "auto":
        found = borders_of.find(clip).std.Loop(plan.num_frames)
        return plan.std.CopyFrameProps(found, props=[borders_of.FOUND])
    if isinstance(options.borders, tuple):
        borders_of.check_fits(options.borders, clip)
        return plan.std.SetFrameProp(borders_of.FOUND, intval=list(options.borders))
    return plan


class Shared:
    """What the nodes of one device have in common: each flow is found once, each frame is read once for two pairs."""

    def __init__(self, options: Options, settings: Settings) -> None:
        self.settings, self.several = settings, options.streams > 1
        # A curved pair needs three at once. The fourth is the one that the next pair adds, forwards or backwards.
        least = (4 if options.curved else 1) + options.streams - 1
        self.pairs: ByteCache[tuple[int, int], Pair | None] = ByteCache("pairs", PAIR_BYTES * options.streams, least)
        self.frames = FrameCache(settings.device)


class PairFinder:
    """Finds pairs' flows and keeps the latest. For one callback at a time (the host's rule for a ModifyFrame node)."""

    def __init__(self, options: Options, frame_count: int, shared: Shared | None = None) -> None:
        """frame_count: of the clip. shared: what the nodes of a device have in common."""
        self.options, self.frame_count = options, frame_count
        self.shared = shared or Shared(options, options.settings)
        self.cache, self.kept = self.shared.pairs, self.shared.frames
        self.latest_curved: tuple[tuple[int, int], Pair | None] | None = None

    @cached_property
    def engine(self) -> Engine:
        """Loaded with the first frame that needs it, not with the script."""
        return shared_engine(self.shared.settings)

    def pair(self, moment: Moment, fed: PairInputs) -> Pair | None:
        """Return the moment's pair; None where both frames are the same, so that nothing moves.

        fed: the frames that `frame_inputs` asks for.
        """
        if not self.options.curved:
            return self.straight_pair(moment, fed)
        if self.latest_curved is None or self.latest_curved[0] != moment[:2]:
            self.latest_curved = moment[:2], self.curved_pair(moment, fed)
        return self.latest_curved[1]

    def straight_pair(self, moment: Moment, fed: PairInputs) -> Pair | None:
        """Return the moment's pair, from its own two frames alone: constant speed on a straight line."""
        pair = self.cache.get((moment.first, moment.second), lambda: self.found(moment, fed))
        if pair is not None and self.shared.several and pair.i0.is_cuda:
            pair.used_by(torch.cuda.current_stream(pair.i0.device))
        return pair

    def found(self, moment: Moment, fed: PairInputs) -> Pair | None:
        """Find a pair's flow, so that the device's other streams may use it, too."""
        pair = self.find(moment, fed)
        if pair is not None and self.shared.several and pair.i0.is_cuda:
            torch.cuda.current_stream(pair.i0.device).synchronize()
        return pair

    def curved_pair(self, moment: Moment, fed: PairInputs) -> Pair | None:
        """Return the moment's pair, and how its motion bends.

        It does not bend where the previous or the next pair is missing or belongs to another scene.
        """
        previous_fed, next_fed = fed.previous_pair, fed.next_pair
        at_an_end = moment.first == 0 or moment.second >= self.frame_count - 1
        if self.shared.several and not at_an_end:
            self.begin(moment, fed)
        pair = self.straight_pair(moment, fed)
        if pair is None or at_an_end or previous_fed is None or next_fed is None:
            return pair
        previous = self.adjacent_pair(moment, -1, previous_fed)
        next_ = self.adjacent_pair(moment, 1, next_fed)
        if previous is None or next_ is None or not previous.box == pair.box == next_.box:
            return pair
        lasts, earlier, later = (durations.duration(x.first.native) for x in (fed, previous_fed, next_fed))
        pace = (float(earlier / lasts), float(later / lasts)) if lasts and earlier and later else (1.0, 1.0)
        return self.engine.bent(pair, previous, next_, pace)

    def begin(self, moment: Moment, fed: PairInputs) -> None:
        """Find what no other stream is at work on, before what others find is waited for."""
        for offset, around in ((1, fed.next_pair), (0, fed), (-1, fed.previous_pair)):
            if around is not None and (not offset or not around.plan.props[cuts.NEXT]):
                at = moment.moved(offset)
                self.cache.begin(at[:2], partial(self.found, at, around))

    def adjacent_pair(self, moment: Moment, offset: int, fed: PairInputs) -> Pair | None:
        """Return the pair `offset` frames after the moment's. None across a cut, and where both frames are the same."""
        if fed.plan.props[cuts.NEXT]:
            return None
        return self.straight_pair(moment.moved(offset), fed)

    def find(self, moment: Moment, fed: PairInputs) -> Pair | None:
        """Find a pair's flow; None where both frames are the same."""
        first, second = fed.first, fed.second
        if frames.identical(first.native, second.native):
            return None
        scale = self.options.settings.scale
        box = self.box(fed)
        # The part of the networks' input that covers the box, and the part of the picture that this is made from.
        seen = Box(
            math.floor(box.left * scale),
            math.floor(box.top * scale),
            math.ceil(box.right * scale),
            math.ceil(box.bottom * scale),
        )
        covered = Box(*(round(x / scale) for x in seen))
        rgb0, rgb1 = (self.rgb(k, x, seen) for k, x in ((moment.first, first), (moment.second, second)))
        gray = None
        if first.gray is not None and second.gray is not None:
            gray = (covered.of(np.asarray(first.gray[0])), covered.of(np.asarray(second.gray[0])))
        flows = None if first.flow is None else ahead.read(first.flow)
        pair = self.engine.pair(rgb0, rgb1, gray, flows)
        return replace(pair, box=box, origin=(box.left - covered.left, box.top - covered.top))

    def rgb(self, k: int, source: SourceInputs, seen: Box) -> Tensor:
        """Return what the networks see of source frame k, (1, 3, h, w) float32. seen: the part of their input.

        It is empty for a flow stage that needs no colour.
        """
        frame, network = source.native, source.network
        if network is None:
            return torch.empty(1, 3, 0, 0)
        matrix = None
        if network.format.color_family == vs.YUV:
            matrix = formats.rgb_matrix(frame.props, (frame.width, frame.height), self.options.given["matrix"])
        # A GPU does the arithmetic: on the host it takes longer than the networks there.
        read, finish = partial(frames.network_planes, network, seen), partial(frames.as_rgb, matrix=matrix)
        return self.kept.get(("rgb", k, seen), read, finish)

    def planes(self, k: int, frame: vs.VideoFrame, planes: tuple[int, ...]) -> Tensor:
        """Return planes of source frame k in their own type, on the device."""
        return self.kept.get((k, planes), partial(frames.raw_planes, frame, planes))

    def box(self, fed: PairInputs) -> Box:
        """Return the part of the picture that may be moved: without its bars, if both frames' own are as wide."""
        a, b = fed.first.native, fed.second.native
        whole = Box(0, 0, a.width, a.height)
        borders = fed.plan.props.get(borders_of.FOUND)
        if borders is None or not any(borders):
            return whole
        if self.options.borders == "auto" and not all(
            own >= x for frame in (a, b) for own, x in zip(borders_of.bars(frame), borders, strict=True)
        ):
            return whole
        left, top, right, bottom = borders
        return Box(left, top, a.width - right, a.height - bottom)
