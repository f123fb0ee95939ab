"""motion(): signs, values and places of flow and masks, where they are known."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import from_pictures, moving, picture, same
from conftest import SHIFT

from vs_slomo.clips import cuts
from vs_slomo.clips.durations import duration
from vs_slomo.clips.frames import read_planes, write_planes
from vs_slomo.errors import ArgumentError
from vs_slomo.filters.motion import MotionClips, coloured, motion, occlusion
from vs_slomo.filters.slomo import slomo
from vs_slomo.model.warp import backwarp

X, Y = SHIFT


@pytest.fixture
def made(shifting_model):
    """The motion of a clip, by the model whose flow is SHIFT everywhere."""

    def made(clip, **options):
        return motion(clip, model=shifting_model, device="cpu", **options)

    return made


def plane(clip, n=0, p=0):
    return np.asarray(clip.get_frame(n)[p]).copy()


def test_layout(made):
    clip = moving(vs.YUV420P8, 64, 48, length=3)
    clips = made(clip)
    formats = {name: getattr(clips, name).format.id for name in MotionClips._fields}
    assert formats == {
        "forward": vs.RGBS,
        "backward": vs.RGBS,
        "visibility": vs.GRAYS,
        "occluded": vs.GRAYS,
        "revealed": vs.GRAYS,
        "view": vs.RGB24,
    }
    for layer in clips:
        assert (layer.width, layer.height, len(layer), layer.fps) == (64, 48, 3, 25)
        assert duration(layer.get_frame(1)) == Fraction(1, 25)


def test_flow_is_x_to_the_right_y_downwards_and_the_length(made):
    clips = made(moving(length=3))
    for n in (0, 1):
        for p, value in enumerate((X, Y, math.hypot(X, Y))):
            np.testing.assert_allclose(plane(clips.forward, n, p), value, rtol=1e-3)
        for p, value in enumerate((-X, -Y, math.hypot(X, Y))):
            np.testing.assert_allclose(plane(clips.backward, n, p), value, rtol=1e-3)


def test_flow_leads_to_the_same_thing(made):
    """Frame n + 1 seen through the forward flow is frame n, and the other way round."""
    clip = from_pictures([picture(64, 48, n) for n in range(3)])
    clips = made(clip)
    first, second = (
        torch.tensor(np.stack([np.asarray(f[p]) for p in range(3)]))[None] for f in list(clip.frames())[:2]
    )
    for flow, there, here in ((clips.forward, second, first), (clips.backward, first, second)):
        moved = backwarp(there, read_planes(flow.get_frame(0), range(2)))
        assert (moved - here)[..., 8:-8, 8:-8].abs().max() < 1e-3


@pytest.mark.parametrize("scale", [1, 0.5, 0.25])
def test_flow_is_in_pixels_of_the_clip_at_any_scale(made, scale):
    clips = made(moving(length=2), scale=scale)
    # The model says SHIFT in pixels of its own resolution.
    np.testing.assert_allclose(plane(clips.forward, 0, 0), X / scale, rtol=1e-3)


def test_classical_flow_finds_the_true_motion(shifting_model):
    clips = motion(moving(vs.GRAY8, 128, 96, length=2), model=shifting_model, flow="dis", device="cpu")
    inside = np.s_[16:-16, 16:-16]
    assert np.median(plane(clips.forward, 0, 0)[inside]) == pytest.approx(X, abs=0.3)
    assert np.median(plane(clips.forward, 0, 1)[inside]) == pytest.approx(Y, abs=0.3)
    assert np.median(plane(clips.backward, 0, 0)[inside]) == pytest.approx(-X, abs=0.3)


def test_what_leaves_the_picture_is_occluded_and_what_enters_is_revealed(made):
    clips = made(moving(vs.GRAY8, 64, 48, length=2))
    occluded, revealed = np.zeros((48, 64)), np.zeros((48, 64))
    occluded[:, 60:] = occluded[:2] = 1  # 4 to the right, 2 upwards
    revealed[:, :4] = revealed[-2:] = 1
    np.testing.assert_array_equal(plane(clips.occluded), occluded)
    np.testing.assert_array_equal(plane(clips.revealed), revealed)


def test_visibility_is_the_second_networks(made):
    # Its logit is 0 everywhere.
    np.testing.assert_allclose(plane(made(moving(length=2)).visibility), 0.5)


def test_visibility_depends_on_t(seeing_model):
    clip = moving(vs.RGBS, length=2)
    at = [motion(clip, t=t, model=seeing_model, device="cpu").visibility for t in (0.25, 0.75)]
    early, late = map(plane, at)
    assert early.shape == (48, 64)
    assert 0 <= early.min() < early.max() <= 1
    assert np.abs(early - late).max() > 1e-4


def test_the_same_frame_twice_and_the_last_one_do_not_move(made):
    clip = moving(length=2)
    for clips, n in ((made(clip), 1), (made(clip[0] + clip[0]), 0), (made(clip[0]), 0)):
        assert not plane(clips.forward, n, 2).any()
        assert not plane(clips.occluded, n).any()
        assert (plane(clips.visibility, n) == 0.5).all()
        assert (plane(clips.view, n) == 255).all()


def test_across_a_cut_nothing_moves_and_everything_is_new(made):
    clip = moving(length=4).std.SetFrameProps(**{cuts.NEXT: 0, cuts.PREV: 0})
    clip = clip[0] + clip[1].std.SetFrameProps(**{cuts.NEXT: 1}) + clip[2:]
    clips = made(clip)
    assert not plane(clips.forward, 1).any()
    assert plane(clips.occluded, 1).all()
    assert plane(clips.revealed, 1).all()
    assert plane(clips.forward, 0).any()
    assert plane(made(clip, sc=False).forward, 1).any()


@pytest.mark.parametrize("curved", [True, False])
def test_a_pairs_flow_is_found_once_for_all_clips(shifting_model, engine_of, curved):
    clips = motion(moving(length=5), model=shifting_model, device="cpu", curved=curved)
    clips.visibility.get_frame(0)
    engine = engine_of(shifting_model)
    runs = engine.runs
    for n in (1, 2):
        for layer in clips:
            layer.get_frame(n)
    # With curved, the visibility of pair 2 looks at pair 3 too.
    assert engine.runs == runs + 2 + curved


# --- occlusion, analytically ------------------------------------------------------------------------------


def test_a_square_that_moves_covers_and_uncovers():
    """A square moves 6 to the right over a background that stands still: exact flow, known masks."""
    there, back = torch.zeros(1, 2, 40, 60), torch.zeros(1, 2, 40, 60)
    there[:, 0, 10:30, 20:40] = 6  # on frame 0
    back[:, 0, 10:30, 26:46] = -6  # on frame 1
    covered, uncovered = torch.zeros(1, 1, 40, 60), torch.zeros(1, 1, 40, 60)
    covered[..., 10:30, 40:46] = 1
    uncovered[..., 10:30, 20:26] = 1
    torch.testing.assert_close(occlusion(there, back), covered)
    torch.testing.assert_close(occlusion(back, there), uncovered)


def test_smooth_motion_hides_nothing():
    """A zoom of 3 % about the centre: flows that are each other's inverse."""
    y, x = torch.meshgrid(torch.arange(40.0) - 19.5, torch.arange(60.0) - 29.5, indexing="ij")
    there = torch.stack((x, y))[None] * -0.03
    back = torch.stack((x, y))[None] * (1 / 0.97 - 1)
    assert not occlusion(there, back).any()


