"""What a clip must be, and what the networks see of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import convert, core, from_pictures, frozen, moving, picture, planes
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.clips import formats, frames
from vs_slomo.errors import ArgumentError, FormatError
from vs_slomo.model.superslomo import network_input

WIDTH, HEIGHT = 96, 64
PRESETS = [f for f in vs.PresetVideoFormat if f.name not in ("NONE", "GRAY32")]
SIZES = [(16, 16), (17, 31), (70, 45), (161, 97)]


def seen(clip, *, scale=1.0, half=False, range_in=None, matrix=None):
    """The first frame as the networks see it, (1, 3, h, w)."""
    frame = formats.network_clip(clip, scale, half=half, range_in=range_in).get_frame(0)
    return frames.read_rgb(frame, formats.rgb_matrix(clip.get_frame(0).props, (clip.width, clip.height), matrix))


def truth(color_family, width=WIDTH, height=HEIGHT):
    """What they should see."""
    rgb = torch.from_numpy(picture(width, height)).unsqueeze(0)
    if color_family != vs.GRAY:
        return rgb
    luma = (rgb * torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return luma.expand(1, 3, -1, -1)


def off(a, b):
    return float((a - b).abs().max())


def tolerance(video_format):
    """Of what the networks see: rounding (chroma counts up to twice), and chroma that was shrunk and is stretched."""
    steps = 1.2 if video_format.color_family != vs.YUV else 2.0
    lost = {0: 0.0005, 1: 0.045, 2: 0.135}[max(video_format.subsampling_w, video_format.subsampling_h)]
    bits = video_format.bits_per_sample if video_format.sample_type == vs.INTEGER else 11
    return steps / (219 * 2 ** (bits - 8)) + lost


# --- which clips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS, ids=lambda f: f.name)
def test_every_format_is_allowed(preset):
    clip = core.std.BlankClip(format=preset, width=64, height=48)
    assert formats.check_clip(clip) is clip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"varsize": True}, "variable format or size, allowed: one format and size throughout (put a resize in front)"),
        (
            {"varformat": True},
            "variable format or size, allowed: one format and size throughout (put a resize in front)",
        ),
        (
            {"format": vs.GRAY32},
            "Gray32, allowed: integers of 8 to 16 bit, half and float (put a resize in front)",
        ),
        (
            {"format": core.query_video_format(vs.YUV, vs.INTEGER, 17, 1, 1).id},
            "YUV420P17, allowed: integers of 8 to 16 bit, half and float (put a resize in front)",
        ),
        (
            {"format": core.query_video_format(vs.YUV, vs.INTEGER, 8, 3, 0).id},
            (
                "YUVssw3ssh0P8, allowed: chroma of at least a quarter of the picture's width and height "
                "(put a resize in front)"
            ),
        ),
        ({"width": 14}, "14x48, allowed: 16x16 and larger"),
        ({"height": 2}, "64x2, allowed: 16x16 and larger"),
    ],
)
def test_refused_clips(options, message):
    clip = core.std.BlankClip(**{"format": vs.YUV420P8, "width": 64, "height": 48} | options)
    with pytest.raises(FormatError) as error:
        formats.check_clip(clip)
    assert str(error.value) == f"clip: got {message}"


@pytest.mark.parametrize("clip", [None, "clip.mp4", 3])
def test_what_is_no_clip(clip):
    with pytest.raises(ArgumentError) as error:
        formats.check_clip(clip)
    assert str(error.value) == f"clip: got {clip!r}, allowed: a vapoursynth.VideoNode"


@pytest.mark.parametrize("matrix", [0, 2, 3, 11, 14, -1, "709", 1.0, True, [1]])
def test_refused_matrices(matrix):
    with pytest.raises(ArgumentError) as error:
        formats.check_matrix(matrix)
    assert str(error.value) == f"matrix: got {matrix!r}, allowed: None or one of 1, 4, 5, 6, 7, 8, 9, 10"


@pytest.mark.parametrize("matrix", [None, 1, 8, vs.MATRIX_BT2020_NCL])
def test_allowed_matrices(matrix):
    assert formats.check_matrix(matrix) == matrix


def test_interlaced_frames():
    clip = core.std.BlankClip(length=1)
    for field_based in (1, 2):
        with pytest.raises(FormatError) as error:
            formats.check_progressive(clip.std.SetFrameProps(_FieldBased=field_based).get_frame(0))
        assert str(error.value) == (
            "clip: got an interlaced frame (_FieldBased), allowed: progressive; deinterlace first, "
            "or std.SetFieldBased(0) where frames are whole and a filter left the flag, as inverse telecine (IVTC) does"
        )
    formats.check_progressive(clip.get_frame(0))
    formats.check_progressive(clip.std.SetFrameProps(_FieldBased=0).get_frame(0))


def test_single_fields():
    fields = core.std.BlankClip(length=2, width=64, height=64).std.SetFieldBased(2).std.SeparateFields()
    with pytest.raises(FormatError, match=r"got a single field \(_Field, .*or std\.RemoveFrameProps\('_Field'\) if"):
        formats.check_progressive(fields.get_frame(1))
    formats.check_progressive(fields.std.RemoveFrameProps("_Field").get_frame(1))


# --- what the networks see --------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS, ids=lambda f: f.name)
def test_every_format_looks_the_same(preset):
    """And a wrong range or order of the planes does not."""
    wanted = core.get_video_format(preset)
    allowed = tolerance(wanted)
    clip = moving(preset, WIDTH, HEIGHT, 1)
    want = truth(wanted.color_family)
    assert off(seen(clip), want) < allowed
    assert off(seen(clip, half=True), want) < allowed + 0.002  # half precision, and matrices that add it up
    # The mean's tolerance is narrower: what is lost in chroma averages out.
    narrow = min(allowed, 0.02)
    assert float((seen(clip) - want).abs().mean()) < narrow
    if wanted.sample_type == vs.INTEGER:
        wrong = clip.std.SetFrameProps(_Range=vs.RANGE_LIMITED if wanted.color_family == vs.RGB else vs.RANGE_FULL)
        assert float((seen(wrong) - want).abs().mean()) > narrow
    if wanted.color_family != vs.GRAY:
        swapped = core.std.ShufflePlanes(clip, [0, 2, 1], wanted.color_family)
        assert off(seen(swapped), want) > max(0.1, 1.5 * allowed)


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.YUV420P8, vs.YUV444P10, vs.YUV422P16, vs.RGB24], ids=lambda f: f.name)
def test_range(preset):
    """The frame's property, else the argument, else limited for YUV and GRAY and full for RGB."""
    family = core.get_video_format(preset).color_family
    full = moving(preset, WIDTH, HEIGHT, 1, full=True)
    unsaid = full.std.RemoveFrameProps(["_Range", "_ColorRange"])
    want = seen(full.std.SetFrameProps(_Range=vs.RANGE_FULL))
    assert off(want, truth(family)) < tolerance(core.get_video_format(preset))
    assert off(seen(unsaid, range_in=1), want) == 0
    assert off(seen(unsaid, range_in=0), want) > 0.05
    assert off(seen(full.std.SetFrameProps(_Range=vs.RANGE_FULL), range_in=0), want) == 0
    assert (off(seen(unsaid), want) == 0) == (family == vs.RGB)


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 8, 9])
def test_matrices_are_the_hosts(matrix):
    clip = from_pictures([picture(WIDTH, HEIGHT)]).resize.Bilinear(format=vs.YUV444PS, matrix=matrix)
    want = truth(vs.YUV)
    assert off(seen(clip), want) < 1e-6
    assert off(seen(clip.std.RemoveFrameProps(["_Matrix"]), matrix=matrix), want) < 1e-6


