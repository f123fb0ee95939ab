"""Faster ways to run the networks' convolutions on the CPU, and a table of which way is the fastest.

PyTorch's direct convolution already runs near the machine's peak. What is left is to multiply less. Which way to do
that is worth it depends on the layer, its input's size and the processor: `TABLES` has it. All ways give the same
numbers up to rounding; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_slomo.model.unet import SLOPE, Convolution, Enlarging, enlarged

log = logging.getLogger("vs_slomo")

NHWC = torch.channels_last
Size = tuple[int, int]
"""Height and width."""


class Way(Protocol):
    """One way to run a layer. It is made for the layer's weights and the size of its inputs.

    Inputs, (1, C, H, W) each, and output are channels_last.
    """

    def __init__(self, layer: Convolution, size: Size) -> None: ...

    def __call__(self, *inputs: Tensor) -> Tensor: ...  # noqa: D102


def joined(inputs: Sequence[Tensor]) -> Tensor:
    """Return several inputs as one, concatenated along the channels."""
    return inputs[0] if len(inputs) == 1 else torch.cat(tuple(inputs), dim=1)


def before(layer: Convolution, size: Size) -> tuple[Callable[[Sequence[Tensor]], Sequence[Tensor]], Size]:
    """Return what a layer does to its inputs before the convolution, and the size that they have then."""
    if isinstance(layer, Enlarging):
        return lambda inputs: [enlarged(x) for x in inputs], (2 * size[0], 2 * size[1])
    return lambda inputs: inputs, size


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and takes convolutions of this type on this processor.

    It multiplies bfloat16 from AVX-512 on; older processors have the plain convolution for it.
    """
    mkldnn: bool = torch._C._has_mkldnn  # noqa: SLF001
    if not mkldnn or dtype == torch.float16:
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


