"""From file to file: what is encoded is decoded again."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
import pytest
import vapoursynth as vs
from conftest import shared_path

from vs_slomo.errors import ArgumentError, RenderError, SourceError
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.video.clock import numbered, picture_name
from vs_slomo.video.contents import Chapter
from vs_slomo.video.metadata import moved
from vs_slomo.video.probe import Stream, ffmpeg, probe
from vs_slomo.video.render import Tracks, encodable, encode, graph, parse_span, render, subtitle_codec
from vs_slomo.video.source import source

core = vs.core
FAST = {"preset": "ultrafast", "crf": 4}


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return media.film(tmp_path_factory.mktemp("film"))


@pytest.fixture
def cheap(shifting_model):
    """Options of a render that costs nothing."""
    return {"model": shifting_model, **FAST}


def clip_of(format_id=vs.YUV420P8, length=4, width=96, height=64, fps=Fraction(24), **props):
    """Slopes in every plane, which the encoder hardly changes."""

    def fill(n, f):
        out = f.copy()
        for p in range(3):
            h, w = np.asarray(out[p]).shape
            y, x = np.mgrid[0:h, 0:w]
            np.copyto(np.asarray(out[p]), (0.2 + 0.5 * ((x / w, y / h, (x + y) / (w + h))[p])).astype(np.float32))
        return out

    size = {"width": width, "height": height, "length": length}
    blank = core.std.BlankClip(format=vs.RGBS, **size, fpsnum=fps.numerator, fpsden=fps.denominator, keep=True)
    clip = blank.std.ModifyFrame(blank, fill)
    colour = {}
    if core.get_video_format(format_id).color_family != vs.RGB:
        colour = {"matrix": props.pop("_Matrix", 1), "range": props.pop("_Range", 0)}
    clip = clip.resize.Bicubic(format=format_id, **colour)
    return clip.std.SetFrameProps(**props) if props else clip


def in_rgb(clip):
    """Frame 1 as floats."""
    frame = clip.resize.Bicubic(format=vs.RGBS).get_frame(1)
    return np.stack([np.asarray(frame[p]) for p in range(3)])


def luma(clip):
    """Every frame's first plane."""
    return np.array([np.asarray(f[0]) for f in clip.frames()], float)


# --- encode -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [Fraction(60000, 1001), Fraction(120000, 1001), Fraction(119), Fraction(240000, 1001)])
def test_rates_that_ffmpeg_would_guess(tmp_path, fps):
    made = encode(clip_of(vs.YUV420P8, fps=fps), tmp_path / "a.mp4", codec="x264", crf=30)
    with av.open(str(made)) as film:
        times = [packet.pts * packet.time_base for packet in film.demux(video=0) if packet.size]
    assert sorted(times) == [n / fps for n in range(4)]


@pytest.mark.parametrize(
    ("name", "codec", "format_id", "becomes"),
    [
        ("a.mp4", "x264", vs.YUV420P8, "YUV420P8"),
        ("a.mkv", "x264", vs.YUV420P10, "YUV420P10"),
        ("b.mkv", "x264", vs.YUV444P16, "YUV444P10"),
        ("c.mp4", "x264", vs.RGB24, "YUV420P8"),
        ("d.mp4", "x264", vs.RGB48, "YUV420P10"),
        ("e.mp4", "x264", vs.RGBS, "YUV420P10"),
        ("f.mkv", "x264", vs.YUV422PS, "YUV422P10"),
        ("g.mkv", "ffv1", vs.YUV422P16, "YUV422P16"),
        ("h.mov", "prores", vs.YUV420P8, "YUV422P10"),
        ("i.webm", None, vs.YUV420P10, "YUV420P10"),
        ("k.mp4", None, vs.YUV444P8, "YUV444P8"),
        ("j.mp4", "x265", vs.YUV420P12, "YUV420P12"),
    ],
)
def test_formats_and_pixels(tmp_path, name, codec, format_id, becomes):
    options = {"crf": 4} if codec not in {"ffv1", "prores"} else {}
    given = clip_of(format_id, fps=Fraction(24000, 1001))
    made = source(encode(given, tmp_path / name, codec=codec, **options))
    assert (made.format.name, made.num_frames, made.fps) == (becomes, 4, given.fps)
    # Chroma at half the resolution, and bent slopes at the borders: in the middle it must be nearly the same.
    assert np.abs(in_rgb(made) - in_rgb(given))[:, 8:-8, 8:-8].mean() < 0.004


