"""What `slomo()`, `retime()` and `motion()` can be told: checked, and what follows from it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass

import vapoursynth as vs

from vs_slomo import weights
from vs_slomo.clips import borders as borders_of
from vs_slomo.clips import cuts, duplicates, formats
from vs_slomo.engine.settings import Settings, check_device, check_flow, check_precision, check_scale, check_tile
from vs_slomo.errors import ArgumentError

SC_ACTIONS = ("repeat", "blend")
GAPS = range(2, 25)
STREAMS = range(1, 65)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every function that moves frames can be told: checked, nothing loaded yet.

    sc_threshold: None where cuts are no matter. sc_clip: where they are sought, in place of the clip itself.
    sc_action: one of SC_ACTIONS. dedupe: the threshold, or None. max_gap: see `dedupe.place`.
    borders: bars, "auto" or None. curved: whether motion bends. streams: nodes that work side by side.
    matrix, range: what counts where a frame says nothing.
    """

    settings: Settings
    sc_threshold: float | None
    sc_clip: vs.VideoNode | None
    sc_action: str
    dedupe: float | None
    max_gap: int
    borders: borders_of.Borders | str | None
    curved: bool
    streams: int
    matrix: int | None
    range: int | None

    def cuts(self, clip: vs.VideoNode) -> vs.VideoNode | None:
        """Return what `cuts.detect` says of the clip; None where cuts are no matter. Raises ArgumentError."""
        if self.sc_threshold is None:
            return None
        if self.sc_clip is not None and self.sc_clip.num_frames != clip.num_frames:
            raise ArgumentError(
                "sc_clip", f"{self.sc_clip.num_frames} frames", f"as many as the clip, {clip.num_frames}"
            )
        return cuts.detect(clip if self.sc_clip is None else self.sc_clip, self.sc_threshold)


def check_switch(name: str, value: object) -> None:
    """Raise ArgumentError for what is neither True nor False: "no" would count as yes."""
    if value not in (True, False):
        raise ArgumentError(name, value, "True or False")


def check_options(
    size: tuple[int, int],
    *,
    model: str | os.PathLike[str] = "bundled",
    scale: float | str | None = None,
    flow: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    tile: int | None = None,
    sc: bool = True,
    sc_threshold: float = cuts.THRESHOLD,
    sc_action: str = "repeat",
    sc_clip: vs.VideoNode | None = None,
    dedupe: bool | float | None = None,
    max_gap: int = duplicates.MAX_GAP,
    borders: borders_of.Borders | str | None = None,
    curved: bool | None = None,
    num_streams: int | None = None,
    matrix: int | None = None,
    range: int | None = None,  # noqa: A002  # the host's name
) -> Options:
    """Return the options; `filter.slomo` says what they mean. Raises ArgumentError or WeightsError.

    size: the clip's width and height.
    """
    check_switch("sc", sc)
    info = weights.read_info(model)
    device = check_device(device)
    settings = Settings(
        # Absolute: vspipe changes the working directory while it loads the script, and only then.
        model=weights.find(model).absolute(),
        device=device,
        precision=check_precision(precision, device),
        scale=check_scale(scale, info.scale, size),
        flow=check_flow(flow, info.flow),
        tile=check_tile(tile),
    )
    cuts.check_threshold(sc_threshold)
    if sc_action not in SC_ACTIONS:
        raise ArgumentError("sc_action", sc_action, " or ".join(map(repr, SC_ACTIONS)))
    if sc_clip is not None:
        if not isinstance(sc_clip, vs.VideoNode) or sc_clip.format.id == vs.PresetVideoFormat.NONE:
            raise ArgumentError("sc_clip", sc_clip, "None or a vapoursynth.VideoNode of one format")
        if not sc:
            raise ArgumentError("sc_clip", sc_clip, "not together with sc=False")
    if dedupe in (None, False):
        dedupe = None
    elif dedupe is True:
        dedupe = duplicates.THRESHOLD
    elif not isinstance(dedupe, int | float) or not 0 < dedupe <= 1:
        raise ArgumentError("dedupe", dedupe, "None, True or a threshold in (0, 1]")
    if type(max_gap) is not int or max_gap not in GAPS:
        raise ArgumentError("max_gap", max_gap, f"an integer from {GAPS[0]} to {GAPS[-1]}")
    if curved is None:
        curved = dedupe is None and num_streams in (None, 1)
    check_switch("curved", curved)
    if curved and dedupe is not None:
        raise ArgumentError("curved", curved, "not together with dedupe, whose pictures come at uneven times")
    if curved and num_streams not in (None, 1):
        raise ArgumentError("num_streams", num_streams, "None or 1 with curved, whose pairs need each other's flow")
    streams = num_streams if num_streams is not None else 1 if device == "cpu" or curved else 2
    if isinstance(streams, bool) or not isinstance(streams, int) or streams not in STREAMS:
        raise ArgumentError("num_streams", num_streams, f"None or an integer from {STREAMS[0]} to {STREAMS[-1]}")
    if range not in (None, 0, 1):
        raise ArgumentError("range", range, "None, 0 (limited) or 1 (full)")
    return Options(
        settings=settings,
        sc_threshold=sc_threshold if sc else None,
        sc_clip=sc_clip,
        sc_action=sc_action,
        dedupe=dedupe,
        max_gap=max_gap,
        borders=borders_of.check(borders),
        curved=curved,
        streams=streams,
        matrix=formats.check_matrix(matrix),
        range=range,
    )


def check_names(function: str, options: Iterable[str]) -> None:
    """Raise TypeError, as Python itself does, where a function is given options that `check_options` does not know."""
    for name in options:
        if name not in inspect.signature(check_options).parameters:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
