"""`vs-slomo weights list | show | convert | fetch`: the models."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import App, Parameter

from vs_slomo import weights
from vs_slomo.model.fusion import FusionName
from vs_slomo.weights import FlowName

from .flags import RATIO
from .progress import Bar

app = App(
    name="weights",
    help="List, show, convert and fetch models.\n\nvs-slomo weights list",
)

Model = Annotated[str, Parameter(help="A file, or the name of a model")]


@app.command(name="list")
def list_() -> None:
    """List the models that are installed.

    vs-slomo weights list
    """
    for info in weights.available():
        print(f"{info.key:16} {info.name} {info.version}, width {info.width}, scale {info.scale:g}, {info.licence}")


@app.command
def show(model: Model, /) -> None:
    """Show what a model's file says about it.

    vs-slomo weights show bundled
    """
    info = weights.read_info(model)
    fields = vars(info) | {"parameters": f"{info.parameters:,}", "training": ""}
    for name, value in fields.items():
        print(f"{name.replace('_', ' '):16} {value}".rstrip())
    for name, value in json.loads(info.training).items():
        print(f"  {name:14} {value if isinstance(value, str) and value.isprintable() else json.dumps(value)}")


@app.command
def convert(
    source: Model,
    target: Annotated[str, Parameter(help="The .safetensors file to write")],
    /,
    *,
    name: Annotated[
        str | None, Parameter(metavar="TEXT", help="The model's name (default: what SOURCE says, or its file's name)")
    ] = None,
    version: Annotated[str | None, Parameter(metavar="TEXT", help="The model's version")] = None,
    licence: Annotated[str | None, Parameter(metavar="TEXT", help="The model's licence")] = None,
    scale: Annotated[
        float | None,
        Parameter(converter=RATIO, metavar="S", help="The networks' native resolution: 1, 1/2, 1/4 or 1/8"),
    ] = None,
    last_activation: Annotated[
        bool | None, Parameter(help="A leaky ReLU after the last convolution, as in the public checkpoint")
    ] = None,
    levels: Annotated[
        int | None, Parameter(metavar="N", help="At how many resolutions the flow network looks, 1 to 5")
    ] = None,
    fusion: Annotated[FusionName | None, Parameter(help="How two warped frames become one")] = None,
    flow: Annotated[FlowName | None, Parameter(help="The default flow stage")] = None,
) -> None:
    """Convert a public checkpoint to this package's format.

    vs-slomo weights convert SuperSloMo.ckpt public.safetensors
    """
    options = {
        "name": name,
        "version": version,
        "licence": licence,
        "scale": scale,
        "last_activation": last_activation,
        "levels": levels,
        "fusion": fusion,
        "flow": flow,
    }
    info = weights.convert(source, target, **{key: value for key, value in options.items() if value is not None})
    print(f"{info.path}: {info.name} {info.version}, width {info.width}, scale {info.scale:g}")


@app.command
def fetch(
    url: Annotated[str, Parameter(help="Where the file is")],
    /,
    *,
    name: Annotated[
        str | None, Parameter(metavar="NAME", help="What to call it (default: the file's name in the address)")
    ] = None,
    sha256: Annotated[
        str | None, Parameter(metavar="HASH", help="The file's SHA-256, checked before it is opened")
    ] = None,
) -> None:
    """Download a model and check it; a download that was cut off goes on where it stopped.

    vs-slomo weights fetch https://example.org/SuperSloMo.ckpt --name public
    """
    with Bar("bytes") as bar:
        info = weights.fetch(url, name=name, sha256=sha256, progress=bar)
    print(f'{info.path}: slomo(clip, model="{info.key}")')
