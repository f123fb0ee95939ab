"""Every example, through the real vspipe and an encoder, and decoded again."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vs_slomo.measure.demo import RATE, scene_clip
from vs_slomo.video.probe import ffmpeg
from vs_slomo.video.render import encode
from vs_slomo.video.source import source

EXAMPLES = Path(__file__).parents[1] / "examples"
FRAMES, WIDTH, HEIGHT = 6, 160, 96

# What comes out: frames, rate, size, and which of them are frames of the source.
EXPECTED = {
    "ffmpeg.vpy": (24, RATE, (160, 96), {0: 0, 4: 1, 20: 5}),
    "x264.vpy": (12, 2 * RATE, (160, 96), {0: 0, 2: 1, 10: 5}),
    "to_60fps.vpy": (24, Fraction(60), (160, 96), {0: 0, 4: 1, 20: 5}),
    "chain.vpy": (15, RATE * 5 / 2, (120, 72), {}),
    "mlrt.vpy": (12, 2 * RATE, (160, 96), {0: 0, 2: 1, 10: 5}),
    "motion_blur.vpy": (6, RATE, (160, 96), {}),
    "mpv.vpy": (12, 2 * RATE, (160, 96), {0: 0, 2: 1}),
    "mpv_display.vpy": (12, 2 * RATE, (160, 96), {0: 0, 2: 1}),
    "speed_ramp.vpy": (12, RATE, (160, 96), {}),
    "vfr_to_cfr.vpy": (24, Fraction(60), (160, 96), {0: 0, 4: 1, 20: 5}),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return encode(scene_clip(FRAMES, Fraction(1, 2), WIDTH, HEIGHT), tmp_path_factory.mktemp("video") / "in.mkv", crf=0)


def test_every_example_is_here():
    assert {p.name for p in EXAMPLES.glob("*.vpy")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(vspipe, name, video, tmp_path):
    count, rate, size, originals = EXPECTED[name]
    y4m = tmp_path / "out.y4m"
    given = ["-a", f"input={video}", "-a", f"onnx={tmp_path / 'model.onnx'}"]
    piped = subprocess.run(
        [vspipe, "-c", "y4m", *given, EXAMPLES / name, y4m], capture_output=True, text=True, check=False
    )
    assert piped.returncode == 0, piped.stderr
    assert f"Output {count} frames" in piped.stderr

    encoded = tmp_path / "out.mp4"
    subprocess.run([ffmpeg(), "-v", "error", "-i", y4m, "-c:v", "libx264", "-crf", "1", encoded], check=True)
    made, given = source(encoded), source(video)
    assert (len(made), made.fps, (made.width, made.height)) == (count, rate, size)
    luma = [np.asarray(f[0]).astype(float) for f in made.frames()]
    for n, k in originals.items():
        true = np.asarray(given.get_frame(k)[0]).astype(float)
        assert np.abs(luma[n] - true).mean() < 1
    assert all(np.abs(a - b).mean() < 15 for a, b in pairwise(luma))  # no frame is astray


@pytest.mark.parametrize("name", ["speed_ramp.vpy", "vfr_to_cfr.vpy"])
def test_example_without_an_input(vspipe, name, tmp_path):
    piped = subprocess.run(
        [vspipe, "-c", "y4m", "--end", "3", EXAMPLES / name, tmp_path / "out.y4m"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert piped.returncode == 0, piped.stderr


def test_x264_takes_the_pipe(vspipe, video, tmp_path):
    x264 = shutil.which("x264")
    if not x264:
        pytest.skip("x264 is not installed")
    out = tmp_path / "out.mkv"
    with subprocess.Popen(
        [vspipe, "-c", "y4m", "-a", f"input={video}", EXAMPLES / "x264.vpy", "-"], stdout=subprocess.PIPE
    ) as pipe:
        subprocess.run([x264, "--quiet", "--demuxer", "y4m", "-o", out, "-"], stdin=pipe.stdout, check=True)
    assert len(source(out)) == EXPECTED["x264.vpy"][0]
