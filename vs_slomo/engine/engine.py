"""The model on a device: tensors in; flows, motion and frames out."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Concatenate

import numpy as np
import torch
from torch import Tensor

from vs_slomo import weights
from vs_slomo.errors import ArgumentError
from vs_slomo.model.bands import in_bands
from vs_slomo.model.curved import acceleration
from vs_slomo.model.dis import classical_motion
from vs_slomo.model.flow import Seen
from vs_slomo.model.fusion import DRAFT, FUSIONS
from vs_slomo.model.superslomo import Motion, SuperSloMo
from vs_slomo.model.unet import MULTIPLE, UNet
from vs_slomo.model.warp import Flows

from . import render as rendering
from .cpu import accelerate
from .cuda import Padded, backwarp
from .cuda.graphs import Graphed, Recorded, Step, turns
from .pair import Pair
from .settings import ACTIVATIONS_PER_PIXEL, CPU_BYTES, DTYPES, TRIM_BYTES, TRIM_PAIRS, Settings
from .tiles import SMALLEST, Tiled

log = logging.getLogger("vs_slomo")

# Large tensors on huge pages: touching small pages for the first time costs a tenth of the networks' time otherwise.
# Linux only; PyTorch reads it with its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@functools.cache
def _announce(device: str, precision: str) -> None:
    """Say once in which precision the networks run."""
    log.info("networks: %s on %s", precision, device)


def _on_its_thread[**P, T](
    method: Callable[Concatenate[Engine, P], T],
) -> Callable[Concatenate[Engine, P], T]:
    """Let a method run by `Engine.run`, and on CUDA not while another thread records. It waits for no other thread."""

    @functools.wraps(method)
    def run(self: Engine, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with turns.working() if self.device.type == "cuda" else nullcontext():
            return self.run(lambda: method(self, *args, **kwargs))

    return run


class Engine:
    """A loaded model. Safe to use from several threads at once.

    runs: how often a flow was found.
    """

    def __init__(self, settings: Settings) -> None:
        start = time.perf_counter()
        self.settings, self.stage = settings, settings.stage
        self.device, self.dtype = torch.device(settings.device), DTYPES[settings.precision]
        if self.stage.refined:
            self.model, info = weights.load(settings.model)
        else:  # no network runs, so none is read: a player that seeks makes a new engine each time
            info = weights.read_info(settings.model)
            self.model = SuperSloMo(1, fusion=info.fusion)
        self.model.to(self.device, self.dtype).to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)
        # Only one thread computes on the CPU: each of the host's many would keep memory, and threads of PyTorch's own.
        self._thread = threading.local()
        self._worker: ThreadPoolExecutor | None = None
        if self.device.type == "cpu":
            self._worker = ThreadPoolExecutor(1, "vs_slomo", setattr, (self._thread, "is_worker", True))
            if self.stage.refined:
                accelerate(self.model)
        self.pixel_bytes = ACTIVATIONS_PER_PIXEL * info.width * torch.empty(0, dtype=self.dtype).element_size()
        side = settings.tile and max(SMALLEST, round(settings.tile * settings.scale) // MULTIPLE * MULTIPLE)
        flow_net, interp_net = (
            Tiled(self._prepared(net), side, self._room) for net in (self.model.flow_net, self.model.interp_net)
        )
        for name, net in (("flow_net", flow_net), ("interp_net", interp_net)):
            setattr(self.model, name, net)
        self._moved: Step = partial(_moved, self.model, settings.scale)
        if self.device.type == "cuda":  # a pair and a motion are recorded as wholes, with what is around the networks
            self.model.flow = Recorded(partial(_flow, weakref.ref(self.model)), flow_net.whole)  # type: ignore[method-assign, assignment]
            self._moved = Recorded(self._moved, interp_net.whole)
            self.model.warp = backwarp
        self.runs = self._seen_bytes = 0
        if self.stage.refined:
            _announce(self.device.type, settings.precision)
        log.debug("engine: %s, loaded in %.2f s", settings, time.perf_counter() - start)

    def _prepared(self, net: UNet) -> torch.nn.Module:
        return Graphed(Padded(net)) if self.device.type == "cuda" else net

    def _room(self) -> float:
        """Return how many pixels the networks may see at once."""
        if self.device.type != "cuda":
            return CPU_BYTES / self.pixel_bytes
        free, _ = torch.cuda.mem_get_info(self.device)
        cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return 0.8 * (free + cached) / self.pixel_bytes

    def run[T](self, work: Callable[[], T], stream: torch.cuda.Stream | None = None) -> T:
        """Call something where the engine computes, without gradients.

        stream: of its device; None is the current one.
        """

        @torch.inference_mode()
        def inside() -> T:
            # Triton starts kernels on the current device.
            current = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
            with current, torch.cuda.stream(stream):
                return work()

        if self._worker is None or hasattr(self._thread, "is_worker"):
            return inside()
        return self._worker.submit(inside).result()

    def stream(self) -> torch.cuda.Stream | None:
        """Return a new stream of the device, if it has streams: work on several of them overlaps."""
        return torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @_on_its_thread
    def pair(
        self,
        rgb0: Tensor,
        rgb1: Tensor,
        gray: tuple[np.ndarray, np.ndarray] | None = None,
        classical: Flows | None = None,
    ) -> Pair:
        """Find the flow between two frames.

        rgb0, rgb1: the networks' input, (1, 3, h, w) float in [0, 1]. gray: both frames' luma at full size, without
        padding, (H, W) uint8; only for a flow stage that needs it. classical: DIS's flow between them, if it is known,
        each (1, 2, H, W) float32. Raises ArgumentError where `gray` is missing.
        """
        with _lock:
            self.runs += 1
            before, self._seen_bytes = self._seen_bytes, self._seen_bytes + rgb0.nbytes + rgb1.nbytes
            due = before // TRIM_BYTES < self._seen_bytes // TRIM_BYTES or self.runs % TRIM_PAIRS == 0
        if due:
            trim()
        if self.stage.needs_gray and gray is None:
            raise ArgumentError("gray", gray, f'both frames in gray, for flow="{self.settings.flow}"')
        dtype = self.dtype if self.stage.refined else torch.float32
        i0, i1 = (x.to(self.device, dtype) for x in (rgb0, rgb1))
        scale = self.settings.scale
        found = self.stage.find(Seen(i0, i1, gray, scale, classical), self.model)
        return Pair(i0, i1, found.flows, found.finer, self.stage.ratio(scale))

    @_on_its_thread
    def bent(self, pair: Pair, previous: Pair, next_: Pair, pace: tuple[float, float] = (1, 1)) -> Pair:
        """Return the pair with the acceleration that the previous and the next pair show.

        pace: how long these last, divided by the time that the pair itself lasts.
        """
        fields = *pair.finest, previous.finest[1], next_.finest[0]

        def rows(some: slice) -> tuple[Tensor]:
            f01, f10, back, ahead = (x[..., some, :] for x in fields)
            return (acceleration((f01, f10), back, ahead, *pace),)

        return replace(pair, bend=in_bands(rows, fields[0])[0])

    @_on_its_thread
    def motion(self, pair: Pair, t: float) -> Motion:
        """Return the motion at t in (0, 1), with which `render` moves planes."""
        if not self.stage.refined:
            return classical_motion(pair.flows, t, bend=pair.bend, fusion=DRAFT, ratio=self.settings.scale)
        fusion = FUSIONS[self.model.fusion]
        # On CUDA t is filled in there: in a recording a number would stay what it was.
        at: Tensor | float = torch.full((1, 1, 1, 1), t, device=self.device) if self.device.type == "cuda" else t
        ft0, ft1, logit = self._moved(pair.i0, pair.i1, *pair.flows, *(pair.finer or (None, None)), pair.bend, at)
        return Motion(ft0, ft1, logit, t, fusion, (pair.ratio, pair.ratio))

    @_on_its_thread
    def render(
        self,
        motion: Motion,
        plane0: Tensor,
        plane1: Tensor,
        ratio_x: float,
        ratio_y: float,
        origin: tuple[int, int] = (0, 0),
        peak: int | None = None,
        *,
        wait: bool = True,
    ) -> Tensor:
        """Return the planes (1, C, h, w) at the motion's time, on the CPU.

        ratio_x, ratio_y: their size as a part of the picture's (chroma of 4:2:0: 1/2). origin: as in `Pair`.
        peak: the largest value of integer planes. With it integers come back in their own type; without it, and for
        floats, float32 does. wait: False: on CUDA they are there after `Engine.wait`, and more can be launched.
        """
        plane0, plane1 = plane0.to(self.device), plane1.to(self.device)
        corner = round(origin[0] * ratio_x), round(origin[1] * ratio_y)
        made = sent_back(rendering.render(motion, plane0, plane1, ratio_x, ratio_y, corner, peak))
        if wait:
            self.wait()
        return made

    def wait(self) -> None:
        """Wait until what `render` returned is there. Only for the current stream: the others go on."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()


