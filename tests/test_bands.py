"""Rows made in bands: the same bits as all at once."""

from __future__ import annotations

import pytest
import torch

from vs_slomo.engine.render import with_opencv
from vs_slomo.model import bands
from vs_slomo.model.dis import classical_motion
from vs_slomo.model.fusion import DRAFT, PLAIN


def flows(height, width):
    """Smooth motion of a few pixels."""
    made = torch.randn(2, 1, 2, 6, 8, generator=torch.Generator().manual_seed(3)).flatten(0, 1) * 3
    made = torch.nn.functional.interpolate(made, size=(height, width), mode="bilinear")
    return made[:1], made[1:]


@pytest.mark.parametrize("fusion", [PLAIN, DRAFT])
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.25])
def test_bands_change_nothing(monkeypatch, fusion, ratio):
    planes = (torch.rand(2, 1, 2, 101, 150, generator=torch.Generator().manual_seed(1)) * 255).round()
    small = flows(*(round(n * ratio) for n in (128, 160)))

    def made(pixels):
        monkeypatch.setattr(bands, "PIXELS", pixels)
        motion = classical_motion(small, 0.375, bend=small[0] / 8, fusion=fusion, ratio=ratio)
        return [motion.logit, with_opencv(motion, *planes, 1, 1, (5, 8), 255, torch.uint8)]

    for whole, some in zip(made(1 << 30), made(1000), strict=True):
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