def test_gray(tmp_path):
    given = clip_of().std.ShufflePlanes(0, vs.GRAY)
    made = source(encode(given, tmp_path / "gray.mkv", crf=4))
    assert np.abs(luma(made)[2] - luma(given)[2]).mean() < 1


def test_a_wrong_matrix_would_be_seen(tmp_path):
    """The comparison above can fail."""
    given = clip_of(vs.RGB24)
    made = source(encode(given, tmp_path / "x.mkv", crf=4)).std.SetFrameProps(_Matrix=9)
    assert np.abs(in_rgb(made) - in_rgb(given))[:, 8:-8, 8:-8].mean() > 0.006


@pytest.mark.parametrize(
    ("width", "height", "props", "matrix"),
    [(96, 64, {}, 6), (1280, 720, {}, 1), (96, 64, {"_Primaries": 9}, 9)],
)
def test_matrix_for_rgb(width, height, props, matrix):
    clip = core.std.BlankClip(format=vs.RGB24, width=width, height=height, length=1).std.SetFrameProps(x=1, **props)
    assert encodable(clip, "x264")[1]["matrix"] == matrix


TAGS = {"_Matrix": 1, "_Transfer": 1, "_Primaries": 1, "_Range": 0, "_ChromaLocation": 0, "_SARNum": 64, "_SARDen": 45}
TAGS_601 = {
    "_Matrix": 6,
    "_Transfer": 6,
    "_Primaries": 6,
    "_Range": 1,
    "_ChromaLocation": 1,
    "_SARNum": 1,
    "_SARDen": 1,
}
TAGS_PQ = {"_Matrix": 9, "_Transfer": 16, "_Primaries": 9, "_Range": 0, "_ChromaLocation": 2}


@pytest.mark.parametrize(
    ("name", "codec", "format_id", "tags"),
    [
        ("a.mp4", "x264", vs.YUV420P8, TAGS),
        ("b.mkv", "x264", vs.YUV420P8, TAGS_601),
        ("c.mp4", "x265", vs.YUV420P10, TAGS_PQ),
    ],
)
def test_colours_and_aspect_ratio_are_told(tmp_path, name, codec, format_id, tags):
    made = source(encode(clip_of(format_id, **tags), tmp_path / name, codec=codec, crf=4))
    props = made.get_frame(0).props
    assert {key: props.get(key) for key in tags} == tags


def test_full_range_keeps_its_pixels(tmp_path):
    given = clip_of(_Range=1)
    made = source(encode(given, tmp_path / "full.mp4", crf=4))
    assert np.abs(luma(made)[1] - luma(given)[1]).mean() < 0.5


HDR10 = {
    "MasteringDisplayPrimariesX": [0.708, 0.170, 0.131],
    "MasteringDisplayPrimariesY": [0.292, 0.797, 0.046],
    "MasteringDisplayWhitePointX": 0.3127,
    "MasteringDisplayWhitePointY": 0.329,
    "MasteringDisplayMaxLuminance": 1000.0,
    "MasteringDisplayMinLuminance": 0.005,
    "ContentLightLevelMax": 1000,
    "ContentLightLevelAverage": 200,
}


@pytest.mark.parametrize(("codec", "name"), [("x264", "a.mkv"), ("x265", "b.mp4"), ("av1", "c.mp4")])
def test_hdr10_metadata(tmp_path, codec, name):
    given = clip_of(vs.YUV420P10, **TAGS_PQ, **HDR10)
    preset = "10" if codec == "av1" else "ultrafast"
    props = source(encode(given, tmp_path / name, codec=codec, preset=preset)).get_frame(0).props
    assert props["_Transfer"] == 16
    for key, value in HDR10.items():
        assert props[key] == pytest.approx(value, abs=2e-5), key


def test_hdr10_metadata_that_is_lost_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        encode(clip_of(vs.YUV420P10, **HDR10), tmp_path / "x.mkv", codec="ffv1")
    assert "ffv1: HDR10 metadata is not passed on" in caplog.text


def test_hdr10_metadata_without_a_part_is_logged(tmp_path, caplog):
    given = {key: value for key, value in HDR10.items() if "Luminance" not in key}
    made = source(encode(clip_of(vs.YUV420P10, **given), tmp_path / "x.mkv", preset="ultrafast")).get_frame(0).props
    assert "the HDR10 mastering display lacks a part" in caplog.text
    assert made["ContentLightLevelMax"] == 1000


def test_options_go_to_ffmpeg(tmp_path):
    path = encode(clip_of(length=8), tmp_path / "x.mp4", options=["-g", "1", "-metadata", "title=Mine"])
    assert "title           : Mine" in media.about(path)


