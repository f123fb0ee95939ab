"""`slomo()` from clip to clip: formats, originals and properties, rates, laziness, cuts, composition, errors."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs
from clips import convert, core, counting, distance, distances, from_pictures, frozen, moving, picture, planes, same

from vs_slomo import slomo
from vs_slomo.clips import frames
from vs_slomo.engine.engine import Engine
from vs_slomo.errors import ArgumentError, FormatError, WeightsError
from vs_slomo.filters.slomo import fill
from vs_slomo.timing.positions import Timing

PRESETS = [f for f in vs.PresetVideoFormat if f.name not in ("NONE", "GRAY32")]
SOME = [vs.GRAY8, vs.GRAY16, vs.RGB24, vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV410P8, vs.YUV420PH, vs.RGBS]
FACTORS = [Fraction(2), Fraction(3), Fraction(5, 2), Fraction(3, 2), Fraction(1001, 400), Fraction(7, 5)]
NEXT, PREV = "_SceneChangeNext", "_SceneChangePrev"
REWRITTEN = {"_DurationNum", "_DurationDen", NEXT, PREV, "SlomoCutScore"}

by_name = pytest.mark.parametrize("preset", PRESETS, ids=lambda f: f.name)
by_factor = pytest.mark.parametrize("multi", FACTORS, ids=str)


@pytest.fixture
def shift(shifting_model, engine_of):
    """`slomo` with the model whose flow is known."""
    engine_of(shifting_model)
    return lambda clip, multi=2, **options: slomo(clip, multi, **{"model": shifting_model, "device": "cpu"} | options)


@pytest.fixture
def see(seeing_model, engine_of):
    """`slomo` with the model whose flow follows the colours."""
    engine_of(seeing_model)
    return lambda clip, multi=2, **options: slomo(clip, multi, **{"model": seeing_model, "device": "cpu"} | options)


def got(clip):
    return [clip.get_frame(n) for n in range(len(clip))]


def with_props(clip, props):
    """Return the clip whose frame n has `props(n)` as well."""

    def add(n, f):
        out = f.copy()
        out.props.update(props(n))
        return out

    return clip.std.ModifyFrame(clip, add)


# --- every format -----------------------------------------------------------------------------------------


def grain(video_format):
    """The smallest step of a format, as a part of its range: half floats have 2^-11 below 1."""
    return 1 / (2**video_format.bits_per_sample - 1) if video_format.sample_type == vs.INTEGER else 2**-11


def depth(video_format):
    """How often chroma is halved."""
    return max(video_format.subsampling_w, video_format.subsampling_h)


@by_name
def test_a_new_frame_lies_where_the_motion_is_at_t(shift, preset):
    """In every plane of every format the picture is moved by t times its motion; the next frames are not that near."""
    out = shift(moving(preset, 96, 64), 4)
    for n in (1, 6):
        truth = moving(preset, 96, 64, times=[n / 4]).get_frame(0)
        made = out.get_frame(n)
        assert made.format.id == preset
        allowed = 1.5 * grain(made.format) + [0.0008, 0.003, 0.012][depth(made.format)]
        assert distance(made, truth, margin=16) < allowed < 0.02
        assert min(distance(out.get_frame(n + step), truth, margin=16) for step in (-1, 1)) > 0.02


def as_float_gives_it(see, preset, width, height):
    """Frames at t = 1/2 that were made in a format, and made in RGBS (GRAYS for GRAY) and then converted."""
    family = core.get_video_format(preset).color_family
    rgb = frozen(from_pictures([picture(width, height, t) for t in range(2)]))
    reference = see(frozen(convert(rgb, vs.GRAYS)) if family == vs.GRAY else rgb)
    options = {} if family == vs.RGB else {"range": vs.RANGE_LIMITED}
    options |= {"matrix": vs.MATRIX_BT709} if family == vs.YUV else {}
    reference = reference.resize.Bilinear(format=preset, **options).get_frame(1)
    return lambda spoil=lambda clip: clip: (see(spoil(frozen(convert(rgb, preset)))).get_frame(1), reference)


def alike(made, reference):
    """To a grain; chroma that was shrunk and is stretched for the networks costs more, and most in its own planes."""
    luma, *chroma = distances(made, reference)
    one, lost = 1.05 * grain(made.format), depth(made.format)
    return luma < one + [0.0002, 0.0025, 0.006][lost] and all(c < one + [0.0002, 0.0145, 0.029][lost] for c in chroma)


@by_name
@pytest.mark.parametrize(("width", "height"), [(16, 16), (37, 21)])
def test_every_format_gives_what_float_gives(see, preset, width, height):
    """Odd sizes are as odd as the format allows."""
    x, y = (2 ** getattr(core.get_video_format(preset), f"subsampling_{side}") for side in "wh")
    assert alike(*as_float_gives_it(see, preset, width + -width % x, height + -height % y)())


@pytest.mark.parametrize("preset", SOME[:6], ids=lambda f: f.name)
def test_a_wrong_range_shows(see, preset):
    wrong = vs.RANGE_LIMITED if core.get_video_format(preset).color_family == vs.RGB else vs.RANGE_FULL
    made = as_float_gives_it(see, preset, 96, 64)
    assert alike(*made())
    assert not alike(*made(lambda clip: clip.std.SetFrameProps(_Range=wrong)))


@pytest.mark.parametrize("preset", SOME[2:], ids=lambda f: f.name)
@pytest.mark.parametrize("way", ["network_planes", "write_planes"])
def test_a_wrong_order_of_planes_shows(see, preset, way, monkeypatch):
    made = as_float_gives_it(see, preset, 96, 64)
    right = getattr(frames, way)
    if way == "network_planes":
        monkeypatch.setattr(frames, way, lambda f, *box: right(f, *box)[:, [0, 2, 1]])
    else:
        monkeypatch.setattr(frames, way, lambda f, p, v, *box: right(f, p, v.flip(1), *box))
    assert not alike(*made())


def test_a_wrong_matrix_shows(see):
    made = as_float_gives_it(see, vs.YUV444P16, 96, 64)
    for wrong in (vs.MATRIX_ST170_M, vs.MATRIX_BT2020_NCL, vs.MATRIX_YCGCO):
        assert not alike(*made(lambda clip, wrong=wrong: clip.std.SetFrameProps(_Matrix=wrong)))


def test_the_argument_stands_for_a_missing_matrix_and_range(see):
    clip = moving(vs.YUV420P8, 96, 64, full=True)
    bare = clip.std.RemoveFrameProps(["_Matrix", "_Range", "_ColorRange"])
    want = see(clip).get_frame(1)
    assert not same(see(bare).get_frame(1), want)
    assert same(see(bare, matrix=1, range=1).get_frame(1), want)
    assert same(see(clip, matrix=6, range=0).get_frame(1), want)  # the frame's own word counts first


@pytest.mark.parametrize("matrix", range(15))
def test_any_matrix_passes_and_is_kept(see, matrix):
    clip = moving(vs.YUV420P8, 32, 32, 2).std.SetFrameProps(_Matrix=matrix)
    assert [f.props["_Matrix"] for f in got(see(clip))] == [matrix] * 4


@pytest.mark.parametrize("scale", [1, 0.5, 0.25, 0.125])
@pytest.mark.parametrize("flow", ["unet", "dis"])
@pytest.mark.parametrize(("width", "height"), [(16, 16), (34, 22), (150, 66)])
def test_every_scale_and_flow_at_every_size(see, scale, flow, width, height):
    clip = moving(vs.YUV420P8, width, height, 2)
    for frame in got(see(clip, scale=scale, flow=flow)):
        assert (frame.width, frame.height) == (width, height)
        assert all((p >= 0.05).all() and (p <= 0.95).all() for p in planes(frame))


@pytest.mark.parametrize("flow", ["dis"])
def test_classical_flow_finds_the_motion(see, flow, shift):
    """DIS sees the picture alone, and the model adds nothing here."""
    x = np.random.default_rng(0).random((8, 8))
    noise = np.kron(x, np.ones((16, 16)))[:120, :120]
    for axis in (0, 1):
        noise = sum(np.roll(noise, s, axis) for s in range(-4, 5)) / 9
    pictures = [
        np.stack([np.roll(noise, (2 * t, 4 * t), (0, 1))[8:104, 12:108]] * 3).astype(np.float32) for t in range(3)
    ]
    out = shift(from_pictures([pictures[0], pictures[2]]), 2, flow=flow)
    truth = from_pictures([pictures[1]]).get_frame(0)
    assert distance(out.get_frame(1), truth, margin=16) < 0.05
    assert distance(from_pictures(pictures[:1]).get_frame(0), truth, margin=16) > 0.2


# --- strange numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [vs.RGBS, vs.RGBH, vs.GRAYS, vs.YUV420PS], ids=lambda f: f.name)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_does_not_spread(see, preset, value):
    """One pixel reaches no more than the bilinear samples around it, in that plane alone."""
    clean = moving(preset, 64, 48, 2)

    def spoil(n, f):
        out = f.copy()
        if n == 0:
            np.asarray(out[0])[20, 30] = value
        return out

    made = planes(see(frozen(clean.std.ModifyFrame(clean, spoil))).get_frame(1))
    want = planes(see(clean).get_frame(1))
    lost = np.argwhere(~np.isfinite(made[0]))
    assert 1 <= len(lost) <= 3**2
    assert np.abs(lost - [20, 30]).max() <= 8
    assert all(np.isfinite(p).all() for p in made[1:])
    # The networks saw another colour at that pixel, so what is near it may have moved otherwise.
    near = np.s_[4:36, 14:46]
    made[0][near] = want[0][near] = 0
    assert np.abs(made[0] - want[0]).max() < 0.02


def test_what_lies_outside_the_range_is_kept(shift):
    """Highlights above 1 and negative values move as all others do."""
    bright = from_pictures([4 * picture(64, 48, t) - 1 for t in range(2)])
    truth = from_pictures([4 * picture(64, 48, 0.5) - 1]).get_frame(0)
    assert planes(truth)[0].max() > 2
    assert planes(truth)[0].min() < -0.2
    assert distance(shift(bright).get_frame(1), truth, margin=16) < 0.004


def test_integers_stay_in_their_format(shift):
    """10 bit in 16: full white and black stay, rounded, never wrapped around."""
    black, white = (
        core.std.BlankClip(format=vs.YUV444P10, length=1, width=32, height=32, color=[v] * 3) for v in (0, 1023)
    )
    for a, b in ((black, white), (white, black), (white, white), (black, black)):
        for p in range(3):
            values = np.asarray(shift(a + b, sc=False).get_frame(1)[p])
            assert values.max() <= 1023
            assert set(np.unique(values)) <= {0, 511, 512, 1023}


# --- alpha ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [vs.RGB24, vs.YUV420P10, vs.RGBS, vs.GRAY8], ids=lambda f: f.name)
@pytest.mark.parametrize("depth", [vs.GRAY8, vs.GRAY16, vs.GRAYS], ids=lambda f: f.name)
def test_alpha_moves_with_the_picture(shift, preset, depth):
    clip = moving(preset, 64, 48).std.ClipToProp(moving(depth, 64, 48), prop="_Alpha")
    truth = moving(depth, 64, 48, times=[1.25]).get_frame(0)
    alpha = shift(clip, 4).get_frame(5).props["_Alpha"]
    assert alpha.format.id == depth
    assert distance(alpha, truth, margin=16) < 1.5 * grain(alpha.format) + 0.0008
    assert same(shift(clip, 4).get_frame(4).props["_Alpha"], clip.get_frame(1).props["_Alpha"])


def test_the_same_picture_as_alpha_gets_the_same_motion(see):
    """To the bit: motion is found once, and alpha is moved as the picture is."""
    clip = moving(vs.GRAY16, 64, 48)
    made = see(clip.std.ClipToProp(clip, prop="_Alpha"), 3)
    for n in range(len(made)):
        assert same(made.get_frame(n).props["_Alpha"], made.get_frame(n))


@pytest.mark.parametrize("depth", [vs.GRAY8, vs.GRAY16, vs.GRAYS], ids=lambda f: f.name)
def test_alpha_comes_in_parts_of_its_range(depth):
    """As floats, which is what fusion takes their range to be, whatever the picture's depth."""
    frame = moving(vs.RGB24, 64, 48).std.ClipToProp(moving(depth, 64, 48), prop="_Alpha").get_frame(0)
    largest, out = [], frame.copy()
    fill(out, frame, frame, lambda plane0, _1, _x, _y: largest.append(float(plane0.max())) or plane0)
    assert 0.1 < largest[-1] <= 1
    assert same(out.props["_Alpha"], frame.props["_Alpha"])


