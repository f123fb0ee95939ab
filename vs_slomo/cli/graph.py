"""What `render` and `script` have in common: the input, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from vs_slomo.errors import ArgumentError

from .flags import FPS, INTERPOLATION, MOMENT, ONE_RATE, RANGE, RATE, RETIMING, Flags, Interpolation, Rate, SpeedCurve

Effort = Literal["draft", "good", "best"]
EFFORTS: dict[Effort, dict[str, Any]] = {
    "draft": {"flow": "fast"},
    "good": {},
    "best": {"scale": 1.0},
}
"""What each effort stands for; an option that is given beside it counts."""

Input = Annotated[str, Parameter(help="The video file")]
Source = Annotated[Literal["ffms2", "bs", "lsmas", "pyffms2"] | None, Parameter(help="The source filter")]
Range = Annotated[
    str | None,
    Parameter(
        name="--range",
        metavar="A:B",
        converter=RANGE,
        allow_leading_hyphen=True,
        help="The part to take, from A to before B: frames 100:250, seconds 1.5s:4s, clock times 0:01:30-0:02:00; "
        "either end may be left out",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Part(Flags):
    """What is taken of the input, and at which rate it is shown."""

    fps: Annotated[
        Fraction | None,
        Parameter(
            group=(RATE, ONE_RATE),
            converter=FPS,
            metavar="RATE",
            help="A target rate in place of --multi, such as 60, 59.94 or 60000/1001",
        ),
    ] = None
    span: Range = None
    start: Annotated[
        str | None, Parameter(converter=MOMENT, metavar="A", help="Where to start: frame 100, 1.5s, or 0:01:30")
    ] = None
    end: Annotated[
        str | None, Parameter(converter=MOMENT, metavar="B", help="Where to stop: frame 250, 4s, or 0:02:00")
    ] = None
    source: Source = None
    progressive: Annotated[
        bool | None, Parameter(negative=(), help="Take frames that are flagged interlaced as they are, as of films")
    ] = None
    deinterlace: Annotated[
        bool | None, Parameter(negative=(), help="Make whole frames of interlaced ones (needs vapoursynth-bwdif)")
    ] = None
    allow_playlist: Annotated[
        bool | None, Parameter(negative=(), help="Read a playlist that leads out of its own folder")
    ] = None
    codec: Annotated[
        str | None,
        Parameter(
            metavar="NAME",
            help="x264 (default), x265, av1, vp9 (default in .webm), prores or another encoder of ffmpeg",
        ),
    ] = None
    curve: Annotated[
        str | None,
        Parameter(
            group=RETIMING,
            metavar="FILE",
            help="Keyframes in place of --multi, a line each: output time, source time, and linear, hold or smooth",
        ),
    ] = None
    effort: Annotated[
        Effort | None,
        Parameter(
            group=INTERPOLATION,
            help="How much work: draft, good or best: about 12, 2 or 0.4 new frames a second at "
            "1280x720 on two CPU cores (default: good)",
        ),
    ] = None
    dedupe_threshold: Annotated[
        float | None,
        Parameter(
            group=INTERPOLATION,
            metavar="X",
            help="Like --dedupe, and how similar repeated frames must be, above 0 and up to 1",
        ),
    ] = None


def graph_options(part: Part, rate: Rate, interpolation: Interpolation, curve: SpeedCurve) -> dict[str, Any]:
    """Return what `video.render.graph` takes. Raises ArgumentError."""
    told = rate.given() | part.given() | curve.given() | interpolation.given()
    scale = told.get("scale")
    if isinstance(scale, float) and scale > 1:
        raise ArgumentError(
            "scale",
            scale,
            "1, 1/2, 1/4 or 1/8: it is the resolution of the networks here; "
            f"for {scale:g} times the frames: --multi {scale:g} --slow-motion",
        )
    if part.curve is None:
        for name, value in curve.given().items():
            raise ArgumentError(name, value, "only together with --curve FILE")
    if part.curve is not None and "debug" in told:
        raise ArgumentError("debug", told["debug"], "not together with a curve")
    start, end = told.pop("start", None), told.pop("end", None)
    if start or end:
        if part.span is not None:
            raise ArgumentError("span", part.span, "not together with --start or --end")
        told["span"] = f"{start or ''}:{end or ''}"
    if "fps" in told:
        fps = told.pop("fps")
        told = {"fps_num": fps.numerator, "fps_den": fps.denominator} | told
    if "dedupe_threshold" in told:
        told["dedupe"] = told.pop("dedupe_threshold")
    return EFFORTS[told.pop("effort", "good")] | told
