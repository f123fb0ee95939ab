"""`vs-slomo export`: a model for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vs_slomo.errors import ArgumentError

from .flags import RATIO, frame_size
from .render import OVERWRITE


def export(
    model: Annotated[str, Parameter(help="A file, or the name of a model")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=("--output", "-o"), metavar="FILE", help="The file (default: MODEL.onnx)")
    ] = None,
    scale: Annotated[
        float | None,
        Parameter(converter=RATIO, metavar="S", help="Resolution of the networks: 1, 1/2, 1/4 or 1/8 (the model's)"),
    ] = None,
    size: Annotated[str | None, Parameter(metavar="WxH", help="For frames of this size only (default: any)")] = None,
    half: Annotated[bool, Parameter(negative=(), show_default=False, help="Half precision: frames are RGBH")] = False,
    overwrite: Annotated[bool, OVERWRITE] = False,
) -> None:
    """Write a model as one ONNX file, for TensorRT, DirectML, OpenVINO and others by vs-mlrt.

    It takes what RIFE takes there: both frames and t, 7 channels. examples/mlrt.vpy runs it.

    vs-slomo export bundled -o model.onnx
    """
    from vs_slomo.weights.export import export as make

    frame = None if size is None else frame_size(size)
    if size is not None and frame is None:
        raise ArgumentError("size", size, "such as 1280x720")
    file = output or Path(f"{Path(model).stem}.onnx")
    info = make(model, file, scale=scale, size=frame, half=half, overwrite=overwrite)
    print(f"{file}: {info.name} {info.version}, {size or 'any size'}, {'half' if half else 'single'} precision")
