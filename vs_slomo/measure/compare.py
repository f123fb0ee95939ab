"""All methods on one video: every second frame is left out, made again and compared, as numbers and as a page.

The page is one file that needs nothing else: a table, a chart, and for some frames every method's picture, its
difference from the truth and the flow, under a slider or in turns.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import cuts
from vs_slomo.errors import ArgumentError, SlomoError
from vs_slomo.filters.motion import motion
from vs_slomo.given import file_name, whole_number
from vs_slomo.outputs import check_output, write_text
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.video.render import Progress, parse_span
from vs_slomo.video.source import source as open_source
from vs_slomo.weights import FLOWS

from .cases import MOST, evenly_spread, in_memory, shrunk
from .methods import Method, default_method, methods, model_line
from .plots import COLOURS, psnr_chart
from .report import amplified, as_image, csv_text, known_metrics, table
from .scores import UNKNOWN, Metric, Score, has_ssimulacra2, measured, rgb_frames, ssimulacra2

log = logging.getLogger("vs_slomo")

SPAN = 49
"""Frames from the middle of the video that are compared by default."""
SMALLEST = 64
"""The least that videos are shrunk to, in pixels of the longer side: some methods find nothing in less."""
GAIN = 8
"""How much differences are amplified to be seen."""
WIDEST = 1280
"""Largest width of the page's pictures, in pixels."""
METERS = {
    "psnr": "in dB, from the mean squared difference: 1 dB more is a fifth less; from about 40 dB on hardly visible",
    "ssim": "likeness of structure, up to 1",
    "ie": "interpolation error: the root mean square of the difference, in steps of 8 bit (0 to 255); lower is better",
    "ssimulacra2": "what people see: 100 is the same, above 90 hardly a difference, 50 a clear one, below 0 far off",
}
"""The metrics of the page and what they mean; SSIMULACRA2 only where its plugin is."""
PAGE = Path(__file__).with_name("compare.html")


@dataclass(frozen=True)
class Comparison:
    """What was measured: scores, of which `case` is the frame's number, and each method's seconds a new frame."""

    scores: list[Score]
    seconds: dict[str, float]


