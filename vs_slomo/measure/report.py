"""What is told of the scores: tables, files, and the worst cases as pictures."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vs_slomo.outputs import write_bytes, write_text
from vs_slomo.training.pictures import Image

from .cases import LeftOut
from .scores import METRICS, Metric, Score

Table = dict[str, dict[str, dict[str, float]]]
"""Clip, method, metric; the clip "mean" is the mean over all clips."""
MOST_ROWS = 40
"""Clips of which a table shows each."""

GAIN, ABREAST = 4, 3
"""How much differences are amplified to be seen, and how many pictures stand side by side."""


# --- tables -----------------------------------------------------------------------------------------------


def known_metrics(scores: Sequence[Score]) -> list[Metric]:
    """Return the metrics that were measured in at least one frame."""
    return [m for m in METRICS if not all(math.isnan(getattr(s, m.name)) for s in scores)]


def table(scores: Sequence[Score]) -> Table:
    """Return the means of each clip, and the mean of the clips' means. What is unknown does not count."""
    rows: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        rows[score.clip][score.method].append(score)
    names = [m.name for m in known_metrics(scores)]
    means = {
        clip: {method: {m: _mean([getattr(s, m) for s in own]) for m in names} for method, own in row.items()}
        for clip, row in rows.items()
    }
    methods = next(iter(means.values()), {})
    means["mean"] = {x: {m: _mean([row[x][m] for row in means.values()]) for m in names} for x in methods}
    return means


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def table_text(means: Table) -> str:
    """Lay out PSNR by clip and method, where there are not too many clips, and below it the means of all metrics."""
    names = list(means["mean"])
    rows = {clip: [f"{row[m]['psnr']:.2f}" for m in names] for clip, row in means.items() if clip != "mean"}
    if len(rows) > MOST_ROWS:
        rows = {}
    for metric in METRICS:
        if metric.name in means["mean"][names[0]]:
            values = [means["mean"][m][metric.name] for m in names]
            rows[f"mean {metric.title}"] = [f"{value:.{metric.digits}f}" for value in values]
    head = "PSNR in dB"
    first = max(map(len, [head, *rows]))
    widths = [max(len(name), 7) + 2 for name in names]
    lines = [[head, *names], *([clip, *row] for clip, row in rows.items())]
    return "\n".join(
        f"{line[0]:{first}}" + "".join(f"{x:>{w}}" for x, w in zip(line[1:], widths, strict=True)) for line in lines
    )


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of the same columns as CSV."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_report(scores: Sequence[Score], folder: Path, about: Mapping[str, Any]) -> None:
    """Write scores.csv (a line for every frame and method), summary.json and table.txt. about: put into the JSON."""
    unknown = {m.name for m in METRICS} - {m.name for m in known_metrics(scores)}
    rows = [{name: _shown(value) for name, value in asdict(s).items() if name not in unknown} for s in scores]
    write_text(folder / "scores.csv", csv_text(rows))
    means = table(scores)
    known = {
        clip: {method: {m: value for m, value in row.items() if not math.isnan(value)} for method, row in rows.items()}
        for clip, rows in means.items()
    }
    summary = {**about, "frames": len(scores) // max(len(means["mean"]), 1), "means": known}
    write_text(folder / "summary.json", json.dumps(summary, indent=2, default=str) + "\n")
    text = [*(str(about[name]) for name in ("model",) if name in about), table_text(means), ""]
    write_text(folder / "table.txt", "\n".join(text))


def _shown(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value


# --- the worst cases --------------------------------------------------------------------------------------


class WorstCases:
    """Keeps pictures of the frames that the first method does worst; a `scores.Watch`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.panels: list[tuple[float, int, str, Image]] = []
        self.seen = 0

    def __call__(self, case: LeftOut, made: Mapping[str, Tensor], truth: Tensor, scores: list[Score]) -> None:
        """Keep this frame if it is among the worst so far."""
        self.seen += 1
        title = re.sub(r"[\s/]+", "_", f"{case.clip} {case.name}".strip())
        self.panels.append((-scores[0].psnr, -self.seen, title, panel(made, truth, scores)))
        self.panels = sorted(self.panels, reverse=True)[: self.count]

    def write(self, folder: Path) -> None:
        """Write the pictures, worst first."""
        for place, (_, _, title, image) in enumerate(self.panels, 1):
            write_bytes(folder / f"worst_{place}_{title}.png", cv2.imencode(".png", image)[1].tobytes())


def panel(made: Mapping[str, Tensor], truth: Tensor, scores: Sequence[Score], width: int = 480) -> Image:
    """Lay out the truth and every method's picture, and below each the difference from the truth times GAIN, BGR."""

    def cell(picture: Tensor, text: str) -> Image:
        image = as_image(picture)
        height = round(image.shape[0] * width / image.shape[1])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if text:
            image[:26] //= 3
            cv2.putText(image, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        return image

    cells = [np.concatenate([cell(truth, "truth"), cell(torch.zeros_like(truth), f"differences x {GAIN}")])]
    for score in scores:
        picture = made[score.method]
        difference = cell(amplified(picture, truth, GAIN), "")
        cells.append(np.concatenate([cell(picture, f"{score.method} {score.psnr:.2f} dB"), difference]))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % ABREAST)
    rows = [np.concatenate(cells[i : i + ABREAST], axis=1) for i in range(0, len(cells), ABREAST)]
    return np.concatenate(rows)


def amplified(picture: Tensor, truth: Tensor, gain: int) -> Tensor:
    """Return the difference of two pictures, `gain` times as strong."""
    return (gain * (picture - truth).abs()).clamp(0, 1)


def as_image(picture: Tensor) -> Image:
    """Return (3, H, W) RGB in [0, 1] as OpenCV has pictures, (H, W, 3) BGR uint8."""
    image: Image = (255 * picture.flip(0)).round().byte().permute(1, 2, 0).contiguous().numpy()
    return image
