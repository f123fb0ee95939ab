"""A wider U-Net that computes what a narrow one does (Net2Net, arXiv 1511.05641): training goes on from there."""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


def widen(state: State, generator: torch.Generator, spread: float = 0.4) -> State:
    """Return the state dict of a `UNet` of twice the width, with the same output up to rounding.

    Every channel becomes two with the same value. The layers that read them use 1/2 + d and 1/2 - d of the old
    weight. d is random within `spread`, so that the two learn different things from the first step on.
    """
    wide: State = {}
    for name, value in state.items():
        layer = name.rsplit(".", 1)[0]
        grown = value.float()
        if layer != "conv3":  # the last layer keeps its outputs
            grown = torch.cat((grown, grown))
        if name.endswith("weight") and layer != "conv1":  # the first layer keeps its inputs
            # The second convolution of `Up` reads two tensors one behind the other: double each by itself.
            parts = 2 if layer.startswith("up") and layer.endswith("conv2") else 1
            doubled: list[Tensor] = []
            for part in grown.chunk(parts, dim=1):
                share = spread * (2 * torch.rand(part.shape, generator=generator) - 1)
                doubled += [part * (0.5 + share), part * (0.5 - share)]
            grown = torch.cat(doubled, dim=1)
        wide[name] = grown
    return wide
