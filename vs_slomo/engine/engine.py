"""The model on a device: tensors in, flows, motion and frames out."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Concatenate, Literal, Protocol, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vs_slomo import weights
from vs_slomo.errors import ArgumentError
from vs_slomo.model.box import Box
from vs_slomo.model.superslomo import Flows, Motion, acceleration
from vs_slomo.model.unet import MULTIPLE, UNet
from vs_slomo.model.warp import resize_field
from vs_slomo.weights import FLOWS, SCALES

from . import render as kernels
from .cpu import accelerate
from .cuda import Graphed, Padded
from .tiles import SMALLEST, Tiled

log = logging.getLogger("vs_slomo")

# Large tensors on huge pages: their first touch costs a tenth of the networks' time otherwise. Linux only; PyTorch
# asks with its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
AUTO_PIXELS = 1 << 20
"""`scale="auto"` gives the networks no more pixels than this."""
PASSED_BYTES = 128 << 20
"""Of the networks' input, from one `give_back` to the next."""
CACHE_BYTES = 256 << 20
"""For the flows of the pairs that a stream keeps."""
FRAME_BYTES = 128 << 20
"""For the frames that are kept between one pair and the next."""
CPU_BYTES = 2 << 30
"""What the networks may take on the CPU; on a device it is what is free there."""
NUMBERS = 10
"""That a network keeps at once for each pixel, as a multiple of its width (measured)."""


def check_device(device: str | None) -> str:
    """Return the device's name; None is cuda, xpu or mps where there is one, else cpu. Raises ArgumentError.

    Asks only whether there is one: nothing is allocated on it.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    here = [name for name, there in present.items() if there]
    if device is None:
        return here[0]
    try:
        parsed = torch.device(device)
    except (RuntimeError, TypeError):
        raise ArgumentError("device", device, f"None or one of {', '.join(here)}") from None
    count = torch.cuda.device_count() if parsed.type == "cuda" else 1
    if parsed.type not in here or (parsed.index or 0) >= count:
        raise ArgumentError("device", device, f"None or, on this machine, one of {', '.join(here)}")
    return str(device)


def check_precision(precision: str | None, device: str) -> Precision:
    """Return the precision; None is half where the device is fast at it. Raises ArgumentError."""
    if precision is None:
        return "fp16" if device.partition(":")[0] in ("cuda", "xpu") else "fp32"
    if precision not in get_args(Precision):
        raise ArgumentError("precision", precision, f"None or one of {', '.join(DTYPES)}")
    return precision  # type: ignore[return-value]  # mypy does not narrow a str by a dict's keys


def check_scale(scale: float | str | None, native: float, size: tuple[int, int] = (0, 0)) -> float:
    """Return the networks' resolution as a part of the picture's; None is the model's own. Raises ArgumentError.

    size: the picture's width and height. "auto" halves the model's own until the networks see at most 2^20 pixels:
    1280x720 at 1, 1920x1080 at 1/2, 3840x2160 at 1/4 where the model's own is 1.
    """
    if scale is None or scale == "auto":
        width, height = size
        while scale == "auto" and native > SCALES[-1] and width * height * native**2 > AUTO_PIXELS:
            native /= 2
        return native
    if isinstance(scale, bool) or scale not in SCALES:
        raise ArgumentError("scale", scale, f'None, "auto" or one of {", ".join(map(str, SCALES))}')
    return float(scale)


def check_tile(tile: int | None) -> int | None:
    """Return the longest side of a tile in pixels of the picture; None is what memory holds. Raises ArgumentError."""
    if tile is not None and (isinstance(tile, bool) or not isinstance(tile, int) or tile < SMALLEST):
        raise ArgumentError("tile", tile, f"None or an integer of at least {SMALLEST}")
    return tile


def check_flow(flow: str | None, native: str) -> str:
    """Return the flow stage; None is what the model's metadata says. Raises ArgumentError."""
    flow = native if flow is None else flow
    if flow not in FLOWS:
        raise ArgumentError("flow", flow, f"None or one of {', '.join(FLOWS)}")
    return flow


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes an engine: all checked, nothing loaded yet."""

    model: Path
    device: str
    precision: Precision
    scale: float
    flow: str
    tile: int | None = None

    @property
    def half(self) -> bool:
        """Whether the networks' input may as well come in half precision."""
        return self.precision == "fp16"


