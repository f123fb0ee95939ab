"""`retime()`: a clip along a curve, from output time to source time."""

from __future__ import annotations

import os
from fractions import Fraction
from numbers import Integral
from typing import Unpack

import vapoursynth as vs

from vs_slomo.clips import cuts, durations, formats
from vs_slomo.clips.select import select
from vs_slomo.errors import ArgumentError
from vs_slomo.timing import positions as timing
from vs_slomo.timing.curves import Curve, sampler
from vs_slomo.timing.timecodes import Timecodes, load

from .options import check, check_options
from .record import MovingOptions, Unit
from .slomo import interleave


def retime(
    clip: vs.VideoNode,
    curve: Curve,
    *,
    unit: Unit = "seconds",
    length: int | None = None,
    fps_num: int | None = None,
    fps_den: int | None = None,
    timecodes: Timecodes | str | os.PathLike[str] | None = None,
    shutter: int = 1,
    shutter_angle: float = 180,
    **options: Unpack[MovingOptions],
) -> vs.VideoNode:
    """Return the clip along a curve: speed ramps, freezes, reverse, at a constant rate.

    A frame that lies at a source frame, or within 1/1000 of the way to the next one, is that frame, bit for bit.
    Any other is made as `slomo` does it.

    curve: keyframes [(output time, source time, easing), ...], the name of a file of them, a function from output time
        (an exact Fraction) to source time, or an array with the source time of each output frame; see `curves`.
        Source times count from 0 to the clip's end, and in the last frame's time the last frame is shown.
    unit: what the curve's times count: "seconds", or "frames" of the clip and of the output.
    length: how many frames to make; None is up to the last keyframe, the array's length, or for a function the clip's
        duration.
    fps_num, fps_den: the output's rate; None is the clip's.
    timecodes: when each of the clip's frames is shown, where its rate varies; as in `slomo`.
    shutter: motion blur: how many moments, an odd number up to 31, to average for each frame while the shutter is
        open, in the clip's own values; not across a cut.
    shutter_angle: how long it is open around a frame's moment, in degrees: 360 is from frame to frame.
    options: those of `slomo` from `model` to `range`.

    A frame needs 2 source frames; with a shutter that passes s of them while it is open, s + 2 (s rounded up), and
    never more than 2 · shutter; with curved motion one more on either side. For cuts, the pairs that a step crosses
    are compared, in thumbnails, up to 16 of them (`cuts.MOST`); not with sc=False.

    Raises ArgumentError, FormatError or WeightsError when the script loads.
    """
    told = check(("unit", "fps_num", "fps_den", "shutter", "shutter_angle"), locals())
    shutter, shutter_angle = told["shutter"], told["shutter_angle"]
    clip = formats.check_clip(clip)
    if fps_den is not None and fps_num is None:
        raise ArgumentError("fps_den", fps_den, "only together with fps_num")
    rate = clip.fps if fps_num is None else timing.parse_rate(fps_num, fps_den)
    if not rate:
        raise ArgumentError("fps_num", fps_num, "the output's rate, as the clip has none")
    if timecodes is not None:
        codes = load(timecodes, clip.num_frames)
    elif clip.fps or unit == "frames":
        codes = Timecodes.constant(clip.num_frames, clip.fps or rate)
    else:
        raise ArgumentError("unit", unit, '"frames", or timecodes, as the clip has no rate')
    checked = check_options((clip.width, clip.height), "retime", **options)

    seconds = unit == "seconds"
    end = codes.duration if seconds else Fraction(codes.frames)
    source_at, count = sampler(curve, 1 / rate if seconds else Fraction(1), int(codes.duration * rate))
    count = count if length is None else length
    most = timing.LISTED // shutter
    name, got = ("length", count) if length is not None else ("curve", f"one of {count} output frames")
    if not isinstance(count, Integral) or isinstance(count, bool) or not 1 <= count <= most:
        raise ArgumentError(name, got, f"1 to {most} output frames{' with this shutter' if shutter > 1 else ''}")
    count = int(count)

    def position(n: Fraction) -> Fraction:
        source = source_at(min(max(n, Fraction(0)), Fraction(count - 1)))
        if not 0 <= source <= end:
            got = f"source time {float(source):g} at output frame {float(n):g}"
            raise ArgumentError("curve", got, f"times in the clip, from 0 to {float(end):g} {unit}")
        return codes.position(source) if seconds else timing.snapped(source)

    def timeline(samples: int) -> timing.Timeline:
        step = Fraction(str(shutter_angle)) / 360 / samples
        moments = (n + step * (i - samples // 2) for n in range(count) for i in range(samples))
        return timing.Timeline(clip.num_frames, tuple(map(position, moments)))

    told = checked.curved and timecodes is not None
    source = durations.timed(clip, codes.paced()) if told else clip  # where `PairFinder` reads them
    out = interleave(source, timeline(shutter), checked)
    if shutter > 1:
        out = out.std.AverageFrames([1] * shutter, scenechange=True)
        out = select(out, shutter, [shutter // 2], count)
        cut = checked.cuts(clip)
        if cut is not None:
            out = cuts.mark(out, cut, timeline(1))
    return durations.timed(out, Timecodes.constant(count, rate))
