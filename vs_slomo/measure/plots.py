"""The plots of `bench` and `compare`, as SVG that can be read on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle

import numpy as np

from .scores import Score

COLOURS = (
    *("#2f7fd6", "#d1495b", "#7d6bd6", "#5f8f1f", "#c0692b", "#808080"),
    *("#a67c00", "#2a9459", "#b8559f", "#148f9e", "#9c6b4f", "#5a7fa0"),
)
"""Of the methods, in their order: each has a contrast of at least 3 with white and with a dark page."""
STYLE = """<style>
svg { color: #222; background: #fff; } .card { fill: #fff; }
@media (prefers-color-scheme: dark) { svg { color: #ddd; background: #16181c; } .card { fill: #16181c; } }
text { fill: currentColor; } .grid { stroke: currentColor; opacity: .18; } .axis { stroke: currentColor; fill: none; }
.fit { fill: none; stroke: #2f7fd6; stroke-width: 1.5; } circle { fill: #d1495b; }
</style>"""
"""Of a picture that stands alone: it has a ground of its own, so it can be read wherever it is shown."""

Range = tuple[float, float]


def straight_line(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return constant and slope of a straight line through the points, and its largest distance from them.

    Small and large costs count alike: the fit is of relative errors. The last number is the largest of them.
    """
    x, y = np.array(points).T
    slope, constant = np.polyfit(x, y, 1, w=1 / y)
    return float(constant), float(slope), float(np.abs((constant + slope * x) / y - 1).max())


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from low to high, at most `most` steps apart."""
    raw = max(high - low, 1e-9) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Axes:
    """A plot's area in an SVG picture: left, top, width and height in its units; x and y are the numbers' ranges."""

    left: float
    top: float
    width: float
    height: float
    x: Range
    y: Range

    def place(self, x: float, y: float) -> str:
        """Return where a point lies, as "across,down"."""
        across = self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * self.width
        down = self.top + (self.y[1] - y) / (self.y[1] - self.y[0]) * self.height
        return f"{across:.1f},{down:.1f}"

    def drawn(self, title: str, across: str, up: str, *, whole: bool = False) -> list[str]:
        """Return the title, both axes with their names, and the grid. whole: only whole numbers across."""
        left, right, foot = self.left, self.left + self.width, self.top + self.height
        turned = f"translate({left - 50:.1f},{self.top + self.height / 2:.1f}) rotate(-90)"
        parts = [
            f'<text x="{left:.1f}" y="{self.top - 12:.1f}" font-weight="600">{escape(title)}</text>',
            f'<text x="{left + self.width / 2:.1f}" y="{foot + 36:.1f}" text-anchor="middle">{escape(across)}</text>',
            f'<text transform="{turned}" text-anchor="middle">{escape(up)}</text>',
            f'<polyline class="axis" points="{left:.1f},{self.top:.1f} {left:.1f},{foot:.1f} {right:.1f},{foot:.1f}"/>',
        ]
        for value in ticks(*self.y):
            down = float(self.place(self.x[0], value).split(",")[1])
            parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{down:.1f}" y2="{down:.1f}"/>')
            parts.append(f'<text x="{left - 6:.1f}" y="{down + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in ticks(*self.x):
            if not whole or value == round(value):
                at = self.place(value, self.y[0]).split(",")[0]
                parts.append(f'<text x="{at}" y="{foot + 17:.1f}" text-anchor="middle">{value:g}</text>')
        return parts


def costs_svg(swept: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Return the costs and the straight lines through them as an SVG picture. `bench.sweep` gives them."""
    labels = {
        "pixels": ("Cost against resolution", "megapixels of the picture", 1e6),
        "multi": ("Cost against the factor", "multi: frames out for one frame in", 1.0),
    }
    width, height = 460, 250
    parts = [f'<text x="{width}" y="24" text-anchor="middle" font-size="15">{escape(title)}</text>']
    for i, (name, points) in enumerate(swept.items()):
        heading, label, unit = labels[name]
        constant, slope, error = straight_line(points)
        right, top = max(x for x, _ in points), max(*(y for _, y in points), constant + slope * points[-1][0])
        axes = Axes(i * width + 75, 75, width - 105, height - 20, (0, 1.03 * right / unit), (0, 1.05 * top))
        parts += axes.drawn(heading, label, "ms for a source frame", whole=name == "multi")
        fitted = axes.place(0, constant), axes.place(right / unit, constant + slope * right)
        parts.append(f'<polyline class="fit" points="{" ".join(fitted)}"/>')
        for x, y in points:
            across, down = axes.place(x / unit, y).split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="3"><title>{x / unit:g}: {y:.1f} ms</title></circle>')
        line = f"line: {constant:.1f} + {slope * unit:.1f} x ms, within {100 * error:.0f} %"
        parts.append(f'<text x="{axes.left + 10:.1f}" y="{axes.top + 14:.1f}">{line}</text>')
    body = "\n".join(parts)
    whole = f'width="{2 * width}" height="{height + 110}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height + 110}" font-family="sans-serif" '
        f'font-size="13">\n{STYLE}\n<rect class="card" {whole}/>\n{body}\n</svg>\n'
    )


def psnr_chart(scores: Sequence[Score], methods: Sequence[str], width: int = 640, height: int = 280) -> str:
    """Return PSNR by frame, a line for every method, as SVG; the page that it stands on has its colours."""
    frames = sorted({int(s.case) for s in scores})
    values = [s.psnr for s in scores]
    low, high = math.floor(min(values)), math.ceil(max(values))
    span = (frames[0], frames[-1]) if len(frames) > 1 else (frames[0] - 1, frames[0] + 1)
    axes = Axes(62, 30, width - 76, height - 76, span, (low, max(high, low + 1)))
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="PSNR of each frame, by method">']
    parts += axes.drawn("PSNR of each frame: higher is nearer to the truth", "frame", "PSNR, dB", whole=True)
    for name, colour in zip(methods, cycle(COLOURS), strict=False):
        own = [(int(s.case), s.psnr) for s in scores if s.method == name]
        places = " ".join(axes.place(*point) for point in own)
        ours = "ours" if name.startswith("slomo") else "older"
        parts.append(
            f'<polyline class="{ours}" data-method="{name}" points="{places}" stroke="{colour}">'
            f"<title>{name}</title></polyline>"
        )
        if len(own) == 1:
            across, down = axes.place(*own[0]).split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"><title>{name}</title></circle>')
    return "".join([*parts, "</svg>"])
