"""Steps recorded as CUDA graphs: their kernels run without gaps between them."""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger("vs_slomo")

Step = Callable[..., tuple[Tensor, ...]]
MOST = 8
"""How many sizes and streams of a step are kept recorded."""
TRIES = 3
"""How often a recording is tried, where something else in the process disturbs it."""


class Turns:
    """Let several threads work on a GPU at once, but let none begin while another one records.

    CUDA loads a kernel when it is first used, and then waits for the whole device. If another thread records meanwhile,
    its recording is lost.
    """

    def __init__(self) -> None:
        self._changed, self._own = threading.Condition(), threading.local()
        self._working = self._waiting = 0
        self._recording = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Wait until nobody records, and let nobody begin to meanwhile. A thread may enter it again."""
        depth = getattr(self._own, "depth", 0)
        if not depth:
            with self._changed:
                self._changed.wait_for(lambda: not (self._recording or self._waiting))
                self._working += 1
        self._own.depth = depth + 1
        try:
            yield
        finally:
            self._own.depth = depth
            if not depth:
                with self._changed:
                    self._working -= 1
                    self._changed.notify_all()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Wait until no other thread works, and let none begin to meanwhile. A thread may enter it again.

        A thread that works itself lets others record before it.
        """
        if getattr(self._own, "recording", False):
            yield
            return
        works = getattr(self._own, "depth", 0) > 0
        with self._changed:
            self._working -= works
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._recording or self._working))
            self._waiting -= 1
            self._recording = True
        self._own.recording = True
        try:
            yield
        finally:
            self._own.recording = False
            with self._changed:
                self._recording = False
                self._working += works
                self._changed.notify_all()


turns = Turns()
"""The turns of this process's threads."""


class Recorded:
    """A step from tensors to tensors, recorded as a CUDA graph for each size and stream.

    step: takes tensors or None. fits: whether tensors of this size may be recorded; else the step itself runs.

    At most MOST recordings are kept, the latest. Those of a stream never run at the same time and their results are
    copied out, so they share memory.
    """

    def __init__(self, step: Step, fits: Callable[[torch.Size], bool] = lambda _: True) -> None:
        self.step, self.fits = step, fits
        self.kept: OrderedDict[tuple[object, ...], Step] = OrderedDict()
        self.lock = threading.Lock()

    def __call__(self, *given: Tensor | None) -> tuple[Tensor, ...]:
        """Run it."""
        first = given[0]
        if first is None or torch.cuda.is_current_stream_capturing() or not self.fits(first.shape):
            return self.step(*given)
        stream = torch.cuda.current_stream(first.device).cuda_stream
        key = (stream, *(x if x is None else (x.shape, x.dtype) for x in given))
        run = self._latest(key)
        if run is None:
            with turns.recording():
                run = self._latest(key) or recorded(self.step, given, stream)
                with self.lock:
                    self.kept[key] = run
                    while len(self.kept) > MOST:
                        self.kept.popitem(last=False)
        return run(*given)

    def _latest(self, key: tuple[object, ...]) -> Step | None:
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
            return self.kept.get(key)


_pools: dict[int, Any] = {}


@functools.cache
def _announce(device: torch.device) -> None:
    log.warning("preparing the networks for %s: the first frame of each size takes longer", device)


def recorded(step: Step, like: tuple[Tensor | None, ...], stream: int) -> Step:
    """Record a step for tensors like these, and return the recording, or the step itself if that fails.

    Only within `turns.recording`.
    """
    given = tuple(None if x is None else x.clone() for x in like)
    device = next(x.device for x in given if x is not None)
    _announce(device)
    for _ in range(3):  # cuDNN chooses its algorithms, and allocates
        step(*given)
    torch.cuda.current_stream(device).synchronize()
    for left in reversed(range(TRIES)):
        graph = torch.cuda.CUDAGraph()
        if stream not in _pools:
            _pools[stream] = torch.cuda.graph_pool_handle()
        try:
            with torch.cuda.graph(graph, pool=_pools[stream], capture_error_mode="thread_local"):
                out = step(*given)
            break
        except RuntimeError as error:
            _give_up(device, _pools.pop(stream))
            log.log(logging.DEBUG if left else logging.WARNING, "CUDA graphs do not work here (%s)", error)
    else:
        return step

    def run(*new: Tensor | None) -> tuple[Tensor, ...]:
        for there, x in zip(given, new, strict=True):
            if there is not None and x is not None:
                there.copy_(x)
        graph.replay()
        return tuple(x.clone() for x in out)

    return run


def _give_up(device: torch.device, pool: Any) -> None:  # a handle
    """End the allocations for a recording that failed: PyTorch does so only for one that succeeds.

    Otherwise PyTorch would wait for that recording, and would not reuse memory that several streams used.
    """
    try:
        torch._C._cuda_endAllocateToPool(device.index, pool)  # noqa: SLF001  # nothing public does it
    except RuntimeError as error:
        log.debug("the recording's memory: %s", error)


class Graphed(nn.Module):
    """A network recorded by itself: for tiles, which are not part of the recording of a whole pair."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.recorded = Recorded(lambda x: (net(x),))

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return self.recorded(x)[0]
