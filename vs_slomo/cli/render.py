"""`vs-slomo render`: a video file from a video file."""

from __future__ import annotations

import itertools
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vs_slomo.errors import ArgumentError

from .files import each, expanded, is_numbered, targets
from .flags import ENCODING, Flags, Interpolation, Rate, SpeedCurve, reader
from .graph import Part, graph_options
from .long import JsonLines, Long
from .progress import Bar

KEPT_ENDINGS = (".mp4", ".mkv", ".mov", ".webm", ".m4v", ".ts")
"""Inputs whose container the output has too where none is named; it is Matroska for all others."""
OVERWRITE = Parameter(
    name=("--overwrite", "-y"), negative=(), show_default=False, help="Replace an output file that is there"
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Encoding(Flags):
    """How the output is encoded."""

    crf: Annotated[
        float | None,
        Parameter(group=ENCODING, metavar="X", help="Quality, lower is better (default: 18 with x264 and x265)"),
    ] = None
    preset: Annotated[
        str | None, Parameter(group=ENCODING, metavar="NAME", help="The encoder's speed, such as slow")
    ] = None
    options: Annotated[
        list[str],
        Parameter(
            name="--ffmpeg-options",
            group=ENCODING,
            metavar="TEXT",
            converter=reader(shlex.split, "options as in a shell, with their quotes closed"),
            allow_leading_hyphen=True,
            n_tokens=1,
            negative=(),
            show_default=False,
            help='Further options for ffmpeg in one argument, such as "-tune film"',
        ),
    ] = field(default_factory=list)
    audio: Annotated[
        Literal["copy", "stretch", "drop"] | None,
        Parameter(
            group=ENCODING,
            help="Copy the sound, stretch it as far as the picture, or drop it (default: copy, in slow motion stretch)",
        ),
    ] = None
    tracks: Annotated[
        str | None,
        Parameter(
            group=ENCODING,
            metavar="A,B",
            help="What to keep besides the picture: all (default), none, or some of audio, subtitles, chapters, "
            "attachments, cover, tags",
        ),
    ] = None
    subtitles: Annotated[bool | None, Parameter(group=ENCODING, help="Keep the subtitles (default: yes)")] = None
    audio_track: Annotated[
        str | None,
        Parameter(
            group=ENCODING,
            metavar="N",
            help="Which sound tracks to keep, by number from 1 or by language: 2, deu, or 1,eng (default: all)",
        ),
    ] = None
    overwrite: Annotated[bool, OVERWRITE, Parameter(group=ENCODING)] = False


def render(
    input: Annotated[list[str], Parameter(help="Video files, patterns of them, or a script (.vpy)")],  # noqa: A002
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(
            name=("--output", "-o"),
            metavar="FILE",
            help="The file to write; its ending is the container. A folder takes a file for each input "
            "(default: a new INPUT.slomo.mp4 in this folder)",
        ),
    ] = None,
    preview: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Look first: four seconds, source and result side by side, without sound",
        ),
    ] = False,
    rate: Rate | None = None,
    interpolation: Interpolation | None = None,
    part: Part | None = None,
    curve: SpeedCurve | None = None,
    encoding: Encoding | None = None,
    long: Long | None = None,
) -> None:
    """Make a slow-motion or high-frame-rate video file.

    A film of 20 seconds or more is made in segments: after a stop, the same command goes on where it was.

    vs-slomo render input.mp4 -o smooth.mp4 --fps 60
    vs-slomo render input.mp4 -o slow.mp4 --multi 4 --slow-motion --range 10s:20s
    vs-slomo render *.mkv -o smooth --to mp4 --multi 2
    """
    from vs_slomo.video.render import render as render_file

    inputs = expanded(input)
    if output is None:
        if len(inputs) > 1:
            raise ArgumentError("output", None, "a folder, where there are several inputs")
        output = free_name(inputs[0], "preview" if preview else "slomo")
    told = graph_options(part or Part(), rate or Rate(), interpolation or Interpolation(), curve or SpeedCurve())
    long = long or Long()
    options = told | (encoding or Encoding()).given() | long.options()

    def make(given: str, path: Path) -> None:
        with JsonLines(given) if long.json_progress else Bar() as progress:
            progress.wait("loading PyTorch, the video and the model")
            render_file(given, path, **options, preview=preview, progress=progress)

    each(targets(inputs, output, long.to), make, overwrite=bool(options.get("overwrite")))


def free_name(given: str, word: str) -> str:
    """Return the name of a file in this folder that is not there yet: input.slomo.mp4, input.slomo-2.mp4, ..."""
    path = Path(given)
    stem = (
        (path.stem.partition("%")[0].rstrip("._- ") if is_numbered(path) else path.stem) or path.parent.name or "video"
    )
    ending = path.suffix.lower() if path.suffix.lower() in KEPT_ENDINGS else ".mkv"
    names = (f"{stem}.{word}{f'-{n}' if n > 1 else ''}{ending}" for n in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))
