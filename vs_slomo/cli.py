"""The command `vs-slomo`. It parses and calls; the work is done in the modules."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

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


ADD: tuple[Callable[[Commands[argparse.ArgumentParser]], None], ...] = ()
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
