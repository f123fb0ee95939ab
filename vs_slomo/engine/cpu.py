"""Faster ways to the networks' convolutions on the CPU, and which of them is the fastest here.

PyTorch's direct convolution already runs near the machine's peak. What is left is to multiply less, and which way of
that pays depends on the layer, its size and the processor: so all are timed at first use, and the choice is kept per
machine. All give the same numbers up to rounding; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_slomo.model.unet import SLOPE, Convolution, Enlarging, enlarged

log = logging.getLogger("vs_slomo")

NHWC = torch.channels_last
Size = tuple[int, int]
"""Height and width."""


class Way(Protocol):
    """One way to run a layer: made for its weights and the size of its inputs, called with (1, C, H, W) each.

    Inputs and output are channels_last.
    """

    def __init__(self, layer: Convolution, size: Size) -> None: ...

    def __call__(self, *inputs: Tensor) -> Tensor: ...  # noqa: D102


def joined(inputs: Sequence[Tensor]) -> Tensor:
    """Return several inputs as one."""
    return inputs[0] if len(inputs) == 1 else torch.cat(tuple(inputs), dim=1)


def before(layer: Convolution, size: Size) -> tuple[Callable[[Sequence[Tensor]], Sequence[Tensor]], Size]:
    """Return what a layer does to its inputs before it convolves them, and their size then."""
    if isinstance(layer, Enlarging):
        return lambda inputs: [enlarged(x) for x in inputs], (2 * size[0], 2 * size[1])
    return lambda inputs: inputs, size


def packed(
    weight: Tensor, bias: Tensor | None, size: Size, *, padding: int = 0, groups: int = 1, activate: bool = True
) -> Callable[[Tensor], Tensor]:
    """Return a convolution of (1, C, *size) whose weights are laid out for the processor once, not at each call.

    It is what TorchInductor calls; where oneDNN is missing, the plain convolution takes its place.
    """
    pads, ones = [padding, padding], [1, 1]
    mkldnn: bool = torch._C._has_mkldnn  # noqa: SLF001
    if not mkldnn or weight.dtype == torch.float16:

        def plain(x: Tensor) -> Tensor:
            y = F.conv2d(x, weight, bias, padding=padding, groups=groups)
            return F.leaky_relu_(y, SLOPE) if activate else y

        return plain
    shape = [1, groups * weight.shape[1], *size]
    reorder: Callable[..., Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight  # noqa: SLF001
    laid_out = reorder(weight.contiguous(memory_format=NHWC).to_mkldnn(), pads, ones, ones, groups, shape)
    behind = ("leaky_relu", [SLOPE], "") if activate else ("none", [], "")
    run = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001
    return lambda x: run(x, laid_out, bias, pads, ones, ones, groups, *behind)


class Direct:
    """The direct convolution, and the leaky ReLU in the same pass."""

    def __init__(self, layer: Convolution, size: Size) -> None:
        self.before, size = before(layer, size)
        self.run = packed(layer.weight, layer.bias, size, padding=layer.kernel_size[0] // 2)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run it."""
        return self.run(joined(self.before(inputs)))


_kept = threading.local()


def scratch(*counts: int) -> Sequence[Tensor]:
    """Return arrays of so many numbers, in memory that this thread keeps for all layers."""
    kept: Tensor | None = getattr(_kept, "memory", None)
    if kept is None or len(kept) < sum(counts):
        kept = _kept.memory = torch.empty(sum(counts))
    return torch.split(kept[: sum(counts)], list(counts))


