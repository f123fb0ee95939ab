"""The model on a device: tensors in, flows, motion and frames out."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import weights
from .errors import ArgumentError
from .model import Flows, Motion
from .warp import resize_field

log = logging.getLogger("vs_slomo")

Precision = Literal["fp32", "fp16", "bf16"]
FlowStage = Literal["unet", "dis"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SCALES = (1.0, 0.5, 0.25, 0.125)
CACHE_BYTES = 256 << 20
"""For the flows of the pairs that a stream keeps."""


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


def check_scale(scale: float | None, native: float) -> float:
    """Return the networks' resolution as a part of the picture's; None is the model's own. Raises ArgumentError."""
    if scale is None:
        return native
    if scale not in SCALES:
        raise ArgumentError("scale", scale, f"None or one of {', '.join(map(str, SCALES))}")
    return float(scale)


def check_flow(flow: str | None, native: str) -> FlowStage:
    """Return the flow stage; None is what the model's metadata says. Raises ArgumentError."""
    flow = native if flow is None else flow
    if flow not in get_args(FlowStage):
        raise ArgumentError("flow", flow, f"None or one of {', '.join(get_args(FlowStage))}")
    return flow  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes an engine: all checked, nothing loaded yet."""

    model: Path
    device: str
    precision: Precision
    scale: float
    flow: FlowStage

    @property
    def half(self) -> bool:
        """Whether the networks' input may as well come in half precision."""
        return self.precision == "fp16"


class Box(NamedTuple):
    """A part of the picture: its edges in pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    def of[T: (Tensor, np.ndarray)](self, plane: T, ratio_x: float = 1, ratio_y: float = 1) -> T:
        """Return the view of this part of a plane (..., h, w), whose size is a part of the picture's."""
        rows = slice(round(self.top * ratio_y), round(self.bottom * ratio_y))
        return plane[..., rows, round(self.left * ratio_x) : round(self.right * ratio_x)]


@dataclass(frozen=True)
class Pair:
    """What is kept of a pair of frames: whatever does not depend on t.

    i0, i1: the networks' input, (1, 3, h, w). flows: F01 and F10 at that resolution.
    finer: the same at the picture's resolution, where another method found them.
    box: the part of the picture that it is of; None is all of it.
    origin: x and y of the box's corner in what the networks saw, in pixels of the picture.
    """

    i0: Tensor
    i1: Tensor
    flows: Flows
    finer: Flows | None = None
    box: Box | None = None
    origin: tuple[int, int] = (0, 0)

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


class Engine:
    """A loaded model. Safe to use from several threads at once.

    runs: how often a flow was computed.
    """

    def __init__(self, settings: Settings) -> None:
        self.device, self.dtype = torch.device(settings.device), DTYPES[settings.precision]
        self.scale, self.flow = settings.scale, settings.flow
        self.model, _ = weights.load(settings.model)
        self.model.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self.runs = 0
        log.debug("engine: %s", settings)

    def pair(self, rgb0: Tensor, rgb1: Tensor, gray: tuple[np.ndarray, np.ndarray] | None = None) -> Pair:
        """Find the flow between two frames.

        rgb0, rgb1: (1, 3, h, w) float in [0, 1], the networks' input. gray: for the flow stage "dis", both frames
        at full size, without padding, (H, W) uint8.
        """
        with _lock:
            self.runs += 1
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

    def motion(self, pair: Pair, t: float) -> Motion:
        """Return the motion at t in (0, 1), for planes that `render` can move."""
        return self.model.motion(pair.i0, pair.i1, pair.flows, t, pair.finer)

    def render(
        self,
        motion: Motion,
        plane0: Tensor,
        plane1: Tensor,
        ratio_x: float,
        ratio_y: float,
        origin: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """Return the planes (1, C, h, w) at the motion's time, float32 on the device.

        ratio_x, ratio_y: their size as a part of the picture's (chroma of 4:2:0: 1/2). origin: as in `Pair`.
        """
        own = self.scale if self.flow == "unet" else 1.0
        plane0, plane1 = plane0.to(self.device), plane1.to(self.device)
        x, y = round(origin[0] * ratio_x), round(origin[1] * ratio_y)
        return motion.resized(ratio_x / own, ratio_y / own).render(plane0, plane1, x, y)


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
    """The latest pairs, bounded in bytes; at least one is kept. For one thread at a time.

    None stands for a pair of identical frames.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit, self.size = limit, 0
        self._pairs: OrderedDict[tuple[int, int], P | None] = OrderedDict()

    def get(self, frames: tuple[int, int], compute: Callable[[], P | None]) -> P | None:
        """Return the pair of two frames, by their numbers, computed where it is not here."""
        if frames in self._pairs:
            self._pairs.move_to_end(frames)
            return self._pairs[frames]
        pair = self._pairs[frames] = compute()
        self.size += self.taken(pair)
        while self.size > self.limit and len(self._pairs) > 1:
            self.size -= self.taken(self._pairs.popitem(last=False)[1])
        return pair

    @staticmethod
    def taken(pair: P | None) -> int:
        """Return what an entry takes: of a still scene there may be very many."""
        return 1024 + (0 if pair is None else pair.nbytes)
