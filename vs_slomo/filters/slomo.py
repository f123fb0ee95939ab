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

import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import cuts, duplicates, durations, formats, frames
from vs_slomo.clips.select import select
from vs_slomo.engine.cache import FrameCache
from vs_slomo.errors import ArgumentError
from vs_slomo.model.box import Box
from vs_slomo.timing import positions as timing
from vs_slomo.timing.timecodes import Timecodes, load

from . import motion as compositing
from .inputs import PairInputs
from .options import Options, check_options, check_switch
from .pairs import Moment, PairFinder, frame_inputs

LONGEST = 1 << 29
"""The most frames of output: the host counts in 31 bits, and each stream's frames are counted beside the originals."""


def slomo(
    clip: vs.VideoNode,
    multi: timing.Factor = 2,
    *,
    fps_num: int | None = None,
    fps_den: int | None = None,
    timecodes: Timecodes | str | os.PathLike[str] | None = None,
    slow_motion: bool = False,
    model: str | os.PathLike[str] = "bundled",
    scale: float | str | None = None,
    flow: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    tile: int | None = None,
    sc: bool = True,
    sc_threshold: float = cuts.THRESHOLD,
    sc_action: str = "repeat",
    sc_clip: vs.VideoNode | None = None,
    dedupe: bool | float | None = None,
    max_gap: int = duplicates.MAX_GAP,
    borders: tuple[int, int, int, int] | str | None = None,
    curved: bool | None = None,
    num_streams: int | None = None,
    matrix: int | None = None,
    range: int | None = None,  # noqa: A002  # the host's name
    debug: compositing.Shown | None = None,
) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, in the same format and colours.

    Frames at t = 0 are the source's, bit for bit; the others are made when they are asked for, each of two source
    frames, whose motion is bent as two more show it (see curved). Every clip of one format and size will do: GRAY, RGB
    and YUV, integers of 8 to 16 bit, half and float, any subsampling, from 16x16, with or without alpha. Interlaced
    frames raise an error.

    multi: the factor, at least 1: an int, a Fraction, "5/2", or a float, which means its shortest decimal.
    fps_num, fps_den: a target rate in place of multi; the clip must have a rate, or timecodes.
    timecodes: when each frame of a clip with a variable rate is shown (a timecode file, format v1 or v2, or
        `Timecodes`). With a target rate each source frame is met at its own moment, and the rate may be any; with
        multi each frame's duration is divided. Without them, multi divides the durations that the frames of a clip
        without a rate (fps 0) have.
    slow_motion: keep the clip's rate, so that it gets longer instead of smoother.
    model: "bundled", the name of an installed model, or a file (see `weights.find`).
    scale: the networks' resolution as a part of the clip's, the number 1, 0.5, 0.25 or 0.125; None is the model's own,
        and "auto" half of that, or less, where the networks would see more than 2^20 pixels (see `engine.check_scale`).
    flow: "unet" (the paper's network) or "dis" (classical flow on the CPU at full resolution, refined by the
        second network); None is what the model is best with.
    device: None, "cuda", "cuda:1", "xpu", "mps" or "cpu"; None takes the first there is.
    precision: of the networks: "fp32", "fp16" or "bf16"; None is half where the device is fast at it.
    tile: the networks look at parts of the picture of at most tile x tile pixels, blended where they overlap, so that
        less memory is needed; None does so only where memory does not hold the whole.
    sc: move nothing across a cut. The frames' own `_SceneChangeNext` and `_SceneChangePrev` count where they are
        there, else `cuts.detect` with sc_threshold in [0, 1].
    sc_action: what is shown across a cut: "repeat" (the nearer source frame) or "blend" (both, mixed by time).
    sc_clip: where cuts are sought, in place of the clip: a clip as long, whose frames' properties or pictures count.
    dedupe: make frames that repeat the one before anew, between their neighbours (True, or a threshold in (0, 1], see
        `dedupe.detect`), so that 8 or 12 drawings a second, 3:2 patterns and lost frames move evenly; with multi=1
        the rate stays as it is. A frame then looks at 2 · max_gap + 1 source frames in thumbnails, at two in full.
    max_gap: pictures that stand for more than so many frames are left alone; 2 to 24.
    borders: bars that nothing is moved in, (left, top, right, bottom) in pixels, or "auto": black ones are sought in
        8 frames spread over the clip, when the first new frame is asked for (see `borders`).
    curved: let motion speed up, slow down and turn, as the frames before and behind the two show it, instead of going
        evenly in a line (see `model.acceleration`). A new frame then looks at four source frames and three flows; read
        in order, each flow is still found once. Across a cut and beyond the clip's ends there is nothing to look at.
        Uneven `_Duration*` of the frames count. None is True, but not with dedupe or num_streams above 1, which exclude
        it.
    num_streams: how many new frames may be under way at once; None is 1, but 2 on a GPU where motion is not curved.
    matrix, range: what counts where a frame lacks `_Matrix` or `_Range` (H.273 numbers; 0 is limited and 1 full
        range). They change only what the networks see.
    debug: show in place of each frame the "flow" or the "visibility" that it is made by, or on it "t", where it
        lies (see `compositing`).

    Raises ArgumentError, FormatError or WeightsError when the script loads, before a device is touched or a
    frame requested; FormatError at an interlaced frame.
    """
    clip = formats.check_clip(clip)
    options = check_options(
        (clip.width, clip.height),
        model=model,
        scale=scale,
        flow=flow,
        device=device,
        precision=precision,
        tile=tile,
        sc=sc,
        sc_threshold=sc_threshold,
        sc_action=sc_action,
        sc_clip=sc_clip,
        dedupe=dedupe,
        max_gap=max_gap,
        borders=borders,
        curved=curved,
        num_streams=num_streams,
        matrix=matrix,
        range=range,
    )
    if options.curved and timecodes is not None:
        timecodes = load(timecodes, clip.num_frames)
        clip = durations.timed(clip, timecodes)  # where `PairFinder` reads them
    if debug not in (None, *compositing.SHOWN):
        raise ArgumentError("debug", debug, f"None or one of {', '.join(compositing.SHOWN)}")

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
) -> vs.VideoNode:
    """Return what `made` makes of the clip at its new times, with its new rate or durations.

    made: from the times to a clip of that many frames, as `interleave` makes it. keep: return the clip itself where the
    factor is 1. The rest is as in `slomo`.
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
    times = timing.Timing(clip.num_frames, factor)
    if times.length > LONGEST:
        name, got = ("multi", multi) if rate is None else ("fps_num/fps_den", str(rate))
        most = f"{LONGEST // clip.num_frames} times the clip's"
        raise ArgumentError(name, got, f"at most {LONGEST} frames of output, {most}")
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
    kept = FrameCache(options.settings.device)
    new = [blank.std.ModifyFrame(fed.clips, NewFrames(fed, times, options, kept)) for _ in range(options.streams)]
    return picked(fed.first.native, new, cut, times, None if options.dedupe is None else fed.plan)


