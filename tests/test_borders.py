"""Black bars: found, left out of what the networks see, and untouched in what comes out."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs
from clips import core, counting, distance, frozen, moving, planes, same

from vs_slomo import motion, slomo
from vs_slomo.clips import borders
from vs_slomo.errors import ArgumentError

BARS = (8, 12, 4, 20)
SOME = [vs.GRAY8, vs.GRAYS, vs.RGB24, vs.RGBH, vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV420PS]
by_format = pytest.mark.parametrize("preset", SOME, ids=lambda f: f.name)


def black(clip, *, full=False):
    """The host's numbers for black in this format."""
    f = clip.format
    if f.color_family == vs.RGB:
        return [0, 0, 0]
    chroma = 0 if f.sample_type == vs.FLOAT else 128 << f.bits_per_sample - 8
    luma = 0 if f.sample_type == vs.FLOAT or full else 16 << f.bits_per_sample - 8
    return [luma, chroma, chroma][: f.num_planes]


def framed(clip, bars=BARS, **kwargs):
    left, top, right, bottom = bars
    return clip.std.AddBorders(left, right, top, bottom, color=black(clip, **kwargs))


@pytest.fixture
def see(seeing_model, engine_of):
    """`slomo` with the model whose flow follows the colours."""
    engine_of(seeing_model)
    return lambda clip, multi=2, **options: slomo(clip, multi, **{"model": seeing_model, "device": "cpu"} | options)


# --- of one frame -----------------------------------------------------------------------------------------


@by_format
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_bars_of_a_frame(preset, full):
    clip = framed(moving(preset, 64, 48, 1, full=full), full=full)
    assert borders.bars(clip.get_frame(0)) == BARS


def test_no_bars_and_nothing_else():
    assert borders.bars(moving(vs.YUV420P8, 64, 48, 1).get_frame(0)) == (0, 0, 0, 0)
    dark = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, color=[16, 128, 128], length=1)
    assert borders.bars(dark.get_frame(0)) == (64, 48, 64, 48), "a black frame is all bar"


def test_noise_is_black_and_a_subtitle_is_not():
    clip = framed(moving(vs.GRAY8, 64, 48, 1), (0, 16, 0, 16))

    def spoil(n, f, amount):
        out = f.copy()
        plane = np.asarray(out[0])
        plane += np.random.default_rng(0).integers(0, amount, plane.shape).astype(np.uint8)
        plane[70:74, 30:40] = 200
        return out

    noisy = clip.std.ModifyFrame(clip, lambda n, f: spoil(n, f, 5))
    assert borders.bars(noisy.get_frame(0)) == (0, 16, 0, 6)


# --- of a clip --------------------------------------------------------------------------------------------


def found(clip):
    return tuple(borders.find(clip).get_frame(0).props[borders.FOUND])


def test_the_narrowest_of_the_frames_asked():
    narrow = framed(moving(vs.YUV420P8, 64, 48, 8), (0, 8, 0, 8))
    wide = framed(moving(vs.YUV420P8, 64, 32, 8), (0, 16, 0, 16))
    none = moving(vs.YUV420P8, 64, 64, 8)
    nothing = core.std.BlankClip(none, color=[16, 128, 128])
    assert found(wide) == (0, 16, 0, 16)
    assert found(wide + narrow) == (0, 8, 0, 8)
    assert found(nothing + wide) == (0, 16, 0, 16), "a black frame has no say"
    assert found(wide + none) == (0, 0, 0, 0)
    assert found(nothing) == (0, 0, 0, 0)


def test_bars_lie_between_pixels_of_chroma():
    clip = moving(vs.YUV444P8, 62, 45, 1)
    uneven = framed(clip, (1, 3, 1, 0)).resize.Point(format=vs.YUV420P8)
    assert all(x % 2 == 0 for x in found(uneven))


def test_eight_frames_and_only_when_a_new_frame_is_wanted(see):
    source = frozen(framed(moving(vs.GRAY8, 64, 48, 40), (0, 16, 0, 16)))
    clip, requests = counting(source)
    out = see(clip, borders="auto", sc=False)
    assert requests == []
    out.get_frame(4)
    assert set(requests) == {2}, "an original"
    out.get_frame(5)
    assert len(set(requests) - {1, 2, 3, 4}) <= borders.SAMPLES
    requests.clear()
    out.get_frame(21)
    assert set(requests) == {9, 10, 11, 12}, "sought once"


# --- what comes out ---------------------------------------------------------------------------------------


@by_format
@pytest.mark.parametrize("bars", ["auto", BARS])
def test_the_picture_is_what_it_is_without_bars_and_the_bars_are_the_source_s(see, preset, bars):
    left, top, right, bottom = BARS
    alone = moving(preset, 96, 64, 3)
    clip = framed(alone)
    out, want = see(clip, borders=bars), see(alone)
    inner = out.std.Crop(left, right, top, bottom)
    for n in range(5):
        if clip.format.subsampling_w:  # on their way to the networks, chroma is spread over the edge
            assert distance(inner.get_frame(n), want.get_frame(n), margin=8) < 0.01, n
        else:
            assert same(inner.get_frame(n), want.get_frame(n)), n
        for edge in ({"right": 96 + right}, {"left": 96 + left}, {"bottom": 64 + bottom}, {"top": 64 + top}):
            assert same(out.std.Crop(**edge).get_frame(n), clip.std.Crop(**edge).get_frame(0)), (n, edge)


