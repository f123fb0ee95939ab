"""Kinds of files that once came out wrong, each in the containers that have it."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest
import vapoursynth as vs

from vs_slomo.errors import ArgumentError, FormatError, SourceError
from vs_slomo.video.contents import Stream
from vs_slomo.video.encoders import quality
from vs_slomo.video.match import Stamps, match
from vs_slomo.video.metadata import escaped, kept_tags
from vs_slomo.video.pixels import device_arguments
from vs_slomo.video.probe import probe
from vs_slomo.video.render import Tracks, encode, graph, render
from vs_slomo.video.script import refused
from vs_slomo.video.source import source, source_timecodes


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))


def retimed(given, path, times, drop=(), break_=()):
    """Copy a film's packets to Matroska with other times, in milliseconds, without some, and some damaged."""
    with av.open(str(given)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        target, n = new.add_stream_from_template(stream), 0
        for packet in old.demux(stream):
            if packet.dts is None:
                continue
            made = packet
            if n in break_:
                data = bytearray(bytes(packet))
                data[5:] = b"\xff" * (len(data) - 5)
                made = av.Packet(bytes(data))
            if n not in drop:
                made.stream, made.time_base = target, Fraction(1, 1000)
                made.pts = made.dts = round(times[n])
                new.mux(made)
            n += 1
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Four seconds at 25 frames a second, without B-frames."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    return media.picture(path, "-bf", 0, "-g", 10, rate=25, seconds=4)


# --- times ------------------------------------------------------------------------------------------------------------


def originals(clip, given):
    """How many of a clip's frames are frames of another, bit for bit."""
    there = {np.asarray(frame[0]).tobytes() for frame in given.frames()}
    return sum(np.asarray(frame[0]).tobytes() in there for frame in clip.frames())


def test_a_lost_frame_leaves_originals_and_the_rate(tmp_path, plain, shifting_model):
    path = retimed(plain, tmp_path / "hole.mkv", [40 * n for n in range(100)], drop={49})
    made = graph(path, multi=2, model=shifting_model).clip
    assert (made.fps, made.num_frames) == (50, 200)
    assert originals(made, source(path)) >= 99


def test_a_damaged_frame_leaves_the_others_their_times(tmp_path, plain, shifting_model, caplog):
    times = [40 * n for n in range(50)] + [6000 + 40 * n for n in range(50)]
    path = retimed(plain, tmp_path / "bad.mkv", times, break_={25})
    with caplog.at_level(logging.INFO):
        made = graph(path, multi=2, model=shifting_model)
    assert (made.clip.fps, made.clip.num_frames) == (50, 400)
    codes = source_timecodes(path)
    assert codes.frames == source(path).num_frames
    assert codes.duration == Fraction(8)
    if codes.frames < 100:
        assert "the others keep their times" in caplog.text


def test_two_frames_at_one_time(tmp_path, plain, shifting_model, caplog):
    path = retimed(plain, tmp_path / "two.mkv", [40 * (n - (n > 3)) for n in range(100)])
    with caplog.at_level(logging.WARNING):
        made = graph(path, multi=2, model=shifting_model).clip
    assert (made.fps, made.num_frames) == (50, 198)
    assert "1 frame at the time of another is left out" in caplog.text


def test_no_usable_times(tmp_path, plain, caplog):
    path = retimed(plain, tmp_path / "same.mkv", [40 * (n // 10) for n in range(100)])
    with caplog.at_level(logging.WARNING):
        clip = source(path)
    assert clip.num_frames == 100
    assert "has no usable times" in caplog.text


def test_a_screen_recording_keeps_the_rate_of_its_bursts(tmp_path, plain, shifting_model):
    times = [40 * n for n in range(50)] + [9000 + 40 * n for n in range(50)]
    made = graph(retimed(plain, tmp_path / "screen.mkv", times), multi=2, model=shifting_model).clip
    assert made.fps == 50


def test_hidden_frames_of_vp8_are_no_frames(tmp_path):
    path = tmp_path / "a.webm"
    quick = ("-auto-alt-ref", 1, "-lag-in-frames", 25, "-arnr-maxframes", 7, "-deadline", "good", "-cpu-used", 2)
    for n in (1, 2):
        passes = ("-pass", n, "-passlogfile", tmp_path / "log")
        film = "mandelbrot=s=96x64:r=25"
        media.run(
            "-f", "lavfi", "-i", film, "-t", 3, "-c:v", "libvpx", "-b:v", "150k", *quick, "-g", 250, *passes, path
        )
    file = probe(path)
    assert not file.shown.all()  # else this tests nothing
    assert (int(file.shown.sum()), file.rate) == (75, 25)
    assert (source(path).num_frames, source(path).fps) == (75, 25)


def test_an_edit_list_that_shows_nothing(tmp_path, plain):
    data = bytearray(plain.read_bytes())
    struct.pack_into(">i", data, data.find(b"elst") + 16, 10_000_000)
    (path := tmp_path / "cut.mp4").write_bytes(data)
    with pytest.raises(SourceError, match="shows no frame; an edit list in the file hides all "):
        source(path)


def times_of(plain, pts, **more):
    """A file of these times, without the rest."""
    pts = np.asarray(pts, np.int64)
    shown = np.ones(len(pts), bool)
    return replace(probe(plain), times=pts, pts=pts, clock=pts, shown=shown, time_base=Fraction(1, 1000), **more)


def test_a_packet_for_each_field(plain):
    """Two packets make a picture: half of them have no frame, and nothing is lost."""
    file = times_of(plain, range(0, 2000, 20))
    found = match(file, 50, Stamps(range(0, 2000, 40), Fraction(1, 1000)), "bs")
    assert (found.file.rate, found.repaired) == (25, "")


def test_frames_are_matched_by_time_and_not_by_number(plain):
    file = times_of(plain, range(0, 4000, 40))
    stamps = [t for t in range(0, 4000, 40) if t not in (40, 2000)] + [3970]
    found = match(file, len(stamps), Stamps(sorted(stamps), Fraction(1, 1000)), "bs")
    assert 2000 not in found.file.times
    assert {0, 80, 1960, 2040, 3960} <= set(found.file.times.tolist())
    assert "drops" in found.repaired


def test_a_filter_without_times_keeps_the_length(plain):
    file = times_of(plain, range(0, 4000, 40))
    found = match(file, 90, None, "x")
    assert (found.file.times[0], found.file.times[-1]) == (0, 3960)
    assert found.file.prevailing == 25
    assert "x drops 10 of 100 frames" in found.repaired


# --- pixels -----------------------------------------------------------------------------------------------------------

HALF = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,W/2),255,60)'"
WITH_ALPHA = {
    "a.apng": ("-f", "apng", "-pix_fmt", "rgba"),
    "p.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"),
    "q.mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    "f.mkv": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
}


def see_through(path, *options):
    media.run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=0.4", "-vf", HALF, *options, path)
    return path


@pytest.mark.parametrize("given", WITH_ALPHA)
@pytest.mark.parametrize(
    ("name", "codec"), [("x.mov", "prores"), ("x.mkv", "ffv1"), ("%03d.png", None), ("x.gif", None), ("x.webm", None)]
)
def test_transparency_is_kept(tmp_path, given, name, codec):
    clip = source(see_through(tmp_path / given, *WITH_ALPHA[given]))
    (tmp_path / "out").mkdir()
    path = encode(clip, tmp_path / "out" / name, codec=codec)
    if name == "x.webm":  # the decoder of the source filter leaves it out
        raw = media.run("-c:v", "libvpx-vp9", "-i", path, "-vf", "alphaextract", "-f", "rawvideo", "-")
        alpha = np.frombuffer(raw, np.uint8)[: 96 * 64].reshape(64, 96)
        made = source(path)
    else:
        made = source(path)
        frame = made.get_frame(1).props["_Alpha"]
        alpha = np.asarray(frame[0]) / ((1 << frame.format.bits_per_sample) - 1) * 255
    assert made.num_frames == 4
    assert alpha[:, :40].min() > 245
    assert np.abs(alpha[:, 56:].astype(float) - (0 if name == "x.gif" else 60)).max() < 12


def test_transparency_that_is_lost_is_said(tmp_path, shifting_model, caplog):
    path = see_through(tmp_path / "p.mov", *WITH_ALPHA["p.mov"])
    with caplog.at_level(logging.WARNING):
        made = source(render(path, tmp_path / "x.mp4", multi=2, model=shifting_model))
    assert (made.num_frames, made.fps) == (8, 20)
    assert "transparency is left out: libx264 does not keep it in .mp4" in caplog.text


def test_an_opaque_gif(tmp_path, shifting_model, caplog):
    palette = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
    media.run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=0.4", "-vf", palette, path := tmp_path / "x.gif")
    with caplog.at_level(logging.WARNING):
        made = source(render(path, tmp_path / "x.mp4", multi=2, model=shifting_model))
    assert (made.num_frames, made.fps) == (8, 20)
    assert "transparency" not in caplog.text
    again = source(render(path, tmp_path / "y.gif", multi=2, model=shifting_model))
    assert (again.num_frames, again.fps) == (8, 20)


def odd(path, pixels):
    crop = ("-vf", "crop=65:49:exact=1", "-c:v", "ffv1", "-pix_fmt", pixels)
    media.run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=0.3", *crop, path)
    return path


@pytest.mark.parametrize(
    ("pixels", "name", "codec", "size"),
    [
        ("gbrp", "x.mp4", None, (66, 50)),
        ("gbrp", "x.mov", "prores", (66, 49)),
        ("gbrp", "x.gif", None, (65, 49)),
        ("gbrp", "%03d.png", None, (65, 49)),
        ("gbrp", "x.webm", None, (66, 50)),
        ("gray", "x.mp4", None, (66, 50)),
        ("gbrap", "x.mp4", None, (66, 50)),
        ("yuv444p", "x.mp4", None, (65, 49)),
        ("yuv420p", "x.mp4", None, (64, 48)),
    ],
)
def test_odd_sizes(tmp_path, pixels, name, codec, size, caplog):
    with caplog.at_level(logging.WARNING):
        clip = source(odd(tmp_path / "odd.mkv", pixels))
        (tmp_path / "out").mkdir()
        made = source(encode(clip, tmp_path / "out" / name, codec=codec))
    assert (made.width, made.height, made.num_frames) == (*size, 3)
    assert ("repeated" in caplog.text) == (size[0] > 65)


def test_the_odd_size_that_a_source_filter_cuts_is_said(tmp_path, shifting_model, caplog):
    with caplog.at_level(logging.WARNING):
        graph(odd(tmp_path / "odd.mkv", "yuv420p"), model=shifting_model)
    assert "65x49 becomes 64x48" in caplog.text


@pytest.mark.parametrize(("pixels", "bits"), [("rgb24", 8), ("rgb48be", 16)])
def test_numbered_pictures_in_and_out(tmp_path, pixels, bits, shifting_model):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    pictures = ("-pix_fmt", pixels, "-start_number", 7, tmp_path / "in" / "f%04d.png")
    media.run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=0.4", *pictures)
    given = source(tmp_path / "in" / "f%04d.png")
    assert (given.num_frames, given.fps, given.format.bits_per_sample) == (4, 25, bits)
    path = render(tmp_path / "in" / "f%04d.png", tmp_path / "out" / "%05d.png", multi=2, model=shifting_model)
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == [f"{n:05d}.png" for n in range(1, 9)]
    made = source(path)
    assert made.format.id == given.format.id
    for n in range(4):
        mine, its = made.get_frame(2 * n), given.get_frame(n)
        assert all(np.array_equal(np.asarray(mine[p]), np.asarray(its[p])) for p in range(3))
    with pytest.raises(ArgumentError, match=r"not there yet, 0000\d\.png is, or overwrite"):
        render(tmp_path / "in" / "f%04d.png", tmp_path / "out" / "%05d.png", multi=2, model=shifting_model)


@pytest.mark.parametrize("name", ["x.m3u8", "x.mpd", "x.png"])
def test_outputs_of_more_files_than_their_name(tmp_path, plain, name):
    with pytest.raises(ArgumentError, match=r"output: got '.*', allowed: a (file of its own|name with a place)"):
        render(plain, tmp_path / name)
    assert not list(tmp_path.iterdir())


# --- tags and tracks --------------------------------------------------------------------------------------------------

TAGS = {
    "title": "a=b;c#d\\e",
    "description": "First\n[Chorus]\nla\n",
    "artist": "one\u2028two\x0bthree",
    "comment": "[x]",
}


def tagged(folder, name):
    options = [x for tag, text in TAGS.items() for x in ("-metadata", f"{tag}={text}")]
    tracks = ("-metadata:s:a:0", "title=Director", "-disposition:a:0", "default+comment")
    made = ("-metadata", "creation_time=2020-01-02T03:04:05Z", "-c:a", "flac" if name.endswith("mkv") else "aac")
    before = ("-f", "lavfi", "-i", "sine=duration=0.4")
    return media.picture(
        folder / name, *options, *tracks, *made, "-map", "0:v", "-map", "1:a", seconds=0.4, before=before
    )


@pytest.mark.parametrize("given", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize("name", ["b.mkv", "b.mp4", "b.mov", "b.webm"])
def test_tags_of_any_text(tmp_path, given, name):
    path = tagged(tmp_path, given)
    file = probe(path)
    made = probe(encode(source(path), tmp_path / name, tracks=Tracks(file=file)))
    there = {key.lower(): value for key, value in made.tags.items()}
    before = {key.lower(): value for key, value in file.tags.items()}
    assert before["title"] == TAGS["title"]
    for tag in ("title", "description", "artist", "comment"):
        if tag != "description" or name != "b.mov":
            assert there[tag].strip() == before[tag].strip(), tag
    assert there["creation_time"].startswith("2020-01-02T03:04:05")
    sound = made.of_kind("audio")[0]
    assert "Director" in (sound.tags.get("title"), sound.tags.get("name"))
    assert sound.disposition & 1


def test_tags_that_are_no_text(tmp_path):
    path = tmp_path / "a.mkv"
    media.picture(path, "-metadata", "artist=XXXX", seconds=0.3)
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"caf\xe9"))
    made = probe(encode(source(path), tmp_path / "b.mkv", tracks=Tracks(file=probe(path))))
    assert "caf" in dict(made.tags)["ARTIST"]