def test_alpha_alone_may_move(shift):
    """Both pictures are the same, their alpha is not."""
    still = moving(vs.RGB24, 64, 48, 1)
    made = shift((still + still).std.ClipToProp(moving(vs.GRAY8, 64, 48, 2), prop="_Alpha")).get_frame(1)
    truth = moving(vs.GRAY8, 64, 48, times=[0.5]).get_frame(0)
    assert distance(made.props["_Alpha"], truth, margin=16) < 0.01


def test_alpha_on_one_side_only(shift):
    clip = moving(vs.RGB24, 64, 48, 2)
    alpha = moving(vs.GRAY8, 64, 48, 2)
    made = got(shift(clip[0].std.ClipToProp(alpha[0], prop="_Alpha") + clip[1]))
    assert ["_Alpha" in f.props for f in made] == [True, True, False, False]
    assert same(made[1].props["_Alpha"], alpha.get_frame(0))


def test_alpha_of_another_size(shift):
    clip = moving(vs.RGB24, 64, 48, 2).std.ClipToProp(moving(vs.GRAY8, 32, 48, 2), prop="_Alpha")
    with pytest.raises(vs.Error, match="clip: got an alpha of 32x48, allowed: the picture's own size, 64x48"):
        shift(clip).get_frame(1)


# --- originals and properties -----------------------------------------------------------------------------