@dataclass(frozen=True)
class Pair:
    """What is kept of a pair of frames: whatever does not depend on t.

    i0, i1: the networks' input, (1, 3, h, w). flows: F01 and F10 at that resolution.
    finer: the same at the picture's resolution, where another method found them.
    box: the part of the picture that it is of; None is all of it.
    origin: x and y of the box's corner in what the networks saw, in pixels of the picture.
    bend: `model.acceleration`, at the resolution of `finer`, else of `flows`; None is even motion.
    """

    i0: Tensor
    i1: Tensor
    flows: Flows
    finer: Flows | None = None
    box: Box | None = None
    origin: tuple[int, int] = (0, 0)
    bend: Tensor | None = None

    @property
    def finest(self) -> Flows:
        """F01 and F10 at the resolution that the motion has."""
        return self.finer or self.flows

    def within(self, field: Tensor) -> Tensor:
        """Return the box's part of a field (..., H, W) at the picture's resolution."""
        if self.box is None:
            return field
        (x, y), (left, top, right, bottom) = self.origin, self.box
        return field[..., y : y + bottom - top, x : x + right - left]

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return sum(x.nbytes for x in (self.i0, self.i1, *self.flows, *(self.finer or ())))


def _where_it_runs[**P, T](
    method: Callable[Concatenate[Engine, P], T],
) -> Callable[Concatenate[Engine, P], T]:
    """Let a method run by `Engine.run`."""

    @functools.wraps(method)
    def run(self: Engine, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(lambda: method(self, *args, **kwargs))

    return run


class Engine:
    """A loaded model. Safe to use from several threads at once.

    runs: how often a flow was computed.
    """

    def __init__(self, settings: Settings) -> None:
        start = time.perf_counter()
        self.device, self.dtype = torch.device(settings.device), DTYPES[settings.precision]
        self.scale, self.flow = settings.scale, settings.flow
        self.model, info = weights.load(settings.model)
        self.model.to(self.device, self.dtype).to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)
        # One thread computes on the CPU: each of the host's many would keep memory of its own, and threads behind it.
        self._inside = threading.local()
        self._worker: ThreadPoolExecutor | None = None
        if self.device.type == "cpu":
            self._worker = ThreadPoolExecutor(1, "vs_slomo", setattr, (self._inside, "here", True))
            accelerate(self.model)
        self.cost = NUMBERS * info.width * torch.empty(0, dtype=self.dtype).element_size()
        side = settings.tile and max(SMALLEST, round(settings.tile * self.scale) // MULTIPLE * MULTIPLE)
        for name in ("flow_net", "interp_net"):
            setattr(self.model, name, Tiled(self._prepared(getattr(self.model, name)), side, self._room))
        self.runs = self._passed = 0
        log.debug("engine: %s, loaded in %.2f s", settings, time.perf_counter() - start)

    def _prepared(self, net: UNet) -> torch.nn.Module:
        return Graphed(Padded(net)) if self.device.type == "cuda" else net

    def _room(self) -> float:
        """Return how many pixels the networks may see at once."""
        if self.device.type != "cuda":
            return CPU_BYTES / self.cost
        free, _ = torch.cuda.mem_get_info(self.device)
        cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return 0.8 * (free + cached) / self.cost

    def run[T](self, work: Callable[[], T], stream: torch.cuda.Stream | None = None) -> T:
        """Do something where the engine computes, without gradients. stream: of its device; None is the current one."""

        @torch.inference_mode()
        def inside() -> T:
            with torch.cuda.stream(stream):
                return work()

        if self._worker is None or hasattr(self._inside, "here"):
            return inside()
        return self._worker.submit(inside).result()

    def stream(self) -> torch.cuda.Stream | None:
        """Return a new stream of the device, if it has such: what runs on several overlaps."""
        return torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @_where_it_runs
    def pair(self, rgb0: Tensor, rgb1: Tensor, gray: tuple[np.ndarray, np.ndarray] | None = None) -> Pair:
        """Find the flow between two frames.

        rgb0, rgb1: (1, 3, h, w) float in [0, 1], the networks' input. gray: for the flow stage "dis", both frames
        at full size, without padding, (H, W) uint8.
        """
        with _lock:
            self.runs += 1
            before, self._passed = self._passed, self._passed + rgb0.nbytes + rgb1.nbytes
        if before // PASSED_BYTES < self._passed // PASSED_BYTES:
            give_back()
        i0, i1 = (x.to(self.device, self.dtype) for x in (rgb0, rgb1))
        if self.flow == "unet":
            return Pair(i0, i1, self.model.flow(i0, i1))
        if gray is None:
            raise ArgumentError("gray", gray, 'both frames in gray, for flow="dis"')
        height, width = (round(x / self.scale) for x in i0.shape[-2:])
        found = (dis_flow(a, b).to(self.device) for a, b in (gray, gray[::-1]))
        f01, f10 = (F.pad(f, (0, width - f.shape[-1], 0, height - f.shape[-2]), mode="replicate") for f in found)
        small = tuple(resize_field(f, self.scale, self.scale) * self.scale for f in (f01, f10))
        return Pair(i0, i1, (small[0], small[1]), (f01, f10))

    @_where_it_runs
    def bent(self, pair: Pair, before: Pair, behind: Pair, pace: tuple[float, float] = (1, 1)) -> Pair:
        """Return the pair with the acceleration that the pairs before and behind it show.

        pace: how long these last, in parts of the pair's own time.
        """
        (_, back), (ahead, _) = before.finest, behind.finest
        return replace(pair, bend=acceleration(pair.finest, back, ahead, *pace))

    @_where_it_runs
    def motion(self, pair: Pair, t: float) -> Motion:
        """Return the motion at t in (0, 1), for planes that `render` can move."""
        return self.model.motion(pair.i0, pair.i1, pair.flows, t, pair.finer, pair.bend)

    @_where_it_runs
    def render(
        self,
        motion: Motion,
        plane0: Tensor,
        plane1: Tensor,
        ratio_x: float,
        ratio_y: float,
        origin: tuple[int, int] = (0, 0),
        peak: int | None = None,
    ) -> Tensor:
        """Return the planes (1, C, h, w) at the motion's time, on the CPU.

        ratio_x, ratio_y: their size as a part of the picture's (chroma of 4:2:0: 1/2). origin: as in `Pair`.
        peak: the largest value of integer planes, which come back as such; without it, and of floats, float32 does.
        """
        own = self.scale if self.flow == "unet" else 1.0
        plane0, plane1 = plane0.to(self.device), plane1.to(self.device)
        corner = round(origin[0] * ratio_x), round(origin[1] * ratio_y)
        made = kernels.render(motion, plane0, plane1, ratio_x / own, ratio_y / own, corner, peak)
        return downloaded(made)


def downloaded(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU, once it is there."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()  # of this stream only: the others go on
    return host


def give_back() -> None:
    """Let glibc return to the system what it holds free.

    Blocks that are aligned as torch's and the host's are leave holes that it does not fill again (its bug 14581).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def dis_flow(gray0: np.ndarray, gray1: np.ndarray) -> Tensor:
    """Return the classical flow from gray0 to gray1 (Kroeger et al., ECCV 2016), (1, 2, H, W) float32.

    gray0, gray1: (H, W) uint8.
    """
    # A row of the host's frames may be longer than the picture; DIS refuses that.
    gray0, gray1 = np.ascontiguousarray(gray0), np.ascontiguousarray(gray1)
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(gray0, gray1, None)
    return torch.from_numpy(found).permute(2, 0, 1).unsqueeze(0).contiguous()


_engines: weakref.WeakValueDictionary[tuple[Settings, int], Engine] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_engine(settings: Settings) -> Engine:
    """Return the engine for these settings; clips that want the same share one, and the last one frees it."""
    key = (settings, settings.model.stat().st_mtime_ns)
    with _lock:
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(settings)
        return engine


class Kept(Protocol):
    """What takes memory."""

    @property
    def nbytes(self) -> int: ...  # noqa: D102


class PairCache[P: Kept]:
    """The latest pairs, bounded in bytes; at least `least` are kept. For one thread at a time.

    None stands for a pair of identical frames.
    """

    def __init__(self, limit: int = CACHE_BYTES, least: int = 1) -> None:
        self.limit, self.least, self.size = limit, least, 0
        self._pairs: OrderedDict[tuple[int, int], P | None] = OrderedDict()

    def get(self, frames: tuple[int, int], compute: Callable[[], P | None]) -> P | None:
        """Return the pair of two frames, by their numbers, computed where it is not here."""
        if frames in self._pairs:
            self._pairs.move_to_end(frames)
            return self._pairs[frames]
        pair = self._pairs[frames] = compute()
        self.size += self.taken(pair)
        while self.size > self.limit and len(self._pairs) > self.least:
            dropped, old = self._pairs.popitem(last=False)
            self.size -= self.taken(old)
            log.debug("pairs: %s released, %.0f MB kept", dropped, self.size / 1e6)
        return pair

    @staticmethod
    def taken(pair: P | None) -> int:
        """Return what an entry takes: of a still scene there may be very many."""
        return 1024 + (0 if pair is None else pair.nbytes)


class FrameCache:
    """The latest frames on the device, bounded in bytes: each is read and sent there once, for both of its pairs.

    Safe to use from several threads and streams at once.
    """

    def __init__(self, device: str, limit: int = FRAME_BYTES) -> None:
        self.device, self.limit, self.size = torch.device(device), limit, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Tensor, torch.cuda.Event | None]] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], Tensor]) -> Tensor:
        """Return what `read` returns, on the device; it is called where the key is new."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._sent(read())
                self.size += self._kept[key][0].nbytes
                while self.size > self.limit and len(self._kept) > 1:
                    dropped, (old, _) = self._kept.popitem(last=False)
                    self.size -= old.nbytes
                    log.debug("frames: %s released, %.0f MB kept", dropped, self.size / 1e6)
            self._kept.move_to_end(key)
            tensor, ready = self._kept[key]
        if ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(ready)
            tensor.record_stream(stream)  # not to be written over while this stream may read it
        return tensor

    def _sent(self, tensor: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        if self.device.type != "cuda":
            return tensor.to(self.device), None
        sent = tensor.pin_memory().to(self.device, non_blocking=True)
        return sent, torch.cuda.current_stream(self.device).record_event()
