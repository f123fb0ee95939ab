"""`vs-slomo demo`: a scene of our own, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .flags import INTERPOLATION, Flags, flags
from .progress import Bar

if TYPE_CHECKING:
    Networks = Flags
else:
    Networks = flags(("model", "flow", "device"), INTERPOLATION)

DEMO = "vs-slomo-demo.mp4"


def demo(
    *,
    output: Annotated[
        str | None,
        Parameter(name=("--output", "-o"), metavar="FILE", help=f"The video to write (default: {DEMO}, replaced)"),
    ] = None,
    multi: Annotated[int, Parameter(metavar="N", help="How many times as many frames")] = 4,
    frames: Annotated[int, Parameter(metavar="N", help="Source frames")] = 24,
    networks: Networks | None = None,
) -> None:
    """Make a scene whose true frames are known, slow it down and measure: a first look at what this does.

    vs-slomo demo
    """
    from vs_slomo.measure.demo import demo as make

    file = DEMO if output is None else output
    options = (networks or Networks()).given()
    with Bar() as bar:
        score = make(file, multi=multi, frames=frames, overwrite=output is None, progress=bar, **options)
    print(f"{file}: {frames} frames made {multi} times as many")
    print(f"PSNR of the new frames: {score.slomo:.2f} dB, frame blending {score.blend:.2f} dB")
