"""`vs-slomo compare`: all methods on one video, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .evaluate import Compared, MaxSize
from .flags import Networks
from .graph import Input, Range, Source
from .progress import Bar
from .render import OVERWRITE


def compare(
    input: Input,  # noqa: A002  # what the help calls it
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(name=("--output", "-o"), metavar="FILE", help="The page (default: INPUT.compare.html, replaced)"),
    ] = None,
    span: Range = None,
    source: Source = None,
    max_size: MaxSize = None,
    pictures: Annotated[int, Parameter(metavar="N", help="Frames to look at")] = 4,
    overwrite: Annotated[bool, OVERWRITE] = False,
    compared: Compared | None = None,
    networks: Networks | None = None,
) -> None:
    """Leave every second frame out, let every method make it, and write a page to see which looks best.

    Without --range it takes 49 frames from the middle.

    vs-slomo compare input.mp4 --range 100:113
    """
    from vs_slomo.measure.compare import compare as make
    from vs_slomo.measure.compare import means_text

    file = output or f"{Path(input).stem}.compare.html"
    with Bar() as bar:
        result = make(
            input,
            file,
            span=span,
            source=source,
            max_size=max_size,
            pictures=pictures,
            overwrite=overwrite or output is None,
            progress=bar,
            **(compared or Compared()).options(networks),
        )
    print(means_text(result))
    print(file)
