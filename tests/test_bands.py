"""Rows made in bands: the same bits as all at once."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import moving, planes
from conftest import python

from vs_slomo import slomo
from vs_slomo.engine.render import plain, render, with_opencv
from vs_slomo.model import bands
from vs_slomo.model.dis import classical_motion
from vs_slomo.model.fusion import DRAFT, FUSIONS, PLAIN


def flows(height, width):
    """Smooth motion of a few pixels."""
    made = torch.randn(2, 1, 2, 6, 8, generator=torch.Generator().manual_seed(3)).flatten(0, 1) * 3
    made = torch.nn.functional.interpolate(made, size=(height, width), mode="bilinear")
    return made[:1], made[1:]


@pytest.mark.parametrize("fusion", [PLAIN, DRAFT, FUSIONS["agreement"]])
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.25])
def test_bands_change_nothing(monkeypatch, fusion, ratio):
    planes = (torch.rand(2, 1, 2, 101, 150, generator=torch.Generator().manual_seed(1)) * 255).round()
    small = flows(*(round(n * ratio) for n in (128, 160)))

    def made(rows):
        monkeypatch.setattr(bands, "PIXELS", 150 * rows)
        monkeypatch.setattr(bands, "TALL", rows)
        motion = classical_motion(small, 0.375, bend=small[0] / 8, fusion=fusion, ratio=ratio)
        return [motion.logit, with_opencv(motion, *planes, 1, 1, (5, 8), 255, torch.uint8)]

    for whole, some in zip(made(1 << 20), made(7), strict=True):
        assert torch.equal(whole, some)


def test_threads_for_bands_leave_the_number_of_others():
    count = torch.get_num_threads()
    bands._threads.cache_clear()
    assert set(bands.threads().map(lambda _: torch.get_num_threads(), range(8))) == {1}
    assert torch.get_num_threads() == count
    with bands.ThreadPoolExecutor(1) as others:
        assert others.submit(torch.get_num_threads).result() == count


def test_the_number_of_threads_may_change():
    count = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            assert bands.threads()._max_workers == number
    finally:
        torch.set_num_threads(count)


def test_bands_from_several_threads_at_once():
    bands._threads.cache_clear()
    field = torch.arange(64.0).view(1, 1, 64, 1).expand(1, 1, 64, 4096).contiguous()

    def doubled(_):
        return bands.in_bands(lambda rows: (2 * field[..., rows, :],), field)[0]

    with bands.ThreadPoolExecutor(8) as hosts:
        assert all(torch.equal(made, 2 * field) for made in hosts.map(doubled, range(64)))


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.125])
@pytest.mark.parametrize("shrink", [(1, 1), (0.5, 0.5), (0.5, 1), (0.25, 0.25)])
@pytest.mark.parametrize("peak", [255, 65535, None])
def test_bands_are_as_the_formula_has_them(monkeypatch, ratio, shrink, peak):
    """Of any part of a plane, in any depth, at any subsampling."""
    monkeypatch.setattr(bands, "PIXELS", 700)
    dtype = {255: torch.uint8, 65535: torch.uint16, None: torch.float32}[peak]
    drawn = torch.rand(2, 1, 1, 53, 71, generator=torch.Generator().manual_seed(1))
    plane0, plane1 = ((peak or 1) * drawn).to(dtype)
    motion = classical_motion(flows(round(256 * ratio), round(320 * ratio)), 0.25, fusion=DRAFT, ratio=ratio)
    made = render(motion, plane0, plane1, *shrink, (3, 5), peak)
    true = plain(motion, plane0.float(), plane1.float(), *shrink, (3, 5), peak or 1)
    assert made.dtype == dtype
    assert made.shape == plane0.shape
    if peak is None:
        true = true.clamp(min(drawn.min(), 1), drawn.max())
    assert (made.float() - true.clamp(0, peak or 1)).abs().max() <= (2e-4 if peak is None else 0.5 + 2e-4 * peak)


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (130, 66)])
@pytest.mark.parametrize("name", ["GRAY8", "YUV420P16", "YUV410P8", "YUV444PS", "RGBH", "RGB24"])
def test_the_draft_moves_every_format(shifting_model, name, size):
    width, height = size
    format_id = getattr(vs, name)
    step = {"YUV420P16": 2, "YUV410P8": 4}.get(name, 1)
    clip = moving(format_id, max(16, width // step * step), max(16, height // step * step), 4)
    made = slomo(clip, 2, model=shifting_model, flow="fast", device="cpu", sc=False)
    assert made.format.id == format_id
    for new, near in zip(planes(made.get_frame(3)), planes(clip.get_frame(1)), strict=True):
        assert new.shape == near.shape
        assert np.isfinite(new).all()
        assert abs(new.mean() - near.mean()) < 0.1


def test_nan_stays_where_it_is(shifting_model):
    clip = moving(vs.GRAYS, 64, 48, 3)

    def spoilt(n, f):
        out = f.copy()
        np.asarray(out[0])[10, 20] = np.nan
        return out

    made = slomo(clip.std.ModifyFrame(clip, spoilt), 2, model=shifting_model, flow="fast", device="cpu", sc=False)
    bad = np.isnan(planes(made.get_frame(1))[0])
    assert 0 < bad.sum() <= 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_has_threads_of_its_own():
    done = python("""
import os, signal, torch
from vs_slomo.model.bands import in_bands
def made(): return in_bands(lambda rows: (torch.ones(1, 1, rows.stop - rows.start, 8),), torch.zeros(1, 1, 64, 8))
made()
child = os.fork()
if not child:
    signal.alarm(60)
    made()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert done.stdout.strip() == "0", done.stderr