def test_an_ffmpeg_that_ends_early_on_purpose_is_no_error(tmp_path):
    path = encode(clip_of(length=400, width=320, height=240), tmp_path / "x.mp4", options=["-frames:v", "3"], **FAST)
    assert source(path).num_frames == 3


def test_progress_counts_every_frame(tmp_path):
    seen = []
    encode(clip_of(), tmp_path / "x.mp4", progress=lambda done, total: seen.append((done, total)), **FAST)
    assert seen[-4:] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_hevc_in_mp4_is_tagged_for_apple(tmp_path):
    assert "hvc1" in media.about(encode(clip_of(), tmp_path / "x.mp4", codec="x265", preset="ultrafast"))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_unknown_codec(tmp_path):
    with pytest.raises(ArgumentError, match=r"codec: got 'x268', allowed: x264, .* another encoder of .*ffmpeg"):
        encode(clip_of(), tmp_path / "x.mp4", codec="x268")
    with pytest.raises(ArgumentError, match=r"preset: got 'hasty', allowed: one of ultrafast, .* with libx264"):
        encode(clip_of(), tmp_path / "x.mp4", preset="hasty")
    with pytest.raises(ArgumentError, match="codec: got 'aac', allowed: an encoder that takes planar YUV"):
        encodable(clip_of(), "aac")


def test_bad_outputs(tmp_path, film):
    with pytest.raises(
        ArgumentError, match=r"output: got '.*', allowed: a file in a folder that exists, .*no does not"
    ):
        render(film, tmp_path / "no" / "x.mp4")
    with pytest.raises(ArgumentError, match="allowed: a file with an ending"):
        render(film, tmp_path / "x")
    with pytest.raises(ArgumentError, match="allowed: a file with an ending"):
        render(film, tmp_path)
    with pytest.raises(ArgumentError, match=r"allowed: a file that is not there yet, or overwrite=True"):
        render(film, film)
    with pytest.raises(ArgumentError, match="allowed: another file than the input"):
        render(film, film, overwrite=True)
    (tmp_path / "link.mkv").symlink_to(film)
    with pytest.raises(ArgumentError, match="allowed: another file than the input"):
        render(film, tmp_path / "link.mkv", overwrite=True)


def test_what_the_input_names_is_not_overwritten(tmp_path, film):
    (tmp_path / "film.ts").write_bytes(b"")
    (listed := tmp_path / "x.ffconcat").write_text("ffconcat version 1.0\nfile 'film.ts'\n")
    for n in (1, 2, 3):
        (tmp_path / f"f{n:03d}.png").write_bytes(b"")
    (tmp_path / "f1.png").symlink_to("f001.png")
    for given, output in (("x.ffconcat", "film.ts"), ("f%03d.png", "f%3d.png"), ("f%d.png", "f%03d.png")):
        with pytest.raises(ArgumentError, match="allowed: another file than the input, or what the input names"):
            render(tmp_path / given, tmp_path / output, overwrite=True)
    with pytest.raises(ArgumentError, match="allowed: another file than the input"):
        render(listed, film, tracks_from=film, overwrite=True)


def test_numbers_in_names_are_filled_with_zeros(tmp_path):
    """As ffmpeg does it, with and without a zero before the width."""
    assert [picture_name(f"f{given}.png", 7) for given in ("%d", "%3d", "%03d")] == ["f7.png", "f007.png", "f007.png"]
    (tmp_path / "f007.png").touch()
    assert numbered(tmp_path / "f%3d.png") == numbered(tmp_path / "f%03d.png") == [7]


def test_a_chapter_without_a_length_is_kept():
    given = [Chapter(Fraction(n), Fraction(n), (f"title={n}",)) for n in (0, 1, 2, 3)]
    kept = moved(given, Fraction(1), Fraction(3), Fraction(2))
    assert [(c.start, c.end, c.tags) for c in kept] == [(0, 0, ("title=1",)), (2, 2, ("title=2",))]


def test_a_clip_is_encoded_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert encode(clip_of(), tmp_path / "x.mkv", **FAST).stat().st_size
    with pytest.raises(SourceError, match="PyAV is not installed"):  # it alone sees which rate MXF holds
        encode(clip_of(), tmp_path / "x.mxf", codec="mpeg2video")


