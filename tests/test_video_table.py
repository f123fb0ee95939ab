"""Kind by container: each is tried, and comes out right, or what is lost is said. docs/files.md shows the table."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import python
from sync_media import CODECS
from test_video_kinds import retimed

from vs_slomo.errors import RenderError, SourceError
from vs_slomo.video.encoders import usual_codec
from vs_slomo.video.probe import UPRIGHT, probe
from vs_slomo.video.render import Tracks, encode, graph, render
from vs_slomo.video.source import source

CONTAINERS = ("mp4", "mov", "mkv", "webm", "ts", "m2ts", "vob", "avi", "flv", "gif", "y4m", "png")
FRAMES = 20
SILENT = {"gif": ("-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse"), "y4m": (), "png": ()}
ALPHA = {
    "mov": ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"),
    "mkv": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
    "webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"),
    "avi": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
    "gif": ("-vf", "split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse=alpha_threshold=128"),
    "png": ("-pix_fmt", "rgba"),
}
ODD = {
    **dict.fromkeys(("mp4", "mov", "ts", "m2ts", "flv"), ("-c:v", "libx264", "-pix_fmt", "yuv444p")),
    "mkv": ("-c:v", "ffv1", "-pix_fmt", "bgr0"),
    "avi": ("-c:v", "ffv1", "-pix_fmt", "bgr0"),
    "webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv444p"),
    "vob": ("-c:v", "mpeg2video"),
    "y4m": ("-pix_fmt", "yuv444p"),
}
TITLE = "a=b;c#d\\e\n[Chorus]"

RIGHT, SAID, NONE = "right", "said", "-"
# What becomes of each kind, in the order of CONTAINERS. Containers that cannot have it have "-".
TABLE = {
    "rate, count": "right right right right right right right right right right right right",
    "a lost frame": "right right right right right right right right right right - said",
    "transparency": "- right right said - - - right - right - right",
    "odd sizes": "right right said right right right said said right right right right",
    "turned": "right right right right - - - - - - - -",
    "tags": "right right right right said said said right right said said said",
    "chapters": "right right right right said said said said said said said said",
    "two sounds, subtitles, font": "said said right said said said said said said said said said",
    "nothing destroyed": "right right right right right right right right right right right right",
    "damaged": "right right right right right right right right right right right right",
}


def name_in(folder: Path, ending: str) -> Path:
    """A new folder's name for a file of that container."""
    folder.mkdir()
    return folder / ("%03d.png" if ending == "png" else f"x.{ending}")


def make(path: Path, ending: str, frames: int = FRAMES, options=(), shape="") -> Path:
    """A film of that container at 25 frames a second; with sound where it has one, and no options are given."""
    picture = f"testsrc2=s=96x64:r=25:d={frames / 25}{shape}"
    if options or ending in SILENT:
        media.run("-f", "lavfi", "-i", picture, *(options or SILENT.get(ending, ())), path)
        return path
    video, sound = CODECS[ending]
    sound = "pcm_s16le" if ending == "avi" else sound  # MP3 has silence at its start, of which ffmpeg makes a gap
    tone = ("-f", "lavfi", "-i", f"sine=d={frames / 25}:r=48000")
    media.run("-f", "lavfi", "-i", picture, *tone, "-c:v", video, "-pix_fmt", "yuv420p", "-bf", 0, "-c:a", sound, path)
    return path


def originals(made, given) -> int:
    """How many of a clip's frames another has, bit for bit."""
    there = {np.asarray(frame[0]).tobytes() for frame in made.frames()}
    return sum(np.asarray(frame[0]).tobytes() in there for frame in given.frames())