def test_metadata_is_escaped():
    assert escaped("a=b;c#d\\e\nf") == "a\\=b\\;c\\#d\\\\e\\\nf"
    tags = {
        "ENCODER": "x",
        "DURATION": "x",
        "BPS-eng": "x",
        "handler_name": "VideoHandler",
        "language": "und",
        "title": "T",
    }
    assert kept_tags(tags) == {"title": "T"}


def test_the_tracks_that_are_chosen(tmp_path, shifting_model):
    film, options = media.film(tmp_path), {"span": "0:3", "model": shifting_model}

    def kinds(**chosen):
        made = probe(render(film, tmp_path / "x.mkv", overwrite=True, **options, **chosen))
        return [(s.kind, s.tags.get("language")) for s in made.streams if s.kind != "video"], len(made.chapter_list)

    assert kinds(tracks="none") == ([], 0)
    assert kinds(tracks="audio,chapters", audio_track="fra") == ([("audio", "fra")], 1)
    assert kinds(subtitles=False, audio_track=1, tracks=["audio", "subtitles"]) == ([("audio", "deu")], 0)
    for name, value in (("tracks", "sound"), ("audio_track", "0"), ("audio_track", "7"), ("audio_track", "jpn")):
        with pytest.raises(ArgumentError, match=name):
            render(film, tmp_path / "y.mkv", **options, **{name: value})


