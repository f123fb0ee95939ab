"""Relatives of the kinds in test_video_kinds.py: the same in other containers, other codecs, another order."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from fractions import Fraction

import av
import media
import numpy as np
import pytest
import rare_media
import vapoursynth as vs
from sync_media import flashes, flashing

from vs_slomo.errors import ArgumentError, FormatError, RenderError, SourceError
from vs_slomo.video.contents import Chapter
from vs_slomo.video.match import Stamps, match
from vs_slomo.video.metadata import kept_tags
from vs_slomo.video.probe import probe
from vs_slomo.video.programs import read_programs
from vs_slomo.video.rates import prevailing
from vs_slomo.video.render import Tracks, encode, graph, render
from vs_slomo.video.source import source

SINE = ("-f", "lavfi", "-i", "sine=duration=0.4")
PAIR = ("-map", "0:v", "-map", "1:a")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))


def again(path, output, **options):
    """Encode a file's picture as it is, with all its tracks, and return what the new file says of itself."""
    return probe(encode(source(path), output, tracks=Tracks(file=probe(path)), **options))


# --- AVI, which has no times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_pictures_of_avi_that_are_decoded_late(tmp_path, codec):
    """With B-frames, the first picture comes with the second packet: none is lost, and none comes late."""
    path = media.picture(tmp_path / "a.avi", "-c:v", codec, "-bf", 2, rate=25, seconds=1)
    file = probe(path)
    assert (len(file.times), file.rate, file.first) == (25, 25, 0)
    assert source(path).num_frames == 25


def test_damaged_avi_is_matched_although_its_decoder_is_late(tmp_path):
    file = probe(media.picture(tmp_path / "a.avi", rate=25, seconds=1))
    stamps = [-(1 << 63), *(n + 1 for n in range(1, 25) if n != 7)]
    found = match(file, len(stamps), Stamps(stamps, Fraction(1, 25)), "x")
    assert found.file.times.tolist() == [n for n in range(25) if n != 7]


def test_a_stream_of_avi_that_begins_late(tmp_path):
    path = media.picture(tmp_path / "a.avi", *PAIR, "-c:a", "mp2", rate=25, seconds=0.4, before=SINE)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.find(b"vids") + 28, 10)  # dwStart, in frames
    path.write_bytes(data)
    assert (probe(path).start, probe(path).rate) == (Fraction(10, 25), 25)


def test_a_picture_of_avi_that_begins_late_has_a_gap_behind_it(tmp_path, shifting_model):
    path = flashing(tmp_path / "a.avi", late=0.48)
    file = probe(path)
    assert (file.variable, file.rate) == (False, 25)
    assert float(file.start) == pytest.approx(0.5, abs=0.05)
    made = render(path, tmp_path / "x.mkv", multi=2, crf=10, model=shifting_model)
    assert np.abs(np.array(flashes(made)) - flashes(path)).max() < 0.04


@pytest.mark.parametrize("rate", ["10", "25/2", "15", "24000/1001", "50"])
@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "rawvideo", "libx264"])
def test_avi_with_the_silence_of_mp3_keeps_its_frames_and_rate(tmp_path, codec, rate):
    """ffmpeg moves the picture by it, which AVI tells by a gap of one or two frames behind the first."""
    tone = ("-f", "lavfi", "-i", "sine=duration=2")
    mp3 = (*PAIR, "-c:v", codec, "-c:a", "libmp3lame", "-frames:v", 18)
    path = media.picture(tmp_path / "a.avi", *mp3, rate=rate, seconds=2, before=tone)
    file = probe(path)
    assert (len(file.times), file.rate, file.variable) == (18, Fraction(rate), False)
    assert file.start in (0, 1 / Fraction(rate), 2 / Fraction(rate))
    assert source(path).num_frames == 18


def test_avi_without_what_players_skip(tmp_path):
    """AAC has 1024 samples before the sound, MP3 1105: MP4 tells players to skip them, AVI cannot."""
    for codec in ("aac", "libmp3lame"):
        path = media.picture(tmp_path / "a.mp4", *PAIR, "-c:a", codec, seconds=0.4, before=SINE)
        assert again(path, tmp_path / "x.avi").of_kind("audio")
        with av.open(tmp_path / "x.avi") as file:
            first = next(frame for frame in file.decode(audio=0)).to_ndarray()
        assert np.abs(first[0, 200:]).max() > 0.01, codec
        (tmp_path / "x.avi").unlink()


