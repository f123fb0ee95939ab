"""What vs_slomo raises: one clear sentence that names the argument, the value got and what is allowed."""

from __future__ import annotations

from reprlib import Repr

LONGEST = 2000
"""Characters of a message."""
_short = Repr(maxstring=160, maxother=160, maxlist=8, maxtuple=8, maxlong=60)


def printable(text: str, most: int = LONGEST) -> str:
    """Return a text without control characters, and without its middle where it has more than `most` characters."""
    if len(text) > most:
        text = f"{text[: most // 2]} … {text[-(most // 2) :]}"
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """Return a value as it is written in Python, in at most a line or two."""
    try:
        return printable(_short.repr(value), 300)
    except Exception:  # noqa: BLE001  # a value's own code may raise anything, and an integer may have too many digits
        return f"a value of type {type(value).__name__}"


class SlomoError(Exception):
    """Base of every error of this package. Its message is bounded, and cannot control a terminal."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class ArgumentError(SlomoError, ValueError):
    """An argument has a value that is not allowed.

    >>> raise ArgumentError("multi", 0.5, "a number of at least 1")
    Traceback (most recent call last):
    vs_slomo.errors.ArgumentError: multi: got 0.5, allowed: a number of at least 1
    """

    def __init__(self, name: str, got: object, allowed: str) -> None:
        self.name, self.got, self.allowed = name, got, allowed
        super().__init__(f"{name}: got {shown(got)}, allowed: {allowed}")


class FormatError(SlomoError):
    """A clip or a frame is of a kind that cannot be interpolated."""


class WeightsError(SlomoError):
    """A weights file cannot be used: what was found, and what to do about it."""


class SourceError(SlomoError):
    """A video file cannot be opened or decoded."""


class RenderError(SlomoError):
    """The encoder failed; no file was left under the final name."""
