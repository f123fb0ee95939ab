"""A model as one ONNX file, for other runtimes. It takes what RIFE takes in vs-mlrt: frame 0, frame 1 and t.

Needs the package `onnx` (extra `onnx`).
"""

from __future__ import annotations

import io
import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_slomo.errors import ArgumentError, SlomoError
from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.model.unet import MULTIPLE
from vs_slomo.model.warp import padded
from vs_slomo.outputs import check_output, new_file

from .files import load
from .info import SCALES, ModelInfo

OPSET = 18
"""Every runtime that vs-mlrt has reads it; GridSample is in it since 16."""
LEAST, MOST = 32, 16384
"""Allowed sides of a picture of fixed size, pixels."""


class OneFile(nn.Module):
    """The whole way from two frames to a new one, with the model's own flow network.

    scale: the networks' resolution as a part of the frames'. half: the networks compute in half precision, and frames
    come and go in it; positions and the fusion stay in single precision.
    """

    hat: Tensor

    def __init__(self, model: SuperSloMo, scale: float, *, half: bool = False) -> None:
        super().__init__()
        self.dtype = torch.float16 if half else torch.float32
        self.model, self.scale, self.step = model.to(self.dtype), scale, round(1 / scale)
        hat = 1 - (torch.arange(2 * self.step) - (self.step - 0.5)).abs() / self.step
        self.register_buffer("hat", torch.outer(hat, hat).expand(3, 1, -1, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Return the frame at t, (1, 3, H, W) RGB.

        x: (1, 7, H, W): frame 0 and frame 1, RGB in [0, 1], and t in [0, 1], the same for all pixels. H, W: any.
        """
        seen = x.float()
        frame0, frame1, t = seen[:, :3], seen[:, 3:6], seen[:, 6:7, :1, :1]
        i0, i1 = (self.shrunk(padded(f, round(MULTIPLE / self.scale))).to(self.dtype) for f in (frame0, frame1))
        motion = self.model.motion(i0, i1, self.model.flow(i0, i1), t, scale=self.scale)
        return motion.for_planes(1, 1).render(frame0, frame1).to(x.dtype)

    def shrunk(self, frame: Tensor) -> Tensor:
        """Shrink as `superslomo.network_input` does, by a convolution: few runtimes have its way."""
        if self.scale == 1:
            return frame
        options = self.step, self.step // 2
        inside = F.conv2d(torch.ones_like(frame[:, :1]), self.hat[:1], None, *options)
        return F.conv2d(frame, self.hat, None, *options, groups=3) / inside  # what lies outside does not count


def check_export(path: Path, scale: float | None, size: tuple[int, int] | None, *, overwrite: bool = False) -> None:
    """Raise ArgumentError, or SlomoError where a package is missing: before anything is loaded."""
    if path.suffix != ".onnx":
        raise ArgumentError("output", str(path), "a file that ends in .onnx")
    if scale is not None and scale not in SCALES:
        raise ArgumentError("scale", scale, f"None or one of {', '.join(map(str, SCALES))}")
    if size is not None and not all(LEAST <= n <= MOST for n in size):
        raise ArgumentError("size", "x".join(map(str, size)), f"None or two sides from {LEAST} to {MOST} pixels")
    check_output(path, overwrite=overwrite)
    if find_spec("onnx") is None:
        raise SlomoError("the package onnx is missing: pip install 'vs-slomo[onnx]'")


def export(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    half: bool = False,
    overwrite: bool = False,
) -> ModelInfo:
    """Write a model as one ONNX file, and return what the model's file says; `OneFile` says what it computes.

    Its input is called "input", its output "output".

    model: as in `weights.find`. path: ends in .onnx. scale: the networks' resolution; None is the model's own. size:
    width and height of the frames; None is any, and costs nothing on a CPU, but some runtimes want them fixed. half:
    weights and frames in half precision. Raises ArgumentError, WeightsError, or SlomoError where a package is missing.
    """
    import onnx

    path = Path(path)
    check_export(path, scale, size, overwrite=overwrite)
    loaded, info = load(model)
    scale = info.scale if scale is None else scale
    made = onnx.load_from_string(_traced(OneFile(loaded, scale, half=half).eval(), size))
    for key, value in {"name": info.name, "version": info.version, "licence": info.licence, "scale": scale}.items():
        entry = made.metadata_props.add()
        entry.key, entry.value = f"vs_slomo {key}", str(value)
    with new_file(path, overwrite=overwrite) as part:
        part.write_bytes(made.SerializeToString())
    return info


def _traced(net: OneFile, size: tuple[int, int] | None) -> bytes:
    """Return the network as ONNX. size: width and height; None is any."""
    width, height = size or (3 * MULTIPLE, 2 * MULTIPLE)
    x = torch.rand(1, 7, height, width).to(net.dtype)
    x[:, 6] = 0.5
    axes = {} if size else {name: {2: "height", 3: "width"} for name in ("input", "output")}
    file = io.BytesIO()
    # By tracing: the exporter by graph capture takes minutes for any size. Both warn much, and of nothing that is here.
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (x,),
            file,  # type: ignore[arg-type]  # the older exporter takes a file that is open
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=axes,
        )
    return file.getvalue()