@pytest.mark.parametrize(("size", "guess"), [((1024, 576), 6), ((1025, 576), 1), ((1024, 577), 1), ((16, 16), 6)])
def test_the_rule_for_a_matrix(size, guess):
    """The frame's property, else the argument, else a guess by size; what is no weighting of RGB is missing."""
    by_number = {m: formats.rgb_matrix({"_Matrix": m}, size) for m in (1, 4, 5, 6, 7, 8, 9, 10)}
    assert torch.equal(by_number[9], by_number[10])
    for missing in ({}, *({"_Matrix": m} for m in (0, 2, 3, 11, 12, 13, 14, 99, -1))):
        assert torch.equal(formats.rgb_matrix(missing, size), by_number[guess])
        assert torch.equal(formats.rgb_matrix(missing, size, 9), by_number[9])
    assert torch.equal(formats.rgb_matrix({"_Matrix": 7}, size, 9), by_number[7])


@pytest.mark.parametrize("matrix", range(15))
def test_no_matrix_stops_it(matrix):
    clip = moving(vs.YUV420P8, length=1).std.SetFrameProps(_Matrix=matrix)
    assert seen(clip).isfinite().all()


@pytest.mark.parametrize("preset", [vs.YUV420P8, vs.RGB24, vs.GRAY16], ids=lambda f: f.name)
@pytest.mark.parametrize("prop", ["_Transfer", "_Primaries", "_FieldBased"])
@pytest.mark.parametrize("value", [-1, 0, 1, 3, 16, 18, 99])
def test_other_properties_change_nothing(preset, prop, value):
    clip = moving(preset, length=1)
    assert off(seen(clip.std.SetFrameProps(**{prop: value})), seen(clip)) == 0