def _flow(model: weakref.ref[SuperSloMo], i0: Tensor, i1: Tensor) -> Flows:
    """Return the flow. model: not kept, for it keeps this."""
    there = model()
    if there is None:
        raise RuntimeError("the model is gone")
    return SuperSloMo.flow(there, i0, i1)


def _moved(
    model: SuperSloMo,
    scale: float,
    i0: Tensor,
    i1: Tensor,
    f01: Tensor,
    f10: Tensor,
    finer01: Tensor | None,
    finer10: Tensor | None,
    bend: Tensor | None,
    t: Tensor | float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tensors of a motion: Ft0, Ft1, logit."""
    finer = None if finer01 is None or finer10 is None else (finer01, finer10)
    made = model.motion(i0, i1, (f01, f10), t, finer, bend, scale)
    return made.ft0, made.ft1, made.logit


def sent_back(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU: on CUDA it is there only after `Engine.wait`."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def trim() -> None:
    """Let glibc return free memory to the system.

    Blocks with the alignment that torch and the host use leave holes that glibc does not fill again (its bug 14581).
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if malloc_trim is not None:
        malloc_trim(0)


_engines: weakref.WeakValueDictionary[tuple[Settings, int], Engine] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_engine(settings: Settings) -> Engine:
    """Return the engine for these settings. Clips with the same settings share one, and the last one frees it."""
    key = (settings, settings.model.stat().st_mtime_ns)
    with _lock:
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(settings)
        return engine
