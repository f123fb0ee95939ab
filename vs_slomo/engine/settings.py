"""What makes an engine: its settings, their checks, and the limits that it keeps to. Nothing is loaded here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from vs_slomo.errors import ArgumentError
from vs_slomo.model.flow import BOTH, CLASSICAL, FLOWS, GUIDED, NETWORK, FlowName, FlowStage
from vs_slomo.weights import SCALES, ModelInfo

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

FULL_PIXELS = {"cpu": 640 * 480, "cuda": 1920 * 1088, "xpu": 1920 * 1088, "mps": 1920 * 1088}
"""The networks see pictures of at most so many pixels at full size, by the kind of device. The networks' time
grows with the pixels they see: on two CPU cores 640x360 at 1 costs them as much as 1280x720 at 1/2."""
LARGE_PIXELS = 1 << 19
"""In pictures of more pixels `FlowStage.part` counts: 960x540 is not one of them, 1280x720 is."""
AUTO_PIXELS = 1 << 20
"""The most pixels that the networks see with `scale="auto"`."""
PAIR_BYTES = 256 << 20
"""For the flows of the pairs that a stream keeps."""
FRAME_BYTES = 128 << 20
"""For the frames that are kept from one pair to the next."""
CPU_BYTES = 2 << 30
"""For the networks on the CPU; on another device they may use what is free there."""
TRIM_BYTES = 128 << 20
"""The networks' input from one call of `engine.trim` to the next."""
TRIM_PAIRS = 500
"""Pairs after which it is called in any case, which takes a tenth of a second: small pictures leave holes too."""
ACTIVATIONS_PER_PIXEL = 10
"""Peak number of activations per pixel, divided by the network's width (measured)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What makes an engine: checked, but nothing is loaded yet.

    model: the model's file. device: as PyTorch names it. precision: of the networks. scale: the networks' resolution,
    as a part of the picture's. flow: a name in `model.flow.FLOWS`. tile: the longest side of a tile, in pixels of the
    picture; None is as much as memory holds.
    """

    model: Path
    device: str
    precision: Precision
    scale: float
    flow: FlowName
    tile: int | None = None

    @property
    def half(self) -> bool:
        """Whether the networks' input may come in half precision."""
        return self.precision == "fp16"

    @property
    def stage(self) -> FlowStage:
        """The flow stage."""
        return FLOWS[self.flow]


def gpu_kinds() -> list[str]:
    """Return the kinds of GPU that PyTorch can use here, the preferred one first."""
    present = {
        "cuda": torch.cuda.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    return [name for name, there in present.items() if there]


def check_device(device: str | None) -> str:
    """Return the device's name; None is cuda, xpu or mps where there is one, else cpu. Raises ArgumentError.

    It only asks whether there is one: nothing is allocated on it.
    """
    here = [*gpu_kinds(), "cpu"]
    if device is None:
        return here[0]
    try:
        parsed = torch.device(device) if isinstance(device, str) else None
    except RuntimeError:
        parsed = None
    if parsed is None:
        raise ArgumentError("device", device, f"None or one of {', '.join(here)}") from None
    count = torch.cuda.device_count() if parsed.type == "cuda" else 1
    if parsed.type not in here or (parsed.index or 0) >= count:
        raise ArgumentError("device", device, f"None or one of the devices of this machine: {', '.join(here)}")
    return "cpu" if parsed.type == "cpu" else str(device)  # "cpu:0" is the same one


def check_precision(precision: str | None, device: str) -> Precision:
    """Return the precision. Raises ArgumentError.

    None is fp16 on CUDA, ROCm and XPU, bf16 on a CPU that multiplies it natively, and fp32 elsewhere.
    """
    if precision is None:
        kind = device.partition(":")[0]
        if kind == "cpu" and multiplies_bfloat16():
            return "bf16"
        return "fp16" if kind in ("cuda", "xpu") else "fp32"
    if precision not in get_args(Precision):
        raise ArgumentError("precision", precision, f"None or one of {', '.join(DTYPES)}")
    return precision  # type: ignore[return-value]  # mypy does not narrow a str by a dict's keys


def multiplies_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively: AVX-512 BF16, which every processor with AMX has too.

    PyTorch reads it from the processor; nothing is timed. Without oneDNN nothing would use it.
    """
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and asked is not None and bool(asked())


def check_networks(
    scale: float | str | None, flow: str | None, info: ModelInfo, size: tuple[int, int], device: str
) -> tuple[float, FlowName]:
    """Return the networks' resolution, as a part of the picture's, and the flow stage's name. Raises ArgumentError.

    scale, flow: as `check_scale` and `check_flow` say. info: of the model. size: the picture's width and height.
    device: its name. Without a scale, a stage whose flow does not depend on the networks' resolution lets them see
    large pictures smaller: see `FlowStage.part`.
    """
    found = check_scale(scale, info.scale, size, device)
    name = check_flow(flow, info.flow, found, device)
    if scale is None and found < 1 and size[0] * size[1] > LARGE_PIXELS:
        found = max(found * FLOWS[name].part, SCALES[-1])
    return found, name


def check_scale(scale: float | str | None, native: float, size: tuple[int, int], device: str) -> float:
    """Return the networks' resolution as a part of the picture's. Raises ArgumentError.

    native: the model's own. size: the picture's width and height. device: its name.

    None is 1 for pictures of at most FULL_PIXELS, and for larger ones the model's own. "auto" halves that until the
    networks see at most 2^20 pixels: 1280x720 at 1, 1920x1080 at 1/2, 3840x2160 at 1/4 where the model's own is 1.
    Neither depends on free memory, load or a timing: the same script gives the same picture.
    """
    width, height = size
    if scale is None:
        return 1.0 if width * height <= FULL_PIXELS[device.partition(":")[0]] else native
    if scale == "auto":
        while native > SCALES[-1] and width * height * native**2 > AUTO_PIXELS:
            native /= 2
        return native
    if isinstance(scale, bool) or scale not in SCALES:
        raise ArgumentError("scale", scale, f'None, "auto" or one of {", ".join(map(str, SCALES))}')
    return float(scale)


def check_flow(flow: str | None, native: FlowName, scale: float, device: str) -> FlowName:
    """Return the flow stage's name. Raises ArgumentError.

    native: the model's own. scale: the networks' resolution. device: its name.

    None is the model's own on the CPU; if that is classical, it is "both" where the networks see the picture at full
    size, and "guided" where they do not. On other devices it is the flow network: the other stages would wait for the
    CPU.
    """
    if flow is None:
        if device != "cpu":
            return NETWORK
        if native != CLASSICAL:
            return native
        return BOTH if scale == 1 else GUIDED
    for name in FLOWS:
        if name == flow:
            return name
    raise ArgumentError("flow", flow, f"None or one of {', '.join(FLOWS)}")
