"""What follows from the options of `slomo()`, `retime()` and `motion()`; `record.py` says what each may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack, cast

import vapoursynth as vs

from vs_slomo import weights
from vs_slomo.clips import borders as borders_of
from vs_slomo.clips import cuts, duplicates, formats
from vs_slomo.engine.settings import Settings, check_device, check_flow, check_precision, check_scale
from vs_slomo.errors import ArgumentError

from .entry import check_switch
from .record import MOVING, MovingOptions, check

__all__ = ["Options", "check", "check_options", "check_switch"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the making of frames needs to know: checked, nothing loaded yet.

    given: every option as it was given, checked; a new one is found there by its name. The others are computed from it:

    settings: what makes an engine. sc_threshold: None without cut detection. dedupe: the threshold, or None.
    borders: bars, "auto" or None. curved: whether motion bends. streams: nodes that work side by side.
    """

    given: MovingOptions
    settings: Settings
    sc_threshold: float | None
    dedupe: float | None
    borders: borders_of.Borders | str | None
    curved: bool
    streams: int

    def cuts(self, clip: vs.VideoNode) -> vs.VideoNode | None:
        """Return what `cuts.detect` says of the clip; None without cut detection. Raises ArgumentError."""
        if self.sc_threshold is None:
            return None
        sc_clip = self.given["sc_clip"]
        if sc_clip is not None and sc_clip.num_frames != clip.num_frames:
            raise ArgumentError("sc_clip", f"{sc_clip.num_frames} frames", f"as many as the clip, {clip.num_frames}")
        return cuts.detect(clip if sc_clip is None else sc_clip, self.sc_threshold)


def check_options(size: tuple[int, int], function: str = "check_options", **given: Unpack[MovingOptions]) -> Options:
    """Return the options; `slomo` says what they mean. Raises ArgumentError or WeightsError, before anything costly.

    size: the clip's width and height. function: who was given them, for the TypeError where one has another name.
    """
    for name in given.keys() - MOVING.keys():
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    told = cast("MovingOptions", check(MOVING, given))
    info = weights.read_info(told["model"])
    device = check_device(told["device"])
    scale = check_scale(told["scale"], info.scale, size, device)
    settings = Settings(
        # Absolute: vspipe changes the working directory while it loads the script, and only then.
        model=weights.find(told["model"]).absolute(),
        device=device,
        precision=check_precision(told["precision"], device),
        scale=scale,
        flow=check_flow(told["flow"], info.flow, scale, device),
        tile=told["tile"],
    )
    sc_clip, dedupe, num_streams = told["sc_clip"], told["dedupe"], told["num_streams"]
    if sc_clip is not None:
        if not isinstance(sc_clip, vs.VideoNode) or sc_clip.format.id == vs.PresetVideoFormat.NONE:
            raise ArgumentError("sc_clip", sc_clip, "None or a vapoursynth.VideoNode of one format")
        if not told["sc"]:
            raise ArgumentError("sc_clip", sc_clip, "not together with sc=False")
    curved = dedupe is None and num_streams in (None, 1) if told["curved"] is None else told["curved"]
    if curved and dedupe is not None:
        raise ArgumentError("curved", curved, "not together with dedupe, whose pictures come at uneven times")
    if curved and num_streams not in (None, 1):
        raise ArgumentError("num_streams", num_streams, "None or 1 with curved, whose pairs need each other's flow")
    formats.check_matrix(told["matrix"])
    return Options(
        given=told,
        settings=settings,
        sc_threshold=told["sc_threshold"] if told["sc"] else None,
        dedupe=duplicates.THRESHOLD if dedupe is True else dedupe,
        borders=borders_of.check(told["borders"]),
        curved=curved,
        streams=num_streams or (1 if device == "cpu" or curved else 2),
    )