# --- the view ---------------------------------------------------------------------------------------------


def flow_clip(x, y):
    blank = vs.core.std.BlankClip(format=vs.RGBS, width=64, height=48, length=1)

    def fill(n, f):
        out = f.copy()
        flow = torch.tensor([x, y, math.hypot(x, y)])
        write_planes(out, range(3), flow.view(1, 3, 1, 1).expand(1, 3, 48, 64))
        return out

    return blank.std.ModifyFrame(blank, fill)


@pytest.mark.parametrize(
    ("flow", "colour"),
    [
        ((0, 0), (255, 255, 255)),
        ((8, 0), (255, 0, 0)),
        ((4, 0), (255, 128, 128)),
        ((80, 0), (255, 0, 0)),
        ((0, 8), (128, 255, 0)),
        ((-8, 0), (0, 255, 255)),
        ((0, -8), (128, 0, 255)),
    ],
)
def test_directions_have_their_colours(flow, colour):
    frame = coloured(flow_clip(*flow), 8).get_frame(0)
    assert [int(np.asarray(frame[p])[20, 30]) for p in range(3)] == pytest.approx(colour, abs=1)


# --- debug ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_id", [vs.YUV420P8, vs.RGBS, vs.GRAY16, vs.YUV444P16])
@pytest.mark.parametrize("debug", ["flow", "visibility", "t"])
def test_debug_keeps_format_length_and_times(shifting_model, format_id, debug):
    clip = moving(format_id, 96, 64, length=3)
    plain = slomo(clip, 2.5, model=shifting_model, device="cpu")
    out = slomo(clip, 2.5, model=shifting_model, device="cpu", debug=debug)
    assert (out.format.id, len(out), out.fps) == (plain.format.id, len(plain), plain.fps)
    for a, b in zip(plain.frames(), out.frames(), strict=True):
        assert {n: a.props[n] for n in (cuts.NEXT, cuts.PREV)} == {n: b.props[n] for n in (cuts.NEXT, cuts.PREV)}
        assert not same(a, b)


def test_debug_t_says_where_a_frame_lies(shifting_model):
    out = slomo(moving(length=3), 2.5, model=shifting_model, device="cpu", debug="t")
    told = [(f.props["SlomoFrame"], f.props["SlomoT"]) for f in out.frames()]
    assert told == [(0, "0"), (0, "2/5"), (0, "4/5"), (1, "1/5"), (1, "3/5"), (2, "0"), (2, "2/5")]


def test_debug_flow_is_the_view(shifting_model):
    clip = moving(vs.RGB24, length=2)
    view = motion(clip, model=shifting_model, device="cpu").view
    out = slomo(clip, 2, model=shifting_model, device="cpu", debug="flow")
    assert same(out.get_frame(1), view.get_frame(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t": 0}, "t: got 0, allowed: a number in (0, 1)"),
        ({"t": math.nan}, "t: got nan, allowed: a number in (0, 1)"),
        ({"t": "half"}, "t: got 'half', allowed: a number in (0, 1)"),
        ({"span": "all"}, "span: got 'all', allowed: None or a number of pixels above 0"),
        ({"span": math.inf}, "span: got inf, allowed: None or a number of pixels above 0"),
        ({"span": 0}, "span: got 0, allowed: None or a number of pixels above 0"),
    ],
)
def test_bad_arguments(made, options, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        made(moving(), **options)


def test_bad_debug(shifting_model):
    with pytest.raises(ArgumentError, match="debug: got 'depth', allowed: None or one of flow, visibility, t"):
        slomo(moving(), debug="depth", model=shifting_model, device="cpu")


def test_layers_work_in_expressions(made):
    """As docs/time.md has it."""
    length = made(moving(length=2)).forward.std.ShufflePlanes(2, vs.GRAY)
    mask = length.std.Expr("x 2 - 4 / 0 max 1 min")
    np.testing.assert_allclose(plane(mask), (math.hypot(X, Y) - 2) / 4, rtol=1e-3)
