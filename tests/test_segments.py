"""A render in segments is the same film as one made in one piece, and it can be gone on with."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise

import av
import media
import numpy as np
import pytest
import vapoursynth as vs
from conftest import environment
from filelock import FileLock

from vs_slomo.cli import main
from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.video.encode import encode
from vs_slomo.video.feed import in_order
from vs_slomo.video.ffmpeg import ffmpeg
from vs_slomo.video.render import render
from vs_slomo.video.segments import folder as folders
from vs_slomo.video.segments import job as jobs
from vs_slomo.video.segments.cut import check_seconds, cut, is_usual, joining
from vs_slomo.video.segments.folder import folder_of
from vs_slomo.video.segments.job import Segments
from vs_slomo.video.segments.making import begin

core = vs.core
HDR = {
    "MasteringDisplayPrimariesX": [0.68, 0.265, 0.15],
    "MasteringDisplayPrimariesY": [0.32, 0.69, 0.06],
    "MasteringDisplayWhitePointX": 0.3127,
    "MasteringDisplayWhitePointY": 0.329,
    "MasteringDisplayMaxLuminance": 1000.0,
    "MasteringDisplayMinLuminance": 0.01,
    "ContentLightLevelMax": 1000,
    "ContentLightLevelAverage": 400,
}
BT2020 = {"_Matrix": 9, "_Transfer": 16, "_Primaries": 9, "_Range": 0, "_ChromaLocation": 0}


def moving(format_id=vs.YUV420P8, length=40, fps=Fraction(25), **props):
    """A picture that changes with every frame, 64x48, so that each is told from the others."""

    def fill(n, f):
        out = f.copy()
        for p in range(3):
            h, w = np.asarray(out[p]).shape
            y, x = np.mgrid[0:h, 0:w]
            peak = (1 << f.format.bits_per_sample) - 1
            wave = 0.5 + 0.3 * np.sin((x + (n + 1) * (p + 2)) / 7) * np.cos((y - n) / 5)
            np.copyto(np.asarray(out[p]), (wave * peak).astype(np.asarray(out[p]).dtype))
        return out

    size = {"width": 64, "height": 48, "length": length, "format": format_id, "keep": True}
    blank = core.std.BlankClip(fpsnum=fps.numerator, fpsden=fps.denominator, **size)
    clip = blank.std.ModifyFrame(blank, fill)
    return clip.std.SetFrameProps(**props) if props else clip


def about(path):
    """All that is compared: times and duration; what is said of the picture; the decoded frames."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        packets = [(p.pts, p.dts, p.duration) for p in file.demux(stream) if p.size]
        return {
            "times": sorted(p[0] for p in packets),
            "last": packets[-1][2],
            "duration": (file.duration, stream.duration, file.start_time),
            "base": stream.time_base,
            "rate": (stream.average_rate, stream.base_rate),
            # Limited where it is not said.
            "colours": (context.color_range or 1, context.colorspace, context.color_trc, context.color_primaries),
            "format": (context.pix_fmt, context.width, context.height, stream.sample_aspect_ratio or 1),
            "tag": context.codec_tag,
            "rest": [(s.type, s.codec_context and s.codec_context.name, dict(s.metadata).get("language"), s.disposition)
                     for s in file.streams if s.type != "video"],
            "chapters": file.chapters(),
        }  # fmt: skip


def decoded(path, stream="v"):
    """Every decoded frame's hash with its time."""
    return media.run("-i", path, "-map", f"0:{stream}", "-f", "framemd5", "-")


