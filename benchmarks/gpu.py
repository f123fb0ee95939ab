"""All that is to be measured on a GPU, by one command, in about three minutes. `--device cpu` rehearses it.

    python benchmarks/gpu.py [--width 32] [--size 1280x720] [--multi 8] [--json FILE]

Both floors (arithmetic and memory traffic at the rates of a large product and a large copy, measured here), the time
of pair and frames, how busy the device is while frames are read in sequence through the filter, streams, what half
precision changes, and peak memory at 3840x2160.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from vs_slomo import slomo, weights
from vs_slomo.engine.settings import Settings
from vs_slomo.measure import bench
from vs_slomo.measure.machine import device_name
from vs_slomo.measure.start import moving_clip, time_start
from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.model.unet import UNet


def traffic(net: UNet, height: int, width: int, number: int) -> float:
    """Return the bytes that the network's layers read and write, each tensor once. number: bytes of a value."""
    moved = 0.0

    def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal moved
        moved += number * (sum(x.numel() for x in inputs) + output.numel())

    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    net(torch.empty(1, net.conv1.in_channels, height, width, device="meta"))
    return moved


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def sequential(settings: Settings, size: tuple[int, int], multi: int, streams: int, frames: int) -> dict[str, float]:
    """Read frames in sequence through the filter; return ms a frame and the part of the time the device was busy."""
    cuda = settings.device.startswith("cuda")
    clip = moving_clip(*size).std.Loop(1 + frames // (8 * multi) + 2)
    options = {name: getattr(settings, name) for name in ("device", "precision", "scale", "flow", "tile")}
    out = slomo(clip, multi, sc=False, curved=False, num_streams=streams, model=str(settings.model), **options)
    for frame in out[: 2 * multi].frames(close=True):  # warm
        frame.closed  # noqa: B018
    activities = [ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]
    with profile(activities=activities) as trace:
        start = time.perf_counter()
        for _ in out[2 * multi : 2 * multi + frames].frames(close=True):
            pass
        took = time.perf_counter() - start
    ran = [e.time_range for e in trace.events() if not cuda or e.device_type == torch.autograd.DeviceType.CUDA]
    busy = covered((r.start, r.end) for r in ran) / 1e6 / took
    return {"streams": streams, "ms": 1000 * took / frames, "busy": busy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--multi", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=160)
    parser.add_argument("--large", default="3840x2160", help="size for peak memory")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    size, large = (tuple(map(int, text.split("x"))) for text in (arguments.size, arguments.large))
    found: dict[str, object] = {"device": device_name(torch.device(arguments.device)), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        path = Path(folder) / "model.safetensors"
        info = weights.ModelInfo(name=f"random-{arguments.width}", width=arguments.width)
        weights.save(SuperSloMo(arguments.width), info, path)
        half = "fp16" if arguments.device.startswith("cuda") else "bf16"
        settings = Settings(model=path, device=arguments.device, precision=half, scale=1.0, flow="unet")
        for precision in (half, "fp32"):
            chosen = replace(settings, precision=precision)
            result = bench.measure(chosen, size, arguments.multi, plain=precision == "fp32")
            found[precision] = asdict(result)
            print(bench.bench_text(result, {}), flush=True)
            if precision == half:
                height, width = (-(-n // 32) * 32 for n in size[::-1])
                model = SuperSloMo(arguments.width).to("meta")
                nets = (model.flow_net, 1), (model.interp_net, arguments.multi - 1)
                moved = sum(times * traffic(net, height, width, 2) for net, times in nets)
                all_ms = result.pair + (arguments.multi - 1) * result.frame
                flops = result.rate * result.networks * all_ms * 1e6
                floors = {"arithmetic": flops / result.ceiling / 1e6, "traffic": moved / result.copy / 1e6}
                found["floors"] = floors | {"taken": all_ms}
                print(
                    f"floors, ms: {floors['arithmetic']:.1f} by arithmetic, {floors['traffic']:.1f} by traffic; ",
                    end="",
                )
                print(f"taken {all_ms:.1f} for a pair and {arguments.multi - 1} frames\n", flush=True)
        found["sequential"] = []
        for streams in (1, 2, 4):
            read = sequential(settings, size, arguments.multi, streams, arguments.frames)
            found["sequential"].append(read)
            print("{streams} streams: {ms:.2f} ms a frame, busy {busy:.1%}".format_map(read), flush=True)
        for precision in (half, "fp32"):
            start = time_start(replace(settings, precision=precision), large)
            found[f"large {precision}"] = asdict(start)
            print(
                f"{arguments.large}, {precision}: {start.rss:.0f} MB, device {start.device_memory:.0f} MB", flush=True
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
