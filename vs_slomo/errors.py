"""What vs_slomo raises: one clear sentence that names the argument, the value got and what is allowed."""

from __future__ import annotations


class SlomoError(Exception):
    """Base of every error of this package."""


class ArgumentError(SlomoError, ValueError):
    """An argument has a value that is not allowed.

    >>> raise ArgumentError("multi", 0.5, "a number of at least 1")
    Traceback (most recent call last):
    vs_slomo.errors.ArgumentError: multi: got 0.5, allowed: a number of at least 1
    """

    def __init__(self, name: str, got: object, allowed: str) -> None:
        self.name, self.got, self.allowed = name, got, allowed
        super().__init__(f"{name}: got {got!r}, allowed: {allowed}")


class FormatError(SlomoError):
    """A clip or a frame is of a kind that cannot be interpolated."""


class WeightsError(SlomoError):
    """A weights file cannot be used: what was found, and what to do about it."""


class SourceError(SlomoError):
    """A video file cannot be opened or decoded."""


class RenderError(SlomoError):
    """The encoder failed; no file was left under the final name."""