def many_props(n):
    return {
        "_PictType": "B",
        "_AbsoluteTime": n / 25,
        "_Matrix": 9,
        "_Transfer": 16,
        "_Primaries": 9,
        "_Range": 0,
        "_ChromaLocation": 2,
        "_SARNum": 64,
        "_SARDen": 45,
        "MasteringDisplayMaxLuminance": 1000.0,
        "MasteringDisplayPrimariesX": [0.708, 0.17, 0.131],
        "ContentLightLevelMax": 1000,
        "Text": f"frame {n}",
        "Bytes": b"\x00\xff",
        "Number": n,
    }


@by_factor
@pytest.mark.parametrize("preset", SOME, ids=lambda f: f.name)
def test_originals_are_untouched(see, multi, preset):
    """Bit for bit, with their properties but what is rewritten."""
    clip = with_props(moving(preset, 48, 32, 5), many_props)
    times = Timing(5, multi)
    out = see(clip, multi)
    met = []
    for n, frame in enumerate(got(out)):
        k, t = times.at(n)
        if t == 0:
            met.append(k)
            original = clip.get_frame(k)
            assert same(frame, original)
            kept = {name: value for name, value in dict(frame.props).items() if name not in REWRITTEN}
            assert kept == {name: value for name, value in dict(original.props).items() if name not in REWRITTEN}
    assert met == list(range(0, 5, multi.denominator))


