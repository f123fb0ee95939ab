"""What players and previewers need: clips without an end, their properties on every frame, times, seeks, borders."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from clips import ENDLESS, counting, moving, played, same

from vs_slomo import motion, retime, slomo
from vs_slomo.clips.durations import duration
from vs_slomo.errors import ArgumentError, FormatError
from vs_slomo.filters import baselines
from vs_slomo.filters.record import SHOWN

EXAMPLES = Path(__file__).parents[1] / "examples"
VARIABLE = [Fraction(n, 1000) for n in (40, 40, 80, 40, 17, 33, 40, 100)]


@pytest.fixture
def made(shifting_model):
    return {"model": shifting_model, "device": "cpu"}


def functions(options):
    """Yield every function that returns a clip of new pictures, by name, from a clip to that clip."""
    yield "slomo", lambda clip: slomo(clip, 2, **options)
    yield "slomo draft", lambda clip: slomo(clip, 2, flow="fast", **options)
    yield "slomo even", lambda clip: slomo(clip, "5/2", curved=False, **options)
    yield "slomo dedupe", lambda clip: slomo(clip, 2, dedupe=True, **options)
    yield "slomo slow motion", lambda clip: slomo(clip, 2, slow_motion=True, **options)
    for what in SHOWN:
        yield f"slomo {what}", lambda clip, what=what: slomo(clip, 2, debug=what, **options)
    yield "retime", lambda clip: retime(clip, [(0, 0), (6, 3)], unit="frames", fps_num=25, **options)
    shutter = {"shutter": 3, "fps_num": 25, "unit": "frames"}
    yield "retime shutter", lambda clip: retime(clip, [(0, 0), (6, 3)], **shutter, **options)
    for layer in ("forward", "backward", "visibility", "occluded", "revealed", "view"):
        yield f"motion {layer}", lambda clip, layer=layer: getattr(motion(clip, **options), layer)
    for name in ("sample", "blend", "mc", "flow"):
        yield name, lambda clip, name=name: getattr(baselines, name)(clip, 2)
    yield "blend linear", lambda clip: baselines.blend(clip, 2, linear=True)


NAMES = [name for name, _ in functions({})]
OWN = {"Unknown": 7, "_MP_IMAGE": 4711, "_SARNum": 4, "_SARDen": 3, "Text": "ein Wort"}


@pytest.mark.parametrize("preset", [vs.YUV420P8, vs.RGB24, vs.GRAY8, vs.YUV444PS])
@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_knows_stays_on_every_frame(name, preset, made):
    clip = moving(preset, 64, 64, length=4).std.SetFrameProps(**OWN, ContentLightLevelMax=1000, _Transfer=16)
    if name == "mc" and not hasattr(vs.core, "mv"):
        pytest.skip("MVTools is not installed")
    out = dict(functions(made))[name](clip)
    shows_something_else = name.startswith("motion") or name in ("slomo flow", "slomo visibility")
    for frame in out.frames(close=True):
        assert {key: frame.props.get(key) for key in OWN} == OWN
        if shows_something_else:  # and says which colours it has
            family = frame.format.color_family
            assert frame.props["_Matrix"] == (vs.MATRIX_RGB if family == vs.RGB else vs.MATRIX_BT709)
            assert (frame.props["_Transfer"], frame.props["_Primaries"]) == (13, 1)
            assert frame.props["_Range"] == int(family != vs.YUV or preset == vs.YUV444PS)
            assert "ContentLightLevelMax" not in frame.props
        else:
            assert (frame.props["_Transfer"], frame.props["ContentLightLevelMax"]) == (16, 1000)
    # As previewers do: to RGB, with what the frames say.
    assert out.resize.Point(format=vs.RGB24).get_frame(1).width == 64


@pytest.mark.parametrize("name", NAMES)
def test_durations_are_right_where_the_rate_varies(name, made):
    clip = played(moving(vs.YUV420P8, 64, 64, length=8), VARIABLE)[:8]
    if name == "mc" and not hasattr(vs.core, "mv"):
        pytest.skip("MVTools is not installed")
    out = dict(functions(made))[name](clip)
    lasts = [duration(frame) for frame in out.frames(close=True)]
    if name.startswith("motion"):
        assert lasts == VARIABLE
    elif name.startswith("retime"):
        assert set(lasts) == {Fraction(1, 25)}
    else:
        assert sum(lasts) == sum(VARIABLE) * (2 if "slow" in name else 1)


@pytest.mark.parametrize("lasts", [Fraction(1, 24), VARIABLE, None])
@pytest.mark.parametrize("multi", [2, 3, 4, 5, 6, 7, 8, Fraction(6000, 1001), Fraction(3, 2)])
def test_every_frame_up_to_the_last_at_its_moment(multi, lasts, made):
    source = moving(vs.YUV420P8, 64, 64, length=8)
    out = slomo(played(source, lasts), multi, curved=False, **made)
    assert 2**27 <= out.num_frames <= 2**29
    last = int(7 * Fraction(multi))  # the last one that lies on a picture or between two
    frames = [out.get_frame(n) for n in range(last + 1)]
    assert {frame.props["_MP_IMAGE"] for frame in frames} <= {4711 + k for k in range(8)}
    for n, frame in enumerate(frames):
        k, rest = divmod(n, Fraction(multi))
        if not rest:
            assert same(frame, source.get_frame(int(k)))
        elif rest / Fraction(multi) > Fraction(1, 10):
            assert not same(frame, source.get_frame(int(k)))
    if lasts is None:
        assert not any(duration(frame) for frame in frames)
        return
    # Where each frame begins, by the durations: where its place in the source is.
    given = lasts if isinstance(lasts, list) else [lasts] * 8
    begins = [Fraction(0), *accumulate(given)]
    for n, at in zip(range(last + 1), accumulate(map(duration, frames), initial=Fraction(0)), strict=False):
        position = n / Fraction(multi)
        k = int(position)
        assert at == begins[k] + (position - k) * given[k]


def test_a_long_clip_keeps_its_error(made):
    clip = vs.core.std.BlankClip(format=vs.GRAY8, width=64, height=64, length=2**26, keep=True)
    with pytest.raises(ArgumentError, match="multi: got 9, allowed: at most 536870912 frames of output, 8 times"):
        slomo(clip, 9, **made)
    assert slomo(clip, 8, **made).num_frames == 2**29
    assert slomo(clip.std.Loop(2)[: 2**26 + 1], 9, **made).num_frames == int(Fraction(2**29, 9)) * 9


def test_a_factor_that_never_comes_round(made):
    clip = played(moving(vs.YUV420P8, 64, 64, length=4), Fraction(1, 24))
    for factor in (2.50001, Fraction(19999, 8000)):
        assert slomo(clip, factor, curved=False, **made).get_frame(5).props["_MP_IMAGE"] in (4712, 4713)


@pytest.mark.parametrize("streams", [1, 2, 3, 8, 64])
def test_streams_fit_beside_an_endless_clip(streams, made):
    clip = played(moving(vs.YUV420P8, 64, 64, length=4), Fraction(1, 24))
    out = slomo(clip, 8, num_streams=streams, curved=False, **made)
    assert out.get_frame(9).props["_MP_IMAGE"] == 4712


@pytest.mark.parametrize("flow", [None, "fast"])
@pytest.mark.parametrize("first", [0, 3, 5])
def test_a_seek_begins_a_new_graph(first, flow, made):
    source = moving(vs.YUV420P8, 64, 64, length=8)
    whole = slomo(played(source, VARIABLE), 3, curved=False, flow=flow, **made)
    sought = slomo(played(source, VARIABLE, first), 3, curved=False, flow=flow, **made)
    for n in range(3 * (7 - first) + 1):
        a, b = sought.get_frame(n), whole.get_frame(3 * first + n)
        assert same(a, b)
        assert (duration(a), a.props["_MP_IMAGE"]) == (duration(b), b.props["_MP_IMAGE"])


def boxed(length=12):
    """Pictures with black bars of 8 above and below."""
    clip = moving(vs.YUV420P8, 64, 80, length=length).std.Crop(top=8, bottom=8)
    return clip.std.AddBorders(top=8, bottom=8, color=[16, 128, 128])


def test_borders_are_sought_near_the_start_of_an_endless_clip(made):
    clip, asked = counting(played(boxed(), Fraction(1, 24)))
    frame = slomo(clip, 2, borders="auto", curved=False, **made).get_frame(5)
    assert max(asked) < 8
    luma = np.asarray(frame[0])
    assert luma[:8].max() == luma[-8:].max() == 16
    assert luma[8:-8].min() > 16


def test_borders_that_autocrop_has_found(made):
    told = {"CropTopValue": 8, "CropBottomValue": 8, "CropLeftValue": 0, "CropRightValue": 0}
    clip = moving(vs.YUV420P8, 64, 80, length=4)  # no bars: only what is told counts
    out = slomo(clip.std.SetFrameProps(**told), 2, borders="auto", **made).get_frame(3)
    given = slomo(clip, 2, borders=(0, 8, 0, 8), **made).get_frame(3)
    assert same(out, given)
    assert not same(out, slomo(clip, 2, borders="auto", **made).get_frame(3))
    assert out.props["CropTopValue"] == 8


@pytest.mark.parametrize("field", [1, 2])
def test_what_inverse_telecine_leaves_is_named(field, made):
    clip = moving(vs.YUV420P8, 64, 64, length=4).std.SetFieldBased(field)
    with pytest.raises((FormatError, vs.Error), match=re.escape("std.SetFieldBased(0)")):
        slomo(clip, 2, **made).get_frame(1)
    assert slomo(clip.std.SetFieldBased(0), 2, **made).get_frame(1).width == 64


def run_example(name, **given):
    """Return what an example hands back to mpv."""
    code = (EXAMPLES / name).read_text(encoding="utf-8")
    exec(compile(code, name, "exec"), given)  # as mpv does
    return vs.get_output(0).clip


@pytest.mark.parametrize(
    ("container", "display", "factor"),
    [
        (24.0, 144.0, 6),
        (23.976023976, 144.0, 6),
        (23.976023976, 59.951, Fraction(5, 2)),
        (25.0, 60.0, Fraction(12, 5)),
        (30.0, 50.0, Fraction(5, 3)),
        (60.0, 60.0, 1),
        (120.0, 60.0, 1),
        (0.0, 60.0, 2),
        (24.0, 0.0, 2),
    ],
)
def test_mpv_up_to_the_displays_rate(container, display, factor):
    clip = played(moving(vs.YUV420P8, 64, 64, length=4), VARIABLE[:4])
    out = run_example("mpv_display.vpy", video_in=clip, container_fps=container, display_fps=display)
    lasts = [duration(out.get_frame(n)) for n in range(3)]
    assert lasts[0] == VARIABLE[0] / factor
    assert out.get_frame(0).props["_MP_IMAGE"] == 4711


@pytest.mark.parametrize("container", [24.0, 23.976023976, 0.0])
def test_mpv_keeps_the_times_of_a_variable_file(container):
    clip = played(moving(vs.YUV420P8, 64, 64, length=8), VARIABLE)
    out = run_example("mpv.vpy", video_in=clip, container_fps=container, display_fps=60.0)
    assert (out.fps, ENDLESS) == (0, clip.num_frames)
    lasts = [duration(out.get_frame(n)) for n in range(15)]
    assert lasts == [x / 2 for x in VARIABLE for _ in range(2)][:15]
