"""What the machine can do at best, and how to time several things fairly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

PRODUCT = {"cpu": 1536, "cuda": 8192, "mps": 4096, "xpu": 4096}
"""Rows and columns of the matrices."""
COPIED = 64 << 20


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds that each takes, in every round after a first one that does not count."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for i in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            wait_for(device)
            if i:
                took[name].append(time.perf_counter() - start)
    return took


def matrix_product(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    """Return a large matrix product to time: its speed is the ceiling of all that the networks do."""
    n = PRODUCT[device.type]
    a, b = torch.rand(2, n, n, device=device, dtype=dtype)
    return lambda: a @ b


def product_by_convolution(dtype: torch.dtype) -> Callable[[], object]:
    """Return the same matrix product as a 1x1 convolution: MKL's own is slow on processors that are not Intel's."""
    n = PRODUCT["cpu"]
    x = torch.rand(1, n, 32, n // 32).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(n, n, 1, 1).to(dtype)
    return lambda: F.conv2d(x, weight)


def copying(device: torch.device) -> Callable[[], object]:
    """Return a large copy to time."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """Return what the device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = f"{device.type}, {torch.get_num_threads()} threads"
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else name
