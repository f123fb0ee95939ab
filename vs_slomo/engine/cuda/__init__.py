"""What makes the networks fast on CUDA. It can be imported without CUDA, which is needed only when it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_slomo.model.unet import UNet

log = logging.getLogger("vs_slomo")

CORES = 8
"""Tensor cores read channels in groups of this size."""


class Padded(nn.Module):
    """A U-Net with input and output channels padded to multiples of 8. It changes the given net."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net
        self.inputs, self.outputs = net.conv1.in_channels, net.conv3.out_channels
        more_in, more_out = -self.inputs % CORES, -self.outputs % CORES
        net.conv1.weight = nn.Parameter(F.pad(net.conv1.weight, (0, 0, 0, 0, 0, more_in)), requires_grad=False)
        net.conv3.weight = nn.Parameter(F.pad(net.conv3.weight, (0, 0, 0, 0, 0, 0, 0, more_out)), requires_grad=False)
        if net.conv3.bias is not None:
            net.conv3.bias = nn.Parameter(F.pad(net.conv3.bias, (0, more_out)), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it like the net before: (B, inputs, H, W) to (B, outputs, H, W)."""
        x = F.pad(x, (0, 0, 0, 0, 0, -self.inputs % CORES)).contiguous(memory_format=torch.channels_last)
        return self.net(x)[:, : self.outputs]  # type: ignore[no-any-return]


class Graphed(nn.Module):
    """A network, recorded as a CUDA graph for each input size and stream, so that its kernels run without gaps.

    Each recording has memory of its own, since streams run side by side.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.lock = threading.Lock()
        self.recorded: dict[tuple[object, ...], Callable[[Tensor], Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        key = (*x.shape, x.dtype, torch.cuda.current_stream(x.device).cuda_stream)
        run = self.recorded.get(key)
        if run is None:
            # One at a time: while one thread records, no other may allocate or synchronise.
            with self.lock:
                run = self.recorded[key] = self.record(x)
        return run(x)

    def record(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the recording for inputs like x; where recording fails, the network itself."""
        if not self.recorded:
            log.warning("preparing a network for %s: the first frame of each size takes longer", x.device)
        given = x.clone()
        for _ in range(3):  # cuDNN chooses its algorithms, and allocates
            self.net(given)
        torch.cuda.current_stream(x.device).synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                out = self.net(given)
        except RuntimeError as error:
            log.warning("CUDA graphs do not work here (%s): going on without them", error)
            return self.net

        def run(x: Tensor) -> Tensor:
            given.copy_(x)
            graph.replay()
            return out.clone()  # type: ignore[no-any-return]

        return run
