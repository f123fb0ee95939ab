"""An error of ours in the command's own terms: its options and values as they are typed, not as Python has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from vs_slomo.errors import ArgumentError, SlomoError, printable, shown

RATE = "fps_num", "fps_den", "fps_num/fps_den"
PYTHON = (
    (r"\bNone(,| or,?)( one of)? ", ""),
    (r"fps_num( and |/)fps_den|fps_num", "--fps"),
    (r"\bTrue or (?=a threshold)", ""),
    (r"\(left, top, right, bottom\)", "left,top,right,bottom"),
    (r"\b\w+=True \((--[\w-]+)\)", r"\1"),
)
"""What Python alone has, and what the command has instead."""


def in_terms(error: SlomoError, options: Mapping[str, str], tokens: Sequence[str]) -> str:
    """Return the error's message.

    options: the command's names of its arguments by Python's, such as "--range" by "span" and "INPUT" by "input".
    tokens: the call.
    """
    if not isinstance(error, ArgumentError):
        name, colon, rest = in_options(str(error), options).partition(": ")
        return f"{options.get('input' if name == 'clip' else name, name)}{colon}{rest}"
    name, got, allowed = error.name, error.got, in_options(error.allowed, options)
    if name in RATE:
        name = "fps"
    elif name == "dedupe" and isinstance(got, float):
        name = "dedupe_threshold"
    elif name == "clip":
        name = "input"
    elif (effort := typed("--effort", tokens)) and typed(f"--{name}", tokens) is None:
        from .graph import EFFORTS

        if any(got == chosen.get(name) for key, chosen in EFFORTS.items() if key == effort):
            name, got = "effort", effort
    option, said = options.get(name, name), f"got {shown(got)}"
    if got is None or got is True:
        said = "given" if got else "missing"
    elif name == "span" and not typed("--range", tokens) and (ends := typed_ends(tokens)):
        option, said = " and ".join(ends), f"got {' and '.join(map(shown, ends.values()))}"
        allowed = re.sub(r'"A:B" with 0 <= A < B', "0 <= start < end", allowed).removeprefix('"A:B", ')
        allowed = re.sub(r'"(\w\S*):(\w\S*)"', r"\1 and \2", allowed)
    return f"{option}: {said}, allowed: {printable(allowed)}"


def in_options(text: str, options: Mapping[str, str]) -> str:
    """Return a message with the command's options in place of Python's keywords."""
    for python, command_line in PYTHON:
        text = re.sub(python, command_line, text)

    def option(found: re.Match[str]) -> str:
        name, value = options.get(found[1], ""), found[2].strip('"')
        if not name.startswith("--"):
            return found[0]
        return {"True": name, "False": f"--no-{name[2:]}"}.get(value, f"{name} {value}")

    text = re.sub(r'\b(\w+)=(\w+|"[^"]*")', option, text)
    return re.sub(r"\b(with|use|give) (\w+)", lambda found: f"{found[1]} {options.get(found[2], found[2])}", text)


def typed_ends(tokens: Sequence[str]) -> dict[str, str]:
    """Return --start and --end with their values, as far as they are typed."""
    return {option: text for option in ("--start", "--end") if (text := typed(option, tokens))}


def typed(option: str, tokens: Sequence[str]) -> str | None:
    """Return what is typed as an option's value."""
    apart = (value for name, value in pairwise(tokens) if name == option)
    joined = (token.partition("=")[2] for token in tokens if token.startswith(f"{option}="))
    return next(apart, None) or next(joined, None)
