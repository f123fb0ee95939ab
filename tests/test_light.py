"""Transfer curves against the host's, and against the standards' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import vapoursynth as vs

from vs_slomo.filters.light import from_light, to_light

CODES = torch.linspace(0, 1, 257, dtype=torch.float64)
KNOWN = [1, 4, 5, 6, 8, 13, 14, 15, 16, 18]

by_transfer = pytest.mark.parametrize("transfer", KNOWN)


@by_transfer
def test_there_and_back(transfer):
    assert torch.allclose(from_light(to_light(CODES, transfer), transfer), CODES, atol=2e-6)


@by_transfer
def test_black_is_black_white_is_white_and_light_grows(transfer):
    light = to_light(CODES, transfer)
    assert light[0] == pytest.approx(0, abs=1e-9)
    assert light[-1] == pytest.approx(1, abs=1e-6)
    assert (light.diff() > 0).all()


@pytest.mark.parametrize("transfer", [4, 5, 8, 13])
def test_as_the_host_has_it(transfer):
    """Where the host means the same light: for BT.709 and HLG it means the display's, for PQ in units of 100 nits."""
    blank = vs.core.std.BlankClip(format=vs.RGBS, width=len(CODES), height=16, length=1)

    def ramp(n, f):
        out = f.copy()
        for p in range(3):
            np.asarray(out[p])[:] = CODES.numpy()
        return out

    clip = blank.std.ModifyFrame(blank, ramp)
    linear = clip.resize.Bilinear(transfer_in=transfer, transfer=8, primaries_in=1, primaries=1)
    host = np.asarray(linear.get_frame(0)[0])[0]
    assert np.abs(to_light(CODES, transfer).numpy() - host).max() < 1e-5


@pytest.mark.parametrize(
    ("transfer", "code", "light"),
    [
        (1, 0.0405, 0.009),  # BT.709: 4.5 L below 0.018
        (1, 1.099 * 0.25**0.45 - 0.099, 0.25),
        (16, 0.508078, 0.01),  # BT.2408: 100 of 10,000 nits lie at 51 %
        (16, 0.751827, 0.1),
        (18, 0.5, 1 / 12),  # BT.2100, table 5
        (18, 0.75, 0.26496),  # BT.2408: the reference white of HLG lies at 75 %
    ],
)
def test_the_standards_numbers(transfer, code, light):
    got = to_light(torch.tensor([code], dtype=torch.float64), transfer)
    assert float(got) == pytest.approx(light, rel=2e-3)


def test_an_unknown_curve_is_that_of_bt709():
    assert torch.equal(to_light(CODES, 2), to_light(CODES, 1))