@pytest.mark.parametrize("ending", [".xyz", ".nonsense"])
def test_an_ending_that_no_container_has(tmp_path, ending):
    output, known = tmp_path / f"x{ending}", r"\.mp4, \.mkv, .* or another that ffmpeg knows"
    for refused in (lambda: encode(clip_of(), output), lambda: render("no.mp4", output)):
        with pytest.raises(ArgumentError, match=f"output: got '.*{ending}', allowed: .* container: {known}"):
            refused()
    encode(clip_of(), output, options=["-f", "matroska"], **FAST)
    assert [x.name for x in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi": 0.5}, r"multi: got 0\.5"),
        ({"multi": 4, "fps_num": 60}, "multi: got 4, allowed: not together with a target rate"),
        ({"span": "3:4s"}, 'span: got .* allowed: "A:B", both'),
        ({"span": 5}, 'span: got 5, allowed: "A:B", both'),
        ({"source": "dgdec"}, "source: got 'dgdec'"),
        ({"sc": "no"}, "sc: got 'no'"),
        ({"device": "tpu"}, "device: got 'tpu'"),
        ({"curve": [(0, 0)], "shutter": 2}, "shutter: got 2"),
        ({"curve": "no.txt"}, r"curve: got 'no\.txt'"),
        ({"curve": [(0, 0)], "multi": 2}, "multi: got 2, allowed: not together with a curve"),
    ],
)
def test_bad_arguments_are_refused_before_the_file_is_opened(tmp_path, options, message):
    with pytest.raises(ArgumentError, match=message):
        render(tmp_path / "no.mp4", tmp_path / "x.mp4", **options)


@pytest.mark.parametrize("options", [{"fps_num": 1, "fps_den": 4}, {"fps_num": 1000}, {"multi": "2.0000000000000001"}])
def test_what_another_clip_may_take_is_not_refused_before(tmp_path, options):
    with pytest.raises(SourceError, match="does not exist"):
        graph(tmp_path / "no.mp4", **options)


def test_a_clip_without_a_rate(tmp_path):
    clip = core.std.BlankClip(length=1, fpsnum=0, fpsden=1)
    with pytest.raises(ArgumentError, match="clip: got 'no frame rate', allowed: a clip with a rate"):
        encode(clip, tmp_path / "x.mp4")


def test_bad_audio(tmp_path, film):
    with pytest.raises(ArgumentError, match="audio: got 'keep', allowed: one of copy, stretch, drop"):
        render(film, tmp_path / "x.mp4", audio="keep")
    with pytest.raises(ArgumentError, match="audio: got 'copy', allowed: stretch or drop in slow motion"):
        render(film, tmp_path / "x.mp4", audio="copy", slow_motion=True)


def test_what_slomo_refuses_is_refused_before_a_frame(tmp_path, film):
    with pytest.raises(ArgumentError, match=r"multi: got 0\.5"):
        render(film, tmp_path / "x.mp4", multi=0.5)
    with pytest.raises(ArgumentError, match="multi: got 4, allowed: not together with a target rate"):
        render(film, tmp_path / "x.mp4", multi=4, fps_num=60)
    assert not list(tmp_path.iterdir())


