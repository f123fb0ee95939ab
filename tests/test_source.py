"""Opening files: one result, whichever source filter is there."""

from __future__ import annotations

import itertools
import logging
import re
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
import pytest
import vapoursynth as vs
from conftest import shared_path

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.video.probe import probe
from vs_slomo.video.source import CHROMA, FILTERS, Missing, cache_dir, oriented, source, source_timecodes


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Indexes of these tests go there."""
    path = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("VS_SLOMO_HOME", str(path))
    return path


def installed(name, path):
    """Whether a source filter is there."""
    try:
        FILTERS[name](probe(path))
    except Missing:
        return False
    return True


@pytest.fixture(params=FILTERS)
def name(request):
    """Each source filter that is installed."""
    if not installed(request.param, small(request)):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def small(request):
    """A tiny video, made once."""
    folder = request.getfixturevalue("tmp_path_factory").getbasetemp()
    path = folder / "small.mp4"
    return path if path.exists() else media.picture(path, seconds=0.3)


@pytest.fixture
def video(request):
    return small(request)


def planes(clip, n):
    """A frame's planes."""
    frame = clip.get_frame(n)
    return [np.asarray(frame[p]).copy() for p in range(frame.format.num_planes)]


REAL = {
    "ac3_ass_subtitles.mkv": (30, 1080, 720, 30),
    "bear_240p.webm": (82, 320, 240, Fraction(30000, 1001)),
    "bt601.mov": (30, 640, 428, Fraction(30000, 1001)),
    "chapters_aac.mp4": (30, 1080, 720, Fraction(30000, 1001)),
    "phone_518x488.mp4": (167, 518, 488, Fraction(2490000, 83329)),
    "phone_super_slow_160x120.mp4": (435, 160, 120, 30),
    "rotated_90_aac.mp4": (30, 720, 1080, Fraction(30000, 1001)),
    "sar_64_45_bpyramid.mp4": (120, 800, 640, 30),
    "rooftop_1080p_10bit.mp4": (28, 1920, 1080, Fraction(270000, 9841)),
    "building_pan_1080p_10bit.mp4": (77, 1080, 1920, Fraction(30000, 1001)),
    "street_mural_1080p60_dovi.mp4": (77, 1920, 1080, Fraction(90000, 1501)),
}
"""Count, size as displayed, and rate."""
LARGE = ("rooftop_1080p_10bit.mp4", "building_pan_1080p_10bit.mp4", "street_mural_1080p60_dovi.mp4")
COLOURS = ("_Matrix", "_Transfer", "_Primaries", "_Range", "_ChromaLocation", "_SARNum", "_SARDen", "_FieldBased")


@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.slow] if f in LARGE else []) for f in REAL])
def test_every_filter_gives_the_same(file, video):
    """Count, size, rate, colours, and the first and the last picture, bit for bit."""
    path = shared_path("data", "test", file)
    seen = {}
    for name in filter(lambda name: installed(name, video), FILTERS):
        clip = source(path, name)
        assert (clip.num_frames, clip.width, clip.height, clip.fps) == REAL[file], name
        props = clip.get_frame(0).props
        assert Fraction(int(props["_DurationNum"]), int(props["_DurationDen"])) == 1 / clip.fps
        colours = {key: props[key] for key in COLOURS if key in props}
        seen[name] = clip.format.name, colours, planes(clip, 0), planes(clip, clip.num_frames - 1)
    (kind, colours, first, last), *others = seen.values()
    for other in others:
        assert other[:2] == (kind, colours)
        for mine, its in zip((first, last), other[2:], strict=True):
            assert all(map(np.array_equal, mine, its))
    assert not list(path.parent.glob(f"{path.name}*.*index"))
    assert not list(path.parent.glob("*.lwi"))


