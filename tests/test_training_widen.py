"""A widened network computes the same, and learns something else in each half."""

from __future__ import annotations

import torch

from vs_slomo.model.unet import UNet
from vs_slomo.training.widen import widen


def test_same_function_at_twice_the_width():
    torch.manual_seed(0)
    narrow, wide = UNet(6, 4, 2, last_activation=False), UNet(6, 4, 4, last_activation=False)
    wide.load_state_dict(widen(narrow.state_dict(), torch.Generator().manual_seed(1)))
    x = torch.rand(1, 6, 64, 32)
    torch.testing.assert_close(wide(x), narrow(x), rtol=1e-4, atol=1e-5)


def test_the_halves_get_different_gradients():
    torch.manual_seed(0)
    narrow, wide = UNet(6, 4, 2), UNet(6, 4, 4)
    wide.load_state_dict(widen(narrow.state_dict(), torch.Generator().manual_seed(1)))
    wide(torch.rand(1, 6, 32, 32)).square().sum().backward()
    first, second = wide.conv1.weight.grad.chunk(2)
    assert (first - second).norm() > 0.05 * first.norm()