def side_data(path):
    """What the first frame says of HDR."""
    command = [ffmpeg(), "-hide_banner", "-i", path, "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"(?:Mastering|Content [Ll]ight)[^\n]*", said, re.IGNORECASE)
    return [line for line in found if "side data" not in line]


def both(clip, folder, name, **options):
    """The same clip in parts of 0.4 s, and in one piece."""
    parts, whole = folder / f"parts{name}", folder / f"whole{name}"
    encode(clip, parts, segments=Segments(seconds=Fraction(2, 5), asked={}), **options)
    encode(clip, whole, **options)
    assert not folder_of(parts).exists()
    return parts, whole


# --- frame for frame --------------------------------------------------------------------------------------------------

LOSSLESS = {"codec": "x264", "options": ["-qp", "0"]}
KINDS = {
    "x264": (".mp4", LOSSLESS, {}),
    "x264 ntsc": (".mp4", LOSSLESS, {"fps": Fraction(60000, 1001)}),
    "x264 mkv": (".mkv", LOSSLESS, {"fps": Fraction(60000, 1001)}),
    "x264 mov": (".mov", LOSSLESS, {"fps": Fraction(24000, 1001)}),
    "x264 10 bit": (".mkv", {"codec": "x264", "crf": 20}, {"format_id": vs.YUV420P10, "fps": Fraction(30)}),
    "x264 aspect": (".mp4", {"codec": "x264"}, {"_SARNum": 4, "_SARDen": 3}),
    "x264 aspect mkv": (".mkv", {"codec": "x264"}, {"_SARNum": 4, "_SARDen": 3}),
    "x265 hdr": (".mp4", {"codec": "x265", "preset": "ultrafast"}, {"format_id": vs.YUV420P10, **BT2020, **HDR}),
    "x265 hdr mkv": (".mkv", {"codec": "x265", "preset": "ultrafast"}, {"format_id": vs.YUV420P10, **BT2020, **HDR}),
    "x264 full range mkv": (".mkv", {"codec": "x264"}, {"_Range": 1}),
    "ffv1": (".mkv", {"codec": "ffv1"}, {"fps": Fraction(60000, 1001)}),
    "ffv1 rare rate": (".mkv", {"codec": "ffv1"}, {"fps": Fraction(75, 2)}),
    "ffv1 full range": (".mkv", {"codec": "ffv1"}, {"_Range": 1, "_Matrix": 1, "_SARNum": 4, "_SARDen": 3}),
    "ffv1 10 bit": (".mkv", {"codec": "ffv1"}, {"format_id": vs.YUV444P10, **BT2020}),
    "prores": (".mov", {"codec": "prores"}, {"format_id": vs.YUV422P10, **BT2020}),
    "prores mkv": (".mkv", {"codec": "prores"}, {"format_id": vs.YUV422P10, "fps": Fraction(30000, 1001)}),
    "vp9": (".webm", {"codec": "vp9", "preset": "8"}, {"fps": Fraction(60000, 1001)}),
    "vp9 mp4": (".mp4", {"codec": "vp9", "preset": "8"}, {}),
    "av1": (".mp4", {"codec": "av1", "preset": "12"}, {"fps": Fraction(30000, 1001)}),
    "av1 webm": (".webm", {"codec": "av1", "preset": "12"}, {}),
}
EXACT = [name for name in KINDS if name.startswith(("x264 ntsc", "x264 mkv", "x264 mov", "ffv1", "prores"))]


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_joined_as_if_made_in_one_piece(kind, tmp_path):
    ending, options, given = KINDS[kind]
    parts, whole = both(moving(**given), tmp_path, ending, **options)
    assert about(parts) == about(whole)
    assert side_data(parts) == side_data(whole)
    assert bool(side_data(parts)) == ("hdr" in kind)
    shown = [decoded(path).splitlines() for path in (parts, whole)]
    assert len(shown[0]) == len(shown[1])
    if kind in EXACT:
        assert shown[0] == shown[1]


USUAL_RATES = ("25/3", "45/2", "30000/1001", "37", "120")
RARE_RATES = ("75/2", "25000/1001", "50000/1001", "61", "120000/1001", "31/7")


@pytest.mark.parametrize("fps", [*USUAL_RATES, *RARE_RATES])
def test_rates_that_ffmpeg_recognizes(fps, tmp_path):
    usual = fps in USUAL_RATES
    assert is_usual(Fraction(fps)) == usual
    found = joining(tmp_path / "x.mkv", "ffv1", [], alpha=False, fps=Fraction(fps))
    assert isinstance(found, str) != usual
    assert not isinstance(joining(tmp_path / "x.mkv", "libx264", [], alpha=False, fps=Fraction(fps)), str)


def test_key_frames_begin_the_parts(tmp_path):
    parts, whole = both(moving(), tmp_path, ".mp4", codec="x264", options=["-bf", "3"])
    with av.open(str(parts)) as file:
        keys = [round(p.pts * p.time_base * 25) for p in file.demux(video=0) if p.size and p.is_keyframe]
    assert keys == [0, 10, 20, 30]
    with av.open(str(whole)) as file:
        assert [p.pts for p in file.demux(video=0) if p.size and p.is_keyframe] == [0]


# --- where it is cut --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "count"), [(499, 1), (500, 2), (749, 2), (5000, 20), (5001, 20), (1, 1)])
def test_segments_cover_the_clip(frames, count):
    found = cut(frames, Fraction(25), check_seconds(10.0))
    assert len(found) == count
    assert found[0].first == 0
    assert found[-1].last == frames
    assert all(a.last == b.first for a, b in pairwise(found))
    assert max(s.frames for s in found) - min(s.frames for s in found) <= 1


@pytest.mark.parametrize("seconds", [0, -1, True, "10", float("nan"), float("inf"), None])
def test_a_segment_has_a_length(seconds):
    with pytest.raises(ArgumentError, match="segment: got"):
        check_seconds(seconds)


@pytest.mark.parametrize(
    "options",
    [
        *([name, "x"] for name in ("-vf", "-af", "-filter_complex", "-map", "-ss", "-t", "-r", "-f", "-movflags")),
        *(
            [name, "x"]
            for name in (
                "-metadata",
                "-b:v",
                "-pass",
                "-maxrate",
                "-bufsize:v",
                "-filter:v",
                "-metadata:s:v",
                "-c:v",
                "-vcodec",
                "-b",
            )
        ),
        ["-x264-params", "vbv-maxrate=1000:vbv-bufsize=2000"],
        ["-x265-params", "log-level=none:bitrate=900"],
    ],
)
def test_what_concerns_the_whole_is_made_in_one_piece(options, tmp_path):
    why = joining(tmp_path / "x.mkv", "libx264", ["-g", "48", *options], alpha=False)
    assert isinstance(why, str)
    assert options[0] in why


@pytest.mark.parametrize(
    "options", [["-tune", "film"], ["-g", "48", "-bf", "0"], ["-c:a", "flac"], ["-b:a", "96k"], []]
)
def test_what_concerns_a_frame_is_cut(options, tmp_path):
    assert not isinstance(joining(tmp_path / "x.mkv", "libx264", options, alpha=False), str)


@pytest.mark.parametrize(("name", "codec"), [("x.avi", "libx264"), ("x.mov", "ffv1"), ("x.mp4", "mpeg4")])
def test_what_does_not_join_exactly_is_made_in_one_piece(name, codec, tmp_path, caplog):
    caplog.set_level(logging.INFO, "vs_slomo")
    assert "not known to join" in str(joining(tmp_path / name, codec, [], alpha=False))
    if codec != "mpeg4":
        return
    encode(moving(), tmp_path / name, codec=codec, segments=Segments(seconds=Fraction(2, 5), asked={}))
    assert "one piece" in caplog.text
    assert len(about(tmp_path / name)["times"]) == 40


# --- going on ---------------------------------------------------------------------------------------------------------


class BrokenError(Exception):
    pass


@pytest.fixture
def stopped(monkeypatch):
    """Encode a clip that breaks at a frame; return the parts that are whole by then."""

    def run(clip, output, at, **options):
        def broken(given, stopped, ahead):
            for n, frame in enumerate(in_order(given, stopped, ahead)):
                if n == at:
                    raise BrokenError
                yield frame

        with monkeypatch.context() as patch:
            patch.setattr(jobs, "in_order", broken)
            with pytest.raises(BrokenError):
                encode(clip, output, segments=Segments(seconds=Fraction(2, 5), asked={"n": 1}), **options)
        return sorted(path.name for path in folder_of(output).glob("0*"))

    return run


def go_on(clip, output, asked=None, restart=False, **options):
    segments = Segments(seconds=Fraction(2, 5), asked={"n": 1} if asked is None else asked, restart=restart)
    return encode(clip, output, segments=segments, **options)


def counted(clip):
    """The clip, and the frames that are asked of it."""
    asked = []

    def note(n, f):
        asked.append(n)
        return f

    return clip.std.ModifyFrame(clip, note), asked


def test_a_render_is_gone_on_with(tmp_path, stopped):
    output = tmp_path / "x.mkv"
    kept = stopped(moving(), output, 25, codec="ffv1")
    assert [name[:6] for name in kept] == ["000000", "000001"]
    assert not output.exists()
    clip, asked = counted(moving())
    go_on(clip, output, codec="ffv1")
    assert set(asked) - {0} == set(range(20, 40))
    encode(moving(), tmp_path / "whole.mkv", codec="ffv1")
    assert decoded(output) == decoded(tmp_path / "whole.mkv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.mkv", "x.mkv"]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_part_is_made_anew(damage, tmp_path, stopped):
    output = tmp_path / "x.mkv"
    kept = stopped(moving(), output, 25, codec="ffv1")
    part = folder_of(output) / kept[0]
    data = part.read_bytes()
    part.unlink()
    if damage != "gone":
        part.write_bytes(data[:-9] if damage == "cut" else data[:2000] + b"!" + data[2001:])
    clip, asked = counted(moving())
    go_on(clip, output, codec="ffv1")
    assert set(asked) == {*range(10), *range(20, 40)}
    encode(moving(), tmp_path / "whole.mkv", codec="ffv1")
    assert decoded(output) == decoded(tmp_path / "whole.mkv")


def test_another_command_is_told_what_differs(tmp_path, stopped):
    output = tmp_path / "x.mkv"
    kept = stopped(moving(), output, 25, codec="x264", crf=20)
    with pytest.raises(ArgumentError, match=r"\(encoder: '-crf 20' there, '-crf 21' now\), or --restart"):
        go_on(moving(), output, codec="x264", crf=21)
    with pytest.raises(ArgumentError, match="n: 1 there, 2 now"):
        go_on(moving(), output, {"n": 2}, codec="x264", crf=20)
    assert sorted(path.name for path in folder_of(output).glob("0*")) == kept
    clip, asked = counted(moving())
    go_on(clip, output, {"n": 2}, restart=True, codec="x264", crf=21)
    assert set(asked) == set(range(40))
    assert [path.name for path in tmp_path.iterdir()] == ["x.mkv"]


@pytest.mark.parametrize(
    ("there", "now", "said"),
    [
        (["-a", "1", "-b", "2"], ["-a", "1", "-b", "3"], "'-b 2' there, '-b 3' now"),
        (["-a", "1"], ["-a", "1", "-b", "3"], "'' there, '-b 3' now"),
        ([], ["-tune", "film"], "'' there, '-tune film' now"),
        (["-a", "1", "-z"], ["-a", "1", "-c", "2", "-z"], "'' there, '-c 2' now"),
        (["-a", "-b"], ["-b", "-a"], "in another order"),
        (["-qp", "0", "-x"], ["-qp", "-x"], "'-qp 0' there, '-qp' now"),
    ],
)
def test_of_arguments_only_those_are_told_that_differ(there, now, said):
    assert folders.differences({"options": there}, {"options": now}) == [f"options: {said}"]


@pytest.mark.parametrize("codec", ["x264", "x265"])
def test_another_number_of_cores_makes_the_same_parts(codec, tmp_path, stopped, monkeypatch):
    """x264 and x265 make other bits with another number of threads: the first run's is kept."""
    clip = moving().resize.Point(128, 192)[::3].std.AssumeFPS(fpsnum=25).std.Loop(4)[:40]
    encoded = {"codec": codec, "crf": 20, "preset": "fast"}

    def on(cores, output):
        monkeypatch.setattr(jobs, "cores", lambda: cores)
        go_on(clip, output, **encoded)
        return decoded(output)

    few, many, mixed = (tmp_path / f"{name}.mp4" for name in ("few", "many", "mixed"))
    monkeypatch.setattr(jobs, "cores", lambda: 1)
    assert len(stopped(clip, mixed, 25, **encoded)) == 2
    assert on(8, mixed) == on(1, few) != on(8, many)


def test_parts_of_x265_join_whatever_the_processor(tmp_path, stopped):
    """It writes into the header which instructions the processor has."""
    output = tmp_path / "x.mp4"
    kept = stopped(moving(), output, 25, codec="x265", preset="ultrafast")
    folder, part = folder_of(output), folder_of(output) / kept[0]
    before = folders.digest(part)
    data = part.read_bytes()
    assert data.count(b"cpuid=1") == 1
    part.write_bytes(data.replace(b"cpuid=1", b"cpuid=9"))
    lines = (folder / "parts.jsonl").read_text()
    (folder / "parts.jsonl").write_text(lines.replace(before, folders.digest(part)))
    clip, asked = counted(moving())
    go_on(clip, output, codec="x265", preset="ultrafast")
    assert not set(asked) & set(range(1, 20))
    assert b"cpuid=9" in output.read_bytes()
    assert len(about(output)["times"]) == 40


def test_a_foreign_folder_is_left_alone(tmp_path):
    output = tmp_path / "x.mkv"
    folder_of(output).mkdir()
    (folder_of(output) / "000000.abcd.1.mov").write_text("mine")
    for restart in (False, True):
        with pytest.raises(ArgumentError, match="no manifest of ours"):
            go_on(moving(), output, codec="ffv1", restart=restart)
    (folder_of(output) / folders.MANIFEST).write_text("{}")
    with pytest.raises(ArgumentError, match="manifest is damaged or not ours"):
        go_on(moving(), output, codec="ffv1")
    assert (folder_of(output) / "000000.abcd.1.mov").read_text() == "mine"


def test_what_is_not_ours_stays(tmp_path, stopped, caplog):
    output = tmp_path / "x.mkv"
    stopped(moving(), output, 25, codec="ffv1")
    (folder_of(output) / "notes.txt").write_text("mine")
    (folder_of(output) / "000009.other.1.mov").write_text("mine")
    go_on(moving(), output, codec="ffv1")
    assert sorted(path.name for path in folder_of(output).iterdir()) == ["000009.other.1.mov", "notes.txt"]
    assert "not ours" in caplog.text


def test_a_second_run_is_refused(tmp_path, stopped):
    output = tmp_path / "x.mkv"
    stopped(moving(), output, 25, codec="ffv1")
    with (
        FileLock(folder_of(output) / folders.LOCK),
        pytest.raises(ArgumentError, match="no other render is at work"),
    ):
        go_on(moving(), output, codec="ffv1")


def test_a_torn_line_is_not_there(tmp_path, stopped):
    output = tmp_path / "x.mkv"
    stopped(moving(), output, 25, codec="ffv1")
    journal = folder_of(output) / folders.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])
    clip, asked = counted(moving())
    go_on(clip, output, codec="ffv1")
    assert set(asked) - {0} == set(range(10, 40))


