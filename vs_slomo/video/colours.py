"""Colours that a file cannot store: the picture is converted to those that players then assume."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.errors import RenderError

log = logging.getLogger("vs_slomo")

UNKNOWN = 2
"""In H.273's tables of matrices and transfers."""
BT709, BT601 = 1, (5, 6)
HDR = {16: "PQ", 18: "HLG"}
FULL = 2
"""ffmpeg's number of the full range."""
SMALL = (1024, 576)
"""Where nothing is stored, players assume BT.601 up to this size, and BT.709 above it."""


@dataclass(frozen=True)
class Told:
    """What a file tells of its first picture: numbers of H.273 and ffmpeg, and its size."""

    matrix: int
    transfer: int
    range: int
    size: tuple[int, int]


def assumed_matrix(width: int, height: int) -> int:
    """Return the matrix that a picture of this size has where nothing is told."""
    return BT601[1] if width <= SMALL[0] and height <= SMALL[1] else BT709


def unlike(props: Mapping[str, Any], told: Told) -> dict[str, int]:
    """Return arguments of `resize` that convert a YUV picture to what a file tells; none if it is that already."""
    change: dict[str, int] = {}
    matrix = props.get("_Matrix", UNKNOWN)
    seen = told.matrix if told.matrix != UNKNOWN else assumed_matrix(*told.size)
    if matrix not in (UNKNOWN, seen) and not {matrix, seen} <= {*BT601}:
        change["matrix"] = seen
    full = told.range == FULL
    if (props.get("_Range", 0) == 1) != full:
        change["range"] = int(full)
    return change


def look_at(make: Callable[[str], object], output: Path) -> Told | None:
    """Return what a file of the output's kind tells of a picture; None where that cannot be seen.

    make: makes one with a single picture, under the name it is given.
    """
    try:
        import av
    except ImportError:  # PyAV is not there to look
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("%d" + output.suffix if "%" in output.name else "x" + output.suffix)
        try:
            make(str(path))
            with av.open(str(path if path.exists() else path.with_name("1" + output.suffix))) as file:
                stream = file.streams.video[0]
                frame = next(file.decode(stream))
        except (RenderError, av.FFmpegError, OSError, StopIteration, IndexError, ValueError):
            return None
        return Told(
            int(frame.colorspace),
            int(stream.codec_context.color_trc),
            int(frame.color_range),
            (frame.width, frame.height),
        )


def change_for(
    clip: vs.VideoNode, make: Callable[[str], object], output: Path, encoder: str, *, exact: bool
) -> dict[str, int]:
    """Return arguments of `resize` with which the file shows the clip's colours; say what cannot be helped.

    exact: leave the pixels as they are, for a codec that loses nothing.
    """
    props = clip.get_frame(0).props
    plain = props.get("_Matrix", UNKNOWN) in (UNKNOWN, assumed_matrix(clip.width, clip.height))
    if clip.format.color_family != vs.YUV or (
        plain and props.get("_Range", 0) != 1 and props.get("_Transfer") not in HDR
    ):
        return {}
    told = look_at(make, output)
    if told is None:
        return {}
    if (transfer := HDR.get(props.get("_Transfer", UNKNOWN))) and told.transfer != props["_Transfer"]:
        log.warning("%s in %s does not tell that this is %s: it will look pale", encoder, output.suffix, transfer)
    change = unlike(props, told)
    if not change:
        return {}
    kinds = " and ".join(change)
    if exact:
        log.warning(
            "%s in %s does not tell the picture's %s: players may show other colours", encoder, output.suffix, kinds
        )
        return {}
    log.info("%s in %s does not tell the picture's %s; it is converted", encoder, output.suffix, kinds)
    return change