def test_a_track_that_cannot_be_written_does_not_stop_the_film(tmp_path, caplog):
    path = tmp_path / "a.mov"
    before = ("-f", "lavfi", "-i", "sine=duration=0.4:sample_rate=8000")
    sounds = ("-map", "0:v", "-map", "1:a", "-map", "1:a", "-c:a:0", "adpcm_ima_qt", "-c:a:1", "pcm_s16be")
    media.picture(path, *sounds, seconds=0.4, before=before)
    data = path.read_bytes().replace(b"ima4", b"zzzz")
    (broken := tmp_path / "b.mov").write_bytes(data)
    with caplog.at_level(logging.INFO):
        made = probe(encode(source(broken), tmp_path / "x.mp4", tracks=Tracks(file=probe(broken))))
    assert len(made.of_kind("audio")) == 1
    assert "left out: audio (stream 1, unknown" in caplog.text


def test_aac_into_webm(tmp_path, caplog):
    path = tagged(tmp_path, "a.mp4")
    with caplog.at_level(logging.WARNING):
        made = probe(encode(source(path), tmp_path / "x.webm", tracks=Tracks(file=probe(path))))
    assert [s.codec for s in made.of_kind("audio")] == ["opus"]
    assert ".webm does not take it as it is; encoded with libopus" in caplog.text