def never(n, f):
    raise RuntimeError("a frame was asked for")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.webm", {"codec": "x264"}, "Only VP8 or VP9 or AV1 video"),
        ("x.mp4", {"options": ["-tune", "hasty"]}, "tune"),
        ("x.mp4", {"options": ["-no_such_option", "1"]}, "no_such_option"),
    ],
)
def test_the_rehearsal_finds_it_before_the_second_frame(tmp_path, name, options, message):
    clip = clip_of(length=50)
    late = clip[:1] + clip[1:].std.ModifyFrame(clip[1:], never)
    with pytest.raises(RenderError, match=f"ffmpeg failed: .*{message}"):
        encode(late, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_sound_that_the_container_does_not_take(tmp_path, film, caplog):
    """It is encoded, and that is said."""
    file = probe(film)
    with caplog.at_level(logging.WARNING):
        path = encode(clip_of(length=48), tmp_path / "x.webm", codec="vp9", tracks=Tracks(file=file, audio="copy"))
    assert [s.codec for s in probe(path).of_kind("audio")] == ["opus", "opus"]
    assert ".webm does not take it as it is; encoded with libopus" in caplog.text


def test_a_frame_that_fails(tmp_path):
    clip = clip_of(length=6)
    late = clip[:3] + clip[3:].std.ModifyFrame(clip[3:], never)
    with pytest.raises(RenderError, match=r"a frame could not be made: .*a frame was asked for"):
        encode(late, tmp_path / "x.mp4", **FAST)
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_nothing_and_keeps_what_was_there(tmp_path, monkeypatch):
    children = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            children.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    (there := tmp_path / "x.mp4").write_text("of before")

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(clip_of(length=50), there, progress=stop, overwrite=True, **FAST)
    assert [x.name for x in tmp_path.iterdir()] == ["x.mp4"]
    assert there.read_text() == "of before"
    assert children[-1].poll() is not None


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for ffmpeg")
def test_an_encoder_that_fails_on_the_way(tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "ffmpeg"
    fake.parent.mkdir()
    fake.write_text(
        f"""#!/bin/sh
case "$*" in
*rawvideo*)
    [ -e {fake.parent}/rehearsed ] || {{ touch {fake.parent}/rehearsed; exec {ffmpeg()} "$@"; }}
    for last; do :; done
    echo half > "$last"
    head -c 20000 > {fake.parent}/eaten
    echo "first" >&2; echo "the disk is full" >&2; echo "giving up" >&2
    exit 5;;
*) exec {ffmpeg()} "$@";;
esac
"""
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
    (folder := tmp_path / "out").mkdir()
    with pytest.raises(RenderError, match="ffmpeg failed: first; the disk is full; giving up"):
        encode(clip_of(length=200, width=320, height=240), folder / "x.mp4")
    assert (fake.parent / "eaten").stat().st_size == 20000
    assert not list(folder.iterdir())


# --- spans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (":", (0, 48)),
        ("3:7", (3, 7)),
        ("40:", (40, 48)),
        (":5", (0, 5)),
        ("0.5s:1s", (12, 24)),
        ("1s:", (24, 48)),
        ("0:.25s", (0, 6)),
        ("0.1875s:1.99s", (5, 48)),
        ("1.99s:", (47, 48)),
    ],
)
def test_spans(text, span):
    assert parse_span(text, Timecodes.constant(48, Fraction(24))) == span


FORM = '"A:B", both frame numbers, as in "100:250", or both seconds, as in "1.5s:4s"'
ENDS = '"A:B" with 0 <= A < B <= 48, or in seconds up to 2.0s'


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        *((text, FORM) for text in ("", "5", "-3:7", "a:b", "1:2:3", ".25s:30", "10:20s", "1.5:4")),
        *((text, ENDS) for text in ("7:3", "3:3", "0:49", "48:", "1s:3s", "5s:", "2s:")),
    ],
)
def test_bad_spans(text, allowed):
    with pytest.raises(ArgumentError) as error:
        parse_span(text, Timecodes.constant(48, Fraction(24)))
    assert str(error.value) == f"span: got {text!r}, allowed: {allowed}"


# --- render -----------------------------------------------------------------------------------------------------------


