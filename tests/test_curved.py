"""`curved`: motion along a parabola, from the pairs before and behind."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import convert, core, counting, distance, from_pictures, frozen, moving, planes, same

from vs_slomo import motion, retime, slomo
from vs_slomo.clips.cuts import NEXT, PREV
from vs_slomo.clips.durations import timed
from vs_slomo.engine.engine import Engine
from vs_slomo.errors import ArgumentError
from vs_slomo.filters import options as options_of
from vs_slomo.filters import pairs
from vs_slomo.model.curved import acceleration, bent
from vs_slomo.model.superslomo import SuperSloMo, flows_at
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.training.scenes import pattern

TEXTURE = pattern(torch.Generator().manual_seed(3), 96, 320).numpy()
PARABOLA = [4 * n * n for n in range(-3, 4)]
"""Of a pan, in pixels: half way from frame 3 to frame 4 it is at 1, where even motion would have it at 2."""


def pan(offsets, format_id=vs.YUV420P8):
    """A still texture, seen from these places."""
    return frozen(convert(from_pictures([TEXTURE[:, :, x : x + 160] for x in offsets]), format_id))


@pytest.fixture
def classical(shifting_model):
    """Options for classical flow alone: this model adds nothing to it."""
    return {"model": shifting_model, "device": "cpu", "scale": 1, "flow": "dis", "sc": False}


@pytest.fixture
def curved(classical):
    return lambda clip, multi=2, **options: slomo(clip, multi, **{**classical, "curved": True, **options})


# --- the parabola -----------------------------------------------------------------------------------------


def constant(x, y):
    """A flow that is the same everywhere."""
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, 3, 4)


@pytest.mark.parametrize("pace", [(1, 1), (0.5, 2), (3, 0.25)])
def test_a_parabola_is_found_and_followed(pace):
    """Whatever the distances, from exact flows."""
    speed, bend = torch.tensor([3.0, -2.0]), torch.tensor([-1.5, 4.0])

    def to(here, there):
        return constant(*(speed * (there - here) + bend / 2 * (there**2 - here**2)).tolist())

    before, after = pace
    flows = to(0, 1), to(1, 0)
    found = acceleration(flows, to(0, -before), to(1, 1 + after), before, after)
    torch.testing.assert_close(found, constant(*bend.tolist()))
    for t in (0.25, 0.5, 0.8):
        for got, want in zip(bent(flows_at(flows, t), t, found), (to(t, 0), to(t, 1)), strict=True):
            torch.testing.assert_close(got, want)
        assert (flows_at(flows, t)[0] - to(t, 0)).abs().max() > 0.2, "in a line it is elsewhere"


def test_only_what_both_sides_agree_on_bends():
    flows = constant(2, 2), constant(-2, -2)
    # Component x: slower by 1 before, faster by 1 behind. y: faster by 1 before, by 3 behind.
    found = acceleration(flows, constant(-3, -1), constant(3, 5))
    torch.testing.assert_close(found, constant(0.0, 1.5))


def test_even_motion_does_not_bend():
    flows = constant(2, -5), constant(-2, 5)
    assert not acceleration(flows, flows[1], flows[0]).any()
    assert not acceleration(flows, *(x / 4 for x in flows[::-1]), 0.25, 0.25).any()


# --- through the filter -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_id", [vs.YUV420P8, vs.GRAY16, vs.RGBS])
def test_a_pan_that_slows_down_and_turns(curved, format_id):
    clip, truth = pan(PARABOLA, format_id), pan([1], format_id).get_frame(0)
    bent, even = (distance(curved(clip, curved=c).get_frame(7), truth, margin=16) for c in (True, False))
    assert bent < 0.03
    assert even > 3 * bent


def test_it_is_the_same_for_every_t(curved):
    """Half and a quarter of the way from the turning point: at 1 and at 1/4 of a pixel."""
    clip = pan(PARABOLA)
    quarter = TEXTURE[:, :, :160] * 0.75 + TEXTURE[:, :, 1:161] * 0.25
    truth = convert(from_pictures([quarter]), vs.YUV420P8).get_frame(0)
    assert distance(curved(clip, 4).get_frame(13), truth, margin=16) < 0.03


def test_originals_stay_as_they_are(curved):
    clip = pan(PARABOLA)
    out = curved(clip)
    assert all(same(out.get_frame(2 * n), clip.get_frame(n)) for n in range(len(clip)))


def bent_pairs(curved, clip, **options):
    """The pairs whose frame is another one than with even motion."""
    out, even = (curved(clip, curved=c, **options) for c in (True, False))
    return [k for k in range(len(clip)) if not same(out.get_frame(2 * k + 1), even.get_frame(2 * k + 1))]


def test_at_the_ends_motion_is_even(curved):
    assert bent_pairs(curved, pan(PARABOLA)) == [1, 2, 3, 4]


def test_at_the_ends_motion_is_even_whatever_the_pixels(curved):
    """No frame with a NaN is the same as itself."""
    pictures = [TEXTURE[:, :, x : x + 160].copy() for x in PARABOLA]
    for picture in pictures:
        picture[0, 40, 80] = np.nan
    clip = frozen(from_pictures(pictures))
    out, even = (curved(clip, curved=c) for c in (True, False))
    assert [
        k
        for k in range(len(clip) - 1)
        if not np.array_equal(*(planes(x.get_frame(2 * k + 1))[1] for x in (out, even)), equal_nan=True)
    ] == [1, 2, 3, 4]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_clips(curved, length):
    assert bent_pairs(curved, pan(PARABOLA[:length])) == []


def test_beside_a_cut_motion_is_even(curved):
    clip = pan(PARABOLA).std.SetFrameProps(**{NEXT: 0, PREV: 0})
    clip = clip[:3] + clip[3].std.SetFrameProps(**{NEXT: 1}) + clip[4:]
    assert bent_pairs(curved, clip, sc=True) == [1]


def test_beside_a_frame_shown_twice_motion_is_even(curved):
    assert bent_pairs(curved, pan([36, 16, 4, 4, 0, 4, 16, 36])) == [4, 5]


UNEVEN = Timecodes.lasting(Fraction(n, 25) for n in (1, 2, 3, 1))
"""An even pan seen at these times, by 8, 16 and 24 pixels, looks as if it sped up."""
WHERE = [0, 8, 24, 48]
"""Half way between its second and its third frame it is at 16."""


def off(out, n=3):
    """How far a frame is from the truth at 16 pixels."""
    return distance(out.get_frame(n), pan([16]).get_frame(0), margin=24)


def test_durations_of_the_frames_count(curved):
    told = timed(pan(WHERE), UNEVEN)
    assert off(curved(told)) < 0.03
    assert off(curved(pan(WHERE))) > 0.09


def test_timecodes_count(curved, classical):
    options = classical | {"curved": True}
    assert off(curved(pan(WHERE), timecodes=UNEVEN)) < 0.03
    # By seconds, output frame 2 lies half way through the second frame's time; by frames it is number 3 of 6.
    assert off(retime(pan(WHERE), lambda t: t, timecodes=UNEVEN, length=7, **options), 2) < 0.03
    assert off(retime(timed(pan(WHERE), UNEVEN), [(0, 0), (6, 3)], unit="frames", fps_num=25, **options)) < 0.03


def test_the_paper_s_network_bends_too(seeing_model):
    """Any flow stage: this model's flow changes with the colours, so from pair to pair."""
    clip = pan(PARABOLA)
    out, even = (slomo(clip, 2, model=seeing_model, device="cpu", scale=0.5, curved=c, sc=False) for c in (True, False))
    assert not same(out.get_frame(7), even.get_frame(7))


