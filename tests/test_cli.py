"""The command, as it is typed."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction

import media
import pytest
import torch

from vs_slomo.cli import main
from vs_slomo.cli.app import ToStderr
from vs_slomo.cli.flags import frame_range, frame_rate
from vs_slomo.cli.progress import Bar
from vs_slomo.errors import SourceError, WeightsError
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
    """Run a command whose arguments are refused, and return what it says, without the box around it."""
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (2, "")
    return " ".join(said.err.replace("│", " ").split())


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


def test_script(video, shifting_model, capsys):
    assert (
        main(["script", video, "--fps", "23.976", "--range", "0.2s:", "--model", str(shifting_model), "--no-sc"]) == 0
    )
    printed = capsys.readouterr().out
    assert f"clip = source({video!r})\nclip = clip[2:6]\n" in printed
    assert f"clip = slomo(clip, fps_num=24000, fps_den=1001, model={str(shifting_model)!r}, sc=False)\n" in printed
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
    told = f"curve={str(curve)!r}, unit='frames', shutter=5, shutter_angle=90.0"
    assert f"clip = retime(clip, {told}, model={str(shifting_model)!r})\n" in printed
    said = fails(capsys, "script", video, "--shutter", "5")
    assert said == "vs-slomo: --shutter: got 5, allowed: only together with --curve FILE\n"
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
        (["--sc-threshold", "7"], "--sc-threshold: got 7.0, allowed: a number in [0, 1]"),
        (["--dedupe-threshold", "7"], "--dedupe-threshold: got 7.0, allowed: a threshold in (0, 1]"),
        (
            ["--dedupe", "--curved"],
            "--curved: given, allowed: not together with --dedupe, whose pictures come at uneven times",
        ),
    ],
)
def test_errors_speak_of_options(video, capsys, options, said):
    assert fails(capsys, "script", video, *options) == f"vs-slomo: {said}\n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            ["script", "VIDEO", "--start", "9", "--end", "3"],
            "--start and --end: got '9' and '3', allowed: 0 <= start < end",
        ),
        (["script", "VIDEO", "--start=1:30"], "--start: got '1:30', allowed: 0 <= start < end <= "),
        (
            ["script", "VIDEO", "--start", "2", "--end", "2s"],
            "allowed: both frame numbers, as in 100 and 250, or both seconds",
        ),
        (["render", "VIDEO", "-o", "VIDEO"], "--output: got "),
        (["demo", "-o", "VIDEO"], "allowed: a file that is not there yet, or --overwrite\n"),
        (["script", "VIDEO", "--model", "none"], "vs-slomo: --model: 'none' is neither a file nor the name of a model"),
        (["weights", "show", "none"], "vs-slomo: MODEL: 'none' is neither a file nor the name of a model"),
        (["evaluate", "none"], "vs-slomo: FOLDER: got 'none', allowed: a folder\n"),
        (["render", "none*.mkv", "-o", "x.mkv"], "vs-slomo: INPUT: got 'none*.mkv', allowed: a file, or a pattern"),
    ],
)
def test_errors_are_in_the_commands_terms(video, capsys, call, said):
    found = fails(capsys, *(str(video) if word == "VIDEO" else word for word in call))
    assert said in found
    assert "=True" not in found
    assert "span" not in found


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
    assert main(command) == 1


def test_debug_behind_an_action():
    with pytest.raises(WeightsError, match="neither a file"):
        main(["weights", "show", "gone", "--debug"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--multi", "4", "--fps", "60"], "--multi and --fps exclude each other"),
        *(
            (
                ["--fps", rate],
                f"--fps: got '{rate}', allowed: frames a second, such as 60, 59.94 or 60000/1001",
            )
            for rate in ("fast", "60/0", "0", "-24", "nan")
        ),
        (["--scale", "half"], "--scale: got 'half', allowed: 1, 1/2, 1/4, 1/8 or auto"),
        (["--borders", "wide"], "--borders: got 'wide', allowed: auto or left,top,right,bottom in pixels"),
        (["--colour-range", "2"], "--colour-range: got '2', allowed: limited or full"),
        (["--start", "1:2:3:4"], "--start: got '1:2:3:4', allowed: a frame, such as 100, seconds, 1.5s, or"),
        (["--audio", "keep"], 'Invalid value "keep" for --audio. Choose from: "copy", "stretch", "drop".'),
        (["--ffmpeg-options", "-tune 'film"], "--ffmpeg-options: got "),
        (["--source", "dgdec"], 'Invalid value "dgdec" for --source'),
        (["--num-streams", "many"], '"many" into int'),
        (["--over"], "Unknown option: --over. Did you mean --overwrite?"),
        (["--input", "in.mp4"], "Unknown option: --input."),
        (["more.mp4"], "Too many arguments: more.mp4. See vs-slomo render --help."),
        (["--crf"], "--crf needs a value. See vs-slomo render --help."),
    ],
)
def test_refused_arguments(arguments, message, capsys):
    assert message in refused(capsys, "render", "in.mp4", "-o", "out.mp4", *arguments)


def test_what_is_missing(capsys):
    assert "INPUT is missing. See vs-slomo render --help." in refused(capsys, "render")
    assert "URL is missing. See vs-slomo weights fetch --help." in refused(capsys, "weights", "fetch")
    assert 'Unknown command "rende". Did you mean "render"?' in refused(capsys, "rende")


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


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0:01:30-0:02:00", "90s:120s"),
        ("1:30.25-", "90.25s:"),
        ("-1:00:00", ":3600s"),
        ("100:250", "100:250"),
        ("-5", "-5"),
        ("1-2", "1-2"),
    ],
)
def test_clock_times(text, span):
    assert frame_range(text) == span


@pytest.mark.parametrize(
    "options",
    [
        ["--range", "0.2s:0.5s"],
        ["--range=0:00.2-0:00.5"],
        ["--start", "0.2s", "--end", "0:00:00.5"],
        ["--start", "2", "--end", "5"],
        ["--range", ":1", "--range", "2:5"],
    ],
)
def test_a_part(video, capsys, options):
    assert main(["script", video, *options]) == 0
    assert "clip = clip[2:5]\n" in capsys.readouterr().out


def test_what_begins_with_a_dash(video, tmp_path, capsys, shifting_model, monkeypatch):
    for option in (["--range=-5"], ["--range", "-5"]):
        assert "--range: got '-5', allowed: " in fails(capsys, "script", video, *option)
    assert "--sc-threshold: got -1.0" in fails(capsys, "script", video, "--sc-threshold", "-1")
    said = fails(capsys, "script", video, "--start", "1", "--end", "2s")
    assert "--start and --end: got '1' and '2s', allowed: " in said
    said = fails(capsys, "script", video, "--range", ":3", "--start", "2")
    assert said == "vs-slomo: --range: got ':3', allowed: not together with --start or --end\n"
    monkeypatch.chdir(tmp_path)
    media.picture(tmp_path / "-in.mp4", seconds=0.3)
    options = ["--model", str(shifting_model), "--preset", "ultrafast", "--ffmpeg-options", "-tune film"]
    assert main(["render", "-o", "out.mp4", *options, "--", "-in.mp4"]) == 0
    assert len(source(tmp_path / "out.mp4")) == 6


def test_every_option_of_slomo(video, capsys):
    options = "--tile 256 --sc-action blend --dedupe --max-gap 3 --borders 0,4,0,4 --matrix 1 --colour-range full"
    assert main(["script", video, *options.split(), "--debug-view", "t", "--slow-motion"]) == 0
    told = "tile=256, sc_action='blend', dedupe=True, max_gap=3, borders=(0, 4, 0, 4), matrix=1, range=1, debug='t'"
    assert f"clip = slomo(clip, slow_motion=True, {told})\n" in capsys.readouterr().out
    assert main(["script", video, "--dedupe-threshold", "0.02", "--borders", "auto"]) == 0
    assert "borders='auto', dedupe=0.02)" in capsys.readouterr().out


def test_the_debug_view_has_no_curve(tmp_path, capsys, video):
    (curve := tmp_path / "ramp.txt").write_text("0 0\n4 6\n")
    said = fails(capsys, "script", video, "--curve", curve, "--unit", "frames", "--debug-view", "flow")
    assert said == "vs-slomo: --debug-view: got 'flow', allowed: not together with a curve\n"


COMMANDS = ("render", "script", "demo", "evaluate", "compare", "bench", "train", "devices", "completion", "weights")


def test_help(capsys):
    assert main([]) == 0
    bare = capsys.readouterr()
    assert main(["--help"]) == 0
    assert capsys.readouterr() == bare
    assert bare.err == ""
    for command in COMMANDS:
        assert f"│ {command} " in bare.out
        assert main([command, "--help"]) == 0
        said = capsys.readouterr().out
        first, *_, example = said.split("\n\n╭")[0].split("\n\n")[1:]
        assert first.replace("\n", " ").rstrip().endswith(".")
        assert f"vs-slomo {command}" in example


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("vs-slomo ")


HEAVY = ("torch", "numpy", "vapoursynth", "cv2", "safetensors")


@pytest.mark.parametrize("arguments", [["--help"], ["render", "--help"], ["--version"]])
def test_it_loads_little(arguments):
    code = f"import sys; from vs_slomo.cli import main; main({arguments}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {*HEAVY} & {*done.stderr.split()}


def test_without_cyclopts():
    code = "import sys; sys.modules['cyclopts'] = None; from vs_slomo.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "vs-slomo: the command needs the package cyclopts: pip install cyclopts\n"


def test_what_is_logged_stands_above_the_bar(capsys):
    with Bar() as bar:
        bar(1, 4)
        ToStderr().handle(logging.makeLogRecord({"msg": "a note"}))
        bar(4, 4)
    assert capsys.readouterr().err.splitlines()[0].strip() == "a note"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise")
def test_whoever_reads_may_stop(video):
    command = [sys.executable, "-m", "vs_slomo", "script", video]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False, env=os.environ)
    os.close(write)
    assert (done.returncode, b"Traceback" in done.stderr) == (141, False), done.stderr.decode()


def has_more_than(file):
    """Whether something is written beside a file; the trial before the first frame comes and goes."""
    with suppress(FileNotFoundError):
        return any(path.stat().st_size for path in file.parent.iterdir() if path != file)
    return False


def whole_parts(folder):
    """Return the names of the segments that are noted as whole."""
    with suppress(FileNotFoundError):
        lines = (folder / "parts.jsonl").read_text().splitlines()
        return [json.loads(line)["part"]["name"] for line in lines if '"part"' in line and line.endswith("}}")]
    return []


@pytest.fixture
def heeding_ctrl_c():
    """What runs in a shell's background ignores it, and whatever that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise")
