"""All commands together, and what they share: errors, logging, signals and `--debug`."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, CycloptsPanel, MissingArgumentError, Parameter, UnusedCliTokensError

from vs_slomo.errors import SlomoError, printable

from .terms import in_terms

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


def version() -> str:
    """Return the line of --version."""
    from importlib.metadata import version as of  # slow to load

    return f"vs-slomo {of('vs-slomo')}"


app = App(
    name="vs-slomo",
    help="Slow motion and higher frame rates by Super SloMo.\n\nvs-slomo COMMAND --help shows a command's options.",
    help_format="plaintext",
    version=version,
    default_parameter=Parameter(allow_repeating=True),  # the last one counts
    error_formatter=box,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
COMMANDS = "render", "script", "demo", "evaluate", "compare", "bench", "train", "export", "devices", "completion"
WEIGHTS = "weights"
for place, name in enumerate(COMMANDS):
    app.command(f"vs_slomo.cli.{name}:{name}", sort_key=place)  # loaded where it is needed
app.command("vs_slomo.cli.weights:app", name=WEIGHTS, sort_key=len(COMMANDS))
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
    if not {*argv} & {*COMMANDS, WEIGHTS}:
        app.resolved_commands()  # the help says a line of each
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
    """Return an error's message in the terms of the command that is called."""
    arguments = app.parse_commands(tokens)[1][-1].assemble_argument_collection()
    names = {argument.field_info.name: argument.name for argument in arguments if argument.name != "*"}
    return in_terms(error, names, tokens)
