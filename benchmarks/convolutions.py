"""Time every way to run each convolution of the networks on the CPU: what the table in `engine/cpu.py` is made from.

    python benchmarks/convolutions.py [--widths 8,16,32] [--sizes 448x256,960x544] [--rounds 7] [--json FILE]
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/convolutions.py    # as an older processor

One row per layer shape: milliseconds of each way, and that divided by the direct way's. It is the processor time of
one thread, the least of all rounds, in which the ways take turns: so other work on the machine counts little. `*` marks
what the table in `engine/cpu.py` chooses on this processor.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from vs_slomo.engine import cpu
from vs_slomo.model.unet import Convolution, Enlarging, UNet

NETS = {"flow": (6, 4), "interp": (20, 5)}
"""Input and output channels of both networks."""
LAST = 1e-3
"""Seconds that a layer runs at least in each round."""


def shapes(width: int, size: tuple[int, int]) -> dict[str, tuple[Convolution, list[Tensor]]]:
    """Return each layer of both networks with inputs of its sizes, by the name of its shape.

    width: channels at full resolution. size: height and width of what the networks see.
    """
    found: dict[str, tuple[Convolution, list[Tensor]]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, Convolution)  # noqa: S101  # the hook is set on nothing else
        kind = "double" if isinstance(layer, Enlarging) else "keep"
        channels = "+".join(str(x.shape[1]) for x in inputs)
        kernel, (height, across) = layer.kernel_size[0], inputs[0].shape[-2:]
        name = f"{kind} {channels} to {layer.out_channels}, {kernel}x{kernel}, {height}x{across}"
        found.setdefault(name, (layer, [torch.empty(x.shape) for x in inputs]))

    for channels in NETS.values():
        net = UNet(*channels, width).requires_grad_(requires_grad=False)
        for module in net.modules():
            if isinstance(module, Convolution):
                module.register_forward_pre_hook(note)
        net(torch.zeros(1, channels[0], *size))
    return found


def timed(layer: Convolution, inputs: list[Tensor], rounds: int) -> dict[str, tuple[float, float]]:
    """Return for each way the seconds that it takes, and its largest difference as a part of the largest value."""
    given = [torch.rand_like(x).contiguous(memory_format=cpu.NHWC) for x in inputs]
    expected = layer(*given)
    ready, off = {}, {}
    for name, make in cpu.WAYS.items():
        try:
            ready[name] = make(layer, (given[0].shape[-2], given[0].shape[-1]))
        except NotImplementedError:
            continue
        off[name] = float((ready[name](*given) - expected).abs().max() / expected.abs().max())
    times = dict.fromkeys(ready, float("inf"))
    for _ in range(rounds):
        for name, way in ready.items():
            way(*given)
            begin, count = time.process_time(), 0
            while (took := time.process_time() - begin) < LAST or count == 0:
                way(*given)
                count += 1
            times[name] = min(times[name], took / count)
    return {name: (times[name], off[name]) for name in ready}


def rows(widths: list[int], sizes: list[tuple[int, int]], rounds: int) -> Iterator[dict[str, object]]:
    """Yield what was measured, layer shape by layer shape."""
    seen = set()
    for width in widths:
        for size in sizes:
            for name, (layer, inputs) in shapes(width, size).items():
                if name in seen:
                    continue
                seen.add(name)
                found = timed(layer, inputs, rounds)
                yield {
                    "layer": name,
                    "kind": name.partition(" ")[0],
                    "inputs": [x.shape[1] for x in inputs],
                    "outputs": layer.out_channels,
                    "kernel": layer.kernel_size[0],
                    "size": list(inputs[0].shape[-2:]),
                    "ms": {way: 1000 * took for way, (took, _) in found.items()},
                    "off": {way: off for way, (_, off) in found.items()},
                    "chosen": cpu.chosen_way(layer, layer.in_channels, (inputs[0].shape[-2], inputs[0].shape[-1])),
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", default="8,16,32")
    parser.add_argument("--sizes", default="448x256,960x544", help="width x height of what the networks see")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = [(int(h), int(w)) for w, _, h in (text.partition("x") for text in arguments.sizes.split(","))]
    widths = [int(w) for w in arguments.widths.split(",")]
    kept = []
    print(f"{torch.backends.cpu.get_cpu_capability()}, one thread, PyTorch {torch.__version__}")
    print("".join(f"{way:>22} " for way in cpu.WAYS) + "  layer")
    with torch.inference_mode():
        for row in rows(widths, sizes, arguments.rounds):
            kept.append(row)
            ms = row["ms"]
            assert isinstance(ms, dict)  # noqa: S101
            for way in cpu.WAYS:
                mark = "*" if way == row["chosen"] else " "
                cells = f"{ms[way]:9.2f} ms {ms[way] / ms['direct']:6.2f} x{mark}" if way in ms else ""
                print(f"{cells:>23}", end="", flush=True)
            print(f"  {row['layer']}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