class ToomCook:
    """Along the rows by the algorithm of Toom and Cook (Winograd's F(6, k)), down the columns directly.

    Six neighbouring outputs take 5 + k products instead of 6 k: 2.25 times fewer at k = 3, 3 at 5, 3.5 at 7. The rows
    are cut in overlapping tiles, each becomes 5 + k numbers (a matrix product), each of these has a k x 1 convolution
    of its own (one grouped convolution), and from what comes out the outputs are put together (another product).
    In bands of rows, so that what lies between stays small.
    """

    OUTPUTS, BAND_BYTES = 6, 6 << 20
    POINTS = (0, 1, -1, 0.5, -2, -0.5, 2, 4, -0.25, -4, 0.25)

    def __init__(self, layer: Convolution, size: Size) -> None:
        if layer.weight.dtype != torch.float32:
            raise NotImplementedError
        out_channels, in_channels, k, _ = layer.weight.shape
        self.before, (height, width) = before(layer, size)
        put, weights, take = toom_cook(self.OUTPUTS, k, self.POINTS)
        n = len(take)
        # The last tile of a row may reach into the next row: that decides only outputs that are cut off.
        self.tiles = -(-(width + k - 1) // self.OUTPUTS)
        self.take, self.put = take.float(), put.float()
        self.rows = min(height, max(k, self.BAND_BYTES // (4 * self.tiles * n * max(in_channels, out_channels))))
        kernels = torch.einsum("nl,ockl->nock", weights, layer.weight.double()).float()
        # At the point 1 every output takes its share once: so there the bias goes in, and comes out in all.
        bias = torch.zeros(n, out_channels)
        bias[self.POINTS.index(1)] = layer.bias  # type: ignore[assignment]
        self.kernel, self.channels = k, out_channels
        self.run = packed(
            kernels.reshape(n * out_channels, in_channels, k, 1),
            bias.flatten(),
            (self.rows + k - 1, self.tiles),
            groups=n,
            activate=False,
        )

    def __call__(self, *given: Tensor) -> Tensor:
        """Run it."""
        inputs = self.before(given)
        (height, width), channels = inputs[0].shape[-2:], sum(x.shape[1] for x in inputs)
        step, n, tiles, edge = self.OUTPUTS, len(self.take), self.tiles, self.kernel // 2
        # Memory for one band, used again by the next and by the other layers: fresh pages cost more than arithmetic.
        tall = self.rows + 2 * edge
        parts = tall * tiles * step * channels, (n - step) * channels, tall * tiles * n * channels
        lines, rest, seen, made = scratch(*parts, self.rows * tiles * step * self.channels)
        cut = lines.as_strided((tall * tiles, n, channels), (step * channels, channels, 1))
        lines = lines.view(tall, tiles * step, channels)
        lines[:, :edge], lines[:, edge + width :], rest[:] = 0, 0, 0
        seen, made = seen.view(tall * tiles, n, channels), made.view(self.rows * tiles, step, self.channels)
        take, put = self.take.expand(tall * tiles, n, n), self.put.expand(self.rows * tiles, step, n)
        out = torch.empty(1, height, width, self.channels)
        for top in range(0, height, self.rows):
            rows = min(self.rows, height - top)
            first, last = max(top - edge, 0), min(top + rows + edge, height)
            start, stop, end = first - top + edge, last - top + edge, rows + 2 * edge
            lines[:start], lines[stop:end] = 0, 0
            channel = 0
            for x in inputs:
                place = lines[start:stop, edge : edge + width, channel : channel + x.shape[1]]
                place.copy_(x[0, :, first:last].permute(1, 2, 0))
                channel += x.shape[1]
            count = end * tiles
            torch.bmm(take[:count], cut[:count], out=seen[:count])
            found = self.run(seen[:count].view(1, end, tiles, n * channels).permute(0, 3, 1, 2))
            count = rows * tiles
            torch.bmm(put[:count], found.permute(0, 2, 3, 1).reshape(count, n, self.channels), out=made[:count])
            whole = made[:count].view(1, rows, tiles * step, self.channels)
            torch.ops.aten.leaky_relu.out(whole[:, :, :width], SLOPE, out=out[:, top : top + rows])
        return out.permute(0, 3, 1, 2)


def toom_cook(outputs: int, taps: int, points: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Return `put`, `weights`, `take` with ``put @ ((weights @ w) * (take @ x))`` = the correlation of x with w.

    x: outputs + taps - 1 numbers, w: taps numbers. The matrices are float64, (outputs, n), (n, taps) and (n, n).

    A polynomial product is known from its values at n points, infinity one of them; the correlation is its transpose.
    """
    n = outputs + taps - 1

    def powers(count: int) -> Tensor:
        at_infinity = [0.0] * (count - 1) + [1.0]
        return torch.tensor([[float(p) ** j for j in range(count)] for p in points[: n - 1]] + [at_infinity]).double()

    take = torch.linalg.inv(powers(n)).T
    scale = take.abs().amax(1, keepdim=True)  # moved into the weights, which are made in float64
    return powers(outputs).T, powers(taps) * scale, take / scale


class Folded:
    """Bilinear doubling and a 3x3 convolution behind it, at 4/9 of the multiplications.

    Doubling is repeating each pixel, then a blur by (1, 2, 1)/4 each way; the convolution may come before the blur.
    On repeated pixels it sees only two different ones each way, so it is a 2x2 convolution at half the size with
    four times the channels: one for each of the pixels between two centres.
    """

    def __init__(self, layer: Convolution, size: Size) -> None:
        if not isinstance(layer, Enlarging) or layer.weight.dtype != torch.float32:
            raise NotImplementedError
        height, width = size
        out_channels, in_channels = layer.weight.shape[:2]
        # The pixel left and the one right of the middle between two centres: which taps fall on which centre.
        taps = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]])
        kernels = torch.einsum("pak,qbl,ockl->pqocab", taps, taps, layer.weight)
        self.small = packed(
            kernels.reshape(4 * out_channels, in_channels, 2, 2), None, (height + 2, width + 2), activate=False
        )
        hat = torch.tensor([0.25, 0.5, 0.25])
        self.blur = packed(
            torch.outer(hat, hat).expand(out_channels, 1, 3, 3).contiguous(),
            layer.bias,
            (2 * height + 2, 2 * width + 2),
            groups=out_channels,
        )
        self.plain = packed(layer.weight, layer.bias, (2, 2 * width), padding=1)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run it."""
        x = joined(inputs)
        # Four pixels' channels, one behind the other, to their places: row by row, two pixels at once.
        four = self.small(F.pad(x, (1, 1, 1, 1), mode="replicate")).permute(0, 2, 3, 1)
        _, height, width, channels = four.shape
        rows = torch.stack(four.view(1, height, width, 2, channels // 2).unbind(3), dim=2)
        out = self.blur(rows.view(1, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2))
        # The outermost rows and columns would see pixels doubled beyond the edge, where there must be zeros.
        ends = enlarged(torch.cat((x[:, :, :2], x[:, :, -2:])))
        out[:, :, 0], out[:, :, -1] = self.plain(ends[:1, :, :2])[0, :, 0], self.plain(ends[1:, :, -2:])[0, :, -1]
        columns = enlarged(torch.cat((x[..., :2], x[..., -2:])))
        out[..., 0], out[..., -1] = self.plain(columns[:1, ..., :2])[..., 0], self.plain(columns[1:, ..., -2:])[..., -1]
        return out


WAYS: dict[str, type[Way]] = {"direct": Direct, "toom-cook": ToomCook, "folded": Folded}


class Fastest(nn.Module):
    """A layer that runs in the way that is the fastest for the size that comes. For batches of one."""

    def __init__(self, layer: Convolution) -> None:
        super().__init__()
        self.layer = layer
        self.ways: dict[tuple[int, ...], Way] = {}

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run it, as `unet.Convolution.forward` says."""
        key = (*(x.shape[1] for x in inputs), *inputs[0].shape[-2:])
        way = self.ways.get(key)
        if way is None:
            way = self.ways[key] = self.choose(inputs)
        return way(*(x.contiguous(memory_format=NHWC) for x in inputs))

    def choose(self, inputs: Sequence[Tensor]) -> Way:
        """Return the fastest way for inputs of such sizes, from the cache or by timing them all."""
        layer, (height, width) = self.layer, inputs[0].shape[-2:]
        kind = "double" if isinstance(layer, Enlarging) else "keep"
        channels = "+".join(str(x.shape[1]) for x in inputs)
        name = f"{kind} {channels} to {layer.out_channels}, {layer.kernel_size[0]}x{layer.kernel_size[0]}, "
        name += f"{height}x{width} {str(layer.weight.dtype).removeprefix('torch.')}"
        with _lock:
            chosen = _choices().get(name)
            if chosen not in WAYS:
                _announce()
                chosen = _choices()[name] = fastest(layer, inputs)
                _keep()
            log.debug("convolution: %s: %s", name, chosen)
            return WAYS[chosen](layer, (height, width))


def accelerate(model: nn.Module) -> None:
    """Let each of a model's convolutions run in its fastest way, in place. For the CPU, without gradients."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Convolution):
                setattr(module, name, Fastest(child.requires_grad_(requires_grad=False)))


TRIED_PIXELS = 1 << 18
"""As many are timed: fewer stay in the processor's cache, which the whole picture does not."""
ROUNDS = 6
"""The choice is kept for good, so other work on the machine should not decide it."""
OUT_OF_IT = 1.5
"""What is so many times slower than the best is not timed again."""
TOLERANCE = 1e-3
"""Of the largest output; rounding is below a tenth of it."""


def fastest(layer: Convolution, inputs: Sequence[Tensor]) -> str:
    """Return the name of the fastest of WAYS, timed in turns; a way that fails or gives other numbers is left out."""
    rows = max(8, TRIED_PIXELS // inputs[0].shape[-1])
    inputs = [torch.rand_like(x[:1, :, :rows]).contiguous(memory_format=NHWC) for x in inputs]
    expected: Tensor | None = None
    times: dict[str, float] = {}
    ready: dict[str, Way] = {}
    for name, make in WAYS.items():
        try:
            way = make(layer, (inputs[0].shape[-2], inputs[0].shape[-1]))
            found = way(*inputs).float()
        except (NotImplementedError, RuntimeError):
            continue
        expected = found if expected is None else expected
        if (found - expected).abs().max() <= TOLERANCE * expected.abs().max():
            ready[name] = way
    for _ in range(ROUNDS):
        if len(ready) <= 1:
            break
        for name, way in ready.items():
            start = time.perf_counter()
            way(*inputs)
            times[name] = min(times.get(name, float("inf")), time.perf_counter() - start)
        ready = {name: way for name, way in ready.items() if times[name] <= OUT_OF_IT * min(times.values())}
    log.debug("convolution: ms %s", {name: round(1000 * t, 2) for name, t in times.items()})
    return min(times, key=lambda name: times[name], default="direct")


# --- what was chosen, kept per machine --------------------------------------------------------------------

_lock = threading.RLock()


@cache
def _announce() -> None:
    """Say once why the first frame takes longer."""
    log.warning("choosing the fastest convolutions for this machine: this takes longer once, for each size")


@cache
def _machine() -> str:
    """Return what the choice depends on besides the layer."""
    name = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not Linux
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, {torch.__version__}"


def _file() -> Path:
    from platformdirs import user_cache_dir

    return Path(os.environ.get("VS_SLOMO_HOME") or user_cache_dir("vs_slomo", appauthor=False)) / "convolutions.json"


@cache
def _all() -> dict[str, dict[str, str]]:
    """Return the whole file; what cannot be read counts as empty."""
    try:
        stored = json.loads(_file().read_text(encoding="utf-8"))
        return {str(machine): dict(choices) for machine, choices in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _choices() -> dict[str, str]:
    return _all().setdefault(_machine(), {})


def _keep() -> None:
    """Write the file, whole or not at all; without a place to write, each start measures again."""
    path = _file()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(_all(), indent=1), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        log.debug("convolution: the choice is not kept: %s", error)
