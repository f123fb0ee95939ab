"""What decides about a cut, and what is shown across one. The detector itself: test_cuts_real.py."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs
from clips import convert, core, counting, from_pictures, frozen, moving, planes, same

from vs_slomo import slomo
from vs_slomo.clips import cuts
from vs_slomo.errors import ArgumentError

NEXT, PREV, SCORE = cuts.NEXT, cuts.PREV, cuts.SCORE


@pytest.fixture
def shift(shifting_model, engine_of):
    """`slomo` with the model whose flow is known."""
    engine_of(shifting_model)
    return lambda clip, multi=2, **options: slomo(clip, multi, **{"model": shifting_model, "device": "cpu"} | options)


def still(seed, length, format_id=vs.YUV420P8):
    """A picture of its own for every seed, the same in all frames."""
    tiles = np.random.default_rng(seed).random((3, 16, 24))
    return frozen(convert(from_pictures([np.kron(tiles, np.ones((4, 4))).astype(np.float32)] * length), format_id))


def saying(clip, **props):
    """The clip whose frame n has props[name][n], where that is not None."""

    def add(n, f):
        out = f.copy()
        out.props.update({name: values[n] for name, values in props.items() if values[n] is not None})
        return out

    return clip.std.ModifyFrame(clip, add)


def said(clip, name=NEXT):
    return [clip.get_frame(n).props.get(name) for n in range(len(clip))]


# --- detect -----------------------------------------------------------------------------------------------


def test_a_cut_is_marked_on_both_sides_of_the_decision():
    found = cuts.detect(still(1, 3) + still(2, 3))
    assert said(found, NEXT) == said(found, PREV) == [0, 0, 1, 0, 0, 0]
    scores = said(found, SCORE)
    assert scores[2] > cuts.THRESHOLD
    assert [s for i, s in enumerate(scores) if i != 2] == [0, 0, 0, 0, None], "the last frame has none behind it"


@pytest.mark.parametrize("threshold", [0.2, 0.9])
def test_the_threshold_is_the_score_s(threshold):
    clip = still(1, 1) + still(2, 1)
    found = cuts.detect(clip, threshold).get_frame(0)
    assert found.props[NEXT] == (found.props[SCORE] > threshold)


@pytest.mark.parametrize("name", [NEXT, PREV])
def test_what_frames_say_counts_more_than_pictures(name):
    clip = still(1, 3) + still(2, 3)
    at = 1 if name == NEXT else 2  # the pair of frames 1 and 2, told by either
    told = saying(clip, **{name: [int(n == at) for n in range(6)]})
    assert said(cuts.detect(told)) == [0, 1, 0, 0, 0, 0]
    assert said(cuts.detect(told), SCORE) == [None] * 6


def test_where_only_some_frames_say_a_thing_the_rest_is_compared():
    clip = still(1, 2) + still(2, 2) + still(3, 2)
    told = saying(clip, **{NEXT: [None, 0, None, None, None, None]})
    assert said(cuts.detect(told)) == [0, 0, 0, 1, 0, 0]


def test_misc_and_mvtools_properties_are_understood():
    clip = still(1, 4) + still(2, 4)
    vectors = clip.mv.Super().mv.Analyse(isb=True)
    told = clip.mv.SCDetection(vectors)
    assert said(cuts.detect(told, threshold=1)) == [*said(told, NEXT)[:-1], 0], "MVTools marks the last frame too"


@pytest.mark.parametrize("preset", [vs.GRAYH, vs.GRAY16, vs.RGB24, vs.RGBS, vs.YUV444P10], ids=lambda f: f.name)
def test_every_format(preset):
    assert said(cuts.detect(still(1, 2, preset) + still(2, 2, preset))) == [0, 1, 0, 0]


def test_two_frames_decide():
    clip, requests = counting(still(1, 3) + still(2, 3))
    cuts.detect(clip).get_frame(2)
    assert sorted(set(requests)) == [2, 3]


# --- sc_action --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.YUV420P10, vs.RGBS], ids=lambda f: f.name)
def test_blend(shift, preset):
    one, two = still(1, 2, preset), still(2, 2, preset)
    out = shift(one + two, 4, sc_action="blend")
    for n, t in ((5, 0.25), (6, 0.5), (7, 0.75)):
        want = [(1 - t) * a + t * b for a, b in zip(planes(one.get_frame(0)), planes(two.get_frame(0)), strict=True)]
        off = max(np.abs(a - b).max() for a, b in zip(planes(out.get_frame(n)), want, strict=True))
        assert off <= (0.51 / 255 if preset == vs.GRAY8 else 0.51 / 1023)
    assert [n for n, cut in enumerate(said(out)) if cut] == [6], "marked where the nearer frame changes"


def test_repeat_is_the_default(shift):
    clip = still(1, 2) + still(2, 2)
    for out in (shift(clip, 4), shift(clip, 4, sc_action="repeat")):
        assert [same(out.get_frame(n), clip.get_frame(1 if n <= 6 else 2)) for n in (5, 6, 7)] == [True] * 3


def test_blend_takes_alpha_with_it(shift):
    clip = still(1, 1) + still(2, 1)
    clip = clip.std.ClipToProp(still(3, 1, vs.GRAY8) + still(4, 1, vs.GRAY8), prop="_Alpha")
    alpha = planes(shift(clip, sc_action="blend").get_frame(1).props["_Alpha"])[0]
    want = (planes(still(3, 1, vs.GRAY8).get_frame(0))[0] + planes(still(4, 1, vs.GRAY8).get_frame(0))[0]) / 2
    assert np.abs(alpha - want).max() <= 0.51 / 255


# --- sc_clip ----------------------------------------------------------------------------------------------


def test_another_clip_decides_by_its_properties(shift):
    clip = moving(vs.GRAY8, 64, 48, 4)
    tiny = core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=4)
    out = shift(clip, sc_clip=saying(tiny, **{NEXT: [0, 1, 0, 0]}))
    assert [n for n, cut in enumerate(said(out)) if cut] == [3]
    assert same(out.get_frame(3), clip.get_frame(1))
    assert not same(out.get_frame(1), clip.get_frame(0))


def test_another_clip_decides_by_its_pictures(shift):
    clip = moving(vs.GRAY8, 64, 48, 4)
    out = shift(clip, sc_clip=still(1, 2) + still(2, 2))
    assert [n for n, cut in enumerate(said(out)) if cut] == [3]


def test_the_clip_s_own_word_does_not_count_then(shift):
    clip = saying(moving(vs.GRAY8, 64, 48, 4), **{NEXT: [1, 1, 1, 0]})
    out = shift(clip, sc_clip=still(1, 4))
    assert not any(said(out))


# --- errors -----------------------------------------------------------------------------------------------


def refused(shift, **options):
    with pytest.raises(ArgumentError) as error:
        shift(moving(), **options)
    return str(error.value)


def test_refused(shift):
    assert refused(shift, sc_action="mix") == "sc_action: got 'mix', allowed: 'repeat' or 'blend'"
    assert refused(shift, sc_clip=still(1, 5)) == "sc_clip: got '5 frames', allowed: as many as the clip, 3"
    assert refused(shift, sc_clip="x") == "sc_clip: got 'x', allowed: None or a vapoursynth.VideoNode of one format"
    assert refused(shift, sc=False, sc_clip=still(1, 3)).endswith("allowed: not together with sc=False")