@pytest.mark.parametrize(
    "damage", [{"frames": "ten"}, {"frames": 9}, {"number": 99}, {"name": "../x"}, {"delay": None}]
)
def test_a_line_that_cannot_be_is_not_there(damage, tmp_path, stopped):
    output = tmp_path / "x.mkv"
    stopped(moving(), output, 25, codec="ffv1")
    journal = folder_of(output) / "parts.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    for line in lines:
        if line.get("part", {}).get("number") == 0:
            line["part"] |= damage
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    clip, asked = counted(moving())
    go_on(clip, output, codec="ffv1")
    assert set(asked) == {*range(10), *range(20, 40)}
    assert len(about(output)["times"]) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["x.mkv"]


def test_the_file_of_a_dead_join_is_removed(tmp_path, stopped):
    output = tmp_path / "x.mkv"
    stopped(moving(), output, 25, codec="ffv1")
    (tmp_path / ".0123456789ab.mkv").write_text("half")
    (tmp_path / ".ffffffffffff.mkv").write_text("another's")
    with (folder_of(output) / folders.JOURNAL).open("a") as file:
        file.write(json.dumps({"joined": ".0123456789ab.mkv"}) + "\n")
    go_on(moving(), output, codec="ffv1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ffffffffffff.mkv", "x.mkv"]


