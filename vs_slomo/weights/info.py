"""What a model says of itself, and its form as the metadata of a safetensors file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

from vs_slomo.errors import ArgumentError
from vs_slomo.given import whole_number
from vs_slomo.model import flow as flows
from vs_slomo.model import fusion as fusions
from vs_slomo.model.flow import FLOWS, FlowName
from vs_slomo.model.fusion import FUSIONS
from vs_slomo.paths import models_dir

BUNDLED = Path(__file__).parents[1] / "models" / "bundled.safetensors"
SCALES = (1.0, 0.5, 0.25, 0.125)
WIDTHS = range(1, 65)
"""Allowed channels at full resolution. More than 64 would need over 1 GB to load."""
LEVELS = range(1, 6)
LONGEST_LINE = 200
LONGEST_NUMBER = 40
"""Characters of a name, and of a number, in a file's metadata."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says of itself.

    width: channels of both U-Nets at full resolution. scale: the networks' native resolution, 1, 1/2, 1/4 or
    1/8 of the picture's. mean: subtracted from RGB in [0, 1]. last_activation: see `unet.UNet`. levels: see
    `superslomo.SuperSloMo`. fusion: how two warped frames become one, a name in `model.fusion.FUSIONS`. flow: the
    default flow stage, a name in `model.flow.FLOWS`.
    training: a JSON object. dtype: of the stored numbers. path: the file it was read from.
    """

    name: str
    version: str = "unknown"
    licence: str = "unknown"
    width: int = 32
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.429, 0.431, 0.397)
    last_activation: bool = True
    levels: int = 1
    fusion: fusions.FusionName = fusions.DEFAULT
    flow: FlowName = flows.DEFAULT
    training: str = "{}"
    dtype: str = "float16"
    path: Path | None = None

    def __post_init__(self) -> None:
        """Raise ArgumentError for values that no model can have."""
        for field in ("name", "version", "licence"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise ArgumentError(field, value, "a line of text that is not empty")
            if len(value) > LONGEST_LINE:
                raise ArgumentError(field, f"{len(value)} characters", f"a line of text, at most {LONGEST_LINE}")
        whole_number("width", self.width, WIDTHS[0], WIDTHS[-1], f"a whole number from {WIDTHS[0]} to {WIDTHS[-1]}")
        if not _number(self.scale) or self.scale not in SCALES:
            raise ArgumentError("scale", self.scale, "1, 1/2, 1/4 or 1/8")
        mean = self.mean if isinstance(self.mean, tuple | list) else ()
        if len(mean) != 3 or not all(_number(m) and 0 <= m <= 1 for m in mean):
            raise ArgumentError("mean", self.mean, "three numbers from 0 to 1")
        if not isinstance(self.last_activation, bool):
            raise ArgumentError("last_activation", self.last_activation, "True or False")
        whole_number("levels", self.levels, LEVELS[0], LEVELS[-1], f"a whole number from {LEVELS[0]} to {LEVELS[-1]}")
        for field, known in (("fusion", FUSIONS), ("flow", FLOWS)):
            if not isinstance(getattr(self, field), str) or getattr(self, field) not in known:
                raise ArgumentError(field, getattr(self, field), " or ".join(map(repr, known)))
        if not isinstance(_json(self.training), dict):
            raise ArgumentError("training", str(self.training)[:60], "a JSON object")

    @property
    def key(self) -> str:
        """What to give as `model` to get it again: "bundled", an installed model's name, or the file."""
        if self.path == BUNDLED:
            return "bundled"
        return self.path.stem if self.path and self.path.parent == models_dir() else str(self.path)

    @property
    def parameters(self) -> int:
        """The number of parameters of both networks."""
        return sum(math.prod(shape) for shape in shapes(self.width).values())


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@cache
def shapes(width: int) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of the parameters of a `SuperSloMo` of this width, without loading torch for it."""
    found: dict[str, tuple[int, ...]] = {}
    for net, channels, out in (("flow_net", 6, 4), ("interp_net", 20, 5)):
        size = [width * factor for factor in (1, 2, 4, 8, 16, 16)]
        layers = [("conv1", channels, width, 7), ("conv2", width, width, 7)]
        for n in range(1, 6):
            kernel = 5 if n == 1 else 3
            layers += [(f"down{n}.conv1", size[n - 1], size[n], kernel), (f"down{n}.conv2", size[n], size[n], kernel)]
        for n in range(1, 6):
            layers += [(f"up{n}.conv1", size[6 - n], size[5 - n], 3), (f"up{n}.conv2", 2 * size[5 - n], size[5 - n], 3)]
        for name, into, out_of, kernel in [*layers, ("conv3", width, out, 3)]:
            found |= {f"{net}.{name}.weight": (out_of, into, kernel, kernel), f"{net}.{name}.bias": (out_of,)}
    return found


def encode(info: ModelInfo) -> dict[str, str]:
    """Return the metadata of a safetensors file: strings only."""
    return {
        "format": "vs_slomo",
        "name": info.name,
        "version": info.version,
        "licence": info.licence,
        "width": str(info.width),
        "scale": str(info.scale),
        "mean": json.dumps(info.mean),
        "last_activation": json.dumps(info.last_activation),
        "levels": str(info.levels),
        "fusion": info.fusion,
        "flow": info.flow,
        "training": info.training,
    }


def decode(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `ModelInfo`: the reverse of `encode`.

    Raises KeyError for what is missing; TypeError, ValueError or ArithmeticError for what is wrong.
    """
    texts = {key: metadata[key] for key in ("name", "version", "licence", "flow", "training")}
    return texts | {
        "width": int(_short(metadata["width"])),
        "scale": number(metadata["scale"]),
        "mean": floats(_json(_short(metadata["mean"], 3 * LONGEST_NUMBER))),
        "last_activation": _json(_short(metadata["last_activation"])),
        # Files older than these fields are as the paper says.
        "levels": int(_short(metadata.get("levels", "1"))),
        "fusion": metadata.get("fusion", fusions.DEFAULT),
    }


def number(text: str) -> float:
    """Read "0.5" or "1/2". Unlike a Fraction, a float costs nothing however large the exponent is."""
    above, _, below = _short(text).partition("/")
    return float(above) / float(below or 1)


def floats(values: Iterable[Any]) -> tuple[float, ...]:
    """Return the values as floats."""
    return tuple(float(value) for value in values)


def _short(text: str, most: int = LONGEST_NUMBER) -> str:
    if len(text) > most:
        raise ValueError(f"a number of {len(text)} characters")
    return text


def _json(text: str) -> Any:
    """Return what a JSON text says; None where the text is not JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
