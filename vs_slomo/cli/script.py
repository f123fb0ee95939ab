"""`vs-slomo script`: what `render` would run."""

from __future__ import annotations

from .flags import Interpolation, Rate, SpeedCurve
from .graph import Input, Part, graph_options


def script(
    input: Input,  # noqa: A002  # what the help calls it
    /,
    *,
    rate: Rate | None = None,
    interpolation: Interpolation | None = None,
    part: Part | None = None,
    curve: SpeedCurve | None = None,
) -> None:
    """Print the VapourSynth script that render would run, to change it and go on from there.

    vs-slomo script input.mp4 --fps 60 > smooth.vpy
    """
    from vs_slomo.video.render import graph

    told = graph_options(part or Part(), rate or Rate(), interpolation or Interpolation(), curve or SpeedCurve())
    print(graph(input, **told).script, end="")