def test_a_full_disk_keeps_the_parts(tmp_path, monkeypatch, stopped):
    output = tmp_path / "x.mkv"
    kept = stopped(moving(), output, 25, codec="ffv1")
    usage = jobs.shutil.disk_usage
    with monkeypatch.context() as patch:
        patch.setattr(jobs.shutil, "disk_usage", lambda path: usage(path)._replace(free=1000))
        with pytest.raises(RenderError, match="disk is too full"):
            go_on(moving(), output, codec="ffv1")
    assert sorted(path.name for path in folder_of(output).glob("0*")) == kept
    go_on(moving(), output, codec="ffv1")


def test_a_long_name_has_a_short_folder(tmp_path):
    output = tmp_path / ("x" * 251 + ".mkv")
    assert len(folder_of(output).name) < 30
    go_on(moving(), output, codec="ffv1")
    assert len(about(output)["times"]) == 40


@pytest.mark.parametrize(
    "name", ["a:b.mkv", "pipe:0.mp4", "concat:a|b.mp4", "100%d.mp4", "new\nline.mp4", "d:d/[x].mkv"]
)
def test_names_that_mean_something_to_ffmpeg(name, tmp_path, monkeypatch):
    (tmp_path / "d:d").mkdir()
    monkeypatch.chdir(tmp_path)
    go_on(moving(), name, codec="ffv1" if name.endswith("mkv") else "x264")
    assert len(about((tmp_path / name).absolute())["times"]) == 40
    assert {path.name for path in tmp_path.rglob("*")} == {"d:d", name.rpartition("/")[2]}