@pytest.mark.parametrize("options", [{"scale": 0.5}, {"scale": 0.25}, {"flow": "dis"}, {"flow": "dis", "scale": 0.5}])
def test_at_other_scales_and_with_classical_flow(see, options):
    alone = moving(vs.YUV420P8, 192, 128, 2)
    bars = (8, 16, 8, 16)
    out, want = see(framed(alone, bars), borders="auto", **options), see(alone, **options)
    assert distance(out.std.Crop(8, 8, 16, 16).get_frame(1), want.get_frame(1), margin=8) < 0.02
    assert same(out.std.Crop(bottom=144).get_frame(1), framed(alone, bars).std.Crop(bottom=144).get_frame(1))


def test_bars_that_are_no_whole_network_pixels(see):
    clip = framed(moving(vs.GRAY8, 192, 128, 2), (0, 6, 0, 10))
    out = see(clip, scale=0.25, borders="auto")
    assert same(out.std.Crop(bottom=138).get_frame(1), clip.std.Crop(bottom=138).get_frame(1))
    assert same(out.std.Crop(top=134).get_frame(1), clip.std.Crop(top=134).get_frame(1))


def test_without_borders_the_networks_draw_on_the_bars(see):
    """What it is for: else this test would not show a thing."""
    clip = framed(moving(vs.GRAY8, 96, 64, 2), (0, 16, 0, 16))
    assert not same(see(clip).std.Crop(bottom=80).get_frame(1), clip.std.Crop(bottom=80).get_frame(0))


def test_a_pair_with_a_subtitle_in_the_bar_is_left_as_it_is(see):
    clip = framed(moving(vs.GRAY8, 96, 64, 24), (0, 16, 0, 16))

    def subtitle(n, f):
        out = f.copy()
        if n == 11:  # none of the eight frames that are asked
            np.asarray(out[0])[84:90, 30:60] = 200
        return out

    told = frozen(clip.std.ModifyFrame(clip, subtitle))
    assert found(told) == (0, 16, 0, 16)
    auto, plain = see(told, borders="auto", curved=False), see(told, curved=False)
    assert [same(auto.get_frame(n), plain.get_frame(n)) for n in (19, 21, 23, 25)] == [False, True, True, False]


def test_alpha_too(see):
    alone = moving(vs.GRAY8, 96, 64, 2)
    clip = framed(alone, (0, 16, 0, 16))
    out = see(clip.std.ClipToProp(clip, prop="_Alpha"), borders="auto").get_frame(1)
    assert all(np.array_equal(a, b) for a, b in zip(planes(out.props["_Alpha"]), planes(out), strict=True))


def test_flow_and_masks_know_nothing_of_the_bars(seeing_model, engine_of):
    engine_of(seeing_model)
    alone = moving(vs.GRAY8, 96, 64, 2)
    of_alone = motion(alone, model=seeing_model, device="cpu")
    of_framed = motion(framed(alone), borders="auto", model=seeing_model, device="cpu")
    left, top, right, bottom = BARS
    for name in ("forward", "backward", "visibility", "occluded", "revealed"):
        inner = getattr(of_framed, name).std.Crop(left, right, top, bottom).get_frame(0)
        assert distance(inner, getattr(of_alone, name).get_frame(0)) < 1e-5, name
    bar = of_framed.forward.std.Crop(bottom=64 + bottom).get_frame(0)
    assert all(not plane.any() for plane in planes(bar))


# --- errors -----------------------------------------------------------------------------------------------

ALLOWED = 'None, "auto" or (left, top, right, bottom) in whole pixels'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("black", f"borders: got 'black', allowed: {ALLOWED}"),
        (16, f"borders: got 16, allowed: {ALLOWED}"),
        ((0, 16, 0), f"borders: got (0, 16, 0), allowed: {ALLOWED}"),
        ((0, -2, 0, 0), f"borders: got (0, -2, 0, 0), allowed: {ALLOWED}"),
        ((0, 1.5, 0, 0), f"borders: got (0, 1.5, 0, 0), allowed: {ALLOWED}"),
        (
            (0, 3, 0, 0),
            "borders: got (0, 3, 0, 0), allowed: multiples of 2 in width and 2 in height that leave 16x16 of 64x48",
        ),
        (
            (0, 16, 0, 18),
            "borders: got (0, 16, 0, 18), allowed: multiples of 2 in width and 2 in height that leave 16x16 of 64x48",
        ),
    ],
)
def test_refused(see, given, message):
    with pytest.raises(ArgumentError) as error:
        see(moving(vs.YUV420P8), borders=given)
    assert str(error.value) == message