def test_sound_of_six_channels_in_avi(tmp_path):
    path = media.picture(tmp_path / "a.mkv", *PAIR, "-c:a", "flac", "-ac", 6, seconds=0.4, before=SINE)
    again(path, tmp_path / "x.avi")
    with av.open(tmp_path / "x.avi") as file:
        assert len(file.streams.audio[0].codec_context.layout.channels) == 6


def test_a_tick_that_is_a_frame_is_no_rounding():
    times = np.delete(np.arange(60), [1, 30])
    assert prevailing(times, Fraction(1, 25), 25.0) == 25


# --- tracks and tags --------------------------------------------------------------------------------------------------


@pytest.fixture
def covered(tmp_path):
    """A film with two cover pictures, which come first."""
    names = []
    for ending in ("jpg", "png"):
        media.run("-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", 1, name := tmp_path / f"c.{ending}")
        names += ["-i", name]
    film = media.picture(tmp_path / "film.mkv", seconds=0.3)
    attached = ("-disposition:v:0", "attached_pic", "-disposition:v:1", "attached_pic")
    media.run(*names, "-i", film, "-map", 0, "-map", 1, "-map", 2, "-c", "copy", *attached, path := tmp_path / "c.mp4")
    return path


@pytest.mark.parametrize(("name", "count"), [("x.mkv", 2), ("x.mp4", 2), ("x.mov", 0), ("x.webm", 0)])
def test_several_cover_pictures(tmp_path, covered, name, count, caplog):
    with caplog.at_level(logging.INFO):
        made = again(covered, tmp_path / name)
    assert sum(s.cover for s in made.of_kind("video")) == count
    said = "kept: the picture; 2 cover pictures" if count else f"left out: 2 cover pictures: .{name[2:]} holds none"
    assert said in caplog.text


@pytest.mark.parametrize(("name", "codec"), [("x.ts", "aac"), ("x.m2ts", "truehd"), ("x.mkv", "truehd")])
def test_truehd_goes_where_it_can_be_read_again(tmp_path, name, codec):
    sound = ("-c:a", "truehd", "-strict", -2, "-ar", 48000)
    path = media.picture(tmp_path / "a.mkv", *PAIR, *sound, seconds=0.4, before=SINE)
    assert again(path, tmp_path / name).of_kind("audio")[0].codec == codec


@pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.mkv", "x.webm"])
def test_chapters_that_overlap_begin_late_and_have_no_title(tmp_path, name):
    """MP4 has them as a track, in which each lasts up to the next one: their starts are what counts."""
    path = media.picture(tmp_path / "a.mkv", rate=25, seconds=1)
    given = [(0.3, 0.9, "B"), (0.1, 0.7, "A"), (0.5, 0.6, ""), (0.8, 9, "C")]
    chapters = [Chapter(*(Fraction(str(t)) for t in c[:2]), (f"title={c[2]}",) * bool(c[2])) for c in given]
    file = replace(probe(path), chapter_list=tuple(chapters))
    made = probe(encode(source(path), tmp_path / name, tracks=Tracks(file=file)))
    there = {
        (round(float(c.start), 2), dict(tag.split("=", 1) for tag in c.tags).get("title", ""))
        for c in made.chapter_list
    }
    assert {(begins, title) for begins, _, title in given} <= there
    assert len(there) == len(given) + (name in ("x.mp4", "x.mov"))  # from 0 to the first one


def test_creation_time_that_a_file_has_twice():
    tags = {"creation_time": "2021-05-06T07:08:09.000000Z;2021-05-06T07:08:09Z", "software": "Lavf60", "artist": "x"}
    assert kept_tags(tags) == {"creation_time": "2021-05-06T07:08:09.000000Z", "artist": "x"}


def test_the_picture_keeps_its_disposition(tmp_path):
    for disposition, bits in (("default+original", 5), ("0", 0)):
        path = media.picture(tmp_path / "a.mkv", "-disposition:v", disposition, seconds=0.3)
        assert again(path, tmp_path / "x.mkv").streams[0].disposition == bits
        (tmp_path / "x.mkv").unlink()