@pytest.mark.parametrize("name", ["x.mkv", "x.mp4"])
def test_cover_pictures(tmp_path, name):
    media.run("-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", 1, cover := tmp_path / "cover.jpg")
    film = media.picture(tmp_path / "film.mp4", seconds=0.3)
    maps = ("-map", 0, "-map", 1, "-c", "copy", "-disposition:v:1", "attached_pic")
    media.run("-i", film, "-i", cover, *maps, path := tmp_path / "covered.mp4")
    made = probe(encode(source(path), tmp_path / name, tracks=Tracks(file=probe(path))))
    assert [s.cover for s in made.of_kind("video")] == [False, True]


def test_what_was_made_is_told(tmp_path, shifting_model, caplog, capfd):
    film = media.film(tmp_path)
    with caplog.at_level(logging.INFO):
        render(film, tmp_path / "x.mp4", multi=2, span="0:4", model=shifting_model)
    text = caplog.text
    for part in (
        "x.mp4: 8 frames of 96x64, 20 frames a second, 0.400 s, ",
        "made in ",
        "(stream 1, pcm_s16le, deu) ",
    ):
        assert part in text
    assert "left out: 1 attachment: .mp4 holds none, .mkv does" in text
    assert capfd.readouterr().out == ""


# --- said, not silent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ({"spherical": True}, "a 360 degree video"),
        ({"stereo": True}, "a stereo 3D video"),
        ({"dolby_vision": 8}, "Dolby Vision metadata (profile 8) is not passed on"),
        ({"hdr10_plus": True}, "HDR10+ metadata is not passed on"),
    ],
)
def test_what_is_not_passed_on_is_said(plain, looks, said, caplog):
    file = probe(plain)
    with caplog.at_level(logging.WARNING):
        refused(replace(file, looks=replace(file.looks, **looks)))
    assert said in caplog.text