# --- a part's end, and the next one's beginning -----------------------------------------------------------------------


def slowly(clip):
    """The clip, whose last frames take so long that the part before has ended by then."""
    return clip.std.ModifyFrame(clip, lambda n, f: time.sleep(0.5 if n > 35 else 0) or f)


@pytest.fixture
def slow_ends(monkeypatch):
    """The end of each part comes only after what a test does there: a function of the segment's number."""

    def run(act):
        def slow(picture, segment, path, **how):
            end = begin(picture, segment, path, **how)

            def later():
                act(segment.number)
                return end()

            return later

        monkeypatch.setattr(jobs, "begin", slow)

    return run


def test_the_next_part_begins_while_one_ends(tmp_path, slow_ends):
    """Its frames are all in the encoder before the part before is whole; a third one has to wait."""
    shown, ends, at_end = [], [], [threading.Event() for _ in range(4)]

    def progress(done, total):
        if done % 10 == 0 and done:
            at_end[done // 10 - 1].set()
        shown.append(done)

    def end(number):
        assert number == 3 or at_end[number + 1].wait(60)
        time.sleep(0.1)
        assert number >= 2 or not at_end[number + 2].is_set()
        ends.append(number)

    slow_ends(end)
    go_on(moving(), tmp_path / "x.mkv", codec="ffv1", progress=progress)
    assert ends == [0, 1, 2, 3]
    assert set(shown) == set(range(41))
    assert shown == sorted(shown)
    encode(moving(), tmp_path / "whole.mkv", codec="ffv1")
    assert decoded(tmp_path / "x.mkv") == decoded(tmp_path / "whole.mkv")


@pytest.mark.parametrize(("seconds", "kept"), [(0, [0, 1]), (1, [0, 1, 3])])
def test_an_encoder_that_fails_at_its_end(seconds, kept, tmp_path, monkeypatch):
    """The error names the part; the next part's encoder ends too, and its part is kept if it had all frames by then."""
    real = ffmpeg()
    stand_in = tmp_path / "bin" / "ffmpeg"
    stand_in.parent.mkdir()
    run = f"exec 0<&-; echo spoilt >&2; sleep {seconds}; exit 1"
    stand_in.write_text(f'#!/bin/sh\ncase "$*" in *000002.*) cat > /dev/null; {run};; esac\nexec {real} "$@"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    output = tmp_path / "x.mkv"
    with pytest.raises(RenderError, match=rf"segment 2: ffmpeg failed: spoilt.*{len(kept)} of 4 segments are kept"):
        go_on(slowly(moving()) if not seconds else moving(), output, codec="ffv1")
    assert sorted(path.name[:6] for path in folder_of(output).glob("0*")) == [f"{n:06d}" for n in kept]
    monkeypatch.undo()
    clip, asked = counted(moving())
    go_on(clip, output, codec="ffv1")
    assert set(asked) - {0} == {n for n in range(20, 40) if n // 10 not in kept}


def test_a_signal_while_a_part_ends(tmp_path, slow_ends):
    """The part that ends is kept, and the one under way is not."""
    output, fed = tmp_path / "x.mkv", threading.Event()

    def end(number):
        if number == 1:
            assert fed.wait(60)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    slow_ends(end)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            go_on(moving(length=400), output, codec="ffv1", progress=lambda done, _total: done > 21 and fed.set())
    finally:
        signal.signal(signal.SIGINT, before)
    assert [path.name[:6] for path in sorted(folder_of(output).glob("0*"))] == ["000000", "000001"]
    assert (folder_of(output) / "parts.jsonl").read_text().count('"part"') == 2


def test_a_journal_that_cannot_be_written(tmp_path, stopped, monkeypatch):
    output = tmp_path / "x.mkv"
    kept = stopped(moving(), output, 25, codec="ffv1")
    append = folders.Folder._append

    def full(self, line):
        if "part" in line:
            monkeypatch.setattr(folders.os, "fsync", lambda _: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
        append(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(folders.Folder, "_append", full)
        with pytest.raises(RenderError, match=r"parts.jsonl: cannot be written: No space left.*are kept in"):
            go_on(moving(), output, codec="ffv1")
    monkeypatch.undo()
    assert {*kept} <= {path.name for path in folder_of(output).glob("0*")}
    go_on(moving(), output, codec="ffv1")
    assert [path.name for path in tmp_path.iterdir()] == ["x.mkv"]


def test_whoever_reads_the_progress_may_go_away(tmp_path):
    """It is no error of the encoder, nor of the file; the whole parts are kept."""
    output = tmp_path / "x.mkv"

    def gone(done, _total):
        if done > 25:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        go_on(moving(), output, codec="ffv1", progress=gone)
    assert [path.name[:6] for path in sorted(folder_of(output).glob("0*"))] == ["000000", "000001"]


# --- from a file ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return media.film(tmp_path_factory.mktemp("film"))


CALLS = {
    "plain": {},
    "slow motion, stretched": {"slow_motion": True, "multi": 3},
    "a part, to a rate": {"span": "4:19", "fps_num": 30000, "fps_den": 1001},
    "borders": {"borders": "auto"},
}


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
@pytest.mark.parametrize("call", CALLS)
def test_a_film_in_segments_is_the_same(call, ending, film, tmp_path, shifting_model):
    options = {"model": shifting_model, "codec": "x264", "options": ["-qp", "0", "-bf", "2"], **CALLS[call]}
    paths = [tmp_path / f"{name}{ending}" for name in ("parts", "whole")]
    for path, segment in zip(paths, (0.3, None), strict=True):
        render(film, path, segment=segment, **options)
    parts, whole = map(about, paths)
    assert len(parts["times"]) > 20
    assert parts == whole
    assert decoded(paths[0]) == decoded(paths[1])
    assert decoded(paths[0], "a") == decoded(paths[1], "a")
    assert media.subtitles(paths[0]) == media.subtitles(paths[1])


def test_variable_rate_and_a_curve_in_segments(tmp_path, shifting_model):
    source = media.picture(tmp_path / "vfr.mkv", "-fps_mode", "vfr", "-vf", "select='not(eq(mod(n,4),1))'", seconds=2)
    curve = tmp_path / "curve.txt"
    curve.write_text("0 0\n1 0.4 smooth\n2.5 1.8\n")
    for name, more in (("vfr", {}), ("curve", {"curve": str(curve)})):
        paths = [tmp_path / f"{name}{n}.mkv" for n in "ab"]
        for path, segment in zip(paths, (0.3, None), strict=True):
            render(source, path, segment=segment, model=shifting_model, options=["-qp", "0"], **more)
        assert about(paths[0]) == about(paths[1])
        assert decoded(paths[0]) == decoded(paths[1])


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_a_span_of_a_variable_rate_in_slow_motion_with_sound(ending, tmp_path, shifting_model):
    source, frames = tmp_path / "vfr.mkv", "testsrc2=size=64x48:rate=25:duration=3,select='not(eq(mod(n,4),1))'"
    sound = ["-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac"]
    media.run("-f", "lavfi", "-i", frames, *sound, "-fps_mode", "vfr", "-c:v", "libx264", source)
    options = {"span": "0.4s:2.2s", "slow_motion": True, "multi": 3, "options": ["-qp", "0"], "model": shifting_model}
    paths = [tmp_path / f"{name}{ending}" for name in ("parts", "whole")]
    for path, segment in zip(paths, (0.7, None), strict=True):
        render(source, path, segment=segment, codec="x264", **options)
    assert len(about(paths[1])["times"]) > 100
    assert about(paths[0]) == about(paths[1])
    assert decoded(paths[0]) == decoded(paths[1])
    assert decoded(paths[0], "a") == decoded(paths[1], "a")


@pytest.mark.parametrize("more", [["--segment", "0.2"], ["--no-segments"]])
def test_progress_for_other_programs(more, film, tmp_path, shifting_model, capsys):
    """Each line is one object, none comes twice, and the last ones say that all is made."""
    command = ["render", str(film), "-o", str(tmp_path / "x.mkv"), "--codec", "ffv1", "--model", str(shifting_model)]
    assert main([*command, *more, "--json-progress"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [json.loads(line) for line in lines]
    assert len(told) >= 2
    assert len(set(lines)) == len(lines)
    assert (told[0]["frames"], told[-1]["frames"], told[-1]["total"]) == (0 if "0.2" in more else 1, 40, 40)
    assert ("segments" in told[-1]) == ("0.2" in more)


def test_sigterm_keeps_the_parts_and_says_so(tmp_path, film, shifting_model):
    """The command itself, ended in the middle, goes on."""
    command = ["-m", "vs_slomo", "render", film, "-o", tmp_path / "x.mkv", "--codec", "ffv1", "--segment", "0.2"]
    command += ["--model", shifting_model]
    code = f"""
import os, signal, sys
from vs_slomo.video.segments.folder import Folder
note = Folder.note
def noted(self, part):
    note(self, part)
    if part.number == 4:
        os.kill(os.getpid(), signal.SIGTERM)
Folder.note = noted
from vs_slomo.cli import main
sys.argv[1:] = {[str(x) for x in command[2:]]!r}
sys.exit(main())
"""
    first = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert first.returncode in (143, -15)
    kept = re.search(r"(\d+) of 10 segments are kept", first.stderr)
    assert kept
    assert kept[1] in "56"  # the next one may have had all its frames by then
    run = [sys.executable, *map(str, command)]
    again = subprocess.run(run, capture_output=True, text=True, env=environment(), check=False)
    assert again.returncode == 0, again.stderr
    assert f"{kept[1]} of 10 segments are there" in again.stderr
    assert not again.stdout
    assert len(about(tmp_path / "x.mkv")["times"]) == 40