def test_chroma_location_counts():
    rgb = from_pictures([picture(WIDTH, HEIGHT)])
    want = truth(vs.YUV)
    at = {
        place: rgb.resize.Bilinear(format=vs.YUV420PS, matrix=1, chromaloc=place)
        for place in (vs.CHROMA_LEFT, vs.CHROMA_CENTER, vs.CHROMA_TOP_LEFT)
    }
    for clip in at.values():
        assert float((seen(clip) - want).abs().mean()) < 0.0025
    wrong = at[vs.CHROMA_TOP_LEFT].std.SetFrameProps(_ChromaLocation=vs.CHROMA_CENTER)
    assert float((seen(wrong) - want).abs().mean()) > 0.0025


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25, 0.125])
def test_as_the_model_shrinks_and_pads(width, height, scale):
    """Equal inside; at the border the host mirrors what `model.network_input` repeats or leaves out."""
    got = seen(from_pictures([picture(width, height)]), scale=scale)
    want = network_input(truth(vs.RGB, width, height), scale)
    assert got.shape == want.shape
    edge = 0 if scale == 1 else 2
    inside = np.s_[..., edge : math.floor(height * scale) - edge, edge : math.floor(width * scale) - edge]
    assert want[inside].numel() == 0 or off(got[inside], want[inside]) < 1e-6
    assert off(got, want) <= {1: 0, 0.5: 0.03, 0.25: 0.07, 0.125: 0.15}[scale]


@given(width=st.integers(16, 200), height=st.integers(16, 200), scale=st.sampled_from([1.0, 0.5, 0.25, 0.125]))
def test_size(width, height, scale):
    """The fewest multiples of 32 that cover the picture, as the model's own."""
    got = seen(core.std.BlankClip(format=vs.GRAY8, width=width, height=height, length=1), scale=scale)
    assert got.shape[-2:] == tuple(32 * math.ceil(x * scale / 32) for x in (height, width))
    assert got.shape == network_input(torch.zeros(1, 3, height, width), scale).shape


@pytest.mark.parametrize("preset", [vs.RGBS, vs.RGBH, vs.GRAYS, vs.YUV444PS, vs.YUV420PS], ids=lambda f: f.name)
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 6e4, -6e4])
def test_strange_numbers_stay_where_they_are(preset, scale, value):
    clean = moving(preset, WIDTH, HEIGHT, 1)

    def spoil(n, f):
        out = f.copy()
        np.asarray(out[0])[30, 40] = value
        return out

    spoilt = seen(clean.std.ModifyFrame(clean, spoil), scale=scale)
    assert spoilt.isfinite().all()
    assert 0 <= spoilt.min() <= spoilt.max() <= 1
    touched = (spoilt != seen(clean, scale=scale)).any(1)[0].nonzero() / scale
    assert len(touched) <= 3**2
    assert ((touched - torch.tensor([30, 40])).abs() <= 4).all()


# --- luma for classical flow ------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.GRAYS, vs.YUV410P8, vs.YUV420P10, vs.YUV444PS, vs.RGB24, vs.RGBS])
def test_gray(preset):
    clip = moving(preset, WIDTH, HEIGHT, 1)
    gray = formats.gray_clip(clip)
    assert (gray.format.id, gray.width, gray.height) == (vs.GRAY8, WIDTH, HEIGHT)
    want = frozen(convert(from_pictures([picture(WIDTH, HEIGHT)]), vs.GRAY8)).get_frame(0)
    assert np.abs(planes(gray.get_frame(0))[0] - planes(want)[0]).max() <= 1.5 / 255