def test_dolby_vision_that_nothing_else_shows_right(plain):
    file = probe(plain)
    with pytest.raises(SourceError, match="Dolby Vision profile 5"):
        refused(replace(file, looks=replace(file.looks, dolby_vision=5)))


def test_what_does_not_follow_a_curve_is_said(tmp_path, shifting_model, caplog):
    film = media.film(tmp_path)
    with caplog.at_level(logging.WARNING):
        render(film, tmp_path / "x.mkv", curve=[(0, 0), (0.2, 0.2)], model=shifting_model)
    assert "audio, subtitle, chapter tracks do not follow a curve" in caplog.text


def interlaced(folder):
    flags = ("-x264-params", "tff=1", "-flags", "+ildct+ilme")
    return media.picture(folder / "i.mkv", *flags, rate=25, seconds=0.4)


def test_interlaced_flags(tmp_path, shifting_model):
    path, before = interlaced(tmp_path), sorted(tmp_path.iterdir())
    with pytest.raises(FormatError, match=r"flagged interlaced; progressive=True \(--progressive\).*deinterlace=True"):
        render(path, tmp_path / "x.mkv", model=shifting_model)
    assert sorted(tmp_path.iterdir()) == before
    made = source(render(path, tmp_path / "x.mkv", progressive=True, model=shifting_model))
    assert (made.num_frames, made.fps) == (20, 50)
    assert "clip = clip.std.SetFieldBased(0)\n" in graph(path, progressive=True, model=shifting_model).script
    if not hasattr(vs.core, "bwdif"):
        with pytest.raises(ArgumentError, match="pip install vapoursynth-bwdif"):
            graph(path, deinterlace=True, model=shifting_model)
    else:
        assert graph(path, deinterlace=True, model=shifting_model).clip.num_frames == 20


