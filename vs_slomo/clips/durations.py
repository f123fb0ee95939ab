"""Read, write and divide the frames' own durations, `_DurationNum` / `_DurationDen`.

A constant rate stands in the clip's `fps`. A clip with a variable rate has fps 0, and only its frames know it.
"""

from __future__ import annotations

import logging
from fractions import Fraction

import vapoursynth as vs

from vs_slomo.errors import ArgumentError, FormatError
from vs_slomo.timing.positions import Timing
from vs_slomo.timing.timecodes import Timecodes

from .select import Pattern, next_frames, select

log = logging.getLogger("vs_slomo")

NUM, DEN = "_DurationNum", "_DurationDen"


def scan_timecodes(clip: vs.VideoNode) -> Timecodes:
    """Return a clip's timecodes, read from its frames' durations. It reads every frame, which the log says.

    The last frame may have no duration (BestSource): then it lasts as long as the previous one. Raises FormatError
    where any other frame has none.
    """
    if not isinstance(clip, vs.VideoNode):
        raise ArgumentError("clip", clip, "a vapoursynth.VideoNode")
    log.info("timecodes: reading the durations of %d frames", clip.num_frames)
    durations = [duration(frame) for frame in clip.frames(close=True)]
    if durations[-1] is None:
        durations[-1:] = durations[-2:-1]
    missing = [n for n, d in enumerate(durations) if not d]
    if missing or not durations:
        raise FormatError(f"clip: frame {missing[0] if missing else 0} has no duration ({NUM}, {DEN})")
    return Timecodes.lasting(d for d in durations if d)


def timed(clip: vs.VideoNode, codes: Timecodes) -> vs.VideoNode:
    """Return the clip with these durations. It has a constant rate where they are all the same, else fps 0.

    Raises ArgumentError where the rate is a fraction too large for the host.
    """
    if rate := codes.rate:
        if (bits := max(rate.as_integer_ratio()).bit_length()) > 63:
            raise ArgumentError(
                "multi",
                f"{float(rate):.6f} frames a second, a fraction of {bits} bits",
                "a rate of at most 63 bits: give a factor of fewer digits, a fraction, or fps_num and fps_den",
            )
        return clip.std.AssumeFPS(fpsnum=rate.numerator, fpsden=rate.denominator)
    variable = clip.std.BlankClip(fpsnum=0, fpsden=1, keep=True)
    return variable.std.ModifyFrame(clip, lambda n, f: lasting(f, codes.lasts(n)))


def divided(clip: vs.VideoNode, source: vs.VideoNode, times: Timing, factor: Fraction) -> vs.VideoNode:
    """Return the clip with parts of the source frames' own durations, multiplied by `factor`.

    clip: made of `source` by `times`. Output frame n lasts from source position n / multi to (n + 1) / multi: a part
    of one source frame, or of two.
    """
    cycle, period = times.period
    step = 1 / times.multi
    # Frame k comes as 2k, and k + 1 as 2k + 1: the second is asked for only where the step reaches into it, since a
    # player has nothing behind its last frame.
    choices = vs.core.std.Interleave([source, next_frames(source)], modify_duration=False)

    def second(n: int) -> int:
        k, t = times.at(n)
        return 2 * k + (step > 1 - t)

    ends = (Pattern(period, lambda n: 2 * times.at(n)[0]), Pattern(period, second))
    spanned = [select(choices, 2 * cycle, end, times.length) for end in ends]

    def share(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        _, t = times.at(n)
        out, *sources = f
        parts = (min(1 - t, step), max(Fraction(0), step - (1 - t)))
        lasts = [(part, duration(frame)) for part, frame in zip(parts, sources, strict=True) if part]
        known = [part * d for part, d in lasts if d]
        return lasting(out, sum(known) * factor if len(known) == len(lasts) else None)

    return clip.std.ModifyFrame([clip, *spanned], share)


def duration(frame: vs.VideoFrame) -> Fraction | None:
    """Return a frame's own duration in seconds; None where it has none."""
    num, den = (int(frame.props.get(name, 0)) for name in (NUM, DEN))
    return Fraction(num, den) if num > 0 and den > 0 else None


def lasting(frame: vs.VideoFrame, seconds: Fraction | None) -> vs.VideoFrame:
    """Return the frame with another duration."""
    out = frame.copy()
    if seconds is None:
        for name in (NUM, DEN):
            out.props.pop(name, None)
    else:
        out.props[NUM], out.props[DEN] = seconds.numerator, seconds.denominator
    return out
