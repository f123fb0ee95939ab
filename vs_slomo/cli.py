"""The command `vs-slomo`. It parses and calls; the work is done in the modules."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import version

from . import weights
from .errors import SlomoError

Commands = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for it


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command."""
    top = argparse.ArgumentParser(prog="vs-slomo", description="Super SloMo for VapourSynth")
    top.add_argument("--version", action="version", version=f"vs-slomo {version('vs-slomo')}")
    top.add_argument("--debug", action="store_true", help="log what is decided, and show errors whole")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in ADD:
        add(commands)
    return top


def ratio(text: str) -> float:
    """Read "0.5" or "1/2"."""
    try:
        return float(Fraction(text))
    except ZeroDivisionError as error:
        raise argparse.ArgumentTypeError(f"{text} divides by zero") from error


def add_weights(commands: Commands[argparse.ArgumentParser]) -> None:
    """`weights list | show | convert | fetch`: the models."""
    actions = commands.add_parser("weights", help="list, show, convert and fetch models").add_subparsers(
        required=True, metavar="ACTION"
    )
    actions.add_parser("list", help="the models that there are").set_defaults(run=weights_list)

    show = actions.add_parser("show", help="what a model says of itself")
    show.add_argument("model", metavar="FILE", help="a file, or the name of a model")
    show.set_defaults(run=weights_show)

    convert = actions.add_parser("convert", help="write a public checkpoint as our own format")
    convert.add_argument("source", metavar="IN", help="a file, or the name of a model")
    convert.add_argument("target", metavar="OUT", help="the .safetensors file to write")
    convert.add_argument("--name", help="what the model is called (default: what IN says, or its file's name)")
    convert.add_argument("--version")
    convert.add_argument("--licence")
    convert.add_argument("--scale", type=ratio, help="the networks' native resolution: 1, 1/2, 1/4 or 1/8")
    convert.add_argument(
        "--last-activation",
        action=argparse.BooleanOptionalAction,
        help="a leaky ReLU behind the last convolution, as in the public checkpoint",
    )
    convert.add_argument("--flow", choices=("unet", "dis"), help="the default flow stage")
    convert.set_defaults(run=weights_convert)

    fetch = actions.add_parser("fetch", help="download a model and check it")
    fetch.add_argument("url", metavar="URL")
    fetch.add_argument("--name", help="what to call it (default: the file's name in the address)")
    fetch.add_argument("--sha256", help="the file's SHA-256, checked before it is opened")
    fetch.set_defaults(run=weights_fetch)


def weights_list(_arguments: argparse.Namespace) -> None:
    """Print a line for every model."""
    for info in weights.available():
        print(f"{info.key:16} {info.name} {info.version}, width {info.width}, scale {info.scale:g}, {info.licence}")


def weights_show(arguments: argparse.Namespace) -> None:
    """Print a model's header, a line for every field."""
    info = weights.read_info(arguments.model)
    fields = vars(info) | {"parameters": f"{info.parameters:,}", "training": ""}
    for name, value in fields.items():
        print(f"{name.replace('_', ' '):16} {value}".rstrip())
    for name, value in json.loads(info.training).items():
        print(f"  {name:14} {value}")


def weights_convert(arguments: argparse.Namespace) -> None:
    """Convert, and print what came of it."""
    options = ("name", "version", "licence", "scale", "last_activation", "flow")
    given = {name: value for name in options if (value := getattr(arguments, name)) is not None}
    info = weights.convert(arguments.source, arguments.target, **given)
    print(f"{info.path}: {info.name} {info.version}, width {info.width}, scale {info.scale:g}")


def weights_fetch(arguments: argparse.Namespace) -> None:
    """Download with progress on stderr, and print where it is and how to use it."""
    shown = False

    def progress(done: int, total: int | None) -> None:
        nonlocal shown
        shown = True
        of = f" of {total / 1e6:.1f}" if total else ""
        print(f"\r{done / 1e6:.1f}{of} MB", end="", file=sys.stderr, flush=True)

    try:
        info = weights.fetch(arguments.url, name=arguments.name, sha256=arguments.sha256, progress=progress)
    finally:
        if shown:
            print(file=sys.stderr)
    print(f'{info.path}: slomo(clip, model="{info.key}")')


ADD: tuple[Callable[[Commands[argparse.ArgumentParser]], None], ...] = (add_weights,)
"""One function a command: it adds its parser and sets `run`, which takes the namespace."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; an error of ours is one line on stderr and exit status 1."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, format="%(message)s", level=logging.DEBUG if arguments.debug else logging.INFO
    )
    try:
        arguments.run(arguments)
    except SlomoError as error:
        if arguments.debug:
            raise
        print(f"vs-slomo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vs-slomo: stopped", file=sys.stderr)
        return 130
    return 0
