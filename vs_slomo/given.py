"""Numbers and small text files from outside: read with a limit, so that none fills the memory or takes forever."""

from __future__ import annotations

import os
import re
import stat
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path

from .errors import ArgumentError

LONGEST_NUMBER = 200
"""Characters of a number."""
BITS = 256
"""Of its numerator and its denominator: times, rates and factors need fewer, and products of a few fit a float."""
LONGEST_TEXT = 100_000
"""Characters of an argument."""
LARGEST_TEXT = 64 << 20
"""Bytes of a text file."""


def read_number(value: object) -> Fraction:
    """Return a number exactly: a decimal or "p/q" as text, or any real number but True and False.

    A float means the shortest decimal that reads back as it: 2.4 is 12/5. Numpy's numbers are numbers too.
    Raises ValueError: no number, not finite, or of more than BITS.
    """
    if not isinstance(value, str | Real | Decimal) or isinstance(value, bool):
        raise ValueError("no number")  # noqa: TRY004  # one kind of error for all that is no number
    if isinstance(value, Fraction):
        number = value
    else:
        text = str(int(value)) if isinstance(value, Integral) else str(value)
        if len(text) > LONGEST_NUMBER or re.search(r"e[+-]?\d{4}", text, re.IGNORECASE):  # whose digits fill the memory
            raise ValueError(text[:60])
        try:
            number = Fraction(text)
        except ZeroDivisionError:
            raise ValueError(text) from None
    if max(abs(number.numerator), number.denominator).bit_length() > BITS:
        raise ValueError("too many digits")
    return number


def whole_number(name: str, value: object, low: int, high: int, allowed: str = "") -> int:
    """Return an integer from low to high, numpy's too; True is not a number. Raises ArgumentError.

    allowed: in place of "an integer from low to high".
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise ArgumentError(name, value, allowed or f"an integer from {low} to {high}")
    return int(value)


def text(name: str, value: object, allowed: str) -> str:
    """Return a text without NUL. Raises ArgumentError. name: the argument."""
    if not isinstance(value, str) or "\0" in value or len(value) > LONGEST_TEXT:
        raise ArgumentError(name, value, allowed)
    return value


def texts(name: str, values: object, allowed: str) -> list[str]:
    """Return the texts of a list or a tuple, without NUL. Raises ArgumentError. name: the argument."""
    if not isinstance(values, list | tuple):
        raise ArgumentError(name, values, allowed)
    return [text(name, value, allowed) for value in values]


def file_name(name: str, value: object, allowed: str = "a name that the file system takes") -> Path:
    """Return a name as a path. Raises ArgumentError: no text, empty, or with NUL. name: the argument."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text or "\0" in text:
        raise ArgumentError(name, value, allowed)
    return Path(text)


def read_lines(path: object, name: str, allowed: str) -> list[str]:
    """Return the lines of a UTF-8 text file. Raises ArgumentError: no regular file, too large, or no text.

    name, allowed: the argument, and what it may be.
    """
    path = file_name(name, path, allowed)
    try:
        # Without waiting for a pipe's other end.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ArgumentError(name, str(path), f"{allowed}; this is no regular file")
            data = file.read(LARGEST_TEXT + 1)
        if len(data) > LARGEST_TEXT:
            raise ArgumentError(name, str(path), f"{allowed}, of at most {LARGEST_TEXT >> 20} MB")
        return data.decode("utf-8-sig").splitlines()
    except ArgumentError:
        raise
    except (OSError, ValueError) as error:  # bytes that are no text among them
        raise ArgumentError(name, str(path), allowed) from error