def compare(
    input: str | os.PathLike[str],  # noqa: A002  # what the command calls it
    output: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    span: str | None = None,
    source: str | None = None,
    max_size: int | None = None,
    pictures: int = 4,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Measure all methods on a video; write the page, and a table beside it as CSV.

    Every second frame of the span is made from its neighbours and compared with what it was; those at cuts are not.
    Times are of one new frame after the other, with the source in memory and the model loaded.

    output: an .html file. names: of `methods.methods`; None is all that can run here. span: "A:B" as in
    `render.parse_span`; None is SPAN frames from the middle. source: the source filter. max_size: shrink to this many
    pixels on the longer side. pictures: how many frames the page shows. options: of `slomo`.

    Raises ArgumentError, SourceError, and what `methods` raises.
    """
    output = file_name("output", output)
    check_output(output, overwrite=overwrite)
    if output.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError("output", str(output), "an .html file")
    for name, value, least in (("pictures", pictures, 1), ("max_size", max_size, SMALLEST)):
        if value is not None:
            whole_number(name, value, least, MOST, f"an integer of at least {least}")
    chosen = methods(names, **options)
    whole, first, last = _taken(open_source(input, source), span, max_size)
    size = whole.width, whole.height
    visible = has_ssimulacra2()
    thinned = whole[::2]
    between = _between_cuts(whole)
    truths = {n: next(rgb_frames(whole[n])) for n in between}
    seen = {n: {"truth": truths[n], **neighbours(whole, n)} for n in evenly_spread(between, pictures)}
    scores: list[Score] = []
    seconds = {}
    for name, method in chosen.items():

        def done(count: int, before: int = len(scores)) -> None:
            if progress is not None:
                progress(before + count, len(between) * len(chosen))

        made, seconds[name] = _timed(method, thinned, between, done)
        for n in between:
            picture = next(rgb_frames(made[n]))
            similar = ssimulacra2(picture, truths[n]) if visible else UNKNOWN
            case = Path(input).name, str(first + n), 0.5, name
            scores.append(Score(*case, *measured(picture, truths[n]), ssimulacra2=similar))
            if n in seen:
                seen[n][name] = picture
    for stage in FLOWS:
        view = motion(thinned, flow=stage, **options).view
        for n, shown in seen.items():
            shown[f"flow ({stage})"] = next(rgb_frames(view[n // 2]))

    result = Comparison(scores, seconds)
    about = f"{whole.width}x{whole.height}, frames {first} to {last - 1}, {len(between)} left out and made again"
    about = f"{about}; {model_line(size, **options)}"
    default = default_method(size, **options)
    text = page(Path(input).name, about, result, {first + n: x for n, x in seen.items()}, default)
    write_text(output, text, overwrite=overwrite)
    write_text(output.with_suffix(".csv"), csv_text(rows(result)))
    return result


def _taken(video: vs.VideoNode, span: str | None, max_size: int | None) -> tuple[vs.VideoNode, int, int]:
    """Return an odd number of frames in memory, and the span that they are of."""
    first, last = middle(video.num_frames)
    if span is not None:
        first, last = parse_span(span, Timecodes.constant(video.num_frames, video.fps))
    if last - first < 3:
        raise ArgumentError("clip" if span is None else "span", f"{last - first} frames", "at least 3 frames")
    return in_memory(shrunk(video[first : last - (last - first + 1) % 2], max_size)), first, last


def _between_cuts(clip: vs.VideoNode) -> list[int]:
    """Return the odd frames without a cut on either side. Raises SlomoError if there are none."""
    cut = [bool(f.props[cuts.NEXT]) for f in cuts.detect(clip).frames(close=True)]
    between = [n for n in range(1, len(clip), 2) if not cut[n - 1] and not cut[n]]
    if not between:
        raise SlomoError("nothing to measure: there are cuts everywhere")
    return between


def _timed(
    method: Method, clip: vs.VideoNode, numbers: Sequence[int], done: Callable[[int], None]
) -> tuple[vs.VideoNode, float]:
    """Return the clip with twice the frames by this method, and the seconds for each frame of these numbers."""
    warm = method(clip[:2], 2)  # kept until the end, so that the model stays loaded
    warm.get_frame(1)
    began = time.perf_counter()
    made = method(clip, 2)
    for count, n in enumerate(numbers, 1):
        made.get_frame(n).close()
        done(count)
    return made, (time.perf_counter() - began) / len(numbers)


def middle(frames: int) -> tuple[int, int]:
    """Return the span that is used by default."""
    first = max(0, (frames - SPAN) // 2)
    return first, min(frames, first + SPAN)


def neighbours(clip: vs.VideoNode, n: int) -> dict[str, Tensor]:
    """Return the frames that frame n is made from."""
    return {"before": next(rgb_frames(clip[n - 1])), "after": next(rgb_frames(clip[n + 1]))}


def rows(result: Comparison) -> list[dict[str, object]]:
    """Return the lines of the CSV file, one for every frame and method."""
    return [
        {
            "frame": s.case,
            "method": s.method,
            **{m.name: getattr(s, m.name) for m in shown(result)},
            "seconds": f"{result.seconds[s.method]:.4f}",
        }
        for s in result.scores
    ]


def shown(result: Comparison) -> list[Metric]:
    """Return the page's metrics that were measured."""
    return [m for m in known_metrics(result.scores) if m.name in METERS]


def means_text(result: Comparison) -> str:
    """Lay out the means, a line for every method."""
    metrics = shown(result)
    lines = [f"{'':14}{''.join(f'{m.title:>{len(m.title) + 3}}' for m in metrics)}  s/frame"]
    for name, row in table(result.scores)["mean"].items():
        numbers = "".join(f"{row[m.name]:{max(len(m.title) + 3, 6)}.{m.digits}f}" for m in metrics)
        lines.append(f"{name:14}{numbers}{result.seconds[name]:9.3f}")
    return "\n".join(lines)


# --- the page ---------------------------------------------------------------------------------------------


def page(title: str, about: str, result: Comparison, seen: Mapping[int, Mapping[str, Tensor]], default: str) -> str:
    """Return the page. seen: pictures by frame and name. default: the method that the page opens on, if it is there."""
    data = {
        str(n): {
            name: [encoded(x), encoded(amplified(x, pictures["truth"], GAIN)) if name in result.seconds else ""]
            for name, x in pictures.items()
        }
        for n, pictures in seen.items()
    }
    parts = {
        "title": html.escape(title),
        "about": html.escape(about),
        "heads": "".join(f"<th>{m.title}{', dB' if m.name == 'psnr' else ''}</th>" for m in shown(result)),
        "meters": "".join(f"<dt>{m.title}</dt><dd>{METERS[m.name]}.</dd>" for m in shown(result)),
        "default": json.dumps(default if default in result.seconds else next(iter(result.seconds))),
        "table": table_html(result, default),
        "chart": psnr_chart(result.scores, list(result.seconds)),
        "gain": str(GAIN),
        # Nothing in it may end the script.
        "data": json.dumps(data).replace("</", "<\\/"),
    }
    # In one pass: what a video is called is no place to fill.
    return re.sub(r"{{(\w+)}}", lambda place: parts[place[1]], PAGE.read_text(encoding="utf-8"))


def encoded(picture: Tensor) -> str:
    """Return a picture (3, H, W) in [0, 1] as a data address."""
    image = as_image(picture)
    height, width = image.shape[:2]
    if width > WIDEST:
        image = cv2.resize(image, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 88])
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def table_html(result: Comparison, default: str) -> str:
    """Return the rows of the table; the best numbers are bold, and the default method is marked."""
    means, metrics = table(result.scores)["mean"], shown(result)
    winners = {m.name: m.best(row[m.name] for row in means.values()) for m in metrics}
    quickest = min(result.seconds.values())
    lines = []
    for (name, row), colour in zip(means.items(), cycle(COLOURS), strict=False):
        cells = [(f"{row[m.name]:.{m.digits}f}", row[m.name] == winners[m.name]) for m in metrics]
        cells.append((f"{result.seconds[name]:.3f}", result.seconds[name] == quickest))
        numbers = "".join(f"<td>{f'<b>{text}</b>' if bold else text}</td>" for text, bold in cells)
        mark = " <small>default</small>" if name == default else ""
        lines.append(f'<tr><th><i style="background:{colour}"></i>{name}{mark}</th>{numbers}</tr>')
    return "\n".join(lines)
