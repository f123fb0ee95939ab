"""What a file says of itself."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
import pytest
from conftest import shared_path

from vs_slomo.errors import SourceError
from vs_slomo.video import probe as container
from vs_slomo.video.probe import Chapter, Container, Stream, probe


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return media.film(tmp_path_factory.mktemp("film"))


def at_times(times, time_base, announced=0.0):
    """A file that holds nothing but times, in ticks."""
    times = np.asarray(times, dtype=np.int64)
    shown = np.ones(len(times), dtype=bool)
    return Container(Path("x"), (), 0, times, Fraction(time_base), shown, None, container.UPRIGHT, announced)


def test_streams(film):
    file = probe(film)
    kinds = ["video h264", "audio pcm_s16le", "audio flac", "subtitle subrip", "attachment ttf"]
    assert file.streams == tuple(Stream(index, *kind.split()) for index, kind in enumerate(kinds))
    assert file.video == 0
    assert [s.index for s in file.of_kind("audio")] == [1, 2]
    assert (len(file.times), file.rate, file.variable, file.start) == (20, 10, False, 0)
    assert file.sar == 1


def test_chapters_and_tags(film):
    tags, chapters = probe(film).chapters()
    assert "title=A film" in tags
    assert chapters == (
        Chapter(Fraction(0), Fraction(1), ("title=one",)),
        Chapter(Fraction(1), Fraction(2), ("title=two",)),
    )


def test_a_cover_picture_is_no_video(film, tmp_path):
    media.run("-i", film, "-map", "0:v", "-frames:v", 1, "-f", "image2", cover := tmp_path / "cover.png")
    maps = ("-map", "0:a:0", "-map", 1, "-c:v", "copy", "-c:a", "aac", "-disposition:v:0", "attached_pic")
    media.run("-i", film, "-i", cover, *maps, song := tmp_path / "song.m4a")
    with pytest.raises(SourceError, match=r"song\.m4a: holds no video"):
        probe(song)


@pytest.mark.parametrize(
    ("rate", "time_base"),
    [
        (Fraction(30000, 1001), Fraction(1, 1000)),
        (Fraction(24000, 1001), Fraction(1, 1000)),
        (Fraction(60), Fraction(1, 1000)),
        (Fraction(60000, 1001), Fraction(1, 90000)),
        (Fraction(25), Fraction(1, 25)),
        (Fraction(30000, 1001), Fraction(1, 600)),
    ],
)
def test_a_rate_is_found_behind_rounded_times(rate, time_base):
    times = [round(n / rate / time_base) for n in range(300)]
    assert at_times(times, time_base).rate == rate
    assert not at_times(times, time_base).variable


def test_few_frames_have_the_announced_rate():
    few = [round(n * 1001 / 24) for n in range(4)]
    assert at_times(few, Fraction(1, 1000), 23.98).rate == Fraction(24000, 1001)
    assert at_times(few, Fraction(1, 1000), 24.0).rate == 24
    many = [round(n * 1001 / 24) for n in range(400)]
    assert at_times(many, Fraction(1, 1000), 24.0).rate == Fraction(24000, 1001)


def test_a_rate_that_is_no_standard_is_the_exact_mean():
    assert at_times(range(0, 1501 * 77, 1501), Fraction(1, 90000)).rate == Fraction(90000, 1501)


def test_jitter_is_not_variable_and_gaps_are():
    jitter = np.arange(100) * 3000 + np.arange(100) % 3 * 90
    assert not at_times(jitter, Fraction(1, 90000)).variable
    gap = np.arange(100) * 3000 + (np.arange(100) > 50) * 6000
    assert at_times(gap, Fraction(1, 90000)).variable
    assert at_times(gap, Fraction(1, 90000)).deviation == pytest.approx(0.0333, abs=0.001)


def test_one_frame_has_no_rate():
    assert at_times([7], Fraction(1, 25)).rate is None
    assert not at_times([7], Fraction(1, 25)).variable


@pytest.mark.parametrize("ending", ["h264", "avi"])
def test_files_without_presentation_times(tmp_path, ending):
    file = probe(media.picture(tmp_path / f"raw.{ending}", "-bf", 2, rate=30))
    assert (len(file.times), file.rate, file.variable) == (30, 30, False)


def test_hidden_frames_are_known():
    file = probe(shared_path("data", "test", "building_pan_1080p_10bit.mp4"))
    assert (len(file.shown), int(file.shown.sum()), len(file.times)) == (86, 77, 77)
    assert not file.shown[:8].any()
    assert not file.shown[-1]
    assert file.times[0] == 0


@pytest.mark.parametrize(
    ("name", "rate", "sar", "orientation"),
    [
        ("rotated_90_aac.mp4", Fraction(30000, 1001), 1, (0, 1, 1, 0)),
        ("building_pan_1080p_10bit.mp4", Fraction(30000, 1001), None, (0, 1, -1, 0)),
        ("sar_64_45_bpyramid.mp4", 30, Fraction(64, 45), container.UPRIGHT),
        ("phone_super_slow_160x120.mp4", 30, 1, container.UPRIGHT),
        ("bt601.mov", Fraction(30000, 1001), None, container.UPRIGHT),
        ("chapters_aac.mp4", Fraction(30000, 1001), 1, container.UPRIGHT),
        ("bear_240p.webm", Fraction(30000, 1001), 1, container.UPRIGHT),
    ],
)
def test_real_files(name, rate, sar, orientation):
    file = probe(shared_path("data", "test", name))
    assert (file.rate, file.sar, file.orientation, file.variable) == (rate, sar, orientation, False)


def test_a_phones_variable_rate_is_recognised():
    assert probe(shared_path("data", "test", "rooftop_1080p_10bit.mp4")).variable


def test_missing_and_empty(tmp_path):
    with pytest.raises(SourceError, match=r"no\.mp4: does not exist"):
        probe(tmp_path / "no.mp4")
    with pytest.raises(SourceError, match="is not a file"):
        probe(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"empty\.mp4: is empty"):
        probe(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["page.mp4", "note.txt"])
def test_not_a_video(tmp_path, name):
    (tmp_path / name).write_text("<!doctype html><html><body>404</body></html>\n" * 50)
    with pytest.raises(SourceError, match="is not a video"):
        probe(tmp_path / name)


def test_no_video_in_it(tmp_path):
    media.run("-f", "lavfi", "-i", "sine=duration=0.1", path := tmp_path / "sound.wav")
    with pytest.raises(SourceError, match="holds no video, only audio"):
        probe(path)


@pytest.mark.parametrize(("ending", "options"), [("mp4", ("-movflags", "+faststart")), ("mkv", ())])
def test_cut_off(tmp_path, ending, options):
    whole = media.picture(tmp_path / f"whole.{ending}", *options).read_bytes()
    path = tmp_path / f"part.{ending}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(SourceError, match=r"is cut off, its end is missing .* ffmpeg -i .*part"):
        probe(path)


def test_an_mp4_without_its_index(tmp_path):
    whole = media.picture(tmp_path / "whole.mp4").read_bytes()
    (path := tmp_path / "part.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"is cut off, or .* its index \(moov\) is missing"):
        probe(path)


def test_damage_is_logged(tmp_path, caplog):
    data = bytearray(media.picture(tmp_path / "a.ts", size="320x240", seconds=2).read_bytes())
    data[len(data) // 5 : len(data) // 3] = b"\xff" * (len(data) // 3 - len(data) // 5)
    (path := tmp_path / "b.ts").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        probe(path)
    assert "b.ts: damaged? " in caplog.text


def test_tags_are_not_read_as_facts(tmp_path):
    """They stand in the same text as what ffmpeg says itself."""
    tags = {"title": "Output #0", "comment": "[error] partial file", "artist": "Stream #0:7: Audio: aac"}
    options = [x for tag, text in tags.items() for x in ("-metadata", f"{tag}={text}")]
    file = probe(media.picture(tmp_path / "x.mkv", *options))
    assert file.streams == (Stream(0, "video", "h264"),)
    assert len(file.times) == 10


def test_no_ffmpeg(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(SourceError, match="no ffmpeg found: install it, or the package imageio-ffmpeg"):
        container.ffmpeg()


def test_no_pyav(monkeypatch, film):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(SourceError, match="PyAV is not installed, which reads video files: pip install av"):
        probe(film)


def test_ffmpeg_on_the_path_comes_first(tmp_path, monkeypatch):
    own = tmp_path / "ffmpeg"
    own.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert container.ffmpeg() == str(own)
    own.unlink()
    assert Path(container.ffmpeg()).is_file()
