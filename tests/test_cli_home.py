"""The command where people work: efforts, previews, names, devices, completion, keyframe files."""

from __future__ import annotations

import subprocess
import sys

import media
import numpy as np
import pytest

from vs_slomo.cli import main
from vs_slomo.cli.graph import EFFORTS
from vs_slomo.cli.render import free_name
from vs_slomo.engine import devices
from vs_slomo.video.source import source

FAST = ["--preset", "ultrafast", "--effort", "draft"]


@pytest.fixture
def video(tmp_path):
    return str(media.picture(tmp_path / "in.mp4", seconds=0.5))


@pytest.fixture
def here(tmp_path, monkeypatch):
    (folder := tmp_path / "work").mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_stands_for_options(video, capsys, effort):
    assert main(["script", video, "--effort", effort]) == 0
    printed = capsys.readouterr().out
    for name, value in EFFORTS[effort].items():
        assert f"{name}={value!r}" in printed
    if not EFFORTS[effort]:
        assert "clip = slomo(clip)\n" in printed


def test_what_is_given_beside_an_effort_counts(video, capsys):
    assert main(["script", video, "--effort", "best", "--scale", "1/2", "--no-curved"]) == 0
    printed = capsys.readouterr().out
    assert "scale=0.5" in printed
    assert "curved=False" in printed
    for others in (["--dedupe"], ["--num-streams", "2"]):
        assert main(["script", video, "--effort", "best", *others]) == 0
        assert "curved" not in capsys.readouterr().out


def test_a_name_that_is_not_there_yet(video, here, caplog):
    caplog.set_level("INFO", logger="vs_slomo")
    assert main(["render", video, *FAST, "--range", ":2"]) == 0
    first = (here / "in.slomo.mp4").read_bytes()
    assert main(["render", video, *FAST, "--range", ":3"]) == 0
    assert (here / "in.slomo.mp4").read_bytes() == first
    assert len(source(here / "in.slomo-2.mp4")) == 6
    assert "in.mp4: on the CPU" in caplog.text
    assert "in.slomo-2.mp4: 6 frames of " in caplog.text


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("x/film.mkv", "film.slomo.mkv"),
        ("film.AVI", "film.slomo.mkv"),
        ("frames/%05d.png", "frames.slomo.mkv"),
        ("shot_%03d.png", "shot.slomo.mkv"),
        ("a film.2.mp4", "a film.2.slomo.mp4"),
    ],
)
def test_names_of_outputs(here, given, name):
    assert free_name(given, "slomo") == name
    (here / name).symlink_to("nothing")  # even a link that leads nowhere is left alone
    assert free_name(given, "slomo") == name.replace(".slomo.", ".slomo-2.")


def test_a_preview_shows_both(tmp_path, here, shifting_model):
    video = str(media.picture(tmp_path / "in.mp4", size="320x180", seconds=0.5))
    whole = source(video)
    told = ["--model", str(shifting_model), "--preset", "ultrafast", "--multi", "2", "--codec", "x264", "--crf", "1"]
    assert main(["render", video, "--preview", *told]) == 0
    both = source(here / "in.preview.mp4")
    assert (both.width, both.height, len(both)) == (2 * whole.width, whole.height, 2 * len(whole))
    for n in (4, 6):  # the source's own frames stand on both sides
        left, right = np.split(np.asarray(both.get_frame(n)[0]).astype(float), 2, axis=1)
        assert np.abs(left[40:] - right[40:]).mean() < 2  # below the titles
        assert np.abs(left[40:] - np.asarray(whole.get_frame(n // 2)[0])[40:]).mean() < 2


def test_a_preview_takes_the_middle(tmp_path, here, shifting_model):
    video = media.picture(tmp_path / "long.mp4", seconds=9)
    assert main(["render", str(video), "--preview", "--model", str(shifting_model), "--preset", "ultrafast"]) == 0
    rate = source(video).fps
    assert abs(len(source(here / "long.preview.mp4")) - 2 * 4 * rate) <= 4


def test_a_preview_has_no_curve(tmp_path, video, here, capsys):
    (curve := tmp_path / "ramp.txt").write_text("0 0\n1 0.4\n")
    assert main(["render", video, "--preview", "--curve", str(curve)]) == 1
    assert capsys.readouterr().err == "vs-slomo: --preview: given, allowed: not together with a curve\n"


def test_devices(capsys):
    assert main(["devices"]) == 0
    said = capsys.readouterr().out
    for name in ("PyTorch", "CPU", "GPU", "used", "ffmpeg", "encoders", "source filters", "plugins"):
        assert f"\n{name} " in f"\n{said}"
    assert "x264" in said
    assert "bs" in said


def test_why_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", None)
    assert devices.why_no_cuda().endswith("is a build without CUDA")
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.why_no_cuda() == "CUDA_VISIBLE_DEVICES hides all GPUs"
    assert devices.where("cpu").startswith("on the CPU")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert devices.why_no_cuda() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_commands_and_options(capsys, shell):
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    for word in ("render", "devices", "effort", "slow-motion"):
        assert word in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 0\n\n# a comment\n2 1\n1 2\n", "line 4 at 2, and {}, line 5 at 1', allowed: output times that grow"),
        ("0 0\nsoon 1\n", "soon as {}, line 2's output time"),
        ("# nothing\n", "allowed: at least one line of output time and source time"),
        ("0 0\n1 1 quick\n", "line 2: 1 1 quick"),
    ],
)
def test_keyframe_files_are_named_with_their_line(tmp_path, video, capsys, text, said):
    (curve := tmp_path / "ramp.txt").write_text(text)
    assert main(["script", video, "--curve", str(curve)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vs-slomo: --curve: got ")
    assert said.format("ramp.txt") in error


@pytest.mark.parametrize("name", ["bs", "lsmas"])
def test_nothing_but_lines_of_ours_is_said(tmp_path, name):
    video = media.picture(tmp_path / "in.mp4", seconds=0.5)
    command = [sys.executable, "-m", "vs_slomo", "script", str(video), "--source", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "is not installed" in done.stderr:
        pytest.skip(f"{name} is not installed")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"in.mp4: opened with {name}"]
