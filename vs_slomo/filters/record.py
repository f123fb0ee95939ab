"""The record of options: what `slomo()`, `retime()` and `motion()` can be told, each option in one place.

An entry has the option's name and type, its default, one line of help, what is allowed, and the check. From it follow
the checks (`check`), the keywords that `retime` and `motion` share with `slomo` (`MovingOptions`), the command's flags
(`cli/flags.py`) and README's table (`python -m vs_slomo.filters.record` prints it). `slomo` spells its keywords out,
so that editors show them; `tests/test_options.py` compares all of them.

To add an option, add an entry here and a keyword to `slomo`; `Options.given` has its value. Torch is not loaded here.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args

from vs_slomo.timing.positions import LARGEST_RATE, Factor, parse_multi
from vs_slomo.weights import FLOWS, SCALES, FlowName

from .entry import Option, integer, key_of, number, one_of, optional, repeats, switch

if TYPE_CHECKING:
    import vapoursynth as vs

    from vs_slomo.timing.timecodes import Timecodes

Precision = Literal["fp32", "fp16", "bf16"]
Scale = float | Literal["auto"] | None
ScAction = Literal["repeat", "blend"]
Shown = Literal["flow", "visibility", "t"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
Unit = Literal["seconds", "frames"]
Borders = tuple[int, int, int, int] | Literal["auto"]

LEAST_TILE, MOST_TILE = 256, 1 << 16
"""Pixels; see `engine.tiles.SMALLEST`. No picture of the host has a longer side."""
SC_THRESHOLD = 0.37
"""See `clips.cuts.THRESHOLD`."""
MAX_GAP = 5
"""See `clips.duplicates.MAX_GAP`."""


class RateOptions(TypedDict, total=False):
    """How many frames, and when each is shown."""

    multi: Annotated[
        Factor,
        Option(
            default=2,
            help='How many times as many frames: `4`, `2.5`, `"5/2"`, a `Fraction`; at least 1',
            check=parse_multi,
            command="How many times as many frames, such as 4, 2.5 or 5/2",
            metavar="N",
        ),
    ]
    fps_num: Annotated[
        int | None,
        Option(
            help="A target rate in place of `multi`, in frames a second",
            allowed="an integer of at least 1",
            check=optional(integer(1, LARGEST_RATE)),
            flag=None,
        ),
    ]
    fps_den: Annotated[
        int | None,
        Option(
            help="The target rate's denominator, as in 60000/1001",
            allowed="an integer of at least 1",
            check=optional(integer(1, LARGEST_RATE)),
            none="1",
            flag=None,
        ),
    ]
    timecodes: Annotated[
        "Timecodes | str | os.PathLike[str] | None",
        Option(
            help="When each frame of a clip with a variable rate is shown: a timecode file or `Timecodes`", flag=None
        ),
    ]
    slow_motion: Annotated[
        bool,
        Option(
            default=False,
            help="Keep the rate: the clip gets longer instead of smoother",
            allowed="True or False",
            check=switch,
        ),
    ]


class MovingOptions(TypedDict, total=False):
    """How new frames are made: what `slomo`, `retime` and `motion` share."""

    model: Annotated[
        str | os.PathLike[str],
        Option(
            default="bundled",
            help='`"bundled"`, the name of an installed model, or a file',
            command="A model's name or file",
            metavar="FILE",
        ),
    ]
    scale: Annotated[
        Scale,
        Option(
            help='Resolution of the networks, as a part of the clip\'s: 1, 0.5, 0.25, 0.125, `"auto"`',
            allowed=f'None, "auto" or one of {", ".join(map(str, SCALES))}',
            check=optional(one_of("auto", *SCALES)),
            none="by size and device",
            command="Resolution of the networks, relative to the video: 1, 1/2, 1/4, 1/8, or auto to choose by size",
            metavar="S",
        ),
    ]
    flow: Annotated[
        FlowName | None,
        Option(
            help="Flow stage: `unet` (network), `dis` (classical), `guided`, `both`, `fast` (draft)",
            allowed=f"None or one of {', '.join(FLOWS)}",
            check=optional(key_of(FLOWS)),
            none="by size and device",
        ),
    ]
    device: Annotated[
        str | Sequence[str] | None,
        Option(
            help="`cuda`, `cuda:1`, `xpu`, `mps` or `cpu`; several share the pairs: `cuda:0,cuda:1`",
            none="the first there is",
            metavar="NAME",
        ),
    ]
    precision: Annotated[
        Precision | None,
        Option(
            help="Precision of the networks: `fp32`, `fp16` or `bf16`",
            allowed=f"None or one of {', '.join(get_args(Precision))}",
            check=optional(one_of(*get_args(Precision))),
            none="`fp16` on GPUs, `bf16` on CPUs that have it",
        ),
    ]
    tile: Annotated[
        int | None,
        Option(
            help="Run the networks on tiles of at most this many pixels a side, for less memory",
            allowed=f"None or an integer from {LEAST_TILE} to {MOST_TILE}",
            check=optional(integer(LEAST_TILE, MOST_TILE)),
            none="where memory is short",
            metavar="N",
        ),
    ]
    sc: Annotated[
        bool,
        Option(
            default=True,
            help="Detect scene cuts, and do not interpolate across them",
            allowed="True or False",
            check=switch,
        ),
    ]
    sc_threshold: Annotated[
        float,
        Option(
            default=SC_THRESHOLD,
            help="How different two frames must be to count as a cut, from 0 to 1",
            allowed="a number in [0, 1]",
            check=number(lambda x: 0 <= x <= 1),
            metavar="X",
        ),
    ]
    sc_action: Annotated[
        ScAction,
        Option(
            default="repeat",
            help="What to show across a cut: `repeat` the nearer frame, or `blend` both",
            allowed=" or ".join(map(repr, get_args(ScAction))),
            check=one_of(*get_args(ScAction)),
        ),
    ]
    sc_clip: Annotated[
        "vs.VideoNode | None",
        Option(help="Detect scene cuts in this clip instead", flag=None),
    ]
    dedupe: Annotated[
        bool | float | None,
        Option(
            help="Replace repeated frames by new ones: `True`, or how similar frames must be, in (0, 1]",
            allowed="None, True or a threshold in (0, 1]",
            check=repeats,
            none="off",
            command="Replace repeated frames by new ones, as in animation drawn on twos or threes",
        ),
    ]
    max_gap: Annotated[
        int,
        Option(
            default=MAX_GAP,
            help="With `dedupe`: leave a frame alone that is repeated for longer than this many frames, 2 to 24",
            allowed="an integer from 2 to 24",
            check=integer(2, 24),
            metavar="N",
        ),
    ]
    borders: Annotated[
        Borders | None,
        Option(
            help='Ignore black bars: `"auto"`, or (left, top, right, bottom) in pixels',
            none="use the whole picture",
            command="Ignore black bars: auto finds them, or give left,top,right,bottom in pixels",
            metavar="L,T,R,B",
        ),
    ]
    curved: Annotated[
        bool | None,
        Option(
            help="Follow [curved motion](docs/curved.md), using the frames around the pair",
            allowed="True or False",
            check=optional(switch),
            none="`True`, but not with `dedupe`",
        ),
    ]
    num_streams: Annotated[
        int | None,
        Option(
            help="How many pairs each device works on at once",
            allowed="None or an integer from 1 to 64",
            check=optional(integer(1, 64)),
            none="1, and 2 on a GPU without `curved`",
            metavar="N",
        ),
    ]
    matrix: Annotated[
        int | None,
        Option(
            help="Colour matrix that the networks assume where frames have none (number of H.273)",
            none="by size",
            metavar="N",
        ),
    ]
    range: Annotated[
        Literal[0, 1] | None,
        Option(
            help="Colour range that the networks assume where frames have none: 0 limited, 1 full",
            allowed="None, 0 (limited) or 1 (full)",
            check=optional(one_of(0, 1)),
            none="1 for RGB, else 0",
            flag="--colour-range",
            command="Colour range that the networks assume where frames have none",
        ),
    ]


class SlomoOptions(RateOptions, MovingOptions, total=False):
    """All that `slomo` can be told."""

    debug: Annotated[
        Shown | None,
        Option(
            help='Show the "flow", the "visibility" or the time "t" of each new frame instead of the result',
            allowed=f"None or one of {', '.join(SHOWN)}",
            check=optional(one_of(*SHOWN)),
            none="off",
            flag="--debug-view",
        ),
    ]


class CurveOptions(TypedDict, total=False):
    """What only `retime` can be told."""

    unit: Annotated[
        Unit,
        Option(
            default="seconds",
            help="What the curve's times count: `seconds`, or `frames` of input and output",
            allowed=" or ".join(map(repr, get_args(Unit))),
            check=one_of(*get_args(Unit)),
        ),
    ]
    length: Annotated[
        int | None,
        Option(help="How many frames to make", none="up to the curve's end", flag=None),
    ]
    shutter: Annotated[
        int,
        Option(
            default=1,
            help="Motion blur: average this many moments for each frame, an odd number up to 31",
            allowed="an odd number from 1 to 31",
            check=integer(1, 31, 2),
            metavar="N",
        ),
    ]
    shutter_angle: Annotated[
        float,
        Option(
            default=180,
            help="How long the shutter is open, in degrees: 360 is from frame to frame",
            allowed="degrees, above 0 and up to 360",
            check=number(lambda x: 0 < x <= 360),
            metavar="DEG",
        ),
    ]


class ViewOptions(TypedDict, total=False):
    """What only `motion` can be told."""

    t: Annotated[
        float,
        Option(
            default=0.5,
            help="The moment between both frames that `visibility` shows",
            allowed="a number in (0, 1)",
            check=number(lambda x: 0 < x < 1),
            flag=None,
        ),
    ]
    span: Annotated[
        float | None,
        Option(
            help="How many pixels of flow have the full colour in `view`",
            allowed="None or a number of pixels above 0",
            check=optional(number(lambda x: 0 < x < float("inf"))),
            none="a fortieth of the width",
            flag=None,
        ),
    ]


def entries(kind: type) -> dict[str, Option]:
    """Return a TypedDict's entries by name."""
    return {name: hint.__metadata__[0] for name, hint in kind.__annotations__.items()}


RATE, MOVING, SLOMO = entries(RateOptions), entries(MovingOptions), entries(SlomoOptions)
CURVE, VIEW = entries(CurveOptions), entries(ViewOptions)
RECORD = SLOMO | CURVE | VIEW


def check(names: Iterable[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return these options' values as they are used; those not given are the defaults. Raises ArgumentError."""
    return {name: RECORD[name].checked(name, given.get(name, RECORD[name].default)) for name in names}


def table() -> str:
    """Return the options of `slomo` as README's table."""
    rows = ["| option | what it does | default |", "|---|---|---|"]
    for name, option in SLOMO.items():
        value = f'"{option.default}"' if isinstance(option.default, str) else option.default
        default = option.none if option.default is None else f"`{value}`"
        rows.append(f"| `{name}` | {option.help} | {default or 'none'} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
