"""The engine on a device that is not there: fake tensors, which have shapes, types and devices, but no values.

`Dry` is a context in which an `Engine` runs on "cuda", "xpu" or "mps" as it would there, on any machine. It counts
what is launched, moved and waited for, and how much memory is held, all by arithmetic. An operation that mixes
devices fails, as it would there.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vs_slomo import weights
from vs_slomo.clips.frames import as_rgb
from vs_slomo.engine.cache import FrameCache
from vs_slomo.engine.engine import Engine
from vs_slomo.engine.pair import Pair
from vs_slomo.engine.settings import Settings, check_networks, check_precision
from vs_slomo.model.superslomo import SuperSloMo

CARD_BYTES = 80 << 30
"""Memory of the card that is made believe."""
WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"}
"""Operations that bring a value to the CPU, which waits for it."""
EMPTY = {"empty", "empty_like", "new_empty", "empty_strided"}
"""Operations that only allocate."""
WHOLE = {"upsample_bilinear2d"}
"""One kernel on a device, though PyTorch can also say what it consists of."""


@dataclass
class Counted:
    """What was counted.

    kernels: launched. read_written: bytes that they read and write, each tensor once. up, down: bytes from the CPU to
    the device and back, one entry a transfer. waits: how often the CPU waits for the device: at values, at transfers
    of memory that is not pinned, and at streams. types: how many values each operation of a type makes.
    held, peak: bytes on the device, now and at most.
    """

    kernels: int = 0
    read_written: int = 0
    up: list[int] = field(default_factory=list)
    down: list[int] = field(default_factory=list)
    waits: Counter[str] = field(default_factory=Counter)
    types: Counter[tuple[str, torch.dtype]] = field(default_factory=Counter)
    held: int = 0
    peak: int = 0


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts every operation of PyTorch on fake tensors. device: the device's kind."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self.counted = device, Counted()
        self.owners: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        # Without gradients operations come as they are called: look at what they consist of.
        if func.namespace == "aten" and func.overloadpacket.__name__ not in WHOLE:
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        name = func.overloadpacket.__name__
        # A fake tensor has no value to give: any will do.
        out = 1.0 if name == "_local_scalar_dense" else func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        there = [x for x in (*given, *made) if x.device.type == self.device]
        for x in made:
            self.hold(x)
        if not there or func.namespace == "prim":
            return out
        if name in WAITING:
            self.counted.waits[name] += 1
        elif name in ("_to_copy", "copy_") and any(x.device.type == "cpu" for x in (*given, *made)):
            self.transfer(args, kwargs or {}, made)
        elif name not in EMPTY and not is_view(func):
            self.launched(name, given, made)
            if name == "convolution" and args[2] is not None:
                self.launched("bias", made, made)  # PyTorch adds it after cuDNN
        return out

    def transfer(self, args: Any, options: dict[str, Any], made: list[Tensor]) -> None:
        """Count what goes to the device or comes from it. It is waited for unless it is told not to."""
        upwards = made[0].device.type == self.device
        (self.counted.up if upwards else self.counted.down).append(made[0].nbytes)
        if not (options.get("non_blocking") or True in args[2:]):
            self.counted.waits["transfer"] += 1

    def launched(self, name: str, given: list[Tensor], made: list[Tensor]) -> None:
        """Count a kernel."""
        self.counted.kernels += 1
        self.counted.read_written += sum(x.nbytes for x in (*given, *made) if x.device.type == self.device)
        for x in made:
            self.counted.types[name, x.dtype] += x.numel()

    def hold(self, x: Tensor) -> None:
        """Count memory until the last tensor that owns it is gone."""
        if x.device.type != self.device:
            return
        storage = x.untyped_storage()
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001
        if not self.owners[key]:
            self.counted.held += size
            self.counted.peak = max(self.counted.peak, self.counted.held)
        self.owners[key] += 1
        weakref.finalize(x, self.drop, key, size)

    def drop(self, key: int, size: int) -> None:
        """Count memory as free."""
        self.owners[key] -= 1
        if not self.owners[key]:
            del self.owners[key]
            self.counted.held -= size


def is_view(func: Any) -> bool:
    """Whether an operation makes nothing: its result is a part of what it is given."""
    aliases = [x.alias_info for x in func._schema.returns]  # noqa: SLF001
    return bool(aliases) and all(a is not None and not a.is_write for a in aliases)


class Waited:
    """A stream or an event that is not there; waiting for it is counted."""

    def __init__(self, counted: Counted) -> None:
        self.counted, self.cuda_stream = counted, 0

    def synchronize(self) -> None:
        """Wait."""
        self.counted.waits["stream"] += 1

    def record_event(self, *_: object) -> Waited:
        """Return an event."""
        return self

    def wait_event(self, *_: object) -> None:
        """Let the device wait, not the CPU."""


def moved(self: nn.Module, *where: Any, memory_format: torch.memory_format | None = None) -> nn.Module:
    """Do what `Module.to` does: that swaps tensors, which fake ones do not allow."""
    for module in self.modules():
        held: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)  # noqa: SLF001
        for kept in held:
            for name, old in kept.items():
                if old is None:
                    continue
                new = old.detach().to(*where) if where else old.detach()
                if memory_format is not None and new.dim() == 4:
                    new = new.contiguous(memory_format=memory_format)
                kept[name] = nn.Parameter(new, requires_grad=False) if isinstance(old, nn.Parameter) else new
    return self


@contextmanager
def dry(device: str = "cuda") -> Iterator[Counting]:
    """Give what counts; inside, tensors and engines may be made on the device, which need not be there."""
    counting = Counting(device)
    counted = counting.counted
    stream = Waited(counted)
    with ExitStack() as stack:
        cuda: dict[str, Callable[..., object]] = {
            "current_stream": lambda *_: stream,
            "Stream": lambda *_: stream,
            "stream": lambda *_: nullcontext(),
            "device": lambda *_: nullcontext(),
            "synchronize": lambda *_: stream.synchronize(),
            "mem_get_info": lambda *_: (CARD_BYTES - counted.held, CARD_BYTES),
            "memory_reserved": lambda *_: 0,
            "memory_allocated": lambda *_: 0,
            "is_current_stream_capturing": lambda: True,  # graphs hold the same kernels: run them as they are
        }
        for name, instead in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, instead))
        stack.enter_context(mock.patch.object(nn.Module, "to", moved))
        stack.enter_context(mock.patch.object(Tensor, "record_stream"))
        stack.enter_context(mock.patch.object(Tensor, "pin_memory", lambda x: x.clone()))
        stack.enter_context(_kernels(counting))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(counting)
        yield counting


@contextmanager
def _kernels(counting: Counting) -> Iterator[None]:
    """Count Triton's kernels in place of running them; every tensor that they get must be on the device.

    It must be in a row, or the kernel must be given the step between two of its pixels.
    """
    try:
        from triton.runtime.jit import KernelInterface
    except ImportError:
        yield
        return

    def grid(_: object, __: object) -> Any:
        def run(*args: object, **__: object) -> None:
            tensors = [x for x in args if isinstance(x, Tensor)]
            steps = {x for x in args if isinstance(x, int)}
            wrong = [
                x
                for x in tensors
                if x.device.type != counting.device or not (x.is_contiguous() or set(x.stride()[-2:]) & steps)
            ]
            if wrong:
                raise RuntimeError(f"a kernel was given {wrong[0].shape} on {wrong[0].device}, {wrong[0].stride()}")
            counting.counted.kernels += 1
            counting.counted.read_written += sum(x.nbytes for x in tensors)

        return run

    with (
        mock.patch.object(KernelInterface, "__getitem__", grid),
        mock.patch("vs_slomo.engine.cuda.kernels_work", return_value=True),
    ):
        yield


def dry_engine(info: weights.ModelInfo, **options: Any) -> Engine:
    """Return an engine with a fake model like a file's; only inside `dry`. options: of `Settings`."""
    settings = Settings(model=Path("dry"), **options)
    options = {"last_activation": info.last_activation, "levels": info.levels, "fusion": info.fusion}
    model = SuperSloMo(info.width, **options)
    with mock.patch.object(weights, "load", return_value=(model, info)):
        return Engine(settings)


