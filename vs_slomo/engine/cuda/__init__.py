"""What makes the networks fast on CUDA. It can be imported without CUDA, which is needed only when it runs."""

from __future__ import annotations

import functools
import importlib.util
import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_slomo.model import warp
from vs_slomo.model.unet import UNet

log = logging.getLogger("vs_slomo")

CORES = 8
"""Tensor cores read channels in groups of this size."""


class Padded(nn.Module):
    """A U-Net with input and output channels padded to multiples of 8. It changes the given net."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net
        self.outputs = net.conv3.out_channels
        more_in, more_out = -net.conv1.in_channels % CORES, -self.outputs % CORES
        net.conv1.weight = nn.Parameter(F.pad(net.conv1.weight, (0, 0, 0, 0, 0, more_in)), requires_grad=False)
        net.conv3.weight = nn.Parameter(F.pad(net.conv3.weight, (0, 0, 0, 0, 0, 0, 0, more_out)), requires_grad=False)
        if net.conv3.bias is not None:
            net.conv3.bias = nn.Parameter(F.pad(net.conv3.bias, (0, more_out)), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it like the net before: (B, inputs, H, W) to (B, outputs, H, W)."""
        batch, channels, height, width = x.shape
        size = (batch, channels + -channels % CORES, height, width)
        more = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        more[:, :channels] = x
        more[:, channels:] = 0
        if x.device.type == "cuda" and kernels_work(x.device):
            from .activation import run

            return run(self.net, more)[:, : self.outputs]
        return self.net(more)[:, : self.outputs]  # type: ignore[no-any-return]


@functools.cache
def kernels_work(device: torch.device) -> bool:
    """Whether Triton is installed and its kernels give PyTorch's numbers on this device. Tried once."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        with torch.inference_mode(), torch.random.fork_rng([device]):
            right = _kernels_are_right(device)
    except Exception as error:  # noqa: BLE001  # whatever a compiler or a driver says
        log.warning("Triton's kernels do not run on %s (%s): going on with PyTorch's", device, error)
        return False
    if not right:
        log.warning("Triton's kernels give other numbers on %s: going on with PyTorch's", device)
    return right


def backwarp(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Do what `model.warp.backwarp` does, where possible by a kernel."""
    if image.device.type != "cuda" or mode != "bilinear" or not kernels_work(image.device):
        return warp.backwarp(image, flow, mode)
    from .sampling import by_kernel

    return by_kernel(image, flow)


def _kernels_are_right(device: torch.device) -> bool:
    from vs_slomo.engine import render
    from vs_slomo.model.fusion import FUSIONS
    from vs_slomo.model.superslomo import Motion

    from .activation import run
    from .sampling import by_kernel

    net = UNet(CORES, CORES, CORES).to(device).to(memory_format=torch.channels_last)
    x = torch.rand(1, CORES, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    right = torch.allclose(run(net, x), net(x), atol=1e-2)  # PyTorch's own may be in TF32
    fields, planes = torch.rand(1, 5, 32, 32, device=device), torch.rand(2, 1, 1, 32, 32, device=device)
    right = right and torch.allclose(by_kernel(x, fields[:, :2]), warp.backwarp(x, fields[:, :2]), atol=1e-3)
    for fusion in FUSIONS.values():
        given = Motion(fields[:, :2], fields[:, 2:4], fields[:, 4:], 0.5, fusion), *planes, 1, 1
        made = render.by_kernel(*given)
        right = right and (made is None or torch.allclose(made, render.plain(*given), atol=1e-3))
    return right
