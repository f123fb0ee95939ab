"""From a file to a file: the graph, and its frames into ffmpeg together with the rest of what the file holds."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from vs_slomo.engine.devices import where
from vs_slomo.errors import ArgumentError
from vs_slomo.filters.options import check_switch
from vs_slomo.given import file_name, text

from .clock import NUMBERED, numbered, picture_name
from .encode import check_container, check_encoding, check_output, encode
from .feed import Progress
from .pixels import encodable, raw_input
from .playlists import parts
from .script import Graph, graph, parse_span
from .segments.asked import asked
from .segments.cluster import chosen, crew
from .segments.cut import USUAL, check_seconds
from .segments.job import Segments
from .tracks import subtitle_codec
from .vpy import is_script, script_graph
from .wanted import Audio, Tracks, chosen_sound, parse_audio_tracks, parse_kinds

__all__ = [
    "Graph",
    "Progress",
    "Tracks",
    "check_output",
    "encodable",
    "encode",
    "graph",
    "parse_span",
    "raw_input",
    "render",
    "subtitle_codec",
]

log = logging.getLogger("vs_slomo")


def render(
    input: str | os.PathLike[str],  # noqa: A002  # what the command calls it
    output: str | os.PathLike[str],
    *,
    source: str | None = None,
    span: str = ":",
    audio: Audio | None = None,
    tracks: str | Sequence[str] = "all",
    subtitles: bool = True,
    audio_track: str | int | Sequence[str | int] | None = None,
    progressive: bool = False,
    deinterlace: bool = False,
    allow_playlist: bool = False,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    options: Sequence[str] = (),
    overwrite: bool = False,
    preview: bool = False,
    progress: Progress | None = None,
    segment: float | None = USUAL,
    restart: bool = False,
    workers: int | str | None = None,
    cluster: str | None = None,
    tracks_from: str | os.PathLike[str] | None = None,
    **interpolation: Any,
) -> Path:
    """Make a video file from a video file, with its sound, subtitles, chapters, attachments and tags.

    interpolation: arguments of `slomo`: multi, fps_num and fps_den, slow_motion, model, ...; or with a curve, those of
        `retime`. A file with a variable rate gets a constant one, and its frames are met at their true moments.
    input, output: files, or numbered pictures such as "frames/%05d.png".
    source: the source filter (see `source`). span: "A:B", the frames to take (see `parse_span`).
    audio: "copy" (a track that the container does not take as it is, is encoded), "stretch" (encoded, and slowed down
        with its pitch kept) or "drop"; None copies where the duration holds, and stretches where it does not. Nothing
        but the picture follows a curve.
    tracks: what is kept: "all", "none", or some of audio, subtitles, chapters, attachments, cover, tags, with commas
        between. subtitles: False leaves them out. audio_track: the sound tracks that are kept, by number from 1 or by
        language ("2", "deu", "1,eng"); None keeps all.
    progressive, deinterlace, allow_playlist: see `graph`.
    codec, crf, preset, options, overwrite, progress: see `encode`.
    preview: source and result side by side, without anything else; without a span, four seconds in the middle.

    segment: seconds of output in a segment; None makes the output in one piece. A film of two segments or more is made
        in segments, which are kept beside the output until it is whole: the same call again goes on where it was.
    restart: throw away what an earlier call has left. workers: let so many processes of this machine make the segments,
        or "auto", one for each GPU; cluster: let a running Ray cluster do so, by its address ("HOST:6379" or "auto").
        Both need Ray (extra: cluster).
    tracks_from: the file that sound and the rest come from, where the input is a script (.vpy).

    Where it runs and what was made is logged. Raises ArgumentError, SourceError, FormatError, WeightsError or
    RenderError before anything costly starts, and RenderError where the encoder fails later. There is either a whole
    file under `output`, or none of this call's.
    """
    check_switch("overwrite", overwrite)
    check_switch("subtitles", subtitles)
    if overwrite:
        for given in filter(None, (input, tracks_from)):
            check_other(file_name("input", given), file_name("output", output))
    output = check_output(output, overwrite=overwrite)
    audio = check_audio(audio, interpolation)
    if preview:
        audio, tracks, subtitles, audio_track = "drop", "none", True, None
    kinds, sounds = parse_kinds(tracks, subtitles=subtitles), parse_audio_tracks(audio_track)
    codec, options = check_encoding(output, codec, crf, preset, options)
    check_container(output, options)
    seconds = None if segment is None else check_seconds(segment)
    hands = chosen(workers, cluster, interpolation.get("device"), segments=seconds is not None)
    call: dict[str, Any] = {"source": source, "span": span, "codec": codec, "progressive": progressive}
    call |= {"deinterlace": deinterlace, "allow_playlist": allow_playlist, **interpolation}
    call |= {"preview": True} if preview else {}
    if is_script(input):
        if preview:
            raise ArgumentError("preview", preview, "not with a script, which is encoded as it is")
        made = script_graph(input, tracks_from=tracks_from, **call)
    elif tracks_from is not None:
        raise ArgumentError("tracks_from", str(tracks_from), "only with a script (.vpy); a video has its own")
    else:
        made = graph(input, **call)
    log.info("%s: %s", Path(input).name, where(interpolation.get("device")))
    along = (
        None
        if made.file is None
        else Tracks(
            file=made.file,
            start=made.start,
            duration=made.duration,
            stretch=made.stretch,
            audio=audio,
            kinds=kinds,
            audio_tracks=sounds,
        )
    )
    along = along and check_sound(along, curve=interpolation.get("curve") is not None)
    segments = None
    if seconds is not None:
        told = {
            "audio": audio,
            "preview": preview,
            "tracks": sorted(kinds),
            "audio_track": sounds,
            "tracks_from": tracks_from and str(tracks_from),
        }
        made_by = None if hands is None else crew(*hands, made, input, call)
        request = asked(Path(input), made, interpolation, **told)
        segments = Segments(seconds=seconds, asked=request, restart=restart, workers=made_by)
    elif hands is not None:
        raise ArgumentError("segment", segment, "a length in seconds, where workers make the segments")
    return encode(
        made.clip,
        output,
        codec=codec,
        crf=crf,
        preset=preset,
        options=options,
        tracks=along,
        overwrite=overwrite,
        progress=progress,
        segments=segments,
        ahead=made.ahead,
    )


def check_audio(audio: Audio | None, interpolation: dict[str, Any]) -> Audio:
    """Return what becomes of the sound. Raises ArgumentError."""
    slow_motion, curve = interpolation.get("slow_motion", False), interpolation.get("curve")
    allowed = f"one of {', '.join(get_args(Audio))}"
    audio = audio if audio is not None else ("drop" if curve is not None else "stretch" if slow_motion else "copy")
    if text("audio", audio, allowed) not in get_args(Audio):
        raise ArgumentError("audio", audio, allowed)
    if audio == "copy" and slow_motion:
        raise ArgumentError("audio", audio, "stretch or drop in slow motion, which lasts longer than its sound")
    if audio != "drop" and curve is not None:
        raise ArgumentError("audio", audio, "drop with a curve, which sound does not follow")
    return audio


def check_sound(tracks: Tracks, *, curve: bool) -> Tracks:
    """Return what goes along, and say what of the sound does not. Raises ArgumentError for a track not there."""
    file = tracks.file
    if curve:
        lost = [kind for kind in ("audio", "subtitle") if file.of_kind(kind)]
        lost += ["chapter"] if file.chapter_list else []
        if lost:
            log.warning("left out: %s tracks do not follow a curve", ", ".join(lost))
        return Tracks(file=file, audio="drop", kinds=tracks.kinds & {"attachments", "cover", "tags"})
    if chosen_sound(tracks) and tracks.stretch != 1 and tracks.duration is None and file.sound_end is not None:
        beyond = float(file.sound_end - (int(file.times[-1]) + file.lasts) * file.time_base)
        if beyond > max(0.2, 1 / float(file.rate or 25)):
            log.warning("left out: the last %.1f s of sound, which lie behind the picture's end", beyond)
    return tracks


def check_other(given: Path, output: Path) -> None:
    """Raise ArgumentError where the output is the input, one of its numbered pictures, or a file of its playlist."""
    own = _identities([given, *_pictures(given), *parts(given)])
    if own & _identities([output, *_pictures(output)]):
        raise ArgumentError("output", str(output), "another file than the input, or what the input names")


def _pictures(path: Path) -> list[Path]:
    """Return the numbered pictures of a name such as "f%03d.png"."""
    there = numbered(path) if NUMBERED.search(path.name) else []
    return [path.with_name(picture_name(path.name, number)) for number in there]


def _identities(paths: list[Path]) -> set[tuple[int, int]]:
    """Return what tells files apart whatever they are called, of those that are there."""
    found = set()
    for path in paths:
        with suppress(OSError, ValueError):
            about = path.stat()
            found.add((about.st_dev, about.st_ino))
    return found
