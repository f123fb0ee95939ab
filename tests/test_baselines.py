"""The older methods: each finds what it can find, and all keep timing, formats and originals as `slomo` does."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import vapoursynth as vs
from clips import convert, core, counting, distance, from_pictures, frozen, moving, planes, same

from vs_slomo.errors import ArgumentError, FormatError, SlomoError
from vs_slomo.filters import baselines
from vs_slomo.filters.baselines import blend, flow, mc, sample
from vs_slomo.model.dis import classical_motion, hidden
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.training.scenes import Scene

METHODS = {
    "sample": sample,
    "blend": blend,
    "light": lambda *a, **o: blend(*a, linear=True, **o),
    "mc": mc,
    "flow": flow,
}
FORMATS = [vs.GRAY8, vs.GRAYS, vs.YUV420P8, vs.YUV422P10, vs.YUV440P8, vs.YUV410P8, vs.YUV444PH, vs.RGB24, vs.RGBS]
STEP = (8, -4)
"""Pixels by which `textured` moves from frame to frame, to the right and downwards."""

by_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
by_format = pytest.mark.parametrize("preset", FORMATS, ids=lambda f: f.name)


def textured(preset=vs.YUV420P8, times=(0, 1, 2), width=96, height=64, **options):
    """A clip of a texture that moves by STEP a frame, at any times that make whole pixels of it."""
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.uniform(0, 1, (height + 32, width + 32, 3)).astype(np.float32), (0, 0), 1.5)
    noise = 0.1 + 0.8 * (noise - noise.min()) / np.ptp(noise)

    def at(t):
        x, y = (round(16 - t * step) for step in STEP)
        return np.ascontiguousarray(noise[y : y + height, x : x + width].transpose(2, 0, 1))

    clip = from_pictures([at(t) for t in times], **options)
    if core.get_video_format(preset).color_family != vs.RGB:
        return frozen(convert(clip, preset))
    return frozen(clip.resize.Bilinear(format=preset))


def got(clip):
    return [clip.get_frame(n) for n in range(len(clip))]


# --- what each finds --------------------------------------------------------------------------------------


@by_format
@pytest.mark.parametrize("method", [mc, flow])
def test_motion_is_followed_in_every_format(method, preset):
    made = method(textured(preset, (0, 1)), sc=False).get_frame(1)
    truth = textured(preset, (0.5,)).get_frame(0)
    assert made.format.id == preset
    blended = blend(textured(preset, (0, 1))).get_frame(1)
    assert distance(made, truth, margin=16) < 0.25 * distance(blended, truth, margin=16)


@pytest.mark.parametrize("method", [mc, flow])
def test_every_moment_has_its_place(method):
    clip = textured(vs.GRAY16, (0, 1))
    out = method(clip, 4, sc=False)
    for n in (1, 2, 3):
        errors = [distance(out.get_frame(m), textured(vs.GRAY16, (n / 4,)).get_frame(0), margin=16) for m in (1, 2, 3)]
        assert min(range(3), key=errors.__getitem__) == n - 1


@pytest.mark.parametrize("method", [mc, flow])
@pytest.mark.parametrize("size", [(16, 16), (18, 22), (130, 16)])
def test_small_clips(method, size):
    out = method(textured(vs.YUV420P8, (0, 1), *size))
    assert [(f.width, f.height) for f in got(out)] == [size] * 4


def test_sampling_repeats_the_nearer_frame():
    clip = moving(vs.YUV420P8, length=3)
    out = sample(clip, 4)
    nearest = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert all(same(f, clip.get_frame(k)) for f, k in zip(got(out), nearest, strict=True))


@by_format
def test_blending_is_weighted_by_time(preset):
    clip = moving(preset, 64, 48, 2)
    a, b = (planes(f) for f in got(clip))
    grain = 1 / 255 if clip.format.bits_per_sample < 16 else 1e-3
    for n in (1, 2):
        made = planes(blend(clip, 3).get_frame(n))
        assert all(np.abs(x + (y - x) * n / 3 - z).max() < grain for x, y, z in zip(a, b, made, strict=True))


@pytest.mark.parametrize("transfer", [4, 13])
def test_light_is_mixed_as_the_host_mixes_it(transfer):
    clip = textured(vs.RGBS, (0, 1)).std.SetFrameProps(_Transfer=transfer)
    made = blend(clip, linear=True).get_frame(1)
    linear = clip.resize.Bilinear(transfer=8)
    want = linear[0].std.Merge(linear[1]).resize.Bilinear(transfer=transfer).get_frame(0)
    assert distance(made, want) < 3e-4
    assert distance(blend(clip).get_frame(1), want) > 0.02


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.YUV420P8, vs.YUV444P16, vs.YUV444PS, vs.RGB24, vs.RGB48])
@pytest.mark.parametrize("full", [False, True])
def test_black_and_white_make_the_gray_of_half_the_light(preset, full):
    pictures = [np.full((3, 16, 16), x, np.float32) for x in (0, 1)]
    clip = convert(from_pictures(pictures), preset, full=full)
    half = 1.099 * 0.5**0.45 - 0.099
    want = convert(from_pictures([np.full((3, 16, 16), half, np.float32)]), preset, full=full)
    assert distance(blend(clip, linear=True).get_frame(1), want.get_frame(0)) < 1.5 / 255


def test_light_changes_nothing_where_nothing_changes():
    half = np.concatenate([np.zeros((3, 32, 16), np.float32), np.full((3, 32, 16), 0.7, np.float32)], axis=2)
    clip = convert(from_pictures([0.8 - half, half * 0.1 + 0.8 - half]), vs.YUV420P8)
    a = clip.get_frame(0)
    made = blend(clip, linear=True).get_frame(1)
    assert all(
        np.array_equal(x[:, : x.shape[1] // 2], y[:, : y.shape[1] // 2])
        for x, y in zip(planes(a), planes(made), strict=True)
    )
    assert not same(a, made)


def test_what_one_frame_hides_is_taken_from_the_other():
    """In scenes whose flow and visibility are known, at t = 1/2."""
    gains = []
    for seed in range(4):
        scene = Scene.random(seed, 96, 128)
        i0, truth, i1 = (scene.frame(t)[None] for t in (0.0, 0.5, 1.0))
        flows = scene.flow(0.0, 1.0)[None], scene.flow(1.0, 0.0)[None]
        doubt = hidden(*flows)[0, 0]
        seen = scene.visible(0.0, 1.0)
        assert doubt[~seen].mean() > 3 * doubt[seen].mean()
        once = (scene.visible(0.5, 0.0) ^ scene.visible(0.5, 1.0)).expand(3, -1, -1)
        errors = [
            (classical_motion(flows, 0.5, occlusion=o).render(i0, i1)[0] - truth[0])[once].square().mean()
            for o in (False, True)
        ]
        gains.append(float(errors[0] / errors[1]))
    assert np.mean(gains) > 1.05


def test_without_occlusion_it_is_the_papers_formula_and_the_mean_of_both_warps():
    clip = textured(vs.GRAYS, (0, 1))
    made = planes(flow(clip, 4, occlusion=False, sc=False).get_frame(1))[0]
    a, b = (planes(f)[0].astype(np.float32) for f in got(clip))
    gray = [np.ascontiguousarray(np.asarray(f[0])) for f in got(baselines.formats.gray_clip(clip))]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    f01, f10 = dis.calc(*gray, None), dis.calc(*gray[::-1], None)
    t = 0.25
    y, x = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)

    def warp(image, f):
        return cv2.remap(image, x + f[..., 0], y + f[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    want = warp(a, -(1 - t) * t * f01 + t * t * f10) / 2 + warp(b, (1 - t) ** 2 * f01 - t * (1 - t) * f10) / 2
    # remap knows 32 places between two pixels.
    assert np.abs(made - want).max() < 0.02
    assert np.abs(made - want).mean() < 0.002


# --- what all keep ----------------------------------------------------------------------------------------


@by_method
@by_format
def test_originals_length_rate_and_format_are_kept(method, preset):
    clip = moving(preset, 64, 48, 3)
    out = method(clip, "5/2")
    assert (len(out), out.fps, out.format.id) == (7, Fraction(125, 2), preset)
    assert same(out.get_frame(0), clip.get_frame(0))
    assert same(out.get_frame(5), clip.get_frame(2))
    assert same(out.get_frame(6), clip.get_frame(2))  # past the end


@by_method
def test_timing_arguments(method):
    clip = moving(length=4, fps=Fraction(24000, 1001))
    assert method(clip, fps_num=60).fps == 60
    assert len(method(clip, fps_num=60)) == 10
    slow = method(clip, 3, slow_motion=True)
    assert (len(slow), slow.fps) == (12, clip.fps)
    variable = method(clip, fps_num=50, timecodes=Timecodes((0, 20, 60, 80, 120), Fraction(1, 1000)))
    assert len(variable) == 6
    assert all(same(variable.get_frame(n), clip.get_frame(k)) for n, k in ((0, 0), (1, 1), (3, 2), (4, 3)))
    assert method(clip, 1) is clip or len(method(clip, 1)) == 4


@by_method
def test_nothing_is_asked_for_early_and_two_frames_for_one(method):
    clip, requests = counting(moving(length=8))
    out = method(clip, 3)
    # MVTools asks for what it must know of the clip when the script loads, and for the motion before and behind.
    assert set(requests) <= ({0, 1} if method is mc else set())
    requests.clear()
    out.get_frame(10)
    assert {3, 4} <= set(requests) <= ({2, 3, 4, 5} if method is mc else {3, 4})


@by_method
def test_a_cut_shows_the_nearer_frame(method):
    clip = moving(length=2)
    cut = clip.std.SetFrameProps(_SceneChangeNext=1)
    for n, k in ((1, 0), (2, 1)):
        assert same(method(cut, 3).get_frame(n), clip.get_frame(k))
    whole = method(cut, 3, sc=False)
    assert (method is sample) == same(whole.get_frame(1), clip.get_frame(0))
    assert [f.props["_SceneChangeNext"] for f in got(method(cut[0] + clip[1], 2))[:2]] == [0, 1]


@by_method
def test_a_new_frame_is_no_key_frame(method):
    clip = moving(length=2).std.SetFrameProps(_PictType="I", _AbsoluteTime=0.5, Kept=1)
    props = method(clip).get_frame(1).props
    assert "_PictType" not in props
    assert "_AbsoluteTime" not in props
    assert props["Kept"] == 1


@by_method
def test_equal_frames_stay_as_they_are(method):
    clip = moving(length=1)
    still = clip + clip
    assert same(method(still).get_frame(1), clip.get_frame(0))


def test_alpha_is_mixed_too():
    clip = moving(vs.RGB24, length=2)
    alpha = frozen(
        core.std.BlankClip(clip, format=vs.GRAY8, length=1, color=0)
        + core.std.BlankClip(clip, format=vs.GRAY8, length=1, color=100)
    )
    made = blend(clip.std.ClipToProp(alpha, prop="_Alpha"), 4).get_frame(1)
    assert (np.asarray(made.props["_Alpha"][0]) == 25).all()


# --- errors -----------------------------------------------------------------------------------------------


@by_method
def test_arguments_are_checked_when_the_script_loads(method):
    clip, requests = counting(moving())
    for name, value in (
        ("multi", 0.5),
        ("fps_num", 0),
        ("fps_num", 1),
        ("sc_threshold", 1.5),
        ("fps_den", 2),
        ("sc", "x"),
    ):
        with pytest.raises(ArgumentError, match=name):
            method(clip, **{name: value})
    with pytest.raises(TypeError, match="shutter"):
        method(clip, shutter=3)
    for own, option in ((baselines.blend, "linear"), (baselines.flow, "occlusion")):
        with pytest.raises(ArgumentError, match=f"{option}: got 'x', allowed: True or False"):
            own(clip, **{option: "x"})
    with pytest.raises(FormatError, match="16x16"):
        method(core.std.BlankClip(width=8, height=8))
    assert requests == []


@by_method
def test_interlaced_frames_raise(method):
    with pytest.raises(vs.Error, match="deinterlace"):
        method(moving().std.SetFrameProps(_FieldBased=1)).get_frame(1)


def test_without_mvtools_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(baselines.vs, "core", SimpleNamespace())
    with pytest.raises(SlomoError, match="vapoursynth-mvtools"):
        mc(None)