def test_transparency_that_no_filter_decodes_is_said(tmp_path, shifting_model, caplog):
    half = ("-vf", "format=rgba,colorchannelmixer=aa=0.5,format=yuva420p", "-c:v", "libvpx-vp9")
    media.run("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2:r=10", *half, path := tmp_path / "a.webm")
    with caplog.at_level(logging.WARNING):
        graph(path, model=shifting_model)
    assert "transparency is left out: no source filter decodes that of vp9" in caplog.text


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_hidden_frames_of_av1_in_packets_of_their_own(tmp_path, ending):
    quick = ("-c:v", "libaom-av1", "-cpu-used", 8, "-lag-in-frames", 19, "-auto-alt-ref", 1)
    media.run("-f", "lavfi", "-i", "mandelbrot=s=96x64:r=25", "-t", 1, *quick, whole := tmp_path / "a.mkv")
    media.run("-i", whole, "-c", "copy", "-bsf:v", "av1_frame_split", path := tmp_path / f"b.{ending}")
    for file in map(probe, (whole, path)):
        assert (len(file.times), file.rate, file.variable) == (25, 25, False)
    assert not probe(path).shown.all()  # else this tests nothing
    assert source(path).num_frames == 25


# --- programs, fields, Dolby Vision, MXF ------------------------------------------------------------------------------


def test_a_film_of_several_programs_has_its_own_sound(tmp_path, caplog):
    """As they come from a satellite; here the first track belongs to the second program."""
    lavfi = [x for source in ("testsrc2=s=96x64:r=25:d=0.6", "sine=d=0.6", "sine=f=900:d=0.6") for x in ("-i", source)]
    inputs = [x for source, name in zip(lavfi[::2], lavfi[1::2], strict=True) for x in ("-f", "lavfi", source, name)]
    maps = [x for n in (2, 0, 1, 0) for x in ("-map", n)]
    programs = ("-program", "program_num=1:title=One:st=1:st=2", "-program", "program_num=2:title=Two:st=0:st=3")
    path = tmp_path / "a.ts"
    media.run(*inputs, *maps, "-c:v", "mpeg2video", "-c:a", "mp2", *programs, path)
    file = probe(path)
    assert [s.kind for s in file.streams] == ["video", "audio"]
    with caplog.at_level(logging.WARNING):
        made = again(path, tmp_path / "x.mkv")
    assert len(made.of_kind("audio")) == 1
    for kind in ("audio", "video"):
        assert any(f"left out: {kind}" in line and "another program (2, Two)" in line for line in caplog.messages)


def test_tracks_of_no_program_or_of_two():
    lines = [
        *("  Program 1 ", "    Metadata:", "      service_name    : One"),
        *("  Stream #0:0[0x100]: Video: h264", "  Stream #0:1[0x101]: Audio: aac"),
        *("  Program 2 ", "  Stream #0:1[0x101]: Audio: aac", "  Stream #0:2[0x102]: Audio: mp2", "  No Program"),
        "  Stream #0:3[0x103]: Data: bin",
    ]
    assert read_programs(lines, 0) == {2: "2"}
    assert read_programs(lines, 2) == {0: "1, One"}
    assert read_programs(lines, 3) == {}
    assert read_programs(["  Stream #0:0: Video: h264"], 0) == {}


@pytest.mark.parametrize("ending", ["mkv", "mov", "ts", "mpg"])
def test_a_picture_for_each_field(tmp_path, ending, shifting_model):
    path = rare_media.field_pictures(tmp_path / f"a.{ending}")
    with pytest.raises(FormatError, match="flagged interlaced"):
        graph(path, model=shifting_model)
    made = graph(path, progressive=True, multi=2, model=shifting_model)
    assert (made.clip.num_frames, made.clip.fps, made.file.variable) == (20, 50, False)
    times = made.file.times * float(made.file.time_base)
    assert np.diff(times) == pytest.approx(0.04, abs=0.0011)


@pytest.mark.parametrize("ending", ["mpg", "ts", "mkv"])
def test_flags_of_repeated_fields_change_no_rate(tmp_path, ending, shifting_model):
    path = rare_media.telecine(tmp_path / f"a.{ending}")
    made = graph(path, multi=2, model=shifting_model).clip
    assert (made.num_frames, made.fps) == (48, Fraction(48000, 1001))


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_dolby_vision_of_real_files(tmp_path, ending, shifting_model, caplog):
    path = rare_media.dolby_vision(tmp_path, 5, ending)
    with pytest.raises(SourceError, match="Dolby Vision profile 5"):
        render(path, tmp_path / "x.mkv", model=shifting_model)
    path = rare_media.dolby_vision(tmp_path, 8, ending)
    with caplog.at_level(logging.WARNING):
        graph(path, model=shifting_model)
    assert "Dolby Vision metadata (profile 8) is not passed on" in caplog.text