@pytest.mark.parametrize(
    ("name", "crf", "said"),
    [
        ("libx264", None, ["-crf", "18"]),
        ("libvpx-vp9", 30, ["-crf", "30", "-b:v", "0"]),
        ("h264_nvenc", 20, ["-rc", "vbr", "-cq", "20", "-b:v", "0"]),
        ("av1_qsv", 25, ["-global_quality", "25"]),
        ("hevc_amf", 22, ["-rc", "cqp", "-qp_i", "22", "-qp_p", "22"]),
        ("h264_videotoolbox", 60, ["-q:v", "60"]),
        ("hevc_vaapi", 24, ["-qp", "24"]),
        ("vp9_vaapi", 60, ["-global_quality", "60"]),
        ("av1_nvenc", 60, ["-rc", "vbr", "-cq", "60", "-b:v", "0"]),
        ("av1_amf", 200, ["-rc", "cqp", "-qp_i", "200", "-qp_p", "200"]),
        ("h264_vulkan", 30, ["-qp", "30"]),
        ("libvpx", 20, ["-crf", "20", "-b:v", "0"]),
        ("mpeg2video", 3, ["-q:v", "3"]),
    ],
)
def test_each_encoder_knows_its_own_option(name, crf, said):
    assert quality(name, crf, None) == said


def test_frames_go_to_a_device_that_is_opened():
    assert device_arguments("libx264", []) == []
    opened = device_arguments("h264_vaapi", [])
    assert opened == ["-init_hw_device", "vaapi=frames", "-filter_hw_device", "frames"]
    assert device_arguments("h264_vaapi", ["-vaapi_device", "/dev/dri/renderD129"]) == []
    assert device_arguments("av1_vulkan", ["-init_hw_device", "vulkan=x"]) == []


def test_what_an_encoder_does_not_know():
    with pytest.raises(ArgumentError, match="crf: got 20, allowed: nothing with ffv1"):
        quality("ffv1", 20, None)
    with pytest.raises(ArgumentError, match="crf: got 52, allowed: 0 to 51 with h264_nvenc"):
        quality("h264_nvenc", 52, None)
    assert Stream(0, "video", "mjpeg", disposition=1 << 10).cover


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["い" * 83 + ".mp4", "caf\udce9.mp4", "a\nb.mp4", "x.partial.mp4", "100%.mp4"])
def test_names_of_inputs_and_outputs(tmp_path, plain, shifting_model, name):
    (given := tmp_path / name).write_bytes(plain.read_bytes())
    output = tmp_path / "out" / name
    output.parent.mkdir()
    other = output.with_name("x.mp4")
    path = render(given, output if name != "x.partial.mp4" else other, span="0:2", multi=2, model=shifting_model)
    assert source(path).num_frames == 4
    assert given.read_bytes() == plain.read_bytes()
    assert len(list(output.parent.iterdir())) == 1


def test_a_folder_is_no_film(tmp_path):
    with pytest.raises(SourceError, match=r'for pictures in a folder: "folder/%05d\.png"'):
        source(tmp_path)
    with pytest.raises(SourceError, match="neither as a file nor as numbered pictures"):
        source(Path(tmp_path / "%03d.png"))
    for name in ("x" * 300 + ".mp4", "nul\0.mp4"):
        with pytest.raises(SourceError, match="does not exist"):
            source(name)
        with pytest.raises(ArgumentError, match="a name that the file system takes"):
            encode(vs.core.std.BlankClip(length=1), tmp_path / name)
