"""What a frame costs on this machine, beside what the machine could do and what the plain way costs.

All that is compared is timed in turns, in one run, and given as a median, so that a busy machine does not decide.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vs_slomo import weights
from vs_slomo.clips import frames
from vs_slomo.engine.engine import Engine, shared_engine
from vs_slomo.engine.settings import Settings
from vs_slomo.errors import SlomoError
from vs_slomo.filters.options import check_options
from vs_slomo.filters.slomo import slomo
from vs_slomo.model.superslomo import SuperSloMo, network_input
from vs_slomo.weights.files import ModelInfo

HEIGHTS = (180, 270, 360, 540, 720, 1080, 1440, 2160)
MULTIS = (2, 3, 4, 6, 8, 12, 16)
PLOTTED = 640, 360
"""At which the factor varies."""
SIDES = range(32, 8193)
"""Of the picture, in pixels."""
AGREE = 1e-4
"""In [0, 1], in single precision."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured; times in milliseconds, medians.

    ceiling: GFLOP/s of a large matrix product. copy: GB/s of a large copy, read and written. pair: finding the flow.
    frame: making one new frame from it. networks: their part of pair and frames, in [0, 1]; the rest is warps, fusion
    and conversion. rate: GFLOP/s of the networks, counted as direct convolutions. reference: one new frame the plain
    way (see `reference`), with its part of the flow; None where it was not run. ratio: that by ours. difference: the
    largest between the plain way's pictures and ours at the same scale. chain: one new frame through the host,
    with its part of the flow. host: how much of that is the host's.
    """

    device: str
    model: str
    width: int
    size: str
    multi: int
    scale: float
    flow: str
    precision: str
    ceiling: float
    copy: float
    pair: float
    frame: float
    networks: float
    rate: float
    reference: float | None
    ratio: float | None
    difference: float | None
    chain: float
    host: float

    @property
    def each(self) -> float:
        """One new frame with its part of the flow."""
        return self.pair / (self.multi - 1) + self.frame


@dataclass(frozen=True, kw_only=True)
class Start:
    """The way to the first new frame, in seconds, in a process of its own, and the memory it took, in MB.

    imports: of the package, PyTorch and the host. load: the model. first: the first new frame; second: that of the next
    pair. rss, device_memory: the peaks after eight pairs.
    """

    imports: float
    load: float
    first: float
    second: float
    rss: float
    device_memory: float


def reference(model: SuperSloMo, frame0: Tensor, frame1: Tensor, times: Sequence[float]) -> list[Tensor]:
    """Return the frames at the given times the plain way, as the public ports run it.

    Eager, contiguous, in single precision, at the picture's own resolution, the flow once, then one frame at a time.
    """
    height, width = frame0.shape[-2:]
    i0, i1 = network_input(frame0, 1), network_input(frame1, 1)
    flows = model.flow(i0, i1)
    return [model.synthesize(i0, i1, flows, t)[..., :height, :width] for t in times]


def measure(settings: Settings, size: tuple[int, int], multi: int, *, rounds: int = 5, plain: bool = True) -> Result:
    """Time one case. size: width and height. plain: run the reference too, which takes long for large pictures.

    Raises SlomoError where its pictures are not ours (single precision, the paper's flow stage).
    """
    (width, height), device = size, torch.device(settings.device)
    info = weights.read_info(settings.model)
    engine, clip = Engine(settings), moving(width, height)
    times = [i / multi for i in range(1, multi)]
    rgb = [_rgb(clip, k).to(device) for k in (0, 1)]
    seen = [network_input(x, settings.scale) for x in rgb]
    gray = None
    if settings.stage.needs_gray:
        gray = (_gray(rgb[0]), _gray(rgb[1]))
    pair = engine.pair(seen[0], seen[1], gray)
    planes = [[frames.raw_planes(clip.get_frame(k), p) for p, *_ in frames.plane_groups(clip.format)] for k in (0, 1)]

    def found() -> object:
        return engine.pair(seen[0], seen[1], gray)

    ratios = [(x, y) for _, x, y in frames.plane_groups(clip.format)]

    def made() -> object:
        def all_of_them() -> None:
            for t in times:
                motion = engine.motion(pair, t)
                for plane0, plane1, (x, y) in zip(*planes, ratios, strict=True):
                    engine.render(motion, plane0, plane1, x, y, peak=255)

        return engine.run(all_of_them)

    works = {"pair": found, "frames": made, "ceiling": _product(device, engine.dtype), "copy": _copy(device)}
    difference = None
    if plain:
        model = weights.load(settings.model)[0].to(device).requires_grad_(requires_grad=False)
        works["reference"] = lambda: reference(model, rgb[0], rgb[1], times)
        difference = _difference(model, engine, settings, rgb, seen, multi)
    if device.type == "cpu":
        works["product"] = _product_by_convolution(engine.dtype)
    first = slomo(clip, multi, sc=False, **_options(settings))
    turns = itertools.count(1)

    def host() -> None:
        k = next(turns) % (clip.num_frames - 1)
        for n in range(k * multi + 1, (k + 1) * multi):
            first.get_frame(n)

    works["chain"] = host
    spent = _Spent(engine)
    with torch.inference_mode():
        took = interleaved(works, rounds, device)
        spent.seconds = 0.0
        start = time.perf_counter()
        found(), made()
        _wait(device)
        networks = spent.seconds / (time.perf_counter() - start)
    ms = {name: 1000 * statistics.median(x) for name, x in took.items()}
    multiplied = _flops(info, seen[0])
    by_flow, by_interp = (multiplied[0] if settings.stage.uses_network else 0.0), multiplied[1]
    product = 2 * PRODUCT[device.type] ** 3
    frame, chain = ms["frames"] / (multi - 1), ms["chain"] / (multi - 1)
    each = ms["pair"] / (multi - 1) + frame
    plainly = ms["reference"] / (multi - 1) if plain else None
    return Result(
        device=name_of(device),
        model=info.name,
        width=info.width,
        size=f"{width}x{height}",
        multi=multi,
        scale=settings.scale,
        flow=settings.flow,
        precision=settings.precision,
        ceiling=product / min(ms["ceiling"], ms.get("product", ms["ceiling"])) / 1e6,
        copy=2 * COPIED / ms["copy"] / 1e6,
        pair=ms["pair"],
        frame=frame,
        networks=networks,
        rate=(by_flow + by_interp * (multi - 1)) / (networks * (ms["pair"] + ms["frames"])) / 1e6,
        reference=plainly,
        ratio=plainly and plainly / each,
        difference=difference,
        chain=chain,
        host=chain - each,
    )


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds that each takes, in every round after a first one that does not count."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for i in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            _wait(device)
            if i:
                took[name].append(time.perf_counter() - start)
    return took


def moving(width: int, height: int, length: int = 9) -> vs.VideoNode:
    """Return a clip, YUV420P8, of clouds that move to the right and down; its frames are there already."""
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.YUV420P8, length=length, keep=True)
    clouds = []
    for p, plane in enumerate(blank.get_frame(0)):
        rows, columns = np.asarray(plane).shape
        coarse = torch.rand(1, 1, rows // 8 + 8, columns // 8 + 8, generator=torch.Generator().manual_seed(p))
        clouds.append(F.interpolate(coarse, scale_factor=8, mode="bicubic")[0, 0].clamp(0, 1))
    made = []
    for n in range(length):
        frame = blank.get_frame(0).copy()
        for p, cloud in enumerate(clouds):
            target, shift = np.asarray(frame[p]), n * (3 if p == 0 else 1)
            target[...] = (16 + 219 * cloud.roll((shift, 2 * shift), (0, 1)))[: target.shape[0], : target.shape[1]]
        made.append(frame)
    return blank.std.ModifyFrame(blank, lambda n, f: made[n])  # noqa: ARG005  # the host's names


def start(settings: Settings, size: tuple[int, int], *, chosen: bool) -> Start:
    """Return what a process of its own takes to the first frame. chosen: the convolutions have been chosen before."""
    code = (
        "import json, sys, time; begin = time.perf_counter(); from vs_slomo.bench import first_frame; "
        "first_frame(time.perf_counter() - begin, *json.loads(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, json.dumps([size, _options(settings)])]
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "VS_SLOMO_HOME": home}
        for _ in range(2 if chosen else 1):
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise SlomoError(f"the process for the first frame failed: {done.stderr.strip()[-500:]}")
    return Start(**json.loads(done.stdout))


def first_frame(imports: float, size: tuple[int, int], options: dict[str, Any]) -> None:
    """Print a `Start` as JSON: for a process of its own."""
    clip = moving(*size)
    begin = time.perf_counter()
    engine = shared_engine(check_options(size, **options).settings)
    load = time.perf_counter() - begin
    out = slomo(clip, 2, sc=False, **options)
    seconds = []
    for k in range(8):
        begin = time.perf_counter()
        out.get_frame(2 * k + 1)
        seconds.append(time.perf_counter() - begin)
    memory = torch.cuda.max_memory_allocated(engine.device) / 1e6 if engine.device.type == "cuda" else 0.0
    made = Start(
        imports=imports, load=load, first=seconds[0], second=seconds[1], rss=peak_memory(), device_memory=memory
    )
    print(json.dumps(asdict(made)))  # noqa: T201  # to the process that waits for it


def peak_memory() -> float:
    """Return the most memory, in MB, that this process has had; 0 where the system does not say."""
    try:
        # Not getrusage's: on Linux that begins with what the parent had.
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        return int(found[1]) * 1.024e-3 if found else 0.0
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # of macOS, which counts in bytes


def sweep(settings: Settings, *, rounds: int = 3, largest: int = HEIGHTS[-1]) -> dict[str, list[tuple[float, float]]]:
    """Return the cost against resolution and against the factor.

    "pixels": (pixels of the picture, ms for a pair and one new frame), 16:9, up to `largest` rows. "multi": (multi,
    ms for a pair and all its new frames) at `PLOTTED`.
    """
    by_size = []
    for height in (x for x in HEIGHTS if x <= largest):
        width = height * 16 // 9 // 2 * 2
        result = measure(settings, (width, height), 2, rounds=rounds, plain=False)
        by_size.append((float(width * height), result.pair + result.frame))
    by_multi = []
    for multi in MULTIS:
        result = measure(settings, PLOTTED, multi, rounds=rounds, plain=False)
        by_multi.append((float(multi), result.pair + (multi - 1) * result.frame))
    return {"pixels": by_size, "multi": by_multi}


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return constant and slope of a straight line through the points, and how far it is from them at most.

    Small and large costs count alike: the fit is of relative errors. The last number is the largest of them.
    """
    x, y = np.array(points).T
    slope, constant = np.polyfit(x, y, 1, w=1 / y)
    return float(constant), float(slope), float(np.abs((constant + slope * x) / y - 1).max())


def as_text(result: Result, starts: Mapping[str, Start]) -> str:
    """Return the table."""
    share = 100 * result.rate / result.ceiling
    rows = [
        ("device", result.device),
        ("model", f"{result.model}, width {result.width}, {result.precision}, flow {result.flow}"),
        ("case", f"{result.size}, multi {result.multi}, scale {result.scale:g}"),
        ("ceiling", f"{result.ceiling:.0f} GFLOP/s (matrix product), {result.copy:.0f} GB/s (copy)"),
        ("pair", f"{result.pair:.1f} ms"),
        (
            "new frame",
            f"{result.frame:.1f} ms; with its part of a pair {result.each:.1f} ms, {1000 / result.each:.2f}/s",
        ),
        ("networks", f"{100 * result.networks:.0f} % of that, {result.rate:.0f} GFLOP/s, {share:.0f} % of the ceiling"),
    ]
    if result.reference is not None:
        took = f"{result.reference:.1f} ms a new frame by both U-Nets at scale 1"
        rows.append(("plain way", f"{took}: {result.ratio:.2f} times as long"))
    if result.difference is not None:
        rows.append(("difference", f"{result.difference:.1e} at most, of the range, at the same scale"))
    rows.append(("host", f"{result.chain:.1f} ms a new frame through the host, {result.host:.1f} ms of it the host's"))
    for name, s in starts.items():
        device = f", device {s.device_memory:.0f} MB" if s.device_memory else ""
        rows += [
            (
                f"{name} start",
                f"import {s.imports:.1f} s, load {s.load:.2f} s, first frame {s.first:.2f} s, next {s.second:.2f} s",
            ),
            ("memory", f"{s.rss:.0f} MB{device}"),
        ]
    return "\n".join(f"{name:12} {text}" for name, text in rows)


def as_json(result: Result, starts: Mapping[str, Start], swept: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return everything as JSON."""
    fits = {name: dict(zip(("constant", "slope", "error"), line(x), strict=True)) for name, x in swept.items()}
    whole = asdict(result) | {"start": {name: asdict(s) for name, s in starts.items()}, "sweep": swept, "fit": fits}
    return json.dumps(whole, indent=1)


def plot(swept: Mapping[str, Sequence[tuple[float, float]]], path: Path, title: str) -> None:
    """Write the costs, and the straight lines through them, as an SVG picture. `Result` says what they are."""
    labels = {"pixels": ("megapixels of the picture", 1e6), "multi": ("frames out for one frame in", 1.0)}
    width, height, edge = 420, 300, 50
    parts = [f'<text x="{width}" y="20" text-anchor="middle">{title}</text>']
    for i, (name, points) in enumerate(swept.items()):
        label, unit = labels[name]
        constant, slope, error = line(points)
        right, top = max(x for x, _ in points), max(y for _, y in points)

        def place(x: float, y: float, i: int = i, right: float = right, top: float = top) -> str:
            across = edge + i * width + x / right * (width - 2 * edge)
            return f"{across:.1f},{height + edge - y / top * (height - edge):.1f}"

        fit = f"{constant:.1f} + {slope * unit:.1f} x, within {100 * error:.0f} %"
        axes = place(0, top), place(0, 0), place(right, 0)
        fitted = place(0, constant), place(right, constant + slope * right)
        for colour, corners in (("black", axes), ("gray", fitted)):
            parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(corners)}"/>')
        for x, y in points:
            across, down = place(x, y).split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="3"><title>{x / unit:g}: {y:.1f} ms</title></circle>')
        for value, at in ((f"{right / unit:.2g} {label}", place(right, 0)), ("0", place(0, 0))):
            across, down = at.split(",")
            parts.append(f'<text x="{across}" y="{float(down) + 18:.0f}" text-anchor="end">{value}</text>')
        across, down = place(0, top).split(",")
        parts.append(f'<text x="{across}" y="{float(down) - 8:.0f}">{top:.0f} ms; line: {fit}</text>')
    body = "\n".join(parts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height + 90}" font-family="sans-serif" '
        f'font-size="13">\n{body}\n</svg>\n',
        encoding="utf-8",
    )


# --- parts ------------------------------------------------------------------------------------------------

PRODUCT = {"cpu": 1536, "cuda": 8192, "mps": 4096, "xpu": 4096}
"""Rows and columns of the matrices."""
COPIED = 64 << 20


def name_of(device: torch.device) -> str:
    """Return what the device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = f"{device.type}, {torch.get_num_threads()} threads"
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else name


def _product(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    n = PRODUCT[device.type]
    a, b = torch.rand(2, n, n, device=device, dtype=dtype)
    return lambda: a @ b


def _product_by_convolution(dtype: torch.dtype) -> Callable[[], object]:
    """Return the same matrix product as a 1x1 convolution: MKL's own is slow on processors that are not Intel's."""
    n = PRODUCT["cpu"]
    x = torch.rand(1, n, 32, n // 32).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(n, n, 1, 1).to(dtype)
    return lambda: F.conv2d(x, weight)


def _copy(device: torch.device) -> Callable[[], object]:
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _rgb(clip: vs.VideoNode, k: int) -> Tensor:
    return frames.read_planes(clip.resize.Bilinear(format=vs.RGBS, matrix_in=1).get_frame(k), range(3)).clamp(0, 1)


def _gray(rgb: Tensor) -> NDArray[np.uint8]:
    return (255 * rgb[0].mean(0)).byte().cpu().numpy()


def _options(settings: Settings) -> dict[str, Any]:
    names = ("device", "precision", "scale", "flow", "tile")
    return {"model": str(settings.model)} | {name: getattr(settings, name) for name in names}


def _flops(info: ModelInfo, seen: Tensor) -> tuple[float, float]:
    """Return the floating-point operations of both networks for one such input, as direct convolutions."""
    model = SuperSloMo(info.width, levels=info.levels).to("meta")
    frame, inputs = (torch.empty(1, channels, *seen.shape[-2:], device="meta") for channels in (3, 20))
    counts = []
    for run in (lambda: model.flow(frame, frame), lambda: model.interp_net(inputs)):
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(float(counter.get_total_flops()))
    return counts[0], counts[1]


def _difference(
    model: SuperSloMo, engine: Engine, settings: Settings, rgb: list[Tensor], seen: list[Tensor], multi: int
) -> float | None:
    """Return how far our picture is from the plain one at the same scale; None for another flow stage."""
    if not settings.stage.uses_network:
        return None
    t = 1 / multi
    with torch.inference_mode():
        ours = engine.render(engine.motion(engine.pair(seen[0], seen[1]), t), rgb[0], rgb[1], 1, 1)
        found = float((ours - model(rgb[0], rgb[1], t, settings.scale).cpu()).abs().max())
    if settings.precision == "fp32" and found > AGREE:
        raise SlomoError(f"the pictures differ by {found:.1e} from the plain way's: at most {AGREE:g} is right")
    return found


class _Spent:
    """The seconds that an engine's networks take."""

    def __init__(self, engine: Engine) -> None:
        self.device, self.seconds, self.begin = engine.device, 0.0, 0.0
        for net in (engine.model.flow_net, engine.model.interp_net):
            net.register_forward_pre_hook(self.before)
            net.register_forward_hook(self.after)

    def before(self, *_: object) -> None:
        """Note the time."""
        _wait(self.device)
        self.begin = time.perf_counter()

    def after(self, *_: object) -> None:
        """Add what has passed."""
        _wait(self.device)
        self.seconds += time.perf_counter() - self.begin