def test_twice_the_frames_with_everything_that_goes_with_them(tmp_path, film, cheap):
    path = render(film, tmp_path / "x.mkv", multi=2, **cheap)
    made, given = source(path), source(film)
    assert (made.num_frames, made.fps) == (40, 20)
    graphed = graph(film, multi=2, model=cheap["model"]).clip
    for n in (0, 1, 20, 39):
        truth = given.get_frame(n // 2) if n % 2 == 0 else graphed.get_frame(n)
        assert np.abs(luma(made)[n] - np.asarray(truth[0]).astype(float)).mean() < 1.5
    lines = " ".join(media.streams(path))
    for part in ("h264", "(deu): Audio: pcm_s16le", "(fra): Audio: flac", "Subtitle: subrip", "Attachment: ttf"):
        assert part in lines
    for track in (0, 1):
        assert media.clicks(path, track) == pytest.approx([0, *media.CLICKS], abs=0.012)
    assert media.subtitles(path) == [(0.5, 1.0, "hello"), (1.2, 1.5, "world")]
    tags, chapters = probe(path).chapters()
    assert "title=A film" in tags
    assert [(c.start, c.end, c.tags) for c in chapters] == [(0, 1, ("title=one",)), (1, 2, ("title=two",))]


def sounds_are_copied(path, other, track=0):
    """Whether two files hold the same packets of sound."""
    return [media.run("-i", p, "-map", f"0:a:{track}", "-c", "copy", "-f", "md5", "-") for p in (path, other)]


def test_copied_sound_is_copied(tmp_path, film, cheap):
    path = render(film, tmp_path / "x.mkv", multi=2, **cheap)
    for track in (0, 1):
        mine, its = sounds_are_copied(path, film, track)
        assert mine == its


def chapter_times(path):
    """Begin and end of each chapter, in seconds after the picture begins."""
    file = probe(path)
    return [float(time - file.start) for c in file.chapters()[1] for time in (c.start, c.end)]


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_slow_motion_takes_everything_along(tmp_path, film, cheap, ending):
    path = render(film, tmp_path / f"x.{ending}", multi=2, slow_motion=True, **cheap)
    made = source(path)
    assert (made.num_frames, made.fps) == (40, 10)
    for track in (0, 1):
        starts = media.clicks(path, track)
        assert starts == pytest.approx([0, *(2 * x for x in media.CLICKS)], abs=0.035)
    lines = [(1.0, 2.0, "hello"), (2.4, 3.0, "world")]
    assert media.subtitles(path) == lines
    assert chapter_times(path) == pytest.approx([0, 2, 2, 4], abs=0.03)
    assert float(re.search(r"Duration: 00:00:(\d+\.\d+)", media.about(path))[1]) == pytest.approx(4, abs=0.05)


def pitch(path):
    """The loudest frequency, Hz."""
    raw = media.run("-i", path, "-map", "0:a:0", "-ac", 1, "-ar", media.RATE, "-f", "f32le", "-")
    sound = np.frombuffer(raw, np.float32)
    return float(np.argmax(np.abs(np.fft.rfft(sound)))) * media.RATE / len(sound)


def test_stretched_sound_keeps_its_pitch(tmp_path, film, cheap):
    path = render(film, tmp_path / "x.mkv", multi="5/2", slow_motion=True, span="0:12", **cheap)
    assert pitch(film) == pytest.approx(880, abs=15)
    assert pitch(path) == pytest.approx(880, abs=15)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for ffmpeg")
def test_stretching_without_rubberband(tmp_path, film, cheap, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        f"""#!/bin/sh
case "$*" in
*filter=rubberband*) echo "Unknown filter 'rubberband'.";;
*) exec {ffmpeg()} "$@";;
esac
"""
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = render(film, tmp_path / "x.mkv", multi=3, slow_motion=True, **cheap)
    assert media.clicks(path) == pytest.approx([0, *(3 * x for x in media.CLICKS)], abs=0.12)
    assert pitch(path) == pytest.approx(880, abs=10)


@pytest.mark.parametrize(("audio", "count"), [("copy", 2), ("stretch", 2), ("drop", 0)])
def test_a_part_takes_its_part_along(tmp_path, film, cheap, audio, count):
    path = render(film, tmp_path / "x.mkv", multi=2, span="4:14", audio=audio, **cheap)
    made, given = source(path), source(film)
    assert (made.num_frames, made.fps) == (20, 20)
    assert np.abs(luma(made)[0] - luma(given)[4]).mean() < 1.5
    assert len(probe(path).of_kind("audio")) == count
    for track in range(count):
        assert media.clicks(path, track) == pytest.approx([0.1, 0.6], abs=0.012)
    assert media.subtitles(path) == [(0.1, 0.6, "hello"), (0.8, 1.0, "world")]  # it ends with the part
    assert chapter_times(path) == pytest.approx([0, 0.6, 0.6, 1], abs=0.03)


def test_a_subtitle_that_has_begun_starts_with_the_part(tmp_path, film, cheap):
    path = render(film, tmp_path / "x.mkv", multi=2, span="7:", slow_motion=True, **cheap)
    assert media.subtitles(path) == [(0, 0.6, "hello"), (1, 1.6, "world")]


def test_a_picture_that_begins_late_keeps_the_sound_before_it(tmp_path, film, cheap):
    late = tmp_path / "late.mkv"
    media.run("-i", film, "-itsoffset", 0.3, "-i", film, "-map", "1:v", "-map", "0:a:1", "-c", "copy", late)
    assert probe(late).start == Fraction(3, 10)
    path = render(late, tmp_path / "x.mkv", multi=2, **cheap)
    assert probe(path).start == Fraction(3, 10)
    assert media.clicks(path) == pytest.approx([-0.3, 0.2, 0.7, 1.2], abs=0.012)


def test_a_target_rate(tmp_path, film, cheap):
    made = source(render(film, tmp_path / "x.mp4", fps_num=24000, fps_den=1001, span="0:10", audio="drop", **cheap))
    assert (made.num_frames, made.fps) == (23, Fraction(24000, 1001))


@pytest.mark.parametrize(
    ("ending", "codec", "becomes"),
    [
        (".mkv", "ass", "copy"),
        (".mkv", "hdmv_pgs_subtitle", "copy"),
        (".mkv", "mov_text", "srt"),
        (".mp4", "ass", "mov_text"),
        (".mov", "mov_text", "copy"),
        (".webm", "subrip", "webvtt"),
        (".mp4", "hdmv_pgs_subtitle", None),
        (".avi", "subrip", None),
    ],
)
def test_subtitles_for_each_container(ending, codec, becomes, caplog):
    with caplog.at_level(logging.WARNING):
        assert subtitle_codec(Stream(3, "subtitle", codec), ending) == becomes
    assert (becomes is None) == (f"{ending} does not take them, .mkv does" in caplog.text)


@pytest.mark.parametrize(
    ("name", "size", "fps", "sounds", "chapters"),
    [
        ("rotated_90_aac.mp4", (720, 1080), Fraction(60000, 1001), 1, 0),
        ("chapters_aac.mp4", (1080, 720), Fraction(60000, 1001), 1, 1),
        ("bear_240p.webm", (320, 240), Fraction(60000, 1001), 0, 0),
    ],
)
def test_real_files(tmp_path, name, size, fps, sounds, chapters, cheap):
    path = shared_path("data", "test", name)
    made = source(render(path, tmp_path / "x.mp4", multi=2, span="0:3", scale=0.125, **cheap))
    assert (made.num_frames, made.fps, (made.width, made.height)) == (6, fps, size)
    assert np.abs(luma(made)[2] - luma(source(path)[:3])[1]).mean() < 1.5
    file = probe(tmp_path / "x.mp4")
    assert len(file.of_kind("audio")) == sounds
    assert len(file.chapters()[1]) == chapters  # those of the first 0.1 s


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
@pytest.mark.parametrize("name", ["10:30 o'clock.mkv", "-y.mkv", "%03d.mkv", 'film ü "x" \\\\.mkv'])
def test_awkward_names(tmp_path, monkeypatch, film, cheap, name):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    given = Path("in", name)
    given.write_bytes(film.read_bytes())
    monkeypatch.chdir("in")
    path = render(name, f"out{name}", multi=2, span="0:2", **cheap)
    assert path.name == f"out{name}"
    assert source(path).num_frames == 4
    monkeypatch.chdir(tmp_path)
    assert source(given).num_frames == 20
    assert len(list((tmp_path / "in").iterdir())) == 2


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_the_script_says_what_was_asked(film, shifting_model):
    made = graph(film, multi="5/2", slow_motion=True, span="0.5s:1s", source="bs", model=str(shifting_model))
    assert made.script == "\n".join(
        [
            "import vapoursynth as vs",
            "",
            "from vs_slomo import slomo, source",
            "",
            f"clip = source({str(film)!r}, source='bs')",
            "clip = clip[5:10]",
            f"clip = slomo(clip, multi='5/2', slow_motion=True, model={str(shifting_model)!r})",
            "clip.set_output()",
            "",
        ]
    )
    assert (made.start, made.duration, made.stretch) == (Fraction(1, 2), Fraction(1, 2), Fraction(5, 2))


def test_the_script_runs_anywhere(film, shifting_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, file in (("film.mkv", film), ("m.safetensors", shifting_model), ("bundled", shifting_model)):
        Path(name).symlink_to(file)
    Path("curve.txt").write_text("0 0\n0.5 1\n")
    made = graph("film.mkv", curve="curve.txt", model="m.safetensors").script
    assert all(repr(str(tmp_path / name)) in made for name in ("film.mkv", "curve.txt", "m.safetensors"))
    assert "model='bundled'" in graph("film.mkv", model="bundled").script  # a name goes before a file


def test_the_script_converts_what_the_encoder_does_not_take(tmp_path, shifting_model):
    source_ = "testsrc2=size=66x50:rate=10:duration=0.3"
    media.run("-f", "lavfi", "-i", source_, "-pix_fmt", "gbrp10le", "-c:v", "ffv1", path := tmp_path / "rgb.mkv")
    made = graph(path, model=str(shifting_model))
    assert "clip = clip.resize.Bicubic(format=vs.YUV420P10, matrix=6)\n" in made.script
    assert made.clip.format.id == vs.YUV420P10


def test_vspipe_makes_of_the_script_what_render_encodes(vspipe, film, shifting_model, tmp_path):
    made = graph(film, multi=3, span="2:5", model=str(shifting_model), precision="fp32")
    (script := tmp_path / "script.vpy").write_text(made.script, encoding="utf-8")
    piped = subprocess.run([vspipe, script, "-"], capture_output=True, check=False)
    assert piped.returncode == 0, piped.stderr.decode()
    mine = b"".join(bytes(chunk) for frame in made.clip.frames() for chunk in frame.readchunks())
    assert piped.stdout == mine
    assert made.clip.num_frames == 9


# --- variable rates and curves ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Two seconds at 20 fps, of which every fourth frame is missing, with clicks."""
    path = tmp_path_factory.mktemp("uneven") / "uneven.mkv"
    clicks = f"aevalsrc='lt(mod(t,0.5),0.02)*sin(2*PI*880*t)':duration=2:sample_rate={media.RATE}"
    return media.picture(
        path,
        *("-map", "0:v", "-map", "1:a", "-vf", "select='not(eq(mod(n,4),1))'", "-fps_mode", "vfr", "-c:a", "flac"),
        rate=20,
        seconds=2,
        before=("-f", "lavfi", "-i", clicks),
    )


KEPT = [n for n in range(40) if n % 4 != 1]


def test_a_variable_rate_becomes_constant_with_every_frame_at_its_moment(tmp_path, uneven, cheap):
    assert probe(uneven).variable
    path = render(uneven, tmp_path / "x.mkv", fps_num=20, **cheap)
    made, given = source(path), source(uneven)
    assert (made.num_frames, made.fps) == (40, 20)
    graphed = graph(uneven, fps_num=20, model=cheap["model"]).clip
    for k, n in enumerate(KEPT):
        assert np.asarray(graphed.get_frame(n)[0]).tobytes() == np.asarray(given.get_frame(k)[0]).tobytes()
    assert np.abs(luma(made)[KEPT] - luma(given)).mean() < 1.5
    assert media.clicks(path) == pytest.approx([0, *media.CLICKS], abs=0.012)


@pytest.mark.parametrize("slow_motion", [False, True])
def test_a_factor_for_a_variable_rate(tmp_path, uneven, cheap, slow_motion):
    path = render(uneven, tmp_path / "x.mkv", multi=2, slow_motion=slow_motion, **cheap)
    rate, stretch = probe(uneven).prevailing, 2 if slow_motion else 1
    assert rate == 20
    made = source(path)
    assert made.num_frames == int(2 * 2 * rate)
    assert float(made.num_frames / made.fps) == pytest.approx(2 * stretch, abs=0.07)
    assert media.clicks(path) == pytest.approx([0, *(stretch * x for x in media.CLICKS)], abs=0.03)


def test_a_part_of_a_variable_file_in_seconds(tmp_path, uneven, cheap):
    path = render(uneven, tmp_path / "x.mkv", fps_num=20, span="0.4s:1.2s", **cheap)
    made, given = source(path), source(uneven)
    assert made.num_frames == 16
    assert np.abs(luma(made)[0] - luma(given)[KEPT.index(8)]).mean() < 1.5
    assert media.clicks(path) == pytest.approx([0.1, 0.6], abs=0.012)


def test_the_script_of_a_variable_file(uneven, cheap):
    made = graph(uneven, multi=2, span="3:30", slow_motion=True, model=cheap["model"])
    rate = probe(uneven).prevailing
    assert f"codes = source_timecodes('{uneven}')\nclip = clip[3:30]\ncodes = codes[3:30]\n" in made.script
    assert f"slomo(clip, model={str(cheap['model'])!r}, timecodes=codes, fps_num={2 * rate.numerator}," in made.script
    assert f"clip.std.AssumeFPS(fpsnum={rate.numerator}, fpsden={rate.denominator})" in made.script


def test_a_curve_from_a_file(tmp_path, film, cheap):
    curve = tmp_path / "ramp.txt"
    curve.write_text("0 0\n5 10\n10 5\n")
    path = render(film, tmp_path / "x.mkv", curve=str(curve), unit="frames", **cheap)
    made, given = source(path), source(film)
    assert (made.num_frames, made.fps) == (10, 10)
    assert np.abs(luma(made) - luma(given)[[0, 2, 4, 6, 8, 10, 9, 8, 7, 6]]).mean((1, 2)).max() < 1.5
    assert not probe(path).of_kind("audio")
    script = graph(film, curve=str(curve), unit="frames", model=cheap["model"]).script
    assert "from vs_slomo import retime, source\n" in script
    assert f"clip = retime(clip, curve={str(curve)!r}, unit='frames', " in script


def test_what_does_not_go_with_a_curve(tmp_path, film):
    for audio in ("copy", "stretch"):
        with pytest.raises(ArgumentError, match=f"audio: got '{audio}', allowed: drop with a curve"):
            render(film, tmp_path / "x.mkv", curve=[(0, 0), (1, 1)], audio=audio)
    with pytest.raises(ArgumentError, match="multi: got 3, allowed: not together with a curve"):
        render(film, tmp_path / "x.mkv", curve=[(0, 0), (1, 1)], multi=3)
