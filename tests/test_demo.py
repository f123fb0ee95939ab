"""The demonstration."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from vs_slomo.cli import main
from vs_slomo.errors import ArgumentError
from vs_slomo.measure.demo import RATE, demo, scene_clip
from vs_slomo.video.source import source


def test_the_scene_is_the_same_each_time_and_moves():
    frames = [np.asarray(scene_clip(3, Fraction(1), 64, 48).get_frame(n)[0]).copy() for n in (0, 0, 2)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_the_command_writes_the_video_and_beats_blending(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--frames", "3", "--multi", "2"]) == 0
    printed = capsys.readouterr().out
    got, blended = (float(x.split()[0]) for x in printed.split("PSNR of the new frames: ")[1].split("blending "))
    assert got > blended + 1
    clip = source(tmp_path / "vs-slomo-demo.mp4")
    assert (len(clip), clip.fps, clip.width, clip.height) == (5, 2 * RATE, 640, 360)


@pytest.mark.parametrize("name", ["multi", "frames"])
def test_one_is_not_enough(tmp_path, name):
    with pytest.raises(ArgumentError, match=f"{name}: got 1, allowed: an integer of at least 2"):
        demo(tmp_path / "x.mp4", **{name: 1})