def test_a_new_frame_keeps_what_is_true_of_it(see):
    """PQ in 10 bit: all but the type of picture and the absolute time, from the nearer source frame."""
    clip = with_props(moving(vs.YUV420P10, 48, 32), many_props)
    for n, nearer in ((1, 0), (2, 0), (3, 1), (5, 1), (7, 2)):
        props = {k: v for k, v in dict(see(clip, 4).get_frame(n).props).items() if k not in REWRITTEN}
        want = {k: v for k, v in dict(clip.get_frame(nearer).props).items() if k not in REWRITTEN}
        assert props == {k: v for k, v in want.items() if k not in ("_PictType", "_AbsoluteTime")}


@by_factor
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_the_last_frame_repeats(see, multi, frames):
    clip = moving(vs.GRAY8, 32, 32, frames)
    out = see(clip, multi)
    assert len(out) == math.floor(frames * multi)
    tail = [n for n in range(len(out)) if n / multi >= frames - 1]
    assert tail or multi < 2
    assert all(same(out.get_frame(n), clip.get_frame(frames - 1)) for n in tail)


def test_one_frame_becomes_several(see):
    clip = moving(vs.YUV420P8, 32, 32, 1)
    assert len(see(clip, 5)) == 5
    assert all(same(f, clip.get_frame(0)) for f in got(see(clip, 5)))
    assert len(see(clip, 1.5)) == 1


@pytest.mark.parametrize("multi", [1, 1.0, "1", Fraction(3, 3)])
def test_a_factor_of_one_returns_the_clip(see, multi):
    clip = moving(vs.YUV420P8)
    assert see(clip, multi) is clip
    assert see(clip, fps_num=25) is clip


# --- rates ------------------------------------------------------------------------------------------------


@by_factor
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(12, 5)], ids=str)
@pytest.mark.parametrize("slow_motion", [False, True])
def test_rate_and_durations_are_exact(see, multi, fps, slow_motion):
    out = see(moving(vs.GRAY8, 32, 32, 3, fps=fps), multi, slow_motion=slow_motion)
    assert out.fps == (fps if slow_motion else fps * multi)
    durations = {Fraction(f.props["_DurationNum"], f.props["_DurationDen"]) for f in got(out)}
    assert durations == {1 / out.fps}


