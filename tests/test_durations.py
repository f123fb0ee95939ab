"""The frames' own durations, in clips and through vspipe."""

from __future__ import annotations

import logging
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from clips import moving
from conftest import shared_path

from vs_slomo.clips import durations
from vs_slomo.clips.durations import duration, scan_timecodes, timed
from vs_slomo.errors import ArgumentError, FormatError
from vs_slomo.filters.slomo import slomo
from vs_slomo.timing import timecodes
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.video.probe import ffmpeg
from vs_slomo.video.source import source_timecodes

CODES = Timecodes.lasting([Fraction(n, 90000) for n in (4649, 2997, 2997, 8992, 2997)])


def lasts(clip):
    return [duration(f) for f in clip.frames(close=True)]


def variable(length=5):
    return timed(moving(length=length), CODES)


def test_a_variable_clip_has_no_rate_and_its_frames_know():
    clip = variable()
    assert clip.fps == 0
    assert lasts(clip) == CODES.durations()


def test_a_constant_one_has_its_rate():
    clip = timed(variable(), Timecodes.constant(5, Fraction(24000, 1001)))
    assert clip.fps == Fraction(24000, 1001)
    assert lasts(clip) == [Fraction(1001, 24000)] * 5


def test_a_scan_reads_every_duration_and_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="vs_slomo"):
        codes = scan_timecodes(variable())
    assert codes.durations() == CODES.durations()
    assert "timecodes: reading the durations of 5 frames" in caplog.text


def test_a_scan_forgives_the_last_frame_alone():
    clip = variable()
    bare = clip.std.RemoveFrameProps([durations.NUM, durations.DEN])
    assert scan_timecodes(clip[:4] + bare[4]).durations() == [*CODES.durations()[:4], Fraction(8992, 90000)]
    with pytest.raises(FormatError, match="frame 1 has no duration"):
        scan_timecodes(clip[0] + bare[1] + clip[2:])
    with pytest.raises(FormatError, match="frame 0 has no duration"):
        scan_timecodes(bare[0])
    with pytest.raises(ArgumentError, match="clip: got 3, allowed: a"):
        scan_timecodes(3)


@pytest.mark.parametrize("slow_motion", [False, True])
@pytest.mark.parametrize("multi", [2, 3, Fraction(5, 2), Fraction(7, 5)])
def test_multi_divides_what_the_frames_say(shifting_model, multi, slow_motion):
    out = slomo(variable(), multi, slow_motion=slow_motion, model=shifting_model, device="cpu")
    told = slomo(moving(length=5), multi, timecodes=CODES, slow_motion=slow_motion, model=shifting_model, device="cpu")
    assert out.fps == told.fps == 0
    assert lasts(out) == lasts(told)
    stretch = multi if slow_motion else 1
    assert sum(lasts(out)) == CODES.time(len(out) / Fraction(multi)) * stretch
    if multi == 2:
        assert lasts(out) == [d / 2 * stretch for d in CODES.durations() for _ in range(2)]


def test_frames_without_a_duration_stay_without(shifting_model):
    bare = variable().std.RemoveFrameProps([durations.NUM, durations.DEN])
    assert lasts(slomo(bare, 2, model=shifting_model, device="cpu")) == [None] * 10


def test_a_constant_rate_from_timecodes(shifting_model):
    clip = moving(length=5)
    out = slomo(clip, fps_num=60, timecodes=CODES, model=shifting_model, device="cpu")
    assert (out.fps, len(out)) == (60, int(CODES.duration * 60))
    assert set(lasts(out)) == {Fraction(1, 60)}
    low = slomo(clip, fps_num=8, timecodes=CODES, model=shifting_model, device="cpu")
    assert (low.fps, len(low)) == (8, 2)


def test_constant_timecodes_make_a_constant_clip(shifting_model):
    codes = Timecodes.lasting([Fraction(1001, 30000)] * 5)
    out = slomo(moving(length=5), 2, timecodes=codes, model=shifting_model, device="cpu")
    assert out.fps == Fraction(60000, 1001)