def test_inside_bars(curved):
    """Bars are left out of what moves, and stay."""
    framed = pan(PARABOLA).std.AddBorders(top=16, bottom=16, color=[16, 128, 128])
    out, alone = curved(framed, borders=(0, 16, 0, 16)), curved(pan(PARABOLA))
    inside = out.std.Crop(top=16, bottom=16)
    assert same(inside.get_frame(7), alone.get_frame(7))


def test_beside_other_bars_motion_is_even(curved):
    """Bars that one frame has not: its pairs are of the whole picture, and their neighbours' flows of another size."""
    framed = pan([n * n // 8 for n in range(30)]).std.AddBorders(top=16, bottom=16, color=[16, 128, 128])
    whole = frozen(
        convert(from_pictures([np.pad(TEXTURE[:, :, 40:200], ((0, 0), (16, 16), (0, 0)), mode="edge")]), vs.YUV420P8)
    )
    found = bent_pairs(curved, framed[:10] + whole + framed[11:], borders="auto")
    assert not {8, 9, 10, 11} & set(found)
    assert {7, 12} <= set(found)


def test_the_network_sees_the_bent_flow_at_its_own_size():
    seen = []

    class Model(SuperSloMo):
        def refine(self, i0, i1, flows, t, bend=None):
            seen.append(bend)
            return super().refine(i0, i1, flows, t, bend)

    model = Model(2, last_activation=False)
    i0, small = torch.rand(2, 1, 3, 32, 32)[0], torch.zeros(1, 2, 32, 32)
    finer, bend = torch.zeros(1, 2, 64, 64), torch.tensor([4.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64)
    with torch.no_grad():
        even = model.motion(i0, i0, (small, small), 0.5, (finer, finer))
        got = model.motion(i0, i0, (small, small), 0.5, (finer, finer), bend)
        model.motion(i0, i0, (small, small), 0.5, None, bend[..., :32, :32])
    assert seen[0] is None
    torch.testing.assert_close(seen[1], bend[..., :32, :32] / 2)
    torch.testing.assert_close(seen[2], bend[..., :32, :32])
    assert not torch.equal(got.logit, even.logit)


# --- what it asks for -------------------------------------------------------------------------------------


def test_which_frames_are_asked_for(curved):
    source = pan(PARABOLA)
    for n in range(2 * len(source)):
        clip, requests = counting(source)
        out = curved(clip)
        assert requests == []
        out.get_frame(n)
        wanted = range(n // 2 - 1, n // 2 + 3) if n % 2 else [n // 2]
        assert set(requests) == {min(max(k, 0), 6) for k in wanted}, n


def test_in_order_each_flow_is_found_once(curved, shifting_model, engine_of):
    engine, clip = engine_of(shifting_model, flow="dis"), pan(PARABOLA)
    before = engine.runs
    out = curved(clip, 4)
    for n in range(len(out)):
        out.get_frame(n)
    assert engine.runs - before == len(clip) - 1
    before = engine.runs
    curved(clip, 4).get_frame(13)
    assert engine.runs - before == 3, "a random read"


@pytest.mark.parametrize("step", [1, -1])
def test_each_flow_is_found_once_whatever_it_takes(curved, shifting_model, engine_of, monkeypatch, step):
    monkeypatch.setattr(pairs, "PAIR_BYTES", 1)
    engine, out = engine_of(shifting_model, flow="dis"), curved(pan(PARABOLA))
    before = engine.runs
    for n in range(len(out))[::step]:
        out.get_frame(n)
    assert engine.runs - before == len(PARABOLA) - 1


def test_a_bend_is_found_once_for_all_frames(curved, monkeypatch):
    made, bent_ = [], Engine.bent
    monkeypatch.setattr(Engine, "bent", lambda self, *args: made.append(args) or bent_(self, *args))
    out = curved(pan(PARABOLA), 4)
    for n in range(12, 17):
        out.get_frame(n)
    assert len(made) == 1


def test_one_stream_on_any_device(monkeypatch, shifting_model):
    monkeypatch.setattr(options_of, "check_device", lambda _: "cuda")
    assert [options_of.check_options((64, 64), model=shifting_model, curved=c).streams for c in (True, False)] == [1, 2]


def test_it_is_the_default_where_nothing_excludes_it(shifting_model):
    def chosen(**options):
        return options_of.check_options((64, 64), model=shifting_model, device="cpu", **options).curved

    assert chosen() is chosen(num_streams=2) is chosen(dedupe=False) is True
    assert chosen(curved=False) is chosen(dedupe=True) is False


def test_any_order_gives_the_same(curved):
    out, again = curved(pan(PARABOLA), 3), curved(pan(PARABOLA), 3)
    order = list(range(len(out)))
    random.Random(0).shuffle(order)
    futures = {n: again.get_frame_async(n) for n in order}
    for n in range(len(out)):
        assert same(out.get_frame(n), futures[n].result()), n


# --- beside the other functions ---------------------------------------------------------------------------


def test_retime_bends_too(classical):
    """Backwards and slowly through the turning point: the same moments, the same frames."""
    clip = pan(PARABOLA)
    out = retime(clip, [(0, 4), (4, 2)], unit="frames", curved=True, **classical)
    want = slomo(clip, 2, curved=True, **classical)
    assert all(same(out.get_frame(n), want.get_frame(8 - n)) for n in range(4))


def test_motion_shows_the_same_flow(classical):
    clip = pan(PARABOLA)
    bent, even = (motion(clip, curved=c, **classical).forward.get_frame(3) for c in (True, False))
    assert same(bent, even)
    noted, requests = counting(clip)
    clips = motion(noted, curved=True, **classical)
    clips.backward.get_frame(3)
    assert set(requests) == {3, 4}
    clips.visibility.get_frame(3)
    assert set(requests) == {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curved": "yes"}, "curved: got 'yes', allowed: True or False"),
        ({"dedupe": True}, "curved: got True, allowed: not together with dedupe, whose pictures come at uneven times"),
    ],
)
def test_what_is_refused(curved, options, message):
    with pytest.raises(ArgumentError) as error:
        curved(moving(vs.GRAY8), **options)
    assert str(error.value) == message


def test_alpha_goes_the_same_way(curved):
    clip = pan(PARABOLA, vs.GRAY8)
    out = curved(clip.std.ClipToProp(clip, prop="_Alpha")).get_frame(7)
    assert same(out.props["_Alpha"], out)
    assert core.get_video_format(out.format.id).color_family == vs.GRAY