def packed(
    weight: Tensor, bias: Tensor | None, size: Size, *, padding: int = 0, groups: int = 1, activate: bool = True
) -> Callable[[Tensor], Tensor]:
    """Return a convolution of (1, C, *size) whose weights are laid out for the processor once, not at each call.

    TorchInductor calls the same function. Where oneDNN cannot, it is the plain convolution (`can_pack`). activate:
    apply the leaky ReLU in the same pass.
    """
    pads, ones = [padding, padding], [1, 1]
    if not can_pack(weight.dtype):

        def plain(x: Tensor) -> Tensor:
            y = F.conv2d(x, weight, bias, padding=padding, groups=groups)
            return F.leaky_relu_(y, SLOPE) if activate else y

        return plain
    shape = [1, groups * weight.shape[1], *size]
    reorder: Callable[..., Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight  # noqa: SLF001
    laid_out = reorder(weight.contiguous(memory_format=NHWC).to_mkldnn(), pads, ones, ones, groups, shape)
    activation = ("leaky_relu", [SLOPE], "") if activate else ("none", [], "")
    run = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001
    return lambda x: run(x, laid_out, bias, pads, ones, ones, groups, *activation)


class Direct:
    """The direct convolution, with the leaky ReLU in the same pass."""

    def __init__(self, layer: Convolution, size: Size) -> None:
        self.before, size = before(layer, size)
        self.run = packed(layer.weight, layer.bias, size, padding=layer.kernel_size[0] // 2)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run it."""
        return self.run(joined(self.before(inputs)))


_kept = threading.local()


def scratch(*counts: int) -> Sequence[Tensor]:
    """Return arrays of these lengths, in memory that this thread keeps for all layers."""
    kept: Tensor | None = getattr(_kept, "memory", None)
    if kept is None or len(kept) < sum(counts):
        kept = _kept.memory = torch.empty(sum(counts))
    return torch.split(kept[: sum(counts)], list(counts))


class ToomCook:
    """The algorithm of Toom and Cook (Winograd's F(6, k)) along the rows, the direct convolution down the columns.

    Six neighbouring outputs take 5 + k products instead of 6 k: 2.25 times fewer at k = 3, 3 at 5, 3.5 at 7. The rows
    are cut into overlapping tiles. A matrix product turns each tile into 5 + k numbers. Each of these has a k x 1
    convolution of its own (together one grouped convolution). A second matrix product makes the outputs from them.
    This is done in bands of rows, so that the intermediate arrays stay small.
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
        # The last tile of a row may reach into the next row: that changes only outputs that are cut off.
        self.tiles = -(-(width + k - 1) // self.OUTPUTS)
        self.take, self.put = take.float(), put.float()
        self.rows = min(height, max(k, self.BAND_BYTES // (4 * self.tiles * n * max(in_channels, out_channels))))
        kernels = torch.einsum("nl,ockl->nock", weights, layer.weight.double()).float()
        # Every output takes the value at the point 1 exactly once: a bias added there reaches all of them.
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
        # The next band and the other layers use one band's memory again: fresh pages cost more than arithmetic.
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

    A product of polynomials is known from its values at n points, one of them infinity. The correlation is the
    transpose of that.
    """
    n = outputs + taps - 1

    def powers(count: int) -> Tensor:
        at_infinity = [0.0] * (count - 1) + [1.0]
        return torch.tensor([[float(p) ** j for j in range(count)] for p in points[: n - 1]] + [at_infinity]).double()

    take = torch.linalg.inv(powers(n)).T
    scale = take.abs().amax(1, keepdim=True)  # the weights, made in float64, take it
    return powers(outputs).T, powers(taps) * scale, take / scale


class Folded:
    """Bilinear doubling followed by a 3x3 convolution, with 4/9 of the multiplications.

    Doubling is the same as repeating each pixel and then blurring by (1, 2, 1)/4 in both directions. The convolution
    may come before the blur. On repeated pixels it sees only two different ones in each direction. So it is a 2x2
    convolution at half the size with four times the channels: one for each of the pixels between two centres.
    """

    def __init__(self, layer: Convolution, size: Size) -> None:
        if not isinstance(layer, Enlarging) or layer.weight.dtype != torch.float32:
            raise NotImplementedError
        height, width = size
        out_channels, in_channels = layer.weight.shape[:2]
        # Which taps fall on which centre, for the pixel left of the middle between two centres and the one right of it.
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
        # Each pixel holds the channels of four. Move them to their places: row by row, two pixels at once.
        four = self.small(F.pad(x, (1, 1, 1, 1), mode="replicate")).permute(0, 2, 3, 1)
        _, height, width, channels = four.shape
        rows = torch.stack(four.view(1, height, width, 2, channels // 2).unbind(3), dim=2)
        out = self.blur(rows.view(1, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2))
        # The outermost rows and columns saw repeated pixels beyond the edge, where the layer has zeros.
        ends = enlarged(torch.cat((x[:, :, :2], x[:, :, -2:])))
        out[:, :, 0], out[:, :, -1] = self.plain(ends[:1, :, :2])[0, :, 0], self.plain(ends[1:, :, -2:])[0, :, -1]
        columns = enlarged(torch.cat((x[..., :2], x[..., -2:])))
        out[..., 0], out[..., -1] = self.plain(columns[:1, ..., :2])[..., 0], self.plain(columns[1:, ..., -2:])[..., -1]
        return out


WAYS: dict[str, type[Way]] = {"direct": Direct, "toom-cook": ToomCook, "folded": Folded}


# --- which way --------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A row of a table: layers of this shape run in this way.

    kind: the layer. kernel: its side. inputs, outputs: the least numbers of channels. way: a name in WAYS. pixels: of
    one input, the least number and the first that is too many.
    """

    kind: type[Convolution]
    kernel: int
    inputs: int
    outputs: int
    way: str
    pixels: tuple[float, float] = (0, math.inf)


DOUBLING = (
    Row(Enlarging, 3, 1, 256, "toom-cook", (100, math.inf)),
    Row(Enlarging, 3, 1, 128, "toom-cook", (400, 1500)),
    Row(Enlarging, 3, 1, 64, "folded", (900, math.inf)),
    Row(Enlarging, 3, 1, 1, "folded", (3000, math.inf)),
)
TABLES: dict[str, tuple[Row, ...]] = {
    "AVX512": (
        Row(Convolution, 7, 16, 8, "toom-cook"),
        Row(Convolution, 5, 16, 32, "toom-cook"),
        Row(Convolution, 3, 64, 64, "toom-cook", (400, math.inf)),
        *DOUBLING,
    ),
    "AVX2": (
        Row(Convolution, 7, 20, 32, "toom-cook"),
        Row(Convolution, 5, 32, 32, "toom-cook"),
        Row(Convolution, 3, 256, 128, "toom-cook", (400, math.inf)),
        Row(Convolution, 3, 64, 64, "toom-cook", (1000, math.inf)),
        *DOUBLING,
    ),
}
"""The faster ways by the processor's kind, as PyTorch names it. The first row that fits counts; else it is "direct".

Made from `benchmarks/convolutions.py` (docs/benchmarks.md): a way is listed where it takes less time than the others.
The table is fixed, so that the networks give the same bits in every run and with any number of threads.
"""


def chosen_way(layer: Convolution, inputs: int, size: Size) -> str:
    """Return the name of the way in which a layer runs on this processor.

    inputs: channels of all inputs together. size: their height and width.
    """
    if layer.weight.dtype != torch.float32:
        return "direct"
    for row in TABLES.get(torch.backends.cpu.get_cpu_capability(), ()):
        least, most = row.pixels
        shape = (type(layer), layer.kernel_size[0])
        wide = inputs >= row.inputs and layer.out_channels >= row.outputs
        if shape == (row.kind, row.kernel) and wide and least <= size[0] * size[1] < most:
            return row.way
    return "direct"


class Accelerated(nn.Module):
    """A layer that looks up in the table which way is fastest for its input's size. For batches of one."""

    def __init__(self, layer: Convolution) -> None:
        super().__init__()
        self.layer = layer
        self.ways: dict[tuple[int, ...], Way] = {}

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run it, as `unet.Convolution.forward` says."""
        channels, (height, width) = [x.shape[1] for x in inputs], inputs[0].shape[-2:]
        key = (*channels, height, width)
        way = self.ways.get(key)
        if way is None:
            name = chosen_way(self.layer, sum(channels), (height, width))
            way = self.ways[key] = WAYS[name](self.layer, (height, width))
            log.debug("convolution: %s of %dx%d: %s", self.layer, width, height, name)
        return way(*(x.contiguous(memory_format=NHWC) for x in inputs))


def accelerate(model: nn.Module) -> None:
    """Let each of a model's convolutions run in its fastest way, in place. For the CPU, without gradients."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Convolution):
                setattr(module, name, Accelerated(child.requires_grad_(requires_grad=False)))
