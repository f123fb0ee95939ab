"""Frames picked by pattern, and planes to tensors and back."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import core, counting, moving, planes, same
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.clips import frames
from vs_slomo.clips.select import CHUNK, LONGEST, next_frames, per_output_frame, select, shifted
from vs_slomo.errors import FormatError
from vs_slomo.timing.positions import Timeline, Timing

PRESETS = [f for f in vs.PresetVideoFormat if f.name not in ("NONE", "GRAY32")]
by_name = pytest.mark.parametrize("preset", PRESETS, ids=lambda f: f.name)

BLANK = core.std.BlankClip(format=vs.GRAY8, width=16, height=16, length=50, keep=True)


def number(n, f):
    out = f.copy()
    out.props["N"] = n
    return out


NUMBERED = BLANK.std.ModifyFrame(BLANK, number)


def numbers(clip):
    return [clip.get_frame(n).props["N"] for n in range(len(clip))]


# --- picking ----------------------------------------------------------------------------------------------


@given(st.data())
def test_select(data):
    frames_there, cycle = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 8))
    offsets = data.draw(st.lists(st.integers(0, cycle - 1), min_size=1, max_size=8))
    length = data.draw(st.integers(1, 40))
    got = select(NUMBERED[:frames_there], cycle, offsets, length)
    want = [cycle * (n // len(offsets)) + offsets[n % len(offsets)] for n in range(length)]
    assert numbers(got) == [min(k, frames_there - 1) for k in want]
    assert got.fps == NUMBERED.fps


@pytest.mark.parametrize("periods", [1, 3])
def test_select_by_a_pattern_too_long_for_the_host(periods):
    """Its search for duplicates takes quadratic time: such a pattern is laid out in pieces."""
    rng = np.random.default_rng(0)
    offsets = rng.integers(0, 15, LONGEST + 1).tolist()
    got = select(NUMBERED, 15, offsets, periods * len(offsets) - 7)
    assert len(got) == periods * len(offsets) - 7
    for n in [*rng.integers(0, len(got), 40), 0, CHUNK, len(got) - 1]:
        k = 15 * (int(n) // len(offsets)) + offsets[int(n) % len(offsets)]
        assert got.get_frame(int(n)).props["N"] == min(k, 49)


def test_a_long_clip_is_not_listed():
    """A player's clip may have no known end."""
    clip = core.std.BlankClip(format=vs.GRAY8, width=16, height=16, length=200_000_000, keep=True)
    got = per_output_frame(clip, Timing(len(clip), Fraction(5, 2)))
    assert len(got) == 500_000_000
    got.get_frame(499_999_999)


@given(st.integers(1, 12), st.integers(-30, 30))
def test_shifted(length, offset):
    got = shifted(NUMBERED[:length], offset)
    assert numbers(got) == [min(max(n + offset, 0), length - 1) for n in range(length)]


def test_next_frames():
    assert numbers(next_frames(NUMBERED[:4])) == [1, 2, 3, 3]
    assert numbers(next_frames(NUMBERED[:1])) == [0]


@given(st.integers(1, 30), st.fractions(1, 6, max_denominator=30))
def test_per_output_frame(length, multi):
    times = Timing(length, multi)
    got = per_output_frame(NUMBERED[:length], times)
    assert numbers(got) == [min(times.at(n)[0], length - 1) for n in range(times.length)]


def test_per_output_frame_of_a_timeline():
    times = Timeline(9, tuple(map(Fraction, (0, 3, "5/2", 8, 40, "1/3"))))
    assert numbers(per_output_frame(NUMBERED[:9], times)) == [0, 3, 2, 8, 8, 0]


def test_picking_asks_for_the_picked_frames_only():
    clip, requests = counting(NUMBERED)
    got = select(clip, 7, [3, 1], 10)
    assert requests == []
    got.get_frame(4)
    assert requests == [17]


# --- planes -----------------------------------------------------------------------------------------------


@by_name
def test_plane_groups(preset):
    """All planes once; each group's ratio is its planes' size."""
    clip = core.std.BlankClip(format=preset, width=64, height=48, length=1)
    frame, groups = clip.get_frame(0), frames.plane_groups(clip.format)
    assert [p for group, _, _ in groups for p in group] == list(range(clip.format.num_planes))
    for group, x, y in groups:
        assert {np.asarray(frame[p]).shape for p in group} == {(48 * y, 64 * x)}
    if clip.format.subsampling_w == clip.format.subsampling_h == 0:
        assert len(groups) == 1


