"""Bands of rows, made side by side, for work that looks at each pixel alone or at few pixels around it.

A band stays in the processor's cache. PyTorch uses one thread within a band: more would wait for each other in a busy
loop after every step.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import numpy as np
import torch
from torch import Tensor

PIXELS = 1 << 17
"""The most pixels of a band. In much smaller ones the threads wait for Python's lock."""
TALL = 240
"""The least rows of a band, where rows outside it must be computed too."""
_lock = Lock()
"""One thread at a time makes threads: meanwhile PyTorch tells others a wrong number."""


def in_bands(work: Callable[[slice], tuple[Tensor, ...]], field: Tensor, reach: int = 0) -> tuple[Tensor, ...]:
    """Let `work` make all rows, a band at a time, and return its tensors, (1, C, H, W), without gradients.

    work: takes a slice of rows, and returns these rows of each tensor. field: (..., H, W), for size and device. All
    rows are one band on other devices than the CPU. reach: how many rows beyond the band `work` must compute as well;
    then bands begin at multiples of 8. The result does not depend on the number of threads.
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


def threads() -> ThreadPoolExecutor:
    """Return the threads for bands, as many as PyTorch has in the calling thread."""
    with _lock:
        return _threads(torch.get_num_threads())


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(count, "vs_slomo bands", torch.set_num_threads, (1,))
    # PyTorch keeps the last number for threads to come: all of these start now, and then the number is set back.
    started = Barrier(count + 1)
    for _ in range(count):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(count)
    return pool


def _forget() -> None:
    global _lock  # noqa: PLW0603  # the parent's may be held there for ever
    _lock = Lock()
    _threads.cache_clear()


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_forget)
