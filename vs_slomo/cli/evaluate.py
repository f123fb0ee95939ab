"""`vs-slomo evaluate`: all methods on frames that are left out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .flags import Flags, Networks

MaxSize = Annotated[int | None, Parameter(metavar="N", help="Shrink to so many pixels on the longer side")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Compared(Flags):
    """What is compared."""

    methods: Annotated[
        str | None,
        Parameter(metavar="A,B", help="Methods, in this order (default: all; docs/evaluation.md names them)"),
    ] = None

    def options(self, networks: Networks | None) -> dict[str, Any]:
        """Return what `measure.methods.methods` takes."""
        names = None if self.methods is None else self.methods.split(",")
        return {"names": names} | (networks or Networks()).given()


def evaluate(
    folder: Annotated[Path, Parameter(help="Triplets (Middlebury, UCF101, Vimeo90K), videos, or folders of frames")],
    /,
    *,
    stride: Annotated[
        int | None, Parameter(metavar="N", help="Frames from one of a pair to the other (default: 2)")
    ] = None,
    cases: Annotated[
        int | None, Parameter(metavar="N", help="Pairs of each clip (default: 12), or triplets (default: all)")
    ] = None,
    max_size: MaxSize = None,
    output: Annotated[
        Path | None,
        Parameter(name=("--output", "-o"), metavar="DIR", help="Write CSV, JSON and pictures of the worst cases there"),
    ] = None,
    pictures: Annotated[int, Parameter(metavar="N", help="How many of the worst cases")] = 4,
    compared: Compared | None = None,
    networks: Networks | None = None,
) -> None:
    """Leave frames out, let every method make them, and print how near each comes: tables for a folder of footage.

    vs-slomo evaluate clips --methods slomo-unet,flow,blend -o results
    """
    from vs_slomo.measure.cases import find_cases
    from vs_slomo.measure.methods import methods, model_line
    from vs_slomo.measure.report import WorstCases, table, table_text, write_report
    from vs_slomo.measure.scores import evaluate as measure
    from vs_slomo.outputs import make_folder

    options = (compared or Compared()).options(networks)
    chosen = methods(**options, sc=False)
    found = find_cases(folder, stride=stride, cases=cases, max_size=max_size)
    if output is not None:
        make_folder(output)
    worst = WorstCases(pictures)
    scores = measure(
        found,
        chosen,
        watch=None if output is None else worst,
        progress=lambda case: print(case, file=sys.stderr, flush=True),
    )
    about: dict[str, object] = {"folder": folder, "stride": stride, "cases": cases, "max_size": max_size}
    about["model"] = model_line(**options)
    if output is not None:
        write_report(scores, output, about)
        worst.write(output)
    print(about["model"])
    print(table_text(table(scores)))