class Case:
    """One cell of the table."""

    def __init__(self, folder: Path, ending: str, model: Path, caplog) -> None:
        self.folder, self.ending, self.model, self.caplog = folder, ending, model, caplog
        self.given, self.output = name_in(folder / "in", ending), name_in(folder / "out", ending)

    def rate(self) -> str:
        path = make(self.given, self.ending)
        clip = graph(path, multi=2, codec=usual_codec(path), model=self.model).clip
        assert (clip.num_frames, clip.fps) == (2 * FRAMES, 50)
        assert originals(clip, source(path)) == FRAMES
        made = source(render(path, self.output, multi=2, model=self.model))
        assert (made.num_frames, made.fps) == (2 * FRAMES, 25 if self.ending == "png" else 50)
        return RIGHT

    def lost(self) -> str:
        if self.ending == "y4m":
            return NONE  # it has no times
        make(self.given, self.ending)
        if self.ending == "png":
            Path(str(self.given) % 7).unlink()
            with pytest.raises(SourceError, match=r"the numbers have a gap, 007\.png is missing"):
                probe(self.given)
            return SAID
        path = retimed(self.given, self.folder / f"lost.{self.ending}", [40 * n for n in range(FRAMES)], drop={7})
        clip = graph(path, multi=2, model=self.model).clip
        assert (clip.num_frames, clip.fps) == (2 * FRAMES, 50)
        assert originals(clip, source(path)) == FRAMES - 1
        return RIGHT

    def alpha(self) -> str:
        if self.ending not in ALPHA:
            return NONE
        half = ",format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,48),255,0)'"
        path = make(self.given, self.ending, 4, ALPHA[self.ending], shape=half)
        codec = {"mov": "prores", "mkv": "ffv1", "avi": "ffv1"}.get(self.ending)
        made = source(render(path, self.output, multi=2, codec=codec, model=self.model))
        assert made.num_frames == 8
        if "transparency is left out" in self.caplog.text:
            return SAID
        alpha = np.asarray(made.get_frame(2).props["_Alpha"][0]).astype(float)
        assert alpha[:, :40].min() > alpha[:, 56:].max() + 100
        return RIGHT

    def odd(self) -> str:
        options = ("-vf", f"crop=65:49:exact=1{',' + SILENT['gif'][1] if self.ending == 'gif' else ''}")
        path = make(self.given, self.ending, 4, (*options, *ODD.get(self.ending, ())))
        made = source(render(path, self.output, multi=2, model=self.model))
        assert made.num_frames == 8
        if (made.width, made.height) == (65, 49):
            return RIGHT
        assert "repeated" in self.caplog.text or "65x49 becomes 64x48" in self.caplog.text
        return SAID

    def turned(self) -> str:
        if self.ending in SILENT:
            return NONE
        path, turned = make(self.given, self.ending, 4), self.folder / f"turned.{self.ending}"
        media.run("-display_rotation", 90, "-i", path, "-map", "0:v", "-c", "copy", turned)
        if probe(turned).orientation == UPRIGHT:
            return NONE
        made = source(render(turned, self.output, multi=2, model=self.model))
        assert (made.width, made.height, made.num_frames) == (64, 96, 8)
        return RIGHT

    def into(self, folder: str, options=(), film=None):
        """Encode a film with these tags into the container; return what is in it."""
        path = film or media.picture(self.folder / f"{folder}.mkv", *options, rate=25, seconds=0.4)
        made = encode(source(path), self.output, tracks=Tracks(file=probe(path)))
        return probe(made)

    def tags(self) -> str:
        made = self.into("tags", ("-metadata", f"title={TITLE}"))
        there = {key.lower(): value for key, value in made.tags.items()}
        if "tags that" in self.caplog.text:
            assert "title" in self.caplog.text.partition("tags that")[2]
            return SAID
        assert there["title"].replace("\r", "").strip() == TITLE
        return RIGHT

    def chapters(self) -> str:
        made = self.into("", film=media.film(self.folder))
        if len(made.chapter_list) == 2:
            assert [float(chapter.start) for chapter in made.chapter_list] == pytest.approx([0, 1], abs=0.01)
            return RIGHT
        assert "left out: 2 chapters" in self.caplog.text
        return SAID

    def tracks(self) -> str:
        made, missing = self.into("", film=media.film(self.folder)), 0
        for kind, count in (("audio", 2), ("subtitle", 1), ("attachment", 1)):
            lost = count - len(made.of_kind(kind))
            said = [line for line in self.caplog.messages if line.startswith("left out") and kind in line]
            assert len(said) == lost, (kind, lost, said)
            missing += lost
        return SAID if missing else RIGHT

    def safe(self) -> str:
        path = make(self.given, self.ending, 4)
        clip = source(path)

        def fail(n, f):
            if n == 3:
                raise ValueError("no frame")
            return f

        there = Path(str(self.output) % 1) if self.ending == "png" else self.output
        there.write_bytes(b"old")
        with pytest.raises(RenderError):
            encode(clip.std.ModifyFrame(clip, fail), self.output, overwrite=True)
        assert there.read_bytes() == b"old"
        assert list(there.parent.iterdir()) == [there]
        return RIGHT

    def damaged(self) -> str:
        whole = make(self.given, self.ending)
        one = Path(str(whole) % 5) if self.ending == "png" else whole
        data = one.read_bytes()
        for cut in (len(data) // 2, len(data) - 9, 3):
            one.write_bytes(data[:cut])
            output = self.folder / f"{cut}.mkv"
            done = python(OPENED, whole, output)
            assert done.returncode == 0, done.stderr
            assert output.exists() == (done.stdout.strip() == "a film")
        return RIGHT


OPENED = """
    import sys
    from vs_slomo.errors import SlomoError
    from vs_slomo.video.probe import probe
    from vs_slomo.video.render import Tracks, encode
    from vs_slomo.video.source import open_file

    try:
        opened = open_file(probe(sys.argv[1]))
        encode(opened.clip, sys.argv[2], preset="ultrafast", tracks=Tracks(file=opened.file))
        print("a film")
    except SlomoError as error:
        assert str(error)
"""
"""In a process of its own, which may crash: what is left of a file."""


KINDS = dict(
    zip(TABLE, (Case.rate, Case.lost, Case.alpha, Case.odd, Case.turned, Case.tags, Case.chapters, Case.tracks,
                Case.safe, Case.damaged), strict=True)
)  # fmt: skip


def cells():
    """All of them; those of TS are tried each time, the others take minutes."""
    for kind in TABLE:
        for ending in CONTAINERS:
            marks = () if ending == "ts" else pytest.mark.slow
            yield pytest.param(kind, ending, marks=marks, id=f"{kind}-{ending}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "ending"), [*cells()])
def test_each_kind_in_each_container(tmp_path, shifting_model, caplog, monkeypatch, kind, ending):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path / "home"))
    with caplog.at_level(logging.INFO):
        found = KINDS[kind](Case(tmp_path, ending, shifting_model, caplog))
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    assert found == TABLE[kind].split()[CONTAINERS.index(ending)]


def test_the_table_stands_in_the_docs():
    text = (Path(__file__).parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    for kind, row in TABLE.items():
        assert f"| {kind} | {' | '.join(row.split())} |" in text, kind
