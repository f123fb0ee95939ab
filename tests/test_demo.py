"""The demonstration."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from vs_slomo.cli import demo as module
from vs_slomo.cli import main
from vs_slomo.errors import ArgumentError
from vs_slomo.measure.demo import SHOWN_RATE, demo, scene_clip
from vs_slomo.measure.landscape import Landscape, fill, lay
from vs_slomo.video.source import source


def test_the_scene_is_the_same_each_time_and_moves():
    frames = [np.asarray(scene_clip(3, Fraction(1), 64, 48).get_frame(n)[0]).copy() for n in (0, 0, 2)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_a_scene_has_its_own_frames_at_any_size():
    for size in ((16, 16), (64, 48), (640, 360)):
        scene = Landscape(*size)
        here, there, again = (scene.frame(t).astype(float) for t in (3.0, 3.5, 3.0))
        assert here.shape == (size[1], size[0], 3)
        assert np.array_equal(here, again)
        assert 0.1 < np.abs(here - there).mean() < 40


def test_a_layer_moves_by_parts_of_a_pixel():
    layer, picture = np.zeros((9, 9, 4), np.float32), np.zeros((9, 12, 4), np.float32)
    fill(layer, np.array([[3.0, 3], [6, 3], [6, 6], [3, 6]]), (1, 1, 1))
    lay(picture, layer, shift=2.5)
    columns = picture[..., 3].sum(0)
    assert (columns * np.arange(12)).sum() / columns.sum() == pytest.approx(
        (layer[..., 3].sum(0) * np.arange(9)).sum() / layer[..., 3].sum() + 2.5, abs=0.05
    )


def test_the_command_writes_the_video_and_beats_blending(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--frames", "3", "--multi", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("vs-slomo-demo.mp4: 0.2 s")
    got, blended = map(float, re.findall(r"([\d.]+) dB", printed))
    assert got > blended + 1
    assert ("vapoursynth config" in printed) is not module.vspipe_starts()
    clip = source(tmp_path / "vs-slomo-demo.mp4")
    assert (len(clip), clip.fps, clip.width, clip.height) == (5, SHOWN_RATE, 1280, 360)
    frames = [np.asarray(clip.get_frame(n)[0]).astype(float) for n in (0, 1, 2)]
    left, right = (
        [np.abs(f[:300, x] - frames[0][:300, x]).mean() for f in frames] for x in (slice(640), slice(640, None))
    )
    assert left[1] < 0.3 * left[2]  # held, and then the next source frame
    assert right[1] > 0.3 * right[2]


def test_it_says_what_vspipe_needs(monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
    assert not module.vspipe_starts()


@pytest.mark.parametrize("name", ["multi", "frames"])
def test_one_is_not_enough(tmp_path, name):
    with pytest.raises(ArgumentError, match=f"{name}: got 1, allowed: an integer from 2 to 1"):
        demo(tmp_path / "x.mp4", **{name: 1})