@pytest.mark.parametrize(
    ("fps", "target"),
    [
        (Fraction(24000, 1001), (60, None)),
        (Fraction(24), (60, 1)),
        (Fraction(25), (60000, 1001)),
        (Fraction(30000, 1001), (120, 2)),
    ],
)
def test_a_target_rate(shift, fps, target):
    clip = moving(vs.GRAY16, 64, 48, 12, fps=fps)
    num, den = target
    out = shift(clip, fps_num=num, fps_den=den)
    want = Fraction(num, den or 1)
    assert out.fps == want
    assert len(out) == math.floor(12 * want / fps)
    # Frame n is shown at n / want seconds: there the source is at n / want * fps.
    for n in (1, 2, 5):
        truth = moving(vs.GRAY16, 64, 48, times=[n * fps / want]).get_frame(0)
        assert distance(out.get_frame(n), truth, margin=16) < 0.002


@pytest.mark.parametrize("slow_motion", [False, True])
def test_a_clip_without_a_rate(see, slow_motion):
    clip = moving(vs.GRAY8, 32, 32, 4).std.AssumeFPS(fpsnum=25)
    clip = with_props(
        clip.std.BlankClip(fpsnum=0, fpsden=1, keep=True).std.ModifyFrame(clip, lambda n, f: f), many_props
    )
    assert clip.fps == 0
    out = see(clip, Fraction(5, 2), slow_motion=slow_motion)
    assert out.fps == 0
    assert len(out) == 10
    factor = 1 if slow_motion else Fraction(5, 2)
    assert {Fraction(f.props["_DurationNum"], f.props["_DurationDen"]) for f in got(out)} == {Fraction(1, 25) / factor}


def test_a_clip_without_rate_or_durations(see):
    clip = core.std.BlankClip(format=vs.GRAY8, width=32, height=32, length=3, fpsnum=0, fpsden=1, keep=True)
    assert [dict(f.props).keys() & {"_DurationNum", "_DurationDen"} for f in got(see(clip, 2))] == [set()] * 6


# --- laziness ---------------------------------------------------------------------------------------------


def test_building_asks_for_nothing(shifting_model, monkeypatch):
    """No frame, no engine: both come with the first new frame."""
    made = []
    monkeypatch.setattr(
        Engine, "__init__", lambda self, settings: made.append(settings) or (_ for _ in ()).throw(OSError)
    )
    clip, requests = counting(moving(vs.YUV420P8, 32, 32, 4))
    out = slomo(clip, "5/2", model=shifting_model, device="cpu", scale=0.25)
    assert requests == made == []
    assert same(out.get_frame(5), clip.get_frame(2))
    assert made == []
    with pytest.raises(vs.Error):
        out.get_frame(1)
    assert len(made) == 1


def needed(times, n, last, *, sc):
    """Source frames that output frame n is made of: its own two, and those of a cut right before or behind it."""
    k, t = times.at(n)
    own = {k, k + 1} if t else {k}
    pairs = [*times.crossed(n), *(times.crossed(n - 1) if n else ())] if sc else ()
    return {min(j, last) for j in own.union(*({p, p + 1} for p in pairs))}


@by_factor
@pytest.mark.parametrize("sc", [True, False])
def test_which_frames_are_asked_for(see, multi, sc):
    """At most two for even motion; three below a factor of 2, where a frame may have a cut on either side."""
    source, times = moving(vs.YUV420P8, 32, 32, 9), Timing(9, multi)
    most = 0
    for n in range(times.length):
        clip, requests = counting(source)
        see(clip, multi, sc=sc, curved=False).get_frame(n)
        assert set(requests) == needed(times, n, 8, sc=sc), n
        most = max(most, len(set(requests)))
    assert most == (3 if sc and multi < 2 else 2)


@by_factor
def test_a_random_read_of_even_motion_costs_one_flow(see, seeing_model, engine_of, multi):
    engine, clip = engine_of(seeing_model), moving(vs.GRAY8, 32, 32, 6)
    times = Timing(6, multi)
    for n in range(times.length):
        before = engine.runs
        see(clip, multi, curved=False).get_frame(n)
        k, t = times.at(n)
        assert engine.runs - before == (1 if t and k < 5 else 0)


# --- cuts -------------------------------------------------------------------------------------------------


def two_scenes(*, props, frames=3):
    """A clip with a cut behind frame `frames` - 1, which its properties tell, or its pictures."""
    one = moving(vs.YUV420P8, 96, 64, frames)
    rng = np.random.default_rng(5)
    other = np.kron(rng.random((3, 8, 12)), np.ones((8, 8))).astype(np.float32)
    two = frozen(convert(from_pictures([np.roll(other, 2 * t, 2) for t in range(frames)]), vs.YUV420P8))
    if not props:
        return one + two
    return with_props(one + two, lambda n: {NEXT: int(n == frames - 1), PREV: int(n == frames)})


