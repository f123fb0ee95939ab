"""Numbers and small text files from outside: read with a limit, so that none fills the memory or takes forever."""

from __future__ import annotations

import os
import re
import stat
from fractions import Fraction
from numbers import Integral

from .errors import ArgumentError

LONGEST_NUMBER = 200
"""Characters of a number."""
BITS = 256
"""Of its numerator and its denominator: times, rates and factors need fewer, and products of a few still fit a float."""
LARGEST_TEXT = 64 << 20
"""Bytes of a text file."""


def read_number(value: object) -> Fraction:
    """Return a number exactly: a decimal or "p/q" as text, a Fraction, or any object that is written as a number.

    A float means the shortest decimal that reads back as it: 2.4 is 12/5. Numpy's numbers are numbers too.
    Raises ValueError: no number, not finite, or of more than BITS.
    """
    if isinstance(value, Fraction):
        number = value
    else:
        text = str(int(value)) if isinstance(value, Integral) and not isinstance(value, bool) else str(value)
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


def read_lines(path: str | os.PathLike[str], name: str, allowed: str) -> list[str]:
    """Return the lines of a UTF-8 text file. Raises ArgumentError: no regular file, too large, or no text.

    name, allowed: the argument, and what it may be.
    """
    try:
        # Without waiting for a pipe's other end.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ArgumentError(name, os.fspath(path), f"{allowed}; this is no regular file")
            data = file.read(LARGEST_TEXT + 1)
        if len(data) > LARGEST_TEXT:
            raise ArgumentError(name, os.fspath(path), f"{allowed}, of at most {LARGEST_TEXT >> 20} MB")
        return data.decode("utf-8-sig").splitlines()
    except ArgumentError:
        raise
    except (OSError, ValueError) as error:  # a name with NUL, and bytes that are no text, among them
        raise ArgumentError(name, os.fspath(path), allowed) from error
