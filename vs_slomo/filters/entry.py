"""An entry of the record of options, and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

from vs_slomo.errors import ArgumentError

Check = Callable[[Any], Any]
"""From a value to the value as it is used; raises ValueError or TypeError where it is not allowed."""


def as_it_is(value: object) -> object:
    """Accept anything: the value is checked where it is used."""
    return value


def integer(low: int, high: int | None = None, step: int = 1) -> Check:
    """Accept integers from low to high, numpy's too; True is not a number."""

    def check(value: object) -> int:
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise TypeError
        number = int(value)
        if number < low or (high is not None and number > high) or (number - low) % step:
            raise ValueError
        return number

    return check


def number(accept: Callable[[float], bool]) -> Check:
    """Accept the numbers that `accept` accepts, numpy's and fractions too; True is not a number."""

    def check(value: object) -> float | Fraction:
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError
        if not accept(float(value)):
            raise ValueError
        return value if isinstance(value, Fraction) else float(value)

    return check


def one_of(*values: object) -> Check:
    """Accept these values; True is not the number 1, neither Python's nor numpy's."""

    def check(value: object) -> object:
        if type(value).__name__ in ("bool", "bool_"):
            raise TypeError
        return values[values.index(value)]

    return check


def key_of(registry: Mapping[str, object]) -> Check:
    """Accept the names that a registry has when it is asked."""

    def check(value: object) -> object:
        return one_of(*registry)(value)

    return check


def switch(value: object) -> bool:
    """Accept True and False: "no" would count as yes."""
    if value not in (True, False):
        raise ValueError
    return bool(value)


def optional(check: Check) -> Check:
    """Accept None, and what `check` accepts."""
    return lambda value: None if value is None else check(value)


def repeats(value: object) -> float | None:
    """Accept None and False, True, or a threshold: True stays True, as the threshold stands with the detector."""
    if value is None or value is False:
        return None
    return True if value is True else number(lambda x: 0 < x <= 1)(value)


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of an option besides its name and type.

    help: one line, in Markdown. allowed: completes "got X, allowed: ". none: what None stands for.
    flag: the command's name for it; "" follows from the option's name, and None says that the command has no such flag.
    metavar: what stands for its value in the command's help. command: the command's help, where it reads otherwise.
    """

    default: object = None
    help: str
    allowed: str = ""
    check: Check = as_it_is
    none: str = ""
    flag: str | None = ""
    metavar: str | None = None
    command: str = ""

    def checked(self, name: str, value: object) -> Any:
        """Return the value as it is used. Raises ArgumentError."""
        try:
            return self.check(value)
        except ArgumentError:
            raise
        except (TypeError, ValueError, ArithmeticError):
            raise ArgumentError(name, value, self.allowed) from None


def check_switch(name: str, value: object) -> None:
    """Raise ArgumentError for what is neither True nor False."""
    Option(help="", allowed="True or False", check=switch).checked(name, value)