def test_bad_timecodes_are_errors_when_the_script_loads(tmp_path):
    clip = moving(length=3)
    with pytest.raises(ArgumentError, match="timecodes: got '5 moments', allowed: one for every frame of the clip, 3"):
        slomo(clip, timecodes=CODES, device="cpu")
    with pytest.raises(ArgumentError, match="timecodes: got 25, allowed: Timecodes, or the name of a timecode file"):
        slomo(clip, timecodes=25, device="cpu")
    with pytest.raises(ArgumentError, match=re.escape("nothing.txt', allowed: a timecode file that can be read")):
        slomo(clip, timecodes=tmp_path / "nothing.txt", device="cpu")
    for rate in (1, 10**9):
        message = rf"fps_num/fps_den: got '{rate}', allowed: a rate with 1 to 4194304 frames in 0\.251 s"
        with pytest.raises(ArgumentError, match=message):
            slomo(moving(length=5), fps_num=rate, timecodes=CODES, device="cpu")
    with pytest.raises(ArgumentError, match="a target rate only for a clip that has a rate"):
        slomo(variable(), fps_num=60, device="cpu")


SCRIPT = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from clips import moving
from vs_slomo import slomo, source, source_timecodes
clip = {clip}
slomo(clip, {arguments}, model={model!r}, device="cpu").set_output()
"""


@pytest.fixture
def piped(vspipe, tmp_path, shifting_model):
    """Run a script through vspipe into Matroska, with a timecode file beside it."""
    root = Path(__file__).parents[1]

    def piped(clip, arguments):
        script = tmp_path / "script.vpy"
        names = {"root": str(root), "tests": str(root / "tests"), "model": str(shifting_model)}
        script.write_text(SCRIPT.format(clip=clip, arguments=arguments, **names))
        out, codes = tmp_path / "out.mkv", tmp_path / "out.txt"
        done = subprocess.run(
            [vspipe, "-c", "mkv", "--timecodes", codes, script, out], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        packets = subprocess.run(
            [ffmpeg(), "-v", "error", "-i", out, "-c", "copy", "-copyts", "-f", "framecrc", "-"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        base = Fraction(re.search(r"#tb 0: (\S+)", packets)[1])
        times = [int(line.split(",")[2]) * base for line in packets.splitlines() if not line.startswith("#")]
        return timecodes.read(codes, len(times)), times, base

    return piped


def told_alike(piped, expected):
    """Whether both of vspipe's ways say what was expected, each as exactly as it can."""
    written, packets, base = piped
    assert len(packets) == len(expected)
    assert max(abs(written.time(Fraction(n)) - m) for n, m in enumerate(expected)) < Fraction(1, 10**6)
    assert max(abs(p - m) for p, m in zip(packets, expected, strict=True)) <= base


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("multi=2", lambda codes: [codes.time(Fraction(n, 2)) for n in range(10)]),
     ("fps_num=60", lambda codes: [Fraction(n, 60) for n in range(int(codes.duration * 60))])],
)  # fmt: skip
def test_vspipe_tells_the_same_times(piped, tmp_path, arguments, expected):
    path = tmp_path / "in.txt"
    CODES.write(path)
    told_alike(piped("moving(length=5)", f"timecodes={str(path)!r}, {arguments}"), expected(timecodes.read(path, 5)))


def test_vspipe_tells_a_phones_times(piped):
    path = shared_path("data", "test", "rooftop_1080p_10bit.mp4")
    codes = source_timecodes(path)
    assert {round(float(d), 3) for d in codes.durations()} == {0.033, 0.052, 0.1}
    told = piped(f"source({str(path)!r}).resize.Bicubic(96, 64)", f"timecodes=source_timecodes({str(path)!r}), multi=2")
    told_alike(told, [codes.time(Fraction(n, 2)) for n in range(2 * codes.frames)])