def test_mxf_has_its_rates_and_as_much_sound_as_picture(tmp_path):
    """Its muxer leaves out frames behind the sound's end, and makes 48 of 48000/1001."""
    path = media.picture(tmp_path / "a.mkv", *PAIR, "-c:a", "flac", rate=25, seconds=1, before=SINE)
    assert len(again(path, tmp_path / "x.mxf").times) == 25
    for rate in ("10", "48000/1001"):
        path = media.picture(tmp_path / "b.mkv", rate=rate, seconds=1)
        with pytest.raises(RenderError, match=f"{rate} frames a second do not go into this kind of file; usual rates"):
            encode(source(path), tmp_path / "y.mxf")
    assert not (tmp_path / "y.mxf").exists()


def test_a_film_that_cannot_be_read_again_is_no_film(tmp_path):
    path = media.picture(tmp_path / "a.mkv", seconds=0.4)
    with pytest.raises(RenderError, match="does not take the codec"):
        encode(source(path), tmp_path / "x.rm")
    assert not (tmp_path / "x.rm").exists()


@pytest.mark.parametrize("muxer", ["stream_segment", "smoothstreaming", "hds"])
def test_muxers_that_write_many_files(tmp_path, muxer):
    path = media.picture(tmp_path / "a.mkv", seconds=0.4)
    with pytest.raises(ArgumentError, match="a file of its own"):
        encode(source(path), tmp_path / "x.mkv", options=["-f", muxer])


def test_times_below_zero_in_matroska(tmp_path):
    whole = media.picture(tmp_path / "a.mp4", rate=25, seconds=1)
    early = ("-avoid_negative_ts", "disabled")
    media.run("-itsoffset", -0.3, "-i", whole, "-c", "copy", *early, path := tmp_path / "a.mkv")
    assert (len(probe(path).times), probe(path).rate, source(path).num_frames) == (25, 25, 25)


def test_numbers_with_a_gap(tmp_path):
    media.run("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", tmp_path / "%02d.png")
    (tmp_path / "03.png").unlink()
    with pytest.raises(
        SourceError, match=r"the numbers have a gap, 03\.png is missing and there are more up to 10\.png"
    ):
        source(tmp_path / "%02d.png")


def test_joined_matroska(tmp_path):
    """`cat a.mkv b.mkv`: the second begins its clock anew."""
    one = media.picture(tmp_path / "a.mkv", *PAIR, "-c:a", "flac", rate=25, seconds=0.4, before=SINE).read_bytes()
    (path := tmp_path / "joined.mkv").write_bytes(one + one)
    made = again(path, tmp_path / "x.mkv")
    assert (len(made.times), made.rate, made.variable) == (20, 25, False)
    assert float(made.sound_end) == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("given", [0, 1])
def test_jpeg_has_the_full_range(tmp_path, given):
    path = media.picture(tmp_path / "a.mkv", rate=25, seconds=0.2)
    clip = source(path).std.SetFrameProps(_Range=0)
    clip = clip.resize.Bicubic(range=1) if given else clip
    for output, options in (("x.avi", {"codec": "mjpeg"}), ("%02d.jpg", {})):
        made = source(encode(clip, tmp_path / output, **options))
        assert made.num_frames == 5
        full = made.resize.Bicubic(range=1, format=clip.format.id)
        wanted = np.asarray(clip.resize.Bicubic(range=1).get_frame(2)[0]).astype(float)
        assert np.abs(np.asarray(full.get_frame(2)[0]) - wanted).mean() < 3


def test_a_size_that_grows_by_whole_samples_of_colour(tmp_path, caplog):
    crop = ("-vf", "format=yuv422p,crop=66:49:exact=1", "-c:v", "ffv1")
    media.run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=0.3", *crop, path := tmp_path / "a.mkv")
    with caplog.at_level(logging.WARNING):
        made = source(encode(source(path), tmp_path / "x.mov", codec="svq1"))
    assert (made.width, made.height) == (68, 52)
    assert "66x49 grows by 2 columns and 3 rows, repeated" in caplog.text


def test_raw_frames_that_a_container_cannot_name(tmp_path):
    clip = source(media.picture(tmp_path / "a.mkv", "-pix_fmt", "yuv444p", seconds=0.3))
    with pytest.raises(RenderError, match="unreadable"):
        encode(clip, tmp_path / "x.avi", codec="rawvideo")


