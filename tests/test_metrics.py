"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vs_slomo.metrics import interpolation_error, psnr, ssim


def flat(value, size=16):
    return torch.full((3, size, size), value)


def test_an_error_of_a_tenth_is_20_db():
    assert psnr(flat(0.3), flat(0.4)) == pytest.approx(20, abs=1e-5)


def test_psnr_takes_the_mean_before_the_logarithm():
    picture = torch.zeros(1, 2, 2)
    picture[0, 0, 0] = 0.2
    # 0.04 / 4 = 0.01
    assert psnr(picture, torch.zeros(1, 2, 2)) == pytest.approx(20, abs=1e-5)


def test_equal_pictures():
    x = torch.rand(3, 16, 20, generator=torch.Generator().manual_seed(0))
    assert psnr(x, x) == math.inf
    assert interpolation_error(x, x) == 0
    assert ssim(x, x) == pytest.approx(1, abs=1e-9)


def test_ie_is_in_steps_of_8_bit():
    picture, truth = flat(0.5), flat(0.5)
    picture[:, :8] += 2 / 255
    # Half of the pixels are off by 2: sqrt(4 / 2).
    assert interpolation_error(picture, truth) == pytest.approx(math.sqrt(2), rel=1e-5)


def test_ssim_of_flat_pictures_is_the_luminance_term():
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(flat(0.2), flat(0.6)) == pytest.approx(expected, rel=1e-6)


def test_ssim_of_a_negative_is_negative():
    # A checkerboard and its negative: equal means and variances, covariance of the other sign.
    y, x = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    board = 0.25 + 0.5 * ((x + y) % 2).double().expand(3, 24, 24)
    variance = 0.25**2
    expected = (-2 * variance + 0.03**2) / (2 * variance + 0.03**2)
    assert ssim(board, 1 - board) == pytest.approx(expected, abs=2e-3)


def test_half_precision_pictures_are_measured_in_double():
    assert psnr(flat(0.25).half(), flat(0.75).half()) == pytest.approx(-10 * math.log10(0.25), abs=1e-9)