def marks(clip, name):
    return [n for n, f in enumerate(got(clip)) if f.props[name]]


@by_factor
@pytest.mark.parametrize("props", [True, False])
def test_across_a_cut_the_nearer_frame_is_shown(see, seeing_model, engine_of, multi, props):
    clip = two_scenes(props=props)
    out, times = see(clip, multi), Timing(6, multi)
    crossing = [n for n in range(times.length) if times.at(n)[0] == 2 and times.at(n)[1]]
    before = engine_of(seeing_model).runs
    for n in crossing:
        assert same(out.get_frame(n), clip.get_frame(times.nearest(n)))
        assert "_PictType" not in out.get_frame(n).props
    assert engine_of(seeing_model).runs == before
    # The marks lie where the pictures change.
    last = max(n for n in range(times.length) if times.nearest(n) <= 2)
    assert marks(out, NEXT) == [last]
    assert marks(out, PREV) == [last + 1]


@pytest.mark.parametrize("name", [NEXT, PREV])
def test_one_mark_is_enough(see, name):
    """MVTools sets only one of the two, depending on the vectors' direction."""
    clip = two_scenes(props=True).std.RemoveFrameProps(NEXT if name == PREV else PREV)
    assert marks(see(clip, 4), NEXT) == [10]


def test_what_the_frames_say_beats_their_pictures(see):
    clip = two_scenes(props=False)
    assert marks(see(clip, 4), NEXT) == [10]
    assert marks(see(clip.std.SetFrameProps(**{NEXT: 0, PREV: 0}), 4), NEXT) == []
    wrong = with_props(clip, lambda n: {NEXT: int(n == 0), PREV: int(n == 1)})
    assert marks(see(wrong, 4), NEXT) == [2]


def test_mvtools(see):
    clip = two_scenes(props=False)
    sup = core.mv.Super(clip, hpad=8, vpad=8)
    for backward in (True, False):
        vectors = core.mv.Analyse(sup, isb=backward, blksize=8)
        marked = core.mv.SCDetection(clip.std.RemoveFrameProps([NEXT, PREV]), vectors)
        assert (2 if backward else 3) in marks(marked, NEXT if backward else PREV)
        assert marks(see(marked, 4), NEXT) == [10]


def test_stale_marks_are_gone(see):
    clip = moving(vs.YUV420P8, 48, 32, 4).std.SetFrameProps(**{NEXT: 1, PREV: 1})
    assert marks(see(clip, 2), NEXT) == [1, 3, 5]
    assert marks(see(clip, 2), PREV) == [2, 4, 6]
    for frame in got(see(clip, 2, sc=False)):
        assert not {NEXT, PREV} & frame.props.keys()


def test_without_cuts_all_is_moved(shift):
    clip = two_scenes(props=True)
    between = shift(clip, 2, sc=False).get_frame(5)
    assert not same(between, clip.get_frame(2))
    assert not same(between, clip.get_frame(3))


def test_the_threshold(see):
    clip = two_scenes(props=False)
    assert marks(see(clip, 2, sc_threshold=1), NEXT) == []
    assert marks(see(clip, 2, sc_threshold=0), NEXT) == [1, 3, 5, 7, 9]


def test_cuts_of_the_output_are_found_by_the_next_filter(see):
    """The marks that one leaves are those that the next one honours: nothing is moved across the cut."""
    clip = two_scenes(props=True)
    twice = see(see(clip, 2), 2)
    assert marks(twice, NEXT) == [11]
    shown = got(twice)
    assert all(any(same(f, clip.get_frame(k)) for k in (2, 3)) for f in shown[8:13])


def test_identical_frames_cost_nothing(see, seeing_model, engine_of):
    still, engine = moving(vs.YUV420P8, 48, 32, 1), engine_of(seeing_model)
    before = engine.runs
    assert all(same(f, still.get_frame(0)) for f in got(see(still * 6, 3)))
    assert engine.runs == before
    got(see(still * 3 + moving(vs.YUV420P8, 48, 32, 2)[1] * 3, 3, sc=False))
    assert engine.runs == before + 1


# --- with other filters -----------------------------------------------------------------------------------