def test_the_pictures_are_ffmpegs(name):
    """Turned and mirrored, without hidden frames."""
    path = shared_path("data", "test", "rotated_90_aac.mp4")
    clip, truth = source(path, name), media.luma(path, 720, 1080)
    assert len(truth) == clip.num_frames
    for n in (0, 11, 29):
        assert np.array_equal(planes(clip, n)[0], truth[n])


def test_frames_come_in_any_order(name, video):
    clip = source(video, name)
    truth = media.luma(video, 96, 64)
    for n in (2, 0, 1, 2):
        assert np.array_equal(planes(clip, n)[0], truth[n])


@pytest.mark.parametrize(("turn", "mirror"), [*itertools.product((0, 90, 180, 270), ((), ("-display_hflip",)))])
def test_every_orientation_is_as_ffmpeg_shows_it(turn, mirror, video, name, tmp_path):
    path = tmp_path / "turned.mp4"
    media.run("-display_rotation", turn, *mirror, "-i", video, "-c", "copy", path)
    clip = source(path, name)
    assert (clip.width, clip.height) == ((64, 96) if turn % 180 else (96, 64))
    assert np.array_equal(planes(clip, 1)[0], media.luma(path, clip.width, clip.height)[1])


def test_sample_aspect_ratio_turns_with_the_picture(name, tmp_path):
    flat = media.picture(tmp_path / "flat.mp4", "-vf", "setsar=4/3", seconds=0.3)
    media.run("-display_rotation", 90, "-i", flat, "-c", "copy", turned := tmp_path / "turned.mp4")
    for path, sar in ((flat, (4, 3)), (turned, (3, 4))):
        props = source(path, name).get_frame(0).props
        assert (props["_SARNum"], props["_SARDen"]) == sar


@pytest.mark.parametrize(
    ("orientation", "before", "after"),
    [
        ((1, 0, 0, -1), 0, 0),  # upside down: left stays left
        ((1, 0, 0, -1), 2, 4),  # and the top becomes the bottom
        ((0, 1, -1, 0), 0, 3),  # a quarter clockwise: left to top
        ((0, -1, 1, 0), 0, 5),  # back: left to bottom
        ((-1, 0, 0, 1), 0, 1),  # right has no number: the middle is next to it
        ((0, 1, 1, 0), 2, 2),
    ],
)
def test_chroma_location_turns_with_the_picture(orientation, before, after):
    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=16).std.SetFrameProps(_ChromaLocation=before)
    assert oriented(clip, orientation).get_frame(0).props["_ChromaLocation"] == after


def test_chroma_stays_where_it_is_in_the_picture():
    """Chroma upsampled before turning equals chroma upsampled after it, by the location that `oriented` gives."""

    def fill(n, f):
        out = f.copy()
        for p in range(3):
            h, w = np.asarray(out[p]).shape
            y, x = np.mgrid[0:h, 0:w]
            np.copyto(np.asarray(out[p]), (40 + 3 * x + 2 * y).astype(np.uint8))
        return out

    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=1)
    clip = blank.std.ModifyFrame(blank, fill).std.SetFrameProps(_ChromaLocation=0)
    for orientation in ((0, 1, -1, 0), (0, -1, 1, 0), (1, 0, 0, -1)):
        turned_last = oriented(clip.resize.Bilinear(format=vs.YUV444P8), orientation)
        turned_first = oriented(clip, orientation).resize.Bilinear(format=vs.YUV444P8)
        for p in (1, 2):
            mine, its = planes(turned_first, 0)[p], planes(turned_last, 0)[p]
            assert np.abs(mine[4:-4, 4:-4].astype(int) - its[4:-4, 4:-4]).max() <= 1
    assert set(CHROMA) == {int(x) for x in vs.ChromaLocation}


