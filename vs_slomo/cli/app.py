"""All commands together, and what they share: errors, logging, signals and `--debug`."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, CycloptsPanel, MissingArgumentError, Parameter, UnusedCliTokensError

from vs_slomo.errors import ArgumentError, SlomoError, printable, shown

from .bench import bench
from .compare import compare
from .completion import completion
from .demo import demo
from .devices import devices
from .evaluate import evaluate
from .export import export
from .graph import EFFORTS
from .render import render
from .script import script
from .train import train
from .weights import app as weights

if TYPE_CHECKING:
    from rich.panel import Panel


def box(error: CycloptsError) -> Panel:
    """Return what is wrong with a call, in a box."""
    said: object = error
    if isinstance(error, MissingArgumentError) and error.argument:
        said = f"{error.keyword} needs a value." if error.keyword else f"{error.argument.name} is missing."
    elif isinstance(error, UnusedCliTokensError):
        said = f"Too many arguments: {shlex.join(error.unused_tokens or ())}."
    return CycloptsPanel(f"{said_plainly(said)}\nSee {' '.join(('vs-slomo', *(error.command_chain or ()), '--help'))}.")


def said_plainly(said: object) -> str:
    """Return an error's text without control characters, line by line."""
    return "\n".join(map(printable, str(said).split("\n")))


app = App(
    name="vs-slomo",
    help="Slow motion and higher frame rates by Super SloMo.\n\nvs-slomo COMMAND --help shows a command's options.",
    help_format="plaintext",
    version=lambda: f"vs-slomo {version('vs-slomo')}",
    default_parameter=Parameter(allow_repeating=True),  # the last one counts
    error_formatter=box,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    *(render, script, demo, evaluate, compare, bench, train, export, devices, completion),
)
for place, command in enumerate(COMMANDS):
    app.command(command, sort_key=place)
app.command(weights)
app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Run a command and return its exit status; an error of ours is one line on stderr and 1.

    Parameters
    ----------
    debug
        Log decisions, and show errors with their traceback.

    """
    # In place of `logging.StreamHandler`, which keeps the stream that it starts with: a progress bar takes its place.
    logging.basicConfig(handlers=[ToStderr()], format="%(message)s", level=logging.INFO)
    if debug:
        logging.getLogger("vs_slomo").setLevel(logging.DEBUG)
    try:
        app(tokens)
        sys.stdout.flush()
    except SlomoError as error:
        if debug:
            raise
        print(f"vs-slomo: {in_options(error, tokens)}", file=sys.stderr)
        return 1
    except OSError as error:  # of the file system: full, not to be read, not to be written
        if debug or isinstance(error, BrokenPipeError):
            raise
        print(f"vs-slomo: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


class ToStderr(logging.Handler):
    """Writes to what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        print(printable(self.format(record)), file=sys.stderr)


def run(argv: Sequence[str]) -> int:
    """Run the command and return its exit status; what cannot be parsed exits with 2."""
    try:
        status: int | None = app.meta(argv, result_action="return_value")
    except KeyboardInterrupt:
        print("vs-slomo: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read what is printed has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the exit
        return 141
    return status or 0  # help and version have none


def in_options(error: SlomoError, tokens: Sequence[str]) -> str:
    """Return an error's message with the command's options in place of Python's arguments and None."""
    if not isinstance(error, ArgumentError):
        return str(error)
    command = app.parse_commands(tokens)[1][-1]
    options = {
        argument.field_info.name: argument.name
        for argument in command.assemble_argument_collection()
        if argument.name.startswith("--")
    }
    name, got, allowed = error.name, error.got, error.allowed
    if name in ("fps_num", "fps_den", "fps_num/fps_den"):
        name = "fps"
    elif name == "dedupe" and isinstance(got, float):
        name = "dedupe_threshold"
    elif "--effort" in tokens and not any(token.startswith(f"--{name}") for token in tokens):
        effort = next((effort for effort, chosen in EFFORTS.items() if chosen.get(name) == got), None)
        name, got = ("effort", effort) if effort else (name, got)
    option = options.get(name, name)
    if name == "span" and not any(token.startswith("--range") for token in tokens):
        option = "--start/--end"
    said = {None: "missing", True: "given"}.get(got) if isinstance(got, bool | None) else None
    for python, command_line in (
        (r"\bNone(,| or,?)( one of)? ", ""),
        (r"fps_num( and |/)fps_den|fps_num", "--fps"),
        (r"\bTrue or (?=a threshold)", ""),
        (r"\(left, top, right, bottom\)", "left,top,right,bottom"),
    ):
        allowed = re.sub(python, command_line, allowed)
    allowed = re.sub(r"(?<=\bwith )\w+", lambda word: options.get(word[0], word[0]), allowed)
    return f"{option}: {said or f'got {shown(got)}'}, allowed: {printable(allowed)}"