COMPOSED = {
    "trimmed": lambda c: c[2:5],
    "spliced": lambda c: c[:2] + c[4:],
    "reversed": lambda c: c.std.Reverse(),
    "interleaved": lambda c: core.std.Interleave([c, c.std.FlipHorizontal()]),
    "selected": lambda c: c.std.SelectEvery(2, 1),
    "FrameEval": lambda c: c.std.FrameEval(lambda n: c[len(c) - 1 - n]),
    "ModifyFrame": lambda c: c.std.ModifyFrame(c, lambda n, f: f.copy()),
    "resized": lambda c: c.resize.Bicubic(64, 48),
    "looped": lambda c: c[:2].std.Loop(3),
    "blank": lambda c: c.std.BlankClip(length=4, keep=True),
    "blank, made anew": lambda c: c.std.BlankClip(length=4),
}


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize("multi", [2, Fraction(5, 2)], ids=str)
def test_composes(see, name, multi):
    """With any clip before it, the same frames as of a clip that holds those frames."""
    clip = COMPOSED[name](moving(vs.YUV420P8, 48, 32, 6))
    out, want = see(clip, multi), see(frozen(clip), multi)
    assert (len(out), out.fps) == (len(want), want.fps)
    assert all(same(a, b) for a, b in zip(got(out), got(want), strict=True))


def test_slomo_of_slomo(see):
    clip = moving(vs.YUV420P8, 48, 32, 4)
    inner = see(clip, 2)
    out, want = see(inner, Fraction(5, 2)), see(frozen(inner), Fraction(5, 2))
    assert len(out) == 20
    assert out.fps == clip.fps * 5
    assert all(same(a, b) for a, b in zip(got(out), got(want), strict=True))


def test_what_follows_may_be_anything(see):
    out = see(moving(vs.YUV420P8, 48, 32, 4), 2)
    assert same(out[3:5].get_frame(0), out.get_frame(3))
    assert same(out.std.Reverse().get_frame(0), out.get_frame(7))
    assert same(core.std.Interleave([out, out]).get_frame(6), out.get_frame(3))
    assert len(got(out.resize.Bicubic(format=vs.RGB24, matrix_in=1))) == 8


# --- refusals ---------------------------------------------------------------------------------------------

INTEGER = "an integer of at least 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi": 0.5}, 'multi: got 0.5, allowed: a number of at least 1, such as 2, 2.5 or "5/2"'),
        ({"fps_num": 60, "multi": 3}, "multi: got 3, allowed: not together with a target rate (fps_num)"),
        (
            {"fps_num": 60, "slow_motion": True},
            "slow_motion: got True, allowed: not together with a target rate (fps_num)",
        ),
        ({"fps_den": 1}, "fps_den: got 1, allowed: only together with fps_num"),
        ({"fps_num": "60"}, f"fps_num: got '60', allowed: {INTEGER}"),
        ({"fps_num": 60, "fps_den": 0}, f"fps_den: got 0, allowed: {INTEGER}"),
        ({"fps_num": 24}, "fps_num/fps_den: got '24', allowed: a rate of at least the clip's own, 25"),
        ({"model": 3}, "model: got 3, allowed: the name of a model or the path of a file"),
        ({"scale": 0.3}, 'scale: got 0.3, allowed: None, "auto" or one of 1.0, 0.5, 0.25, 0.125'),
        ({"scale": True}, 'scale: got True, allowed: None, "auto" or one of 1.0, 0.5, 0.25, 0.125'),
        ({"scale": 4}, 'scale: got 4, allowed: None, "auto" or one of 1.0, 0.5, 0.25, 0.125'),
        ({"scale": "1/2"}, "scale: got '1/2', allowed: None, \"auto\" or one of 1.0, 0.5, 0.25, 0.125"),
        ({"slow_motion": "no"}, "slow_motion: got 'no', allowed: True or False"),
        ({"sc": "yes"}, "sc: got 'yes', allowed: True or False"),
        ({"sc": None}, "sc: got None, allowed: True or False"),
        ({"flow": "raft"}, "flow: got 'raft', allowed: None or one of unet, dis, guided, both, fast"),
        ({"precision": "fp8"}, "precision: got 'fp8', allowed: None or one of fp32, fp16, bf16"),
        ({"precision": ["fp32"]}, "precision: got ['fp32'], allowed: None or one of fp32, fp16, bf16"),
        ({"sc_threshold": 2}, "sc_threshold: got 2, allowed: a number in [0, 1]"),
        ({"sc_threshold": math.nan}, "sc_threshold: got nan, allowed: a number in [0, 1]"),
        ({"sc_threshold": "high"}, "sc_threshold: got 'high', allowed: a number in [0, 1]"),
        ({"sc_threshold": None}, "sc_threshold: got None, allowed: a number in [0, 1]"),
        ({"num_streams": 0}, "num_streams: got 0, allowed: None or an integer from 1 to 64"),
        ({"num_streams": 1.5}, "num_streams: got 1.5, allowed: None or an integer from 1 to 64"),
        ({"num_streams": "2"}, "num_streams: got '2', allowed: None or an integer from 1 to 64"),
        ({"matrix": 0}, "matrix: got 0, allowed: None or one of 1, 4, 5, 6, 7, 8, 9, 10"),
        ({"matrix": "709"}, "matrix: got '709', allowed: None or one of 1, 4, 5, 6, 7, 8, 9, 10"),
        ({"range": 2}, "range: got 2, allowed: None, 0 (limited) or 1 (full)"),
        ({"range": "full"}, "range: got 'full', allowed: None, 0 (limited) or 1 (full)"),
    ],
)
def test_refused_arguments(see, options, message):
    with pytest.raises(ArgumentError) as error:
        see(moving(vs.YUV420P8), **options)
    assert str(error.value) == message


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta", 5, [1]])
def test_refused_devices(see, device):
    with pytest.raises(ArgumentError, match=r"^device: got .*, allowed: (None or.* one of .*cpu|a name such as .*)$"):
        see(moving(vs.YUV420P8), device=device)


