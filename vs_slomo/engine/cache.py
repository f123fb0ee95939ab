"""What is kept from frame to frame: the latest values, as many as a number of bytes holds."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Protocol

import torch
from torch import Tensor

from .cuda.graphs import turns
from .settings import FRAME_BYTES

log = logging.getLogger("vs_slomo")

ENTRY_BYTES = 1024
"""The cost of an entry itself."""
MOST_KEPT = 256
"""Entries. The bytes alone would allow thousands of small pictures, which nobody requests again."""


class Sized(Protocol):
    """A value that knows how much memory it holds."""

    @property
    def nbytes(self) -> int: ...  # noqa: D102


class ByteCache[K: Hashable, V: Sized | None]:
    """The latest values by their keys, bounded in bytes. Safe to use from several threads at once.

    name: for the log. limit: the most bytes; no more than MOST_KEPT values are kept either. least: the number of values
    kept even if they are larger than that. size: the bytes kept now.

    A value is computed once: whoever asks for it meanwhile waits for it. None is a value too.
    """

    def __init__(self, name: str, limit: int, least: int = 1) -> None:
        self.name, self.limit, self.least, self.size = name, limit, least, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._under_way: dict[K, Future[V]] = {}

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """Return the key's value; it is computed where it is not kept. An error of `compute` leaves nothing behind."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            waited = self._under_way.get(key)
            mine = Future[V]()
            if waited is None:
                self._under_way[key] = mine
        if waited is not None:
            return waited.result()
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            mine.set_exception(error)
            raise
        with self._lock:
            self._keep(key, value)
            del self._under_way[key]
        mine.set_result(value)
        return value

    def begin(self, key: K, compute: Callable[[], V]) -> None:
        """Compute the key's value where it is neither kept nor under way: a later `get` waits for others only."""
        with self._lock:
            if key in self._kept or key in self._under_way:
                return
        self.get(key, compute)

    def _keep(self, key: K, value: V) -> None:
        self._kept[key] = value
        self.size += taken(value)
        while (self.size > self.limit or len(self._kept) > MOST_KEPT) and len(self._kept) > self.least:
            dropped, old = self._kept.popitem(last=False)
            self.size -= taken(old)
            log.debug("%s: %s released, %.0f MB kept", self.name, dropped, self.size / 1e6)


def taken(value: Sized | None) -> int:
    """Return the bytes that an entry takes."""
    return ENTRY_BYTES + (0 if value is None else value.nbytes)


def as_it_is(tensor: Tensor) -> Tensor:
    """Return it."""
    return tensor


class Sent:
    """A tensor on a device, and the event after which it is there."""

    def __init__(self, tensor: Tensor, ready: torch.cuda.Event | None = None) -> None:
        self.tensor, self.ready, self.nbytes = tensor, ready, tensor.nbytes


class FrameCache:
    """The latest frames on the device, bounded in bytes: each is read and sent there once, for both of its pairs.

    Safe to use from several threads and streams at once.
    """

    def __init__(self, device: str, limit: int = FRAME_BYTES) -> None:
        self.device = torch.device(device)
        self.cache: ByteCache[Hashable, Sent] = ByteCache("frames", limit)

    def get(self, key: Hashable, read: Callable[[], Tensor], finish: Callable[[Tensor], Tensor] = as_it_is) -> Tensor:
        """Return what `read` returns, on the device; it is called where the key is new.

        finish: is called on the device, and its result is kept.
        """
        sent = self.cache.get(key, lambda: self._sent(read(), finish))
        if sent.ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(sent.ready)
            sent.tensor.record_stream(stream)  # not to be written over while this stream may read it
        return sent.tensor

    def _sent(self, tensor: Tensor, finish: Callable[[Tensor], Tensor]) -> Sent:
        if self.device.type != "cuda":
            return Sent(finish(tensor.to(self.device)))
        with turns.working():
            sent = finish(tensor.pin_memory().to(self.device, non_blocking=True))
            return Sent(sent, torch.cuda.current_stream(self.device).record_event())