def test_a_variable_rate_is_announced(tmp_path, name, caplog):
    jump = "setpts='PTS+if(gt(N\\,4)\\,0.3/TB\\,0)'"
    path = media.picture(tmp_path / "jump.mkv", "-vf", jump, "-fps_mode", "passthrough")
    with caplog.at_level(logging.WARNING):
        clip = source(path, name)
    assert (clip.num_frames, clip.fps) == (10, Fraction(9000, 1200))
    assert "jump.mkv: variable frame rate; at its average of 7.500 fps, frames are off by up to 1" in caplog.text


def test_a_steady_rate_is_not(video, caplog):
    with caplog.at_level(logging.WARNING):
        source(video)
    assert not caplog.records


def test_dropped_frames_are_logged(video, caplog, monkeypatch):
    monkeypatch.setitem(FILTERS, "bs", lambda file: vs.core.std.BlankClip(length=len(file.times) - 1))
    with caplog.at_level(logging.WARNING):
        source(video, "bs")
    assert "small.mp4: bs drops 1 of 3 frames" in caplog.text


def test_hidden_frames_are_left_out():
    """L-SMASH shows a frame that the file's edit list hides."""
    path = shared_path("data", "test", "phone_super_slow_160x120.mp4")
    assert len(probe(path).shown) == 436
    assert source(path).num_frames == 435
    if not installed("lsmas", path):
        pytest.skip("lsmas is not installed")
    assert FILTERS["lsmas"](probe(path)).num_frames == 436
    assert source(path, "lsmas").num_frames == 435


def test_a_size_that_changes_becomes_the_first(tmp_path, caplog):
    parts = [media.picture(tmp_path / f"{size}.ts", size=size, seconds=0.3).read_bytes() for size in ("96x64", "64x48")]
    (path := tmp_path / "both.ts").write_bytes(b"".join(parts))
    with caplog.at_level(logging.WARNING):
        clip = source(path)
    assert (clip.width, clip.height, clip.num_frames) == (96, 64, 6)
    assert clip.get_frame(5).width == 96


@pytest.mark.parametrize(
    ("pixels", "codec", "ending", "format_name"),
    [
        ("rgb24", "png", "mov", "RGB24"),
        ("gray", "ffv1", "mkv", "Gray8"),
        ("yuv422p10le", "ffv1", "mkv", "YUV422P10"),
        ("gbrp10le", "ffv1", "mkv", "RGB30"),
        ("yuv444p", "ffv1", "mkv", "YUV444P8"),
    ],
)
def test_formats(name, tmp_path, pixels, codec, ending, format_name):
    path = tmp_path / f"x.{ending}"
    source_ = "testsrc2=size=66x50:rate=10:duration=0.2"
    media.run("-f", "lavfi", "-i", source_, "-pix_fmt", pixels, "-c:v", codec, path)
    clip = source(path, name)
    assert clip.format.name == format_name
    raw = np.frombuffer(media.run("-i", path, "-f", "rawvideo", "-pix_fmt", planar(pixels), "-"), np.uint8)
    mine = planes(clip, 0)
    mine = [mine[p] for p in ((1, 2, 0) if clip.format.color_family == vs.RGB else range(len(mine)))]
    flat = np.concatenate([plane.ravel().view(np.uint8) for plane in mine])
    assert np.array_equal(flat, raw[: len(flat)])


def planar(pixels):
    return "gbrp" if pixels == "rgb24" else pixels


def test_one_picture_has_a_rate(tmp_path):
    media.run("-f", "lavfi", "-i", "testsrc2=size=96x64", "-frames:v", 1, path := tmp_path / "one.png")
    clip = source(path)
    assert (clip.num_frames, clip.fps) == (1, 25)