def picked(
    originals: vs.VideoNode,
    new: Sequence[vs.VideoNode],
    cut: vs.VideoNode | None,
    times: timing.Times,
    plan: vs.VideoNode | None = None,
) -> vs.VideoNode:
    """Return the originals where t is 0, and one of the new frames elsewhere.

    originals, new: clips as long as the output; `new` has one for each stream. cut: as `cuts.detect` returns it, for
    the properties of the output's own cuts. plan: as `duplicates.plan` returns it, where t is only known once a frame
    is requested.
    """
    # All frames of a pair come from one stream, so that its flow is found once.
    streams, (_, period) = len(new), times.period
    if plan is None:
        # Frame n of `choices` comes `streams + 1` times: the original, and what each stream would make of it.
        choices = vs.core.std.Interleave([originals, *new], modify_duration=False)
        span = min(streams * period, times.length)
        moments = enumerate(map(times.at, range(span)))
        taken = [n * (streams + 1) + (1 + k % streams if t else 0) for n, (k, t) in moments]
        out = select(choices, span * (streams + 1), taken, times.length)
    else:

        def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            moment = Moment.of(n, times, f)
            return new[moment.first % streams] if moment.t else originals

        out = originals.std.FrameEval(choose, plan, [originals, *new])
    if cut is None:
        return out.std.RemoveFrameProps([cuts.NEXT, cuts.PREV])
    return cuts.mark(out, cut, times)


class NewFrames:
    """Makes the frames between originals. For one callback at a time (the host's rule for a ModifyFrame node)."""

    def __init__(self, fed: PairInputs, times: timing.Times, options: Options, kept: FrameCache) -> None:
        """fed: what the node is fed. kept: the latest frames on the device, shared by all nodes of a clip."""
        self.fed, self.times = fed, times
        self.finder = PairFinder(options, times.frames, kept)

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
            if self.finder.options.sc_action == "blend":
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
        render = partial(engine.render, motion, origin=pair.origin, peak=2**bits - 1 if integer else None)
        read = [partial(self.finder.planes, k) for k in (moment.first, moment.second)]
        fill(out, a, b, render, pair.box, read)


def fill(
    out: vs.VideoFrame,
    a: vs.VideoFrame,
    b: vs.VideoFrame,
    between: Callable[[Tensor, Tensor, float, float], Tensor],
    box: Box | None = None,
    read: Sequence[Callable[[vs.VideoFrame, tuple[int, ...]], Tensor]] = (frames.read_planes, frames.read_planes),
) -> None:
    """Write what lies between two frames, made from their own planes; alpha too, where both have it.

    between: makes planes from the same planes of both frames and their size as a part of the picture's, as
    `Engine.render` does. box: the part of the picture that is made and written; None is all of it. read: reads planes
    of the first frame, and of the second.
    """
    box = box or Box(0, 0, a.width, a.height)
    for planes, ratio_x, ratio_y in frames.plane_groups(a.format):
        plane0, plane1 = (box.of(way(x, planes), ratio_x, ratio_y) for way, x in zip(read, (a, b), strict=True))
        frames.write_planes(out, planes, between(plane0, plane1, ratio_x, ratio_y), box, ratio_x, ratio_y)
    alpha0, alpha1 = frames.alpha(a), frames.alpha(b)
    if alpha0 is not None and alpha1 is not None:
        alpha, own = alpha0.copy(), alpha0.format
        # As floats with a range of 1, since its depth may differ from the picture's. A power of two keeps every bit.
        span = 2**own.bits_per_sample if own.sample_type == vs.INTEGER else 1
        fill(alpha, alpha0, alpha1, lambda p0, p1, x, y: between(p0 / span, p1 / span, x, y) * span, box)
        out.props["_Alpha"] = alpha
