"""Bands of rows, made side by side, for work that treats each pixel by itself.

A band stays in the processor's cache. In its threads PyTorch uses no further ones, which would wait for each other in a
busy loop after every step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import torch
from torch import Tensor

PIXELS = 1 << 17
"""The most pixels of a band. In much smaller ones the threads wait for Python's lock."""
TALL = 240
"""The least rows of a band, where rows outside it must be computed too."""


def in_bands(work: Callable[[slice], tuple[Tensor, ...]], field: Tensor, reach: int = 0) -> tuple[Tensor, ...]:
    """Return what `work` makes of all rows, tensors (1, C, H, W), without gradients.

    work: makes the same tensors of some rows. field: (..., H, W), for size and device; elsewhere than on the CPU all
    rows are made at once. reach: how many rows beyond the band `work` must compute as well; then bands begin at
    multiples of 8. The result does not depend on the number of threads.
    """
    height, width = field.shape[-2:]
    if field.device.type != "cpu":
        return work(slice(0, height))
    step = max(1, PIXELS // width)
    if reach:  # an even number of them, for two threads
        count = max(1, height // TALL // 2 * 2)
        step = math.ceil(height / count / 8) * 8
    bands = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    made = list(threads().map(torch.inference_mode()(work), bands))
    # Numpy's, as PyTorch would use threads of its own here.
    return tuple(torch.from_numpy(np.concatenate([x.numpy() for x in parts], 2)) for parts in zip(*made, strict=True))


@functools.cache
def threads() -> ThreadPoolExecutor:
    """Return the threads for bands, as many as PyTorch has."""
    count = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "vs_slomo bands", torch.set_num_threads, (1,))
    # PyTorch keeps the last number for threads to come: all of these start now, and then the number is set back.
    started = Barrier(count + 1)
    for _ in range(count):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(count)
    return pool