@pytest.mark.parametrize("segment", [100, 1])
def test_ctrl_c_leaves_whole_segments_alone(tmp_path, shifting_model, segment):
    long, parts = media.picture(tmp_path / "long.mp4", seconds=200), tmp_path / "out.mp4.parts"
    command = [sys.executable, "-m", "vs_slomo", "render", long, "-o", tmp_path / "out.mp4", "--model", shifting_model]
    command += ["--segment", str(segment)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=os.environ
    ) as process:
        until = time.monotonic() + 120
        while not (has_more_than(long) if segment == 100 else whole_parts(parts)):
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < until
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGINT, err.decode()
    assert "Traceback" not in err.decode()
    assert out == b""
    if segment == 100:  # longer than it ran
        assert [x.name for x in tmp_path.iterdir()] == ["long.mp4"]
        return
    assert sorted(x.name for x in tmp_path.iterdir()) == ["long.mp4", "out.mp4.parts"]
    assert "the same command goes on there" in " ".join(err.decode().split())
    assert sorted(x.name for x in parts.glob("*.mp4")) == sorted(whole_parts(parts))


@pytest.mark.parametrize(("stage", "step", "seconds", "done"), [(1, 10, 0, True), (1, 3, 60, True), (1, 9, 59, False)])
def test_a_run_that_is_finished_says_so(tmp_path, capsys, monkeypatch, stage, step, seconds, done):
    (tmp_path / "run").mkdir()
    torch.save({"stage": stage, "step": step, "seconds": seconds}, tmp_path / "run" / "last.pt")
    stages = '[[stage]]\nname = "a"\nsteps = 5\n[[stage]]\nname = "b"\nsteps = 10\nminutes = 1\n'
    (config := tmp_path / "run.toml").write_text(f'data = "none"\nrun = "{(tmp_path / "run").as_posix()}"\n{stages}')
    went_on = []
    monkeypatch.setattr("vs_slomo.training.loop.train", lambda *_, **options: went_on.append(options))
    assert main(["train", str(config), "--resume"]) == 0
    assert (went_on == []) == done
    assert ("is finished" in capsys.readouterr().out) == done
