"""`vs-slomo bench`: what a frame costs here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vs_slomo.errors import ArgumentError

from .flags import INTERPOLATION, Flags, flags, frame_size

if TYPE_CHECKING:
    Networks = Flags
else:
    Networks = flags(("model", "scale", "flow", "device", "precision", "tile"), INTERPOLATION)


def bench(
    *,
    size: Annotated[str, Parameter(metavar="WxH", help="The picture's")] = "1280x720",
    multi: Annotated[int, Parameter(metavar="N", help="Frames out for one frame in")] = 2,
    rounds: Annotated[int, Parameter(metavar="N", help="Rounds, of which the median counts")] = 5,
    no_reference: Annotated[bool, Parameter(negative=(), show_default=False, help="Leave the plain way out")] = False,
    no_start: Annotated[bool, Parameter(negative=(), show_default=False, help="Leave the first frame out")] = False,
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print JSON, not a table")] = False,
    plot: Annotated[
        Path | None, Parameter(metavar="FILE", help="Draw cost against resolution and factor, an SVG picture")
    ] = None,
    largest: Annotated[int, Parameter(metavar="ROWS", help="Largest picture of the plot")] = 2160,
    networks: Networks | None = None,
) -> None:
    """Time the networks, the frames and the first frame, to know what a frame costs on this machine.

    The machine's limit and the plain way stand beside them.

    vs-slomo bench --size 1920x1080 --scale 1/2
    """
    from vs_slomo.filters.options import check_options
    from vs_slomo.measure import bench as measure
    from vs_slomo.measure.plots import costs_svg
    from vs_slomo.measure.start import time_start
    from vs_slomo.outputs import check_output, write_text

    width, height = frame_size(size) or (0, 0)
    sides = measure.SIDES
    if width not in sides or height not in sides:
        raise ArgumentError("size", size, f"width and height from {sides[0]} to {sides[-1]} pixels, such as 1280x720")
    for name, value, allowed in (
        ("multi", multi, range(2, 257)),
        ("rounds", rounds, range(1, 1001)),
        ("largest", largest, sides),
    ):
        if value not in allowed:
            raise ArgumentError(name, value, f"an integer from {allowed[0]} to {allowed[-1]}")
    if plot:
        if not (plot.suffix == ".svg" and os.path.isdir(plot.parent)):  # noqa: PTH112  # of any name
            raise ArgumentError("plot", str(plot), "a file that ends in .svg, in a folder that is there")
        check_output(plot, overwrite=True, name="plot")
    settings = check_options((width, height), **(networks or Networks()).given()).settings
    result = measure.measure(settings, (width, height), multi, rounds=rounds, plain=not no_reference)
    starts = {}
    if not no_start:
        starts = {"first": time_start(settings, (width, height))}
    swept = {}
    if plot:
        swept = measure.sweep(settings, rounds=rounds, largest=largest)
        write_text(plot, costs_svg(swept, f"{result.model}, width {result.width}, scale {result.scale:g}"), name="plot")
    print(measure.bench_json(result, starts, swept) if json else measure.bench_text(result, starts))