@pytest.mark.parametrize(("codec", "grown"), [("prores_aw", (66, 50)), ("qtrle", (65, 49)), ("prores_ks", (65, 49))])
def test_gray_of_odd_sizes_in_mov(tmp_path, codec, grown):
    clip = vs.core.std.BlankClip(format=vs.GRAY8, width=65, height=49, length=3, color=100)
    film = probe(encode(clip, tmp_path / "x.mov", codec=codec))
    assert (film.looks.size, len(film.times)) == (grown, 3)


def test_closed_captions_within_the_picture_are_named(tmp_path, caplog):
    path = rare_media.captioned(tmp_path / "a.ts")
    assert probe(path).looks.captions
    render(path, tmp_path / "x.mp4", span="0:2", multi=1)
    assert "closed captions within the picture are not passed on" in caplog.text


# --- sound and text that a container takes in another way -------------------------------------------------------------


def sounding(folder, *sound, ending="mkv", channels=1, rate=48000):
    tone = ("-f", "lavfi", "-i", f"aevalsrc={'|'.join(['0.3*sin(2000*t)'] * channels)}:s={rate}:d=0.8")
    path = folder / f"sound.{ending}"
    return media.picture(path, *PAIR, *sound, rate=25, seconds=0.8, before=tone)


@pytest.mark.parametrize(
    ("name", "channels", "rate", "kept"),
    [("x.wmv", 6, 96000, 2), ("x.mpg", 6, 48000, 6), ("x.avi", 8, 48000, 6), ("x.mkv", 8, 48000, 8)],
)
def test_sound_with_more_channels_than_an_encoder_has(tmp_path, caplog, name, channels, rate, kept):
    path = sounding(tmp_path, "-c:a", "flac", channels=channels, rate=rate)
    with caplog.at_level(logging.INFO):
        made = again(path, tmp_path / name)
    (sound,) = made.of_kind("audio")
    assert sound.channels == kept
    assert (f"its {channels} channels are mixed into {kept}" in caplog.text) == (kept < channels)


def test_decoded_sound_whose_packets_go_back_a_little(tmp_path, monkeypatch):
    """The decoder of AMR tells such times of files whose clock is not the sound's."""
    from vs_slomo.video.carriages import Samples

    def back(self, packet, moment):
        yield from told(self, packet, moment - Fraction(1, 300) * (self.count % 2))
        self.count += 1

    told = Samples.packets
    monkeypatch.setattr(Samples, "count", 0, raising=False)
    monkeypatch.setattr(Samples, "packets", back)
    made = again(sounding(tmp_path, "-c:a", "wmav2", ending="wmv"), tmp_path / "x.mkv")
    assert float(made.sound_end) == pytest.approx(0.8, abs=0.1)


OVERLAPPING = """\
1
00:00:00,200 --> 00:00:00,600
<b>first</b>

2
00:00:00,400 --> 00:00:00,700
second
"""


@pytest.mark.parametrize("name", ["x.mp4", "x.mov"])
def test_lines_that_overlap_become_one_of_several_rows(tmp_path, name):
    (lines := tmp_path / "a.srt").write_text(OVERLAPPING)
    path = media.picture(
        tmp_path / "a.mkv", "-map", "0:v", "-map", "1:s", "-c:s", "ass", seconds=0.8, before=("-i", lines)
    )
    again(path, made := tmp_path / name)
    assert [line[:2] for line in media.subtitles(made)] == [(0.2, 0.4), (0.4, 0.6), (0.6, 0.7)]
    text = media.run("-i", made, "-map", "0:s", "-f", "srt", "-").decode()
    assert "<b>first</b>\nsecond\n" in text


@pytest.mark.parametrize("ending", ["mkv", "m2ts"])
def test_a_subtitle_picture_that_is_seen_when_a_range_begins(tmp_path, ending):
    """It stays until the next one comes, and M2TS has it in five packets."""
    given = ("-i", rare_media.blu_ray_subtitles(tmp_path / "a.sup", 0.2, 1.5))
    path = tmp_path / f"a.{ending}"
    media.picture(path, "-map", "0:v", "-map", "1:s", "-c:s", "copy", rate=25, seconds=2, before=given)
    file = probe(path)
    part = Tracks(file=file, start=file.first + 1, duration=Fraction(4, 5))
    encode(source(path)[25:45], made := tmp_path / "x.mkv", tracks=part)
    with av.open(str(made)) as found:
        sizes = [packet.size for packet in found.demux(subtitles=0) if packet.pts is not None]
    assert len(sizes) == 2
    assert sizes[0] > 100  # the bar