@by_name
@pytest.mark.parametrize(("width", "height"), [(16, 16), (52, 20)])
def test_planes_come_back_to_the_bit(preset, width, height):
    """Every value of the format, though rows are longer than the picture; what is written is not the source."""
    blank = core.std.BlankClip(format=preset, width=width, height=height, length=1)
    rng, source = np.random.default_rng(int(preset)), blank.get_frame(0).copy()
    integers = blank.format.sample_type == vs.INTEGER
    for p in range(blank.format.num_planes):
        plane = np.asarray(source[p])
        top = 2**blank.format.bits_per_sample
        plane[...] = rng.integers(0, top, plane.shape) if integers else rng.normal(0, 2, plane.shape)
    target = blank.get_frame(0).copy()
    for group, _, _ in frames.plane_groups(blank.format):
        tensor = frames.read_planes(source, group)
        assert tensor.dtype == torch.float32
        assert tensor.shape == (1, len(group), *np.asarray(source[group[0]]).shape)
        frames.write_planes(target, group, tensor)
    assert same(target, source)
    assert not same(target, blank.get_frame(0))


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.GRAY10, vs.GRAY16], ids=lambda f: f.name)
def test_integers_are_rounded_and_clamped(preset):
    clip = core.std.BlankClip(format=preset, width=16, height=16, length=1)
    frame, top = clip.get_frame(0).copy(), 2**clip.format.bits_per_sample - 1
    values = [-1e9, -0.6, 0.4, 0.6, 1.4999, 100.501, top - 0.4, top + 0.4, top + 1, 1e9, math.inf, -math.inf]
    tensor = torch.zeros(1, 1, 16, 16)
    tensor[0, 0, 0, : len(values)] = torch.tensor(values)
    frames.write_planes(frame, [0], tensor)
    got = np.asarray(frame[0])[0, : len(values)].tolist()
    assert got == [0, 0, 0, 1, 1, 101, top, top, top, top, top, 0]


def test_rgb_of_rgb_gray_and_yuv():
    colour = [0.25, 0.5, 0.75]
    rgb = core.std.BlankClip(format=vs.RGBS, width=20, height=16, length=1, color=colour).get_frame(0)
    got = frames.read_rgb(rgb, torch.eye(3))
    assert got.shape == (1, 3, 32, 32)
    assert all((got[0, c] == colour[c]).all() for c in range(3))
    gray = core.std.BlankClip(format=vs.GRAYH, width=16, height=16, length=1, color=0.25).get_frame(0)
    assert (frames.read_rgb(gray, torch.eye(3)) == 0.25).all()
    yuv = core.std.BlankClip(format=vs.YUV444PS, width=16, height=16, length=1, color=[0.5, 0.1, -0.2]).get_frame(0)
    matrix = torch.tensor([[1.0, 0.0, 1.5], [1.0, -0.25, -0.5], [1.0, 2.0, 0.0]])
    got = frames.read_rgb(yuv, matrix)
    for c, value in enumerate((0.2, 0.575, 0.7)):
        assert torch.allclose(got[0, c], torch.tensor(value))


def test_rgb_repeats_the_edge():
    clip = moving(vs.RGBS, 40, 33, 1)
    got = frames.read_rgb(clip.get_frame(0), torch.eye(3))
    assert got.shape == (1, 3, 64, 64)
    assert (got[..., 40:] == got[..., 39:40]).all()
    assert (got[..., 33:, :] == got[..., 32:33, :]).all()
    assert np.allclose(got[0, :, :33, :40].numpy(), planes(clip.get_frame(0)))


# --- frames -----------------------------------------------------------------------------------------------


def with_alpha(clip, alpha):
    return clip.std.ClipToProp(alpha, prop="_Alpha").get_frame(0)


@by_name
def test_identical(preset):
    clip = moving(preset, 32, 32, 1)
    a, b = clip.get_frame(0), clip.get_frame(0).copy()
    assert frames.identical(a, b)
    last = np.asarray(b[a.format.num_planes - 1])
    last[-1, -1] = 0 if last[-1, -1] else 1
    assert not frames.identical(a, b)


def test_identical_looks_at_alpha():
    clip, alpha = moving(vs.YUV420P8, 32, 32, 1), moving(vs.GRAY8, 32, 32, 2)
    assert frames.identical(with_alpha(clip, alpha[0]), with_alpha(clip, alpha[0]))
    assert not frames.identical(with_alpha(clip, alpha[0]), with_alpha(clip, alpha[1]))
    assert frames.identical(with_alpha(clip, alpha[0]), clip.get_frame(0))


def test_alpha():
    clip = moving(vs.YUV420P8, 32, 32, 1)
    assert frames.alpha(clip.get_frame(0)) is None
    assert frames.alpha(clip.std.SetFrameProps(_Alpha=1).get_frame(0)) is None
    assert same(frames.alpha(with_alpha(clip, moving(vs.GRAY8, 32, 32, 1))), moving(vs.GRAY8, 32, 32, 1).get_frame(0))
    message = "clip: got an alpha of 16x32, allowed: the picture's own size, 32x32"
    with pytest.raises(FormatError, match=f"^{re.escape(message)}$"):
        frames.alpha(with_alpha(clip, moving(vs.GRAY8, 16, 32, 1)))


def test_new_frame():
    source = (
        moving(vs.GRAY8, 16, 16, 1).std.SetFrameProps(_PictType="I", _AbsoluteTime=1.5, _Matrix=1, Mine=2).get_frame(0)
    )
    made = frames.new_frame(source)
    assert same(made, source)
    assert source.props["_PictType"] == "I"
    assert dict(made.props) == {k: v for k, v in source.props.items() if k not in ("_PictType", "_AbsoluteTime")}
    np.asarray(made[0])[...] = 0
    assert not same(made, source)