def dry_pair(
    info: weights.ModelInfo, size: tuple[int, int], multi: int, *, device: str = "cuda", precision: str | None = None
) -> Counted:
    """Return what a pair costs in sequence: its flow, its bend and its new frames, of 8-bit 4:2:0.

    size: width and height. multi: new frames a pair and one. device: "meta" stands for every device without streams and
    kernels of ours (XPU, MPS), which PyTorch does not fake where it was built without them.
    """
    kind = "cuda" if device == "meta" else device
    scale, flow = check_networks(None, None, info, size, kind)
    chosen = check_precision(precision, kind)
    with dry(device) as counting:
        engine = dry_engine(info, device=device, precision=chosen, scale=scale, flow=flow)
        kept, (width, height) = FrameCache(device), size
        seen = [math.ceil(n * scale) for n in (height, width)]
        planes = partial(torch.zeros, 1, 3, *seen, dtype=torch.float16 if engine.settings.half else torch.float32)
        finish = partial(as_rgb, matrix=torch.eye(3))
        groups = [((1, 1, height, width), 1.0), ((1, 2, height // 2, width // 2), 0.5)]
        pairs: list[Pair] = []

        def found(k: int) -> None:
            first, second = (kept.get(("rgb", n), planes, finish) for n in (k, k + 1))
            pairs.append(engine.pair(first, second))
            del pairs[:-3]

        def made(k: int) -> None:
            bent = engine.bent(pairs[1], pairs[0], pairs[2])
            for i in range(1, multi):
                motion = engine.motion(bent, i / multi)
                for shape, ratio in groups:
                    blank = partial(torch.zeros, shape, dtype=torch.uint8)
                    plane0, plane1 = (kept.get((shape, n), blank) for n in (k, k + 1))
                    engine.render(motion, plane0, plane1, ratio, ratio, peak=255, wait=False)
                engine.wait()

        for k in range(3):
            found(k)
        made(1)
        counted = counting.counted
        counted.kernels = counted.read_written = 0
        counted.peak = counted.held
        for filled in (counted.up, counted.down, counted.waits, counted.types):
            filled.clear()
        found(3)
        made(2)
        return counted


def table(info: weights.ModelInfo) -> str:
    """Return what a new frame costs on CUDA, by arithmetic, as a table."""
    heads = f"{'kernels':>8}{'read, written':>15}{'up':>9}{'down':>9}{'waits':>7}{'memory':>9}"
    lines = [f"{'a new frame, MB':22}{heads}"]
    for size in ((1280, 720), (1920, 1080), (3840, 2160)):
        for multi in (2, 8):
            counted, new = dry_pair(info, size, multi), multi - 1
            used, up, down = (x / new / 1e6 for x in (counted.read_written, sum(counted.up), sum(counted.down)))
            waits, peak = counted.waits.total() / new, counted.peak / 1e6
            case = f"{size[0]}x{size[1]}, multi {multi}"
            lines.append(
                f"{case:22}{counted.kernels / new:8.0f}{used:15.0f}{up:9.2f}{down:9.2f}{waits:7.1f}{peak:9.0f}"
            )
    return "\n".join(lines)
