"""The record of options as flags of the command, and how they are read from text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, make_dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import ArgumentCollection, Group, Parameter, Token

from vs_slomo.errors import shown
from vs_slomo.filters.record import CURVE, MOVING, RECORD, CurveOptions, RateOptions, SlomoOptions
from vs_slomo.given import read_number
from vs_slomo.timing.positions import read_rate

ENCODING = Group("Encoding", sort_key=3)
INTERPOLATION = Group("Interpolation", sort_key=2)
RETIMING = Group("Speed curve", sort_key=1)
RATE = Group("Frame rate", sort_key=0)


def exclusive(arguments: ArgumentCollection) -> None:
    """Accept one of a group."""
    given = [argument.name for argument in arguments if argument.tokens]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other")


ONE_RATE = Group("", show=False, validator=exclusive)

Convert = Callable[[Any, Sequence[Token]], Any]


def reader(read: Callable[[str], Any], allowed: str = "") -> Convert:
    """Return a converter; where `read` raises ValueError, the message says what is allowed."""

    def convert(_type: object, tokens: Sequence[Token]) -> Any:
        text = tokens[0].value
        try:
            return read(text)
        except (ValueError, ArithmeticError, KeyError):
            raise ValueError(f"got {shown(text)}, allowed: {allowed}") from None

    return convert


def factor(text: str) -> int | str:
    """Read "4", "2.5" or "5/2"; `slomo` judges it."""
    return int(text) if text.isdecimal() else text


def ratio(text: str) -> float:
    """Read "0.5" or "1/2"."""
    return float(read_number(text))


def resolution(text: str) -> float | str:
    """Read "auto", "0.5" or "1/2"."""
    return text if text == "auto" else ratio(text)


def frame_size(text: str) -> tuple[int, int] | None:
    """Read a width and a height, "1280x720"; None where it is none."""
    sides = re.fullmatch(r"(\d+)x(\d+)", text)
    return (int(sides[1]), int(sides[2])) if sides else None


def devices(text: str) -> str | list[str]:
    """Read "cuda" or "cuda:0,cuda:1"."""
    return text.split(",") if "," in text else text


def frame_rate(text: str) -> Fraction:
    """Read a rate above 0: "60", "59.94" or "60000/1001"."""
    rate = read_rate(text)
    if rate <= 0:
        raise ValueError(text)
    return rate


def bars(text: str) -> str | tuple[int, ...]:
    """Read "auto" or four numbers; `slomo` judges them."""
    return text if text == "auto" else tuple(int(part) for part in re.split(r"[,\s]+", text.strip()))


def frame_range(text: str) -> str:
    """Return "A:B" as it is; clock times with a hyphen, "0:01:30-0:02:00", as "90s:120s"."""
    first, hyphen, last = text.partition("-")
    if hyphen and ":" in text and all(not end or ":" in end for end in (first, last)):
        return f"{moment(first)}:{moment(last)}"
    return text


def moment(text: str) -> str:
    """Return a frame or "1.5s" as it is; a clock time, "1:30" or "0:01:30.5", in seconds."""
    if ":" not in text:
        return text
    if not (clock := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)):
        raise ValueError(text)
    hours, minutes, seconds = (Fraction(part or 0) for part in clock.groups())
    whole, rest = divmod(3600 * hours + 60 * minutes + seconds, 1)
    return f"{whole}{f'{float(rest):.6f}'.rstrip('0').lstrip('0').rstrip('.')}s"


RANGE = reader(frame_range, "A:B in frames, such as 100:250, seconds, 1.5s:4s, or clock times, 0:01:30-0:02:00")
MOMENT = reader(moment, "a frame, such as 100, seconds, 1.5s, or a clock time, 0:01:30")
FPS = reader(frame_rate, "frames a second, such as 60, 59.94 or 60000/1001")
RATIO = reader(ratio, "1, 1/2, 1/4 or 1/8")

READ: dict[str, tuple[Any, Convert | None]] = {
    "model": (str, None),
    "multi": (str, reader(factor)),
    "scale": (str, reader(resolution, "1, 1/2, 1/4, 1/8 or auto")),
    "dedupe": (bool, None),
    "device": (str, reader(devices)),
    "borders": (str, reader(bars, "auto or left,top,right,bottom in pixels")),
    "range": (Literal["limited", "full"], reader({"limited": 0, "full": 1}.__getitem__, "limited or full")),
}
"""What text an option is read from, and how, where that does not follow from its type."""
ALIASES = {"model": ("--checkpoint",)}
"""Who comes from Super-SloMo's eval.py shall get as far as the message about --scale."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Options of the command; None where they are not given."""

    def given(self) -> dict[str, Any]:
        """Return those that are given."""
        return {name: value for name, value in vars(self).items() if value is not None}


def flags(names: Iterable[str], group: Group) -> type[Flags]:
    """Return a dataclass that cyclopts takes, with a flag for each of these options of the record.

    group: where the help shows them.
    """
    fields = []
    for name in names:
        option, hint = RECORD[name], (SlomoOptions.__annotations__ | CurveOptions.__annotations__)[name]
        kind, convert = READ.get(name, (hint.__origin__, None))
        parameter = Parameter(
            name=(flag(name), *ALIASES.get(name, ())),
            help=in_help(name),
            group=(group, ONE_RATE) if name == "multi" else group,
            converter=convert,
            metavar=option.metavar,
            negative=() if option.default is False or name == "dedupe" else None,
            show_default=False,
        )
        fields.append((name, Annotated[kind | None, parameter], field(default=None)))
    return Parameter(name="*")(make_dataclass("Flags", fields, bases=(Flags,), frozen=True, kw_only=True))


def flag(name: str) -> str:
    """Return the command's name for an option."""
    return RECORD[name].flag or f"--{name.replace('_', '-')}"


def in_help(name: str) -> str:
    """Return what the command's help says of an option."""
    option = RECORD[name]
    default = option.none if option.default is None else option.default
    if isinstance(default, bool):
        default = "yes" if default else ""
    return plain((option.command or option.help) + (f" (default: {default})" if default != "" else ""))


def plain(text: str) -> str:
    """Return a line of Markdown without its marks, and with flags for the options that it names."""
    text = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text).replace("`True`", "yes")
    return re.sub(r"`(.*?)`", lambda name: flag(name[1]) if name[1] in RECORD else name[1], text)


def with_flags(names: Iterable[str]) -> list[str]:
    """Return those options that the command has."""
    return [name for name in names if RECORD[name].flag is not None]


if TYPE_CHECKING:
    Rate = Flags
    Interpolation = Flags
    SpeedCurve = Flags
    Networks = Flags
else:
    Rate = flags(with_flags(RateOptions.__annotations__), RATE)
    Interpolation = flags(with_flags([*MOVING, "debug"]), INTERPOLATION)
    SpeedCurve = flags(with_flags(CURVE), RETIMING)
    Networks = flags(("model", "scale", "device", "precision"), INTERPOLATION)
