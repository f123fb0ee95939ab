"""The plots of `bench` and `compare`, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .scores import Score

COLOURS = ("#1f77b4", "#d62728", "#7f7f7f", "#bcbd22", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
"""Of the methods, in their order."""


def straight_line(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return constant and slope of a straight line through the points, and how far it is from them at most.

    Small and large costs count alike: the fit is of relative errors. The last number is the largest of them.
    """
    x, y = np.array(points).T
    slope, constant = np.polyfit(x, y, 1, w=1 / y)
    return float(constant), float(slope), float(np.abs((constant + slope * x) / y - 1).max())


def costs_svg(swept: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Return the costs and the straight lines through them as an SVG picture. `bench.sweep` gives them."""
    labels = {"pixels": ("megapixels of the picture", 1e6), "multi": ("frames out for one frame in", 1.0)}
    width, height, edge = 420, 300, 50
    parts = [f'<text x="{width}" y="20" text-anchor="middle">{title}</text>']
    for i, (name, points) in enumerate(swept.items()):
        label, unit = labels[name]
        constant, slope, error = straight_line(points)
        right, top = max(x for x, _ in points), max(y for _, y in points)

        def place(x: float, y: float, i: int = i, right: float = right, top: float = top) -> str:
            across = edge + i * width + x / right * (width - 2 * edge)
            return f"{across:.1f},{height + edge - y / top * (height - edge):.1f}"

        fit = f"{constant:.1f} + {slope * unit:.1f} x, within {100 * error:.0f} %"
        axes = place(0, top), place(0, 0), place(right, 0)
        fitted = place(0, constant), place(right, constant + slope * right)
        for colour, corners in (("black", axes), ("gray", fitted)):
            parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(corners)}"/>')
        for x, y in points:
            across, down = place(x, y).split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="3"><title>{x / unit:g}: {y:.1f} ms</title></circle>')
        for value, at in ((f"{right / unit:.2g} {label}", place(right, 0)), ("0", place(0, 0))):
            across, down = at.split(",")
            parts.append(f'<text x="{across}" y="{float(down) + 18:.0f}" text-anchor="end">{value}</text>')
        across, down = place(0, top).split(",")
        parts.append(f'<text x="{across}" y="{float(down) - 8:.0f}">{top:.0f} ms; line: {fit}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height + 90}" font-family="sans-serif" '
        f'font-size="13">\n{body}\n</svg>\n'
    )


def psnr_chart(scores: Sequence[Score], methods: Sequence[str], width: int = 640, height: int = 200) -> str:
    """Return PSNR by frame, a line for every method, as SVG."""
    frames = sorted({int(s.case) for s in scores})
    low, high = (f(s.psnr for s in scores) for f in (min, max))
    span = max(high - low, 1e-6)

    def x(frame: int) -> float:
        return 40 + (width - 50) * (frame - frames[0]) / max(frames[-1] - frames[0], 1)

    def y(psnr: float) -> float:
        return 10 + (height - 30) * (high - psnr) / span

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img"><title>PSNR by frame</title>']
    for value in (low, (low + high) / 2, high):
        parts.append(f'<line x1="40" x2="{width - 10}" y1="{y(value):.1f}" y2="{y(value):.1f}" class="grid"/>')
        parts.append(f'<text x="36" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    parts += [f'<text x="{x(f):.1f}" y="{height - 4}" text-anchor="middle">{f}</text>' for f in {frames[0], frames[-1]}]
    for name, colour in zip(methods, COLOURS, strict=False):
        points = " ".join(f"{x(int(s.case)):.1f},{y(s.psnr):.1f}" for s in scores if s.method == name)
        parts.append(f'<polyline points="{points}" stroke="{colour}"><title>{name}</title></polyline>')
    return "".join([*parts, "</svg>"])
