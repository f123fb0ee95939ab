"""What a frame costs on this machine, what the machine could do at best, and what the plain way costs.

Everything is timed in turns in one run, and medians are given, so that other work on the machine does little harm.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vs_slomo import weights
from vs_slomo.clips import frames
from vs_slomo.engine.engine import Engine
from vs_slomo.engine.settings import Settings
from vs_slomo.errors import SlomoError
from vs_slomo.filters.slomo import slomo
from vs_slomo.model.flow import NETWORK
from vs_slomo.model.superslomo import SuperSloMo, network_input
from vs_slomo.weights import ModelInfo

from .machine import (
    COPIED,
    PRODUCT,
    copying,
    device_name,
    interleaved,
    matrix_product,
    product_by_convolution,
    wait_for,
)
from .plots import straight_line
from .start import Start, moving_clip, options_of

HEIGHTS = (180, 270, 360, 540, 720, 1080, 1440, 2160)
MULTIS = (2, 3, 4, 6, 8, 12, 16)
PLOTTED = 640, 360
"""Width and height at which the factor varies."""
SIDES = range(32, 8193)
"""Allowed sides of the picture, in pixels."""
AGREE = 1e-4
"""The largest allowed difference from the plain way, in [0, 1], in single precision."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured. Times are medians in milliseconds.

    ceiling: speed of a large matrix product, GFLOP/s. copy: speed of a large copy, GB/s read and written.
    pair: time to find the flow of a pair. frame: time to make one new frame from it.
    networks: the networks' part of both, in [0, 1]; the rest is warps, fusion and conversion.
    rate: speed of the networks, GFLOP/s, counted as direct convolutions.
    reference: one new frame the plain way (see `reference`) with its share of the flow; None if that was not run.
    ratio: `reference` divided by our time. difference: the largest difference of both pictures at the same scale.
    chain: one new frame through VapourSynth with its share of the flow. host: the part of it that VapourSynth takes.
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
        """Time of one new frame with its share of the flow."""
        return self.pair / (self.multi - 1) + self.frame


def reference(model: SuperSloMo, frame0: Tensor, frame1: Tensor, times: Sequence[float]) -> list[Tensor]:
    """Return the frames at the given times the plain way, as the public ports run it.

    That is eager PyTorch in single precision at the picture's own resolution: the flow once, then frame by frame.
    """
    height, width = frame0.shape[-2:]
    i0, i1 = network_input(frame0, 1), network_input(frame1, 1)
    flows = model.flow(i0, i1)
    return [model.synthesize(i0, i1, flows, t)[..., :height, :width] for t in times]


def measure(settings: Settings, size: tuple[int, int], multi: int, *, rounds: int = 5, plain: bool = True) -> Result:
    """Time one case. size: width and height. plain: run the reference too, which is slow for large pictures.

    Raises SlomoError if the reference's pictures differ from ours (in single precision, with the flow network).
    """
    (width, height), device = size, torch.device(settings.device)
    info = weights.read_info(settings.model)
    engine, clip = Engine(settings), moving_clip(width, height)
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

    works = {"pair": found, "frames": made, "ceiling": matrix_product(device, engine.dtype), "copy": copying(device)}
    difference = None
    if plain:
        model = weights.load(settings.model)[0].to(device).requires_grad_(requires_grad=False)
        works["reference"] = lambda: reference(model, rgb[0], rgb[1], times)
        difference = _difference(model, engine, settings, rgb, seen, multi)
    if device.type == "cpu":
        works["product"] = product_by_convolution(engine.dtype)
    # Longer than there are rounds: the host keeps the frames that it has made.
    first = slomo(clip.std.Loop(rounds // clip.num_frames + 2), multi, sc=False, **options_of(settings))
    turns = itertools.count(1)

    def host() -> None:
        k = next(turns) % (first.num_frames // multi - 1)
        for n in range(k * multi + 1, (k + 1) * multi):
            first.get_frame(n)

    works["chain"] = host
    spent = _Spent(engine)
    with torch.inference_mode():
        took = interleaved(works, rounds, device)
        spent.seconds = 0.0
        start = time.perf_counter()
        found(), made()
        wait_for(device)
        networks = spent.seconds / (time.perf_counter() - start)
    ms = {name: 1000 * statistics.median(x) for name, x in took.items()}
    multiplied = _flops(info, seen[0])
    by_flow, by_interp = (
        (multiplied[0] if settings.stage.uses_network else 0.0),
        (multiplied[1] if settings.stage.refined else 0.0),
    )
    product = 2 * PRODUCT[device.type] ** 3
    frame, chain = ms["frames"] / (multi - 1), ms["chain"] / (multi - 1)
    each = ms["pair"] / (multi - 1) + frame
    plainly = ms["reference"] / (multi - 1) if plain else None
    return Result(
        device=device_name(device),
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
        rate=networks and (by_flow + by_interp * (multi - 1)) / (networks * (ms["pair"] + ms["frames"])) / 1e6,
        reference=plainly,
        ratio=plainly and plainly / each,
        difference=difference,
        chain=chain,
        host=chain - each,
    )


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


def bench_text(result: Result, starts: Mapping[str, Start]) -> str:
    """Return the results as a table."""
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


def bench_json(result: Result, starts: Mapping[str, Start], swept: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return everything as JSON."""
    fits = {name: dict(zip(("constant", "slope", "error"), straight_line(x), strict=True)) for name, x in swept.items()}
    whole = asdict(result) | {"start": {name: asdict(s) for name, s in starts.items()}, "sweep": swept, "fit": fits}
    return json.dumps(whole, indent=1)


def _rgb(clip: vs.VideoNode, k: int) -> Tensor:
    return frames.read_planes(clip.resize.Bilinear(format=vs.RGBS, matrix_in=1).get_frame(k), range(3)).clamp(0, 1)


def _gray(rgb: Tensor) -> NDArray[np.uint8]:
    return (255 * rgb[0].mean(0)).byte().cpu().numpy()


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
    """Return how far our picture is from the plain one at the same scale; None if a stage is not the network alone."""
    if settings.flow != NETWORK:
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
        wait_for(self.device)
        self.begin = time.perf_counter()

    def after(self, *_: object) -> None:
        """Add what has passed."""
        wait_for(self.device)
        self.seconds += time.perf_counter() - self.begin