def test_sound_that_has_ended_before_a_range_begins(tmp_path, caplog):
    tone = ("-f", "lavfi", "-i", "sine=duration=0.3")
    path = media.picture(tmp_path / "a.mkv", *PAIR, "-c:a", "flac", rate=25, seconds=1, before=tone)
    part = Tracks(file=probe(path), start=Fraction(3, 5), duration=Fraction(2, 5))
    made = probe(encode(source(path)[15:], tmp_path / "x.mp4", tracks=part))
    assert not made.of_kind("audio")
    assert "audio (stream 1, flac): it has no sound in this part" in caplog.text


# --- what a file does not tell: colours, the last frame's end, a track's name -----------------------------------------


def shown(path):
    """The mean colour of the first picture, as ffmpeg shows it."""
    return np.frombuffer(media.run("-i", path, "-frames:v", 1, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"), np.uint8)[
        :3
    ]


@pytest.mark.parametrize("full", [0, 1])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.mov", "prores"),
        ("x.mpg", "mpeg2video"),
        ("x.avi", "mpeg4"),
        ("x.wmv", "wmv2"),
        ("x.webm", "libvpx"),
        ("x.mov", "mjpeg"),
        ("%02d.jpg", "mjpeg"),
        ("%02d.tif", "tiff"),
        ("%02d.jp2", "jpeg2000"),
        ("x.mp4", "x264"),
    ],
)
def test_colours_that_a_file_cannot_tell_are_converted(tmp_path, name, codec, full):
    """A small picture of BT.709: where nothing is told, players take it for BT.601 of the limited range."""
    green = vs.core.std.BlankClip(format=vs.RGB24, width=64, height=48, length=2, fpsnum=25, color=[30, 190, 60])
    clip = green.resize.Bicubic(format=vs.YUV420P8, matrix=1, range=full)
    encode(clip, tmp_path / name, codec=codec)
    path = tmp_path / name.replace("%02d", "01")
    assert np.abs(shown(path).astype(int) - (30, 190, 60)).max() <= 4


def test_a_codec_that_loses_nothing_keeps_its_numbers(tmp_path, caplog):
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=2, fpsnum=25, color=[90, 60, 40])
    clip = clip.std.SetFrameProps(_Matrix=1)
    made = source(encode(clip, tmp_path / "x.avi", codec="ffvhuff"))
    assert [np.asarray(made.get_frame(0)[p])[0, 0] for p in range(3)] == [90, 60, 40]
    assert "ffvhuff in .avi does not tell the picture's matrix" in caplog.text


def test_hdr_that_a_file_cannot_tell_is_named(tmp_path, caplog):
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=2, fpsnum=25)
    encode(clip.std.SetFrameProps(_Matrix=9, _Transfer=16, _Primaries=9), tmp_path / "x.avi", codec="mpeg4")
    assert "does not tell that this is PQ" in caplog.text


@pytest.mark.parametrize(("name", "seconds"), [("a.mp4", 3), ("a.mkv", 3), ("b.gif", 3.7)])
def test_the_last_frame_lasts_as_long_as_in_the_file(tmp_path, name, seconds):
    """Neither as long as the gap before it, nor shorter than the file says."""
    path = tmp_path / name
    if path.suffix == ".gif":
        palette = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
        media.run("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.8", "-vf", palette, "-final_delay", 300, path)
    else:
        only = "select='lt(n,60)+eq(n,74)',format=yuv420p"
        given = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=3", "-vf", only, "-fps_mode", "vfr")
        media.run(*given, "-bf", 0, "-c:v", "libx264", path)
    file = probe(path)
    assert file.variable
    assert float(file.timecodes.duration) == pytest.approx(seconds, abs=0.002)
    made = probe(render(path, tmp_path / "x.mkv", multi=2, flow="fast"))
    assert len(made.times) / float(made.rate) == pytest.approx(seconds, abs=0.05)


def test_what_a_container_does_not_hold_of_a_track_is_named(tmp_path, caplog):
    marks = ("-metadata:s:a:0", "language=deu", "-disposition:a:0", "default+comment")
    path = media.picture(tmp_path / "a.mkv", *PAIR, "-c:a", "aac", *marks, seconds=0.4, before=SINE)
    with caplog.at_level(logging.INFO):
        again(path, tmp_path / "x.avi")
        (sound,) = again(path, tmp_path / "x.mov").of_kind("audio")
    assert '.avi does not hold its language, mark "comment"' in caplog.text
    assert sound.tags["language"] == "ger"  # QuickTime's name