def test_filters_are_tried_in_their_order(video, monkeypatch, caplog):
    def broken(_file):
        raise vs.Error("it is broken")

    def absent(_file):
        raise Missing

    monkeypatch.setitem(FILTERS, "ffms2", absent)
    monkeypatch.setitem(FILTERS, "bs", broken)
    monkeypatch.setitem(FILTERS, "lsmas", lambda _file: vs.core.std.BlankClip(length=3))
    with caplog.at_level(logging.INFO):
        source(video)
    assert "small.mp4: opened with lsmas" in caplog.text
    monkeypatch.setitem(FILTERS, "lsmas", absent)
    monkeypatch.setitem(FILTERS, "pyffms2", absent)
    reasons = "ffms2 is not installed; bs: it is broken; "
    reasons += "lsmas is not installed (extra: cli); pyffms2 is not installed (extra: ffms2)"
    with pytest.raises(SourceError, match=re.escape(f"no source filter opens it: {reasons}")):
        source(video)
    with pytest.raises(SourceError, match="no source filter opens it: bs: it is broken"):
        source(video, "bs")


def test_unknown_filter(tmp_path):
    with pytest.raises(ArgumentError, match="source: got 'dgdec', allowed: None or one of ffms2, bs, lsmas, pyffms2"):
        source(tmp_path / "not looked at.mp4", "dgdec")


def test_missing_file():
    with pytest.raises(SourceError, match=r"nowhere\.mp4: does not exist"):
        source("nowhere.mp4")


@pytest.mark.parametrize("path", ["", 5, None, b"in.mp4"])
def test_no_path(path):
    with pytest.raises(ArgumentError) as error:
        source(path)
    assert str(error.value) == f"path: got {path!r}, allowed: the name of a video file"


def test_nothing_beside_the_video_and_nothing_on_stdout(name, video, tmp_path, home, capfd):
    path = tmp_path / "copy.mp4"
    path.write_bytes(video.read_bytes())
    source(path, name).get_frame(0)
    assert [x.name for x in tmp_path.iterdir()] == ["copy.mp4"]
    assert capfd.readouterr().out == ""
    assert cache_dir() == home / "indexes"


def test_a_new_file_of_the_same_name_gets_a_new_index(name, tmp_path):
    path = media.picture(tmp_path / "x.mp4", seconds=0.3)
    assert source(path, name).num_frames == 3
    media.picture(path, seconds=0.5, size="64x64")
    clip = source(path, name)
    assert (clip.num_frames, clip.width, clip.get_frame(4).width) == (5, 64, 64)


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch, video):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path / "file"))
    assert cache_dir() == Path(__import__("tempfile").gettempdir())
    assert source(video).num_frames == 3


# --- timecodes --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["rooftop_1080p_10bit.mp4", "building_pan_1080p_10bit.mp4", "phone_518x488.mp4", "bear_240p.webm"]
)
def test_times_are_those_that_bestsource_decodes(name):
    path = shared_path("data", "test", name)
    codes = source_timecodes(path)
    told = vs.core.bs.VideoSource(str(path), cachemode=0, exporttimestamps=True)
    unit = Fraction(told["timebasenum"], told["timebaseden"])
    moments = [(int(t) - int(told["timestamps"][0])) * unit for t in told["timestamps"]]
    assert [codes.time(Fraction(k)) for k in range(codes.frames)] == moments


def test_a_phones_frames_last_as_long_as_they_do():
    codes = source_timecodes(shared_path("data", "test", "rooftop_1080p_10bit.mp4"))
    lasts = [round(float(d) * 1000) for d in codes.durations()]
    assert (codes.frames, codes.unit) == (28, Fraction(1, 90000))
    assert sorted(set(lasts)) == [33, 52, 100]
    # Behind its edit list, the other one is all but constant: one frame of 35 ms among those of 33.3.
    codes = source_timecodes(shared_path("data", "test", "building_pan_1080p_10bit.mp4"))
    assert sorted(set(codes.durations())) == [Fraction(20, 600), Fraction(21, 600)]


def test_milliseconds_are_a_rounding_and_a_frame_is_not(tmp_path):
    assert source_timecodes(media.picture(tmp_path / "x.mkv", rate=30)).rounding == Fraction(1, 2000)
    assert source_timecodes(media.picture(tmp_path / "x.avi", rate=30)).rounding == 0
