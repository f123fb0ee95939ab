"""`slomo()`: a frame's way from the clip that comes in to the clip that goes out.

             +- network_clip: YUV, RGB or GRAY at the networks' size --+
clip, k, k+1 +- native planes, untouched ------------------------------+- NewFrames: flow, motion, render --+
             +- cuts.detect: is there a cut between k and k + 1? ------+                                    |
clip, originals, untouched ---------------------------------------------------------------------- select -+- out
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property, partial
from typing import Literal

import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import cuts, durations, formats, frames
from vs_slomo.clips.select import Pattern, is_endless, select
from vs_slomo.errors import ArgumentError
from vs_slomo.model.box import Box
from vs_slomo.timing import positions as timing
from vs_slomo.timing.timecodes import Timecodes, load
from vs_slomo.weights import FlowName

from . import motion as compositing
from .inputs import PairInputs
from .options import Options, Spread, check, check_options, check_switch
from .pairs import Moment, PairFinder, Shared, frame_inputs
from .record import MAX_GAP, MOVING, SC_THRESHOLD, SLOMO, Borders, Precision, ScAction, Scale, Shown

COUNTED = 1 << 31
"""The host counts frames in 31 bits, and each stream's frames are counted beside the originals."""


def slomo(
    clip: vs.VideoNode,
    multi: timing.Factor = 2,
    *,
    fps_num: int | None = None,
    fps_den: int | None = None,
    timecodes: Timecodes | str | os.PathLike[str] | None = None,
    slow_motion: bool = False,
    model: str | os.PathLike[str] = "bundled",
    scale: Scale = None,
    flow: FlowName | None = None,
    device: str | Sequence[str] | None = None,
    precision: Precision | None = None,
    tile: int | None = None,
    sc: bool = True,
    sc_threshold: float = SC_THRESHOLD,
    sc_action: ScAction = "repeat",
    sc_clip: vs.VideoNode | None = None,
    dedupe: bool | float | None = None,
    max_gap: int = MAX_GAP,
    borders: Borders | None = None,
    curved: bool | None = None,
    num_streams: int | None = None,
    matrix: int | None = None,
    range: Literal[0, 1] | None = None,  # noqa: A002  # the host's name
    debug: Shown | None = None,
) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, in the same format and colours.

    The source's frames come back bit for bit. A new frame is made when it is requested, from the two source frames
    around it, and along a curve that the next two show (see curved). Any clip of one format and size works: GRAY, RGB
    and YUV, integers of 8 to 16 bit, half and float, any subsampling, from 16x16, with or without alpha. Interlaced
    frames raise an error. Numpy's numbers work wherever a number does.

    multi: the factor, at least 1: an int, a Fraction, "5/2", or a float, which means its shortest decimal.
    fps_num, fps_den: a target rate in place of multi; the clip must have a rate, or timecodes.
    timecodes: when each frame of a clip with a variable rate is shown (a timecode file, format v1 or v2, or
        `Timecodes`). With a target rate each source frame is shown at its own time, and the rate may be any; with
        multi each frame's duration is divided. Without timecodes, multi divides the durations that the frames of a
        clip without a rate (fps 0) have.
    slow_motion: keep the clip's rate, so that it gets longer instead of smoother.
    model: "bundled", the name of an installed model, or a file (see `weights.find`).
    scale: resolution of the networks, relative to the clip: 1, 0.5, 0.25 or 0.125. None is 1 for clips up to 640x480
        on the CPU and up to 1920x1088 on a GPU. For larger ones it is the model's own; above 2^19 pixels, with the flow
        "dis" or "guided", it is half of that. "auto" halves the model's own until the networks see at most 2^20 pixels
        (see `settings.check_networks`).
    flow: "unet" (the paper's network), "dis" (classical flow on the CPU), "guided" (classical flow
        where it fits, else the network's, found at half of `scale`) or "both" (the network's flow, refined by
        classical means on the CPU). The second network refines each of them at t. "fast" is a draft: classical flow
        at `scale`, and no network. None is "unet" on a GPU; on the CPU "both" where the networks see the picture at
        full size, else "guided", or the model's own stage if that is the network.
    device: "cuda", "cuda:1", "xpu", "mps" or "cpu"; None is the first there is. Several of one kind, as in
        ["cuda:0", "cuda:1"], share the pairs. For that the host must be asked for `Spread.requests` frames at once.
    precision: of the networks: "fp32", "fp16" or "bf16"; None is "fp16" on a GPU, "bf16" on a CPU that multiplies it
        natively (AVX-512 BF16, AMX), else "fp32".
    tile: run the networks on overlapping tiles of at most tile x tile pixels, to use less memory; None does so only
        where memory does not hold the whole picture.
    sc: detect scene cuts, and do not interpolate across them. Frames that have the properties `_SceneChangeNext` and
        `_SceneChangePrev` decide by them, others by `cuts.detect`.
    sc_threshold: how different two frames must be to count as a cut, from 0 to 1.
    sc_action: what to show across a cut: "repeat" (the nearer source frame) or "blend" (both, mixed by time).
    sc_clip: detect scene cuts in this clip instead; it is as long, and its properties or pictures decide.
    dedupe: replace frames that repeat the one before by new ones: True, or a threshold in (0, 1] (see
        `duplicates.detect`). Animation drawn at 8 or 12 frames a second, 3:2 patterns and lost frames then move
        evenly; with multi=1 the rate stays as it is. Each new frame needs thumbnails of 2 · max_gap + 1 source frames.
    max_gap: leave a frame alone that is repeated for longer than this many frames; 2 to 24.
    borders: ignore black bars: (left, top, right, bottom) in pixels, or "auto", which looks for them in 8 frames
        spread over the clip when the first new frame is requested (see `borders`).
    curved: follow motion that speeds up, slows down or turns, using the frames around the pair (see
        `model.acceleration`). A new frame then needs four source frames and three flows; in order, each flow is still
        computed once. Across cuts and beyond the clip's ends motion is even. Uneven `_Duration*` of the frames count.
        None is True, but not with dedupe, which excludes it.
    num_streams: how many pairs each device works on at once; None is 1, but 2 on a GPU where motion is not curved.
    matrix, range: colour matrix and range that the networks assume where a frame lacks `_Matrix` or `_Range` (numbers
        of H.273; 0 is limited and 1 full range). They change nothing else.
    debug: show the "flow" or the "visibility" that each frame is made with, in its place, or print "t", its position,
        on it (see `motion`).

    Raises ArgumentError, FormatError or WeightsError when the script loads, before a device is touched or a
    frame requested; FormatError at an interlaced frame.
    """
    # `locals()` holds only the arguments here, so a new option is checked without a further line.
    told = check(SLOMO, locals())
    clip = formats.check_clip(clip)
    options = check_options((clip.width, clip.height), **{name: told[name] for name in MOVING})
    if options.curved and timecodes is not None:
        timecodes = load(timecodes, clip.num_frames)
        clip = durations.timed(clip, timecodes.paced())  # where `PairFinder` reads them

    def made(times: timing.Times) -> vs.VideoNode:
        out = interleave(clip, times, options)
        return out if debug is None else compositing.shown(debug, out, clip, times, options)

    return multiplied(
        clip,
        made,
        multi,
        fps_num=fps_num,
        fps_den=fps_den,
        timecodes=timecodes,
        slow_motion=slow_motion,
        keep=options.dedupe is None,
        streams=options.streams,
    )


def multiplied(
    clip: vs.VideoNode,
    made: Callable[[timing.Times], vs.VideoNode],
    multi: timing.Factor = 2,
    *,
    fps_num: int | None = None,
    fps_den: int | None = None,
    timecodes: Timecodes | str | os.PathLike[str] | None = None,
    slow_motion: bool = False,
    keep: bool = True,
    streams: int = 1,
) -> vs.VideoNode:
    """Return what `made` makes of the clip at its new times, with its new rate or durations.

    made: from the times to a clip of that many frames, as `interleave` makes it. keep: return the clip itself where the
    factor is 1. streams: as in `Options`. The rest is as in `slomo`. A player's clip without a known end is cut where
    the host's numbers end, weeks later.
    """
    check_switch("slow_motion", slow_motion)
    factor = timing.parse_multi(multi)
    rate = None if fps_num is None else timing.parse_rate(fps_num, fps_den)
    if rate is None and fps_den is not None:
        raise ArgumentError("fps_den", fps_den, "only together with fps_num")
    if rate is not None and (factor != 2 or slow_motion):
        name, got = ("slow_motion", slow_motion) if slow_motion else ("multi", multi)
        raise ArgumentError(name, got, "not together with a target rate (fps_num)")
    codes = None if timecodes is None else load(timecodes, clip.num_frames)
    if rate is not None and codes is None:
        factor = timing.multi_for_rate(clip.fps, rate)
    if rate is not None and codes is not None:
        line = codes.at_rate(rate)
        return durations.timed(made(line), Timecodes.constant(line.length, rate))
    if codes is None and factor == 1 and keep:
        return clip
    if codes is None and clip.fps:
        codes = Timecodes.constant(clip.num_frames, clip.fps)
    longest = COUNTED // max(4, streams + 2)
    times = timing.Timing(clip.num_frames, factor)
    if times.length > longest and is_endless(clip):
        times = timing.Timing(max(1, int(longest / factor)), factor)
    if times.length > longest:
        name, got = ("multi", multi) if rate is None else ("fps_num/fps_den", str(rate))
        most = f"{longest // clip.num_frames} times the clip's"
        raise ArgumentError(name, got, f"at most {longest} frames of output, {most}")
    out = made(times)
    slowed = factor if slow_motion else Fraction(1)
    if codes is None:
        return durations.divided(out, clip, times, slowed)
    return durations.timed(out, codes.multiplied(times).slowed(slowed))


def interleave(clip: vs.VideoNode, times: timing.Times, options: Options) -> vs.VideoNode:
    """Return the originals and the new frames in their order: the whole graph."""
    cut = options.cuts(clip)
    fed = frame_inputs(clip, times, options, cut)
    blank = clip.std.BlankClip(length=times.length, keep=True)
    devices = [Shared(options, settings) for settings in options.devices]
    new = [
        blank.std.ModifyFrame(fed.clips, NewFrames(fed, times, options, shared))
        for shared in devices
        for _ in range(options.streams)
    ]
    return picked(fed.first.native, new, cut, times, None if options.dedupe is None else fed.plan, options.spread)


def picked(
    originals: vs.VideoNode,
    new: Sequence[vs.VideoNode],
    cut: vs.VideoNode | None,
    times: timing.Times,
    plan: vs.VideoNode | None = None,
    spread: Spread = Spread(),  # noqa: B008  # it does not change
) -> vs.VideoNode:
    """Return the originals where t is 0, and one of the new frames elsewhere.

    originals, new: clips as long as the output; `new` has one for each stream. cut: as `cuts.detect` returns it, for
    the properties of the output's own cuts. plan: as `duplicates.plan` returns it, where t is only known once a frame
    is requested. spread: which of `new` makes which pair.
    """
    # All frames of a pair come from one stream, so that its flow is found once.
    streams, (_, period) = len(new), times.period
    if plan is None:
        # Frame n of `choices` comes `streams + 1` times: the original, and what each stream would make of it.
        choices = vs.core.std.Interleave([originals, *new], modify_duration=False)
        span = min(spread.period * period, times.length)

        def taken(n: int) -> int:
            k, t = times.at(n)
            return n * (streams + 1) + (1 + spread.stream(k) if t else 0)

        out = select(choices, span * (streams + 1), Pattern(span, taken), times.length)
    else:

        def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            moment = Moment.of(n, times, f)
            return new[spread.stream(moment.first)] if moment.t else originals

        out = originals.std.FrameEval(choose, plan, [originals, *new])
    if cut is None:
        return out.std.RemoveFrameProps([cuts.NEXT, cuts.PREV])
    return cuts.mark(out, cut, times)


class NewFrames:
    """Makes the frames between originals. For one callback at a time (the host's rule for a ModifyFrame node)."""

    def __init__(self, fed: PairInputs, times: timing.Times, options: Options, shared: Shared) -> None:
        """fed: what the node is fed. shared: what the nodes of its device have in common."""
        self.fed, self.times = fed, times
        self.finder = PairFinder(options, times.frames, shared)

    @cached_property
    def stream(self) -> torch.cuda.Stream | None:
        """The node's own, so that its uploads and downloads overlap with another node's networks."""
        return self.finder.engine.stream()

    def __call__(self, n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        """Return new frame n."""
        fed = self.fed.frames(f)
        moment, a, b = Moment.of(n, self.times, fed.plan), fed.first.native, fed.second.native
        t = float(moment.t)
        formats.check_progressive(a)
        formats.check_progressive(b)
        out = frames.new_frame(a if t <= 0.5 else b)
        if moment.cut:
            if self.finder.options.given["sc_action"] == "blend":
                fill(out, a, b, lambda plane0, plane1, *_: torch.lerp(plane0, plane1, t))
            return out
        self.finder.engine.run(lambda: self.move(out, moment, fed), self.stream)
        return out

    def move(self, out: vs.VideoFrame, moment: Moment, fed: PairInputs) -> None:
        """Write what moves into a copy of one of the frames."""
        pair = self.finder.pair(moment, fed)
        if pair is None:
            return
        engine, a, b = self.finder.engine, fed.first.native, fed.second.native
        integer, bits = a.format.sample_type == vs.SampleType.INTEGER, a.format.bits_per_sample
        motion = engine.motion(pair, float(moment.t))
        peak = 2**bits - 1 if integer else None
        render = partial(engine.render, motion, origin=pair.origin, peak=peak, wait=False)
        read = [partial(self.finder.planes, k) for k in (moment.first, moment.second)]
        fill(out, a, b, render, pair.box, read, engine.wait)


def fill(
    out: vs.VideoFrame,
    a: vs.VideoFrame,
    b: vs.VideoFrame,
    between: Callable[[Tensor, Tensor, float, float], Tensor],
    box: Box | None = None,
    read: Sequence[Callable[[vs.VideoFrame, tuple[int, ...]], Tensor]] = (frames.read_planes, frames.read_planes),
    wait: Callable[[], None] = lambda: None,
) -> None:
    """Write what lies between two frames, made from their own planes; alpha too, where both have it.

    between: makes planes from the same planes of both frames and their size as a part of the picture's, as
    `Engine.render` does. box: the part of the picture that is made and written; None is all of it. read: reads planes
    of the first frame, and of the second. wait: returns once all that was made is there.
    """
    box = box or Box(0, 0, a.width, a.height)
    made = []
    for planes, ratio_x, ratio_y in frames.plane_groups(a.format):
        plane0, plane1 = (box.of(way(x, planes), ratio_x, ratio_y) for way, x in zip(read, (a, b), strict=True))
        made.append((planes, between(plane0, plane1, ratio_x, ratio_y), box, ratio_x, ratio_y))
    wait()
    for each in made:
        frames.write_planes(out, *each)
    alpha0, alpha1 = frames.alpha(a), frames.alpha(b)
    if alpha0 is not None and alpha1 is not None:
        alpha, own = alpha0.copy(), alpha0.format
        # As floats with a range of 1, since its depth may differ from the picture's. A power of two keeps every bit.
        span = 2**own.bits_per_sample if own.sample_type == vs.INTEGER else 1
        fill(alpha, alpha0, alpha1, lambda p0, p1, x, y: between(p0 / span, p1 / span, x, y) * span, box)
        out.props["_Alpha"] = alpha
