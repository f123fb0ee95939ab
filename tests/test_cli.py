"""The command, as it is typed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import media
import pytest

from vs_slomo.cli import frame_rate, main, parser
from vs_slomo.errors import SourceError
from vs_slomo.video.source import source


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True)
def own_logging(monkeypatch):
    """`main` sets up logging for the process: here it is pytest's."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return str(media.picture(tmp_path_factory.mktemp("video") / "in.mp4", seconds=0.6))


def fails(capsys, *arguments):
    """Run a command that fails, and return the one line it says."""
    assert main([str(a) for a in arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def refused(capsys, *arguments):
    """Run a command whose arguments are refused, and return what it says."""
    with pytest.raises(SystemExit, match="2"):
        main([str(a) for a in arguments])
    return capsys.readouterr().err


def test_render(video, tmp_path, shifting_model, capsys):
    out = tmp_path / "out.mp4"
    options = ["--multi", "3", "--range", "1:5", "--model", str(shifting_model), "--preset", "ultrafast", "--crf", "20"]
    assert main(["render", video, "-o", str(out), *options]) == 0
    clip = source(out)
    assert (clip.num_frames, clip.fps) == (12, 30)
    said = capsys.readouterr()
    assert said.out == ""
    assert "12/12" in said.err
    assert "frame" in said.err


def test_slow_motion_to_a_file_that_is_there(video, tmp_path, shifting_model, capsys):
    (out := tmp_path / "out.mp4").write_text("old")
    options = ["--slow-motion", "--model", shifting_model, "--preset", "ultrafast", "--range", ":3"]
    assert "overwrite" in fails(capsys, "render", video, "-o", out, *options)
    assert out.read_text() == "old"
    assert main([str(x) for x in ("render", video, "-o", out, *options, "-y")]) == 0
    clip = source(out)
    assert (clip.num_frames, clip.fps) == (6, 10)


def test_the_line_without_tqdm(video, tmp_path, shifting_model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    options = ["--model", str(shifting_model), "--preset", "ultrafast", "--range", ":2"]
    assert main(["render", video, "-o", str(tmp_path / "x.mp4"), *options]) == 0
    assert "\r4/4 frames, " in capsys.readouterr().err


def test_script(video, shifting_model, capsys):
    assert (
        main(["script", video, "--fps", "23.976", "--range", "0.2s:", "--model", str(shifting_model), "--no-sc"]) == 0
    )
    printed = capsys.readouterr().out
    assert f"clip = source({video!r})\nclip = clip[2:6]\n" in printed
    assert f"clip = slomo(clip, model={str(shifting_model)!r}, fps_num=24000, fps_den=1001, sc=False)\n" in printed
    compile(printed, "script", "exec")


def test_a_curve_and_its_shutter(tmp_path, capsys, video, shifting_model):
    (curve := tmp_path / "ramp.txt").write_text("0 0\n4 6\n")
    options = (
        "--model",
        shifting_model,
        "--curve",
        curve,
        "--unit",
        "frames",
        "--shutter",
        "5",
        "--shutter-angle",
        "90",
    )
    assert main(["script", str(video), *map(str, options)]) == 0
    printed = capsys.readouterr().out
    told = f"curve={str(curve)!r}, unit='frames', shutter=5, shutter_angle=90.0)\n"
    assert f"clip = retime(clip, model={str(shifting_model)!r}, {told}" in printed
    said = fails(capsys, "script", video, "--shutter", "5")
    assert said == "vs-slomo: --curve: missing, allowed: a file of keyframes, where --unit or --shutter are given\n"
    assert "--multi: got 3, allowed: not together with a curve" in fails(
        capsys, "script", video, *options, "--multi", "3"
    )


def test_the_well_known_ports_call_is_explained(capsys):
    """eval.py INPUT --checkpoint C --output O --scale 4."""
    said = fails(capsys, "render", "in.mp4", "--checkpoint", "SuperSloMo.ckpt", "--output", "out.mp4", "--scale", "4")
    assert said == (
        "vs-slomo: --scale: got 4.0, allowed: 1, 1/2, 1/4 or 1/8: it is the resolution of the networks here; "
        "for 4 times the frames: --multi 4 --slow-motion\n"
    )


def test_errors_are_one_line(tmp_path, video, capsys):
    out = tmp_path / "out.mp4"
    assert fails(capsys, "render", "no.mp4", "-o", out) == "vs-slomo: no.mp4: does not exist\n"
    assert "--output: got " in fails(capsys, "render", video, "-o", tmp_path / "no" / "x.mp4")
    assert "codec: got 'x268'" in fails(capsys, "render", video, "-o", out, "--codec", "x268")
    assert "--crf: got 52.0, allowed: 0 to 51 with libx264" in fails(capsys, "render", video, "-o", out, "--crf", "52")
    assert "--range: got '9:3'" in fails(capsys, "render", video, "-o", out, "--range", "9:3")
    assert "multi: got '1/2'" in fails(capsys, "render", video, "-o", out, "--multi", "1/2")
    assert "another file than the input" in fails(capsys, "render", video, "-o", video, "-y")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fps", "5"], "--fps: got '5', allowed: a rate of at least the clip's own, 10"),
        (["--fps", "30", "--slow-motion"], "--slow-motion: given, allowed: not together with a target rate (--fps)"),
        (["--scale", "1/3"], '--scale: got 0.3333333333333333, allowed: "auto" or one of 1.0, 0.5, 0.25, 0.125'),
        (["--num-streams", "0"], "--num-streams: got 0, allowed: an integer from 1 to 64"),
        (["--multi", "0.5"], "--multi: got '0.5', allowed: a number of at least 1, such as 2, 2.5 or \"5/2\""),
        (
            ["--curved", "--num-streams", "2"],
            "--num-streams: got 2, allowed: 1 with curved, whose pairs need each other's flow",
        ),
        (["--sc-threshold", "7"], "--sc-threshold: got 7.0, allowed: a number in [0, 1]"),
    ],
)
def test_errors_speak_of_options(video, capsys, options, said):
    assert fails(capsys, "script", video, *options) == f"vs-slomo: {said}\n"


def test_auto_is_a_scale(video, capsys):
    assert main(["script", video, "--scale", "auto"]) == 0
    assert "scale='auto'" in capsys.readouterr().out


def test_curved_is_a_switch(video, capsys):
    for option, said in (("--curved", True), ("--no-curved", False)):
        assert main(["script", video, option]) == 0
        assert f"curved={said}" in capsys.readouterr().out
    assert main(["script", video]) == 0
    assert "curved" not in capsys.readouterr().out


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_debug_anywhere(place, tmp_path):
    command = ["render", "no.mp4", "-o", str(tmp_path / "x.mp4")]
    with pytest.raises(SourceError, match="does not exist"):
        main([*command[:place], "--debug", *command[place:]])
    assert not parser().parse_args(command).debug


def test_debug_behind_an_action():
    assert parser().parse_args(["weights", "list", "--debug"]).debug


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--multi", "4", "--fps", "60"], "argument --fps: not allowed with argument --multi"),
        *(
            (
                ["--fps", rate],
                f"argument --fps: got '{rate}', allowed: frames a second, such as 60, 59.94 or 60000/1001",
            )
            for rate in ("fast", "60/0", "0", "-24", "nan")
        ),
        (["--scale", "half"], "argument --scale: got 'half', allowed: 1, 1/2, 1/4, 1/8 or auto"),
        (["--audio", "keep"], "argument --audio: invalid choice: 'keep'"),
        (["--ffmpeg-options", "-tune 'film"], "argument --ffmpeg-options: invalid"),
        (["--source", "dgdec"], "argument --source: invalid choice: 'dgdec'"),
    ],
)
def test_refused_arguments(arguments, message, capsys):
    assert message in refused(capsys, "render", "in.mp4", "-o", "out.mp4", *arguments)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", Fraction(60)),
        ("59.94", Fraction(60000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("60000/1001", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("30.0", Fraction(30)),
    ],
)
def test_rates_as_they_are_written(text, rate):
    assert frame_rate(text) == rate


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise")
def test_whoever_reads_may_stop(video):
    command = [sys.executable, "-m", "vs_slomo", "script", video]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False, env=os.environ)
    os.close(write)
    assert (done.returncode, b"Traceback" in done.stderr) == (141, False), done.stderr.decode()


@pytest.fixture
def heeding_ctrl_c():
    """What runs in a shell's background ignores it, and whatever that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise")
def test_ctrl_c_leaves_nothing(tmp_path, shifting_model):
    long = media.picture(tmp_path / "long.mp4", seconds=200)
    command = [sys.executable, "-m", "vs_slomo", "render", long, "-o", tmp_path / "out.mp4", "--model", shifting_model]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=os.environ
    ) as process:
        until = time.monotonic() + 120
        while not any(partial.stat().st_size for partial in tmp_path.glob(".*.mp4")):
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < until
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err.decode()
    assert err.decode().endswith("vs-slomo: stopped\n")
    assert out == b""
    assert [x.name for x in tmp_path.iterdir()] == ["long.mp4"]
