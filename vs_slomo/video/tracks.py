"""What goes with the picture from the source: sound, subtitles, chapters, attachments, cover pictures, tags."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from .carriages import MARGIN, Part
from .companion import carriage, write_companion
from .contents import Stream
from .encoders import BITMAPS, container_of
from .encoders import Container as Target
from .ffmpeg import has_filter
from .metadata import kept_tags, moved, without_gaps, write_metadata
from .wanted import Tracks, chosen_sound

log = logging.getLogger("vs_slomo")

DISPOSITIONS = {
    0: "default", 1: "dub", 2: "original", 3: "comment", 4: "lyrics", 5: "karaoke", 6: "forced",
    7: "hearing_impaired", 8: "visual_impaired", 9: "clean_effects", 16: "captions", 17: "descriptions",
}  # fmt: skip
"""ffmpeg's bits and names."""
LATE = Fraction(3, 100)
"""Seconds by which sound may begin late where a container cannot tell."""
TAKES = {
    "libopus": "aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono",  # not the back speakers at the side
    "wmav2": "aformat=channel_layouts=stereo|mono:sample_rates=48000|44100|32000|22050|16000|11025|8000",
}
"""What encoders take that refuse the rest, where ffmpeg does not know it by itself."""
QUICKTIME = {"deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "fre": "fra"}
"""Languages that QuickTime has under another name."""
BITS = 96_000
"""Bits a second for each channel that is encoded."""
MOST_BITS = 640_000
"""AC-3 has no more."""


@dataclass
class Track:
    """One stream of the source on its way. carriage: see `companion`. codec: ffmpeg's encoder, or "copy".

    changed: whether that is another one than was tried first.
    """

    stream: Stream
    carriage: str
    codec: str
    changed: bool = False

    @property
    def does(self) -> str:
        """What a report says of it."""
        return f"{self.stream.name} {'copied' if self.codec == 'copy' else f'as {self.codec}'}"


@dataclass
class Plan:
    """What is kept and how. left: what is not, and why. lead: seconds by which the picture starts later."""

    tracks: Tracks
    target: Target
    ending: str
    part: Part
    lead: Fraction
    kept: list[Track] = field(default_factory=list)
    attached: list[Stream] = field(default_factory=list)
    covers: list[Stream] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def film(self) -> Stream:
        """The stream of the picture."""
        return next(s for s in self.tracks.file.streams if s.index == self.tracks.file.video)

    def leave(self, what: str, why: str) -> None:
        """Leave something out, and say so."""
        self.left.append(f"{what}: {why}")
        log.warning("left out: %s: %s", what, why)


def counted(count: int, what: str) -> str:
    """Return "1 chapter" or "2 chapters"."""
    return f"{count} {what}{'s' * (count != 1)}"


def make_plan(tracks: Tracks, output: Path, fps: Fraction) -> Plan:
    """Choose what is kept, as far as the container's row tells."""
    file, target = tracks.file, container_of(output)
    sounds = chosen_sound(tracks) if target.sound else ()
    part, lead = _part(tracks, fps, heard=bool(sounds))
    if not target.late:
        part = replace(part, begins=file.sound_begins)
    plan = Plan(tracks, target, output.suffix.lower(), part, lead)
    if not target.sound and chosen_sound(tracks):
        for stream in chosen_sound(tracks):
            plan.leave(stream.name, f"{plan.ending} holds no sound")
    for stream in sounds:
        _plan_sound(plan, stream)
    if "subtitles" in tracks.kinds:
        for stream in file.of_kind("subtitle"):
            _plan_subtitles(plan, stream)
    if "attachments" in tracks.kinds and (found := file.of_kind("attachment")):
        if target.attachments:
            plan.attached = list(found)
        else:
            plan.leave(counted(len(found), "attachment"), f"{plan.ending} holds none, .mkv does")
    covers = [s for s in file.of_kind("video") if s.cover]
    if "cover" in tracks.kinds and covers:
        if target.cover:
            plan.covers = covers
        else:
            plan.leave(counted(len(covers), "cover picture"), f"{plan.ending} holds none, .mkv and .mp4 do")
    for stream in file.of_kind("video"):
        if not stream.cover and stream.index != file.video:
            plan.leave(stream.name, "only the first video track is rendered")
    for stream, program in file.elsewhere:
        plan.leave(stream.name, f"it belongs to another program ({program})")
    for stream in file.of_kind("data"):
        if file.chapter_list and stream.codec in ("unknown", "bin_data"):
            continue  # MP4's chapters are a track as well
        plan.left.append(f"{stream.name}: data tracks are not passed on")
    if "chapters" in tracks.kinds and file.chapter_list and not target.chapters:
        plan.leave(counted(len(file.chapter_list), "chapter"), f"{plan.ending} holds none")
    return plan


def _part(tracks: Tracks, fps: Fraction, *, heard: bool) -> tuple[Part, Fraction]:
    """Return the part that is taken, and the seconds by which its picture starts after its sound.

    They are whole frames, so that the picture's clock, which counts frames, can tell them.
    """
    file = tracks.file
    if tracks.duration is not None:
        return Part(tracks.start, tracks.start + tracks.duration, tracks.stretch, whole=False), Fraction(0)
    first, lead = file.first, Fraction(0)
    if heard and file.sound is not None and first - file.sound >= 1 / (file.rate or Fraction(25)):
        lead = Fraction(math.ceil((first - file.sound) * tracks.stretch * fps)) / fps
    return Part(first - lead / tracks.stretch, None, tracks.stretch, whole=True), lead


def _plan_sound(plan: Plan, stream: Stream) -> None:
    how = carriage(plan.tracks.file, stream)
    if not how:
        plan.leave(stream.name, "no reader knows this codec")
        return
    copies = plan.target.copies
    takes = how == "packets" and (copies is None or stream.codec in copies)
    begins = plan.tracks.file.sound_begins.get(stream.index, plan.part.zero)
    takes = takes and (plan.target.late or begins - plan.part.zero < LATE)
    if plan.tracks.audio == "copy" and takes:
        plan.kept.append(Track(stream, how, "copy"))
        return
    if plan.tracks.audio == "copy":
        log.warning("%s: %s does not take it as it is; encoded with %s", stream.name, plan.ending, plan.target.sound)
    plan.kept.append(Track(stream, how, plan.target.sound))


def _plan_subtitles(plan: Plan, stream: Stream) -> None:
    codec = subtitle_codec(stream, plan.ending, quiet=True)
    how = carriage(plan.tracks.file, stream)
    if codec is None:
        plan.leave(stream.name, f"{plan.ending} does not take them, .mkv does")
    elif not how:
        plan.leave(stream.name, "no reader knows this codec")
    else:
        codec = codec if how == "packets" else plan.target.text
        plan.kept.append(Track(stream, "single lines" if codec == "mov_text" else how, codec))


def subtitle_codec(stream: Stream, ending: str, *, quiet: bool = False) -> str | None:
    """Return how subtitles are written; None where the container does not take them."""
    target = container_of(Path(f"x{ending}"))
    if stream.codec in target.texts | target.pictures:
        return "copy"
    if target.text and stream.codec not in BITMAPS:
        return target.text
    if not quiet:
        log.warning("subtitles (stream %d, %s): %s does not take them, .mkv does", stream.index, stream.codec, ending)
    return None


# --- what ffmpeg is told ----------------------------------------------------------------------------------------------


def companion_folder(plan: Plan, output: Path) -> Path:
    """Return a folder with room for a copy of the sound: the system's for temporary files, else the output's."""
    usual = Path(tempfile.gettempdir())
    return usual if shutil.disk_usage(usual).free > 2 * plan.tracks.file.bytes_beside else output.parent


def write_inputs(plan: Plan, folder: Path, check: Callable[[], None] = lambda: None) -> None:
    """Write what ffmpeg reads beside the picture into a folder. check: see `companion`. Raises RenderError."""
    file, tracks = plan.tracks.file, plan.tracks
    chosen = {track.stream.index: track.carriage for track in plan.kept}
    if chosen:
        filled = write_companion(file, chosen, plan.part, folder / "companion.mkv", check)
        # Old versions of ffmpeg cannot open a file without packets.
        for track in [track for track in plan.kept if track.stream.index not in filled]:
            plan.kept.remove(track)
            plan.leave(
                track.stream.name, f"it has no {'line' if track.stream.kind == 'subtitle' else 'sound'} in this part"
            )
        if len(plan.kept) < len(chosen):
            write_inputs(plan, folder, check)
            return
    if (plan.attached or plan.covers) and file.input:
        with file.input.open() as source:
            for stream in plan.attached:
                (folder / f"attached{stream.index}").write_bytes(source.streams[stream.index].data)  # type: ignore[attr-defined]
            _write_covers(plan, source, folder)
    keeps = "tags" in tracks.kinds
    streams = [plan.film, *(track.stream for track in plan.kept)]
    chapters = file.chapter_list if "chapters" in tracks.kinds and plan.target.chapters else ()
    placed = moved(chapters, plan.part.zero, plan.part.end, tracks.stretch)
    write_metadata(
        folder / "metadata.txt",
        kept_tags(file.tags) if keeps else {},
        [_track_tags(plan, stream) for stream in streams],
        without_gaps(placed) if plan.target.gapless else placed,
    )


def _track_tags(plan: Plan, stream: Stream) -> dict[str, str]:
    tags = kept_tags(stream.tags, only=() if "tags" in plan.tracks.kinds else ("language", "title"))
    if plan.ending == ".mov" and tags.get("language") in QUICKTIME:
        tags["language"] = QUICKTIME[tags["language"]]
    return tags


def _write_covers(plan: Plan, source: object, folder: Path) -> None:
    import av

    covers = {stream.index: stream for stream in plan.covers}
    assert isinstance(source, av.container.InputContainer)  # noqa: S101
    for packet in source.demux([s for s in source.streams if s.index in covers]) if covers else ():
        if packet.size and packet.stream_index in covers:
            (folder / cover_name(covers.pop(packet.stream_index))).write_bytes(bytes(packet))
        if not covers:
            break
    for stream in covers.values():
        plan.covers.remove(stream)
        plan.leave("the cover picture", "it cannot be read")


def cover_name(stream: Stream) -> str:
    """Return the name of a cover picture's file."""
    return f"cover{stream.index}.{'png' if stream.codec == 'png' else 'jpg'}"


def input_arguments(plan: Plan, folder: Path, *, seconds: float | None = None) -> list[str]:
    """Return ffmpeg's inputs behind the picture, which is input 0: the tags and chapters, the companion, the covers."""
    inputs = ["-f", "ffmetadata", "-i", str(folder / "metadata.txt")]
    if plan.kept:
        inputs += [*([] if seconds is None else ["-t", str(seconds)]), "-itsoffset", str(-MARGIN)]
        inputs += ["-i", str(folder / "companion.mkv")]
    if plan.target.cover == "stream":
        for stream in plan.covers:
            inputs += ["-i", str(folder / cover_name(stream))]
    return inputs


def output_arguments(plan: Plan, folder: Path, lasts: Fraction) -> list[str]:
    """Return ffmpeg's options for what goes with a picture of so many seconds."""
    maps = ["-map_metadata", "1", "-map_chapters", "1", "-map_metadata:s:0", "1:s:0"]
    maps += ["-disposition:0", _dispositions(plan.film)]
    for place, track in enumerate(plan.kept):
        out = place + 1
        maps += ["-map", f"2:{place}", f"-map_metadata:s:{out}", f"1:s:{out}", f"-c:{out}", track.codec]
        maps += [f"-disposition:{out}", _dispositions(track.stream)]
        if track.stream.kind == "audio" and track.codec != "copy":
            maps += _sound_arguments(plan, track, out, lasts + plan.lead)
    if plan.target.cover == "stream":
        for n, stream in enumerate(plan.covers):
            out = 1 + len(plan.kept) + n
            maps += ["-map", f"{2 + bool(plan.kept) + n}:v", f"-c:{out}", "copy", f"-disposition:{out}", "attached_pic"]
            maps += [f"-metadata:s:{out}", f"title={stream.tags['title']}"] if "title" in stream.tags else []
    return maps + _attach_arguments(plan, folder)


def _dispositions(stream: Stream) -> str:
    return "+".join(name for bit, name in DISPOSITIONS.items() if stream.disposition >> bit & 1) or "0"


def _attach_arguments(plan: Plan, folder: Path) -> list[str]:
    files = [(folder / f"attached{s.index}", *s.attached) for s in plan.attached]
    if plan.target.cover == "file":
        for stream in plan.covers:
            name = stream.tags.get("filename") or f"cover{Path(cover_name(stream)).suffix}"
            kind = stream.tags.get("mimetype") or f"image/{'png' if stream.codec == 'png' else 'jpeg'}"
            files.append((folder / cover_name(stream), name, kind))
    arguments = []
    for n, (path, name, kind) in enumerate(files):
        out = 1 + len(plan.kept) + n
        arguments += ["-attach", str(path), f"-metadata:s:{out}", f"filename={name or path.name}"]
        arguments += [f"-metadata:s:{out}", f"mimetype={kind or 'application/octet-stream'}"]
    return arguments


def _sound_arguments(plan: Plan, track: Track, out: int, lasts: Fraction) -> list[str]:
    """Return how a track of sound is encoded: as much slower as the picture, with its pitch kept."""
    stretch = plan.tracks.stretch if plan.tracks.audio == "stretch" else Fraction(1)
    # Silence before a late start gets longer too; that behind the end is for what the filters hold back.
    steps = ["aresample=async=1:min_hard_comp=0.01:first_pts=0"]
    if stretch != 1:
        steps += ["apad=pad_dur=1", _slower(stretch), f"atrim=end={float(lasts):.6f}"]
    elif not plan.part.whole:
        steps += [f"atrim=end={float(lasts):.6f}"]
    if plan.target.even:
        steps += [f"aresample={plan.target.even}", "apad", f"atrim=end={float(lasts):.6f}"]
    if track.codec in TAKES:
        steps += [TAKES[track.codec]]
    bits = min(BITS * (track.stream.channels or 2), MOST_BITS)
    rate = [] if track.codec.startswith("pcm") else [f"-b:{out}", str(bits)]
    return [f"-filter:{out}", ",".join(steps), *rate]


def _slower(stretch: Fraction) -> str:
    if has_filter("rubberband"):
        return f"rubberband=tempo={float(1 / stretch):.12g}:window=short"
    # One atempo goes down to a half.
    count = math.ceil(math.log2(stretch))
    return ",".join([f"atempo={float(stretch) ** (-1 / count):.12g}"] * count)