@pytest.mark.parametrize(
    ("options", "got"),
    [({"multi": 1e30}, "multi: got 1e+30"), ({"fps_num": 10**18}, "fps_num/fps_den: got '1000000000000000000'")],
)
def test_what_makes_too_many_frames(see, options, got):
    clip = core.std.BlankClip(format=vs.GRAY8, width=32, height=32, length=3, keep=True)
    with pytest.raises(ArgumentError) as error:
        see(clip, **options)
    assert str(error.value) == f"{got}, allowed: at most 536870912 frames of output, 178956970 times the clip's"


def test_a_scale_may_be_a_fraction(see):
    a, b = (see(moving(vs.GRAY8), scale=scale).get_frame(1) for scale in (Fraction(1, 2), 0.5))
    assert same(a, b)


def test_a_rate_that_the_host_cannot_hold(see):
    clip = moving(vs.YUV420P8, fps=Fraction(24000, 1001))
    with pytest.raises(ArgumentError) as error:
        see(clip, "2.0000000000000000000000000001")
    assert str(error.value) == (
        "multi: got '47.952048 frames a second, a fraction of 96 bits', allowed: a rate of at most 63 bits: "
        "give a factor of fewer digits, a fraction, or fps_num and fps_den"
    )


def test_a_missing_model(see):
    with pytest.raises(WeightsError, match=r"^model: 'nothing' is neither a file nor the name of a model"):
        see(moving(vs.YUV420P8), model="nothing")


@pytest.mark.parametrize("clip", [None, "clip", [1]])
def test_no_clip(see, clip):
    with pytest.raises(ArgumentError) as error:
        see(clip)
    assert str(error.value) == f"clip: got {clip!r}, allowed: a vapoursynth.VideoNode"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"varsize": True}, "clip: got variable format or size, allowed: one format and size throughout"),
        ({"format": vs.GRAY32}, "clip: got Gray32, allowed: integers of 8 to 16 bit, half and float"),
        ({"width": 8}, "clip: got 8x48, allowed: 16x16 and larger"),
    ],
)
def test_refused_clips(see, options, message):
    with pytest.raises(FormatError, match=f"^{message}"):
        see(core.std.BlankClip(**{"format": vs.GRAY8, "width": 64, "height": 48} | options))


def test_interlaced_frames(see):
    clip = moving(vs.YUV420P8).std.SetFieldBased(2)
    with pytest.raises(vs.Error, match=r"interlaced frame .* deinterlace first"):
        see(clip).get_frame(1)


def test_a_model_by_a_relative_path(shifting_model, monkeypatch):
    """vspipe changes the working directory while it loads the script, and only then."""
    monkeypatch.chdir(shifting_model.parent)
    out = slomo(moving(vs.GRAY8), 2, model=shifting_model.name, device="cpu", scale=0.5)
    monkeypatch.chdir("/")
    out.get_frame(1)


def test_errors_come_before_anything_costly(see, monkeypatch):
    """Frames, devices, weights: nothing is touched."""
    monkeypatch.setattr(Engine, "__init__", lambda *_: pytest.fail("a model was loaded"))
    clip, requests = counting(moving(vs.YUV420P8))
    for options in ({"multi": 0}, {"scale": 3}, {"matrix": 0}, {"num_streams": 0}, {"range": 7}):
        with pytest.raises(ArgumentError):
            see(clip, **options)
    assert requests == []
