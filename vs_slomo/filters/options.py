"""What follows from the options of `slomo()`, `retime()` and `motion()`; `record.py` says what each may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Unpack, cast

import vapoursynth as vs

from vs_slomo import weights
from vs_slomo.clips import borders as borders_of
from vs_slomo.clips import cuts, duplicates, formats
from vs_slomo.engine.settings import Settings, check_device, check_networks, check_precision
from vs_slomo.errors import ArgumentError

from .entry import check_switch
from .record import MOVING, MovingOptions, check

__all__ = ["Options", "check", "check_options", "check_switch"]


RUN = 20
"""Pairs that a device makes in a row where motion is curved: the first and the last of a run each need a flow more."""


@dataclass(frozen=True)
class Spread:
    """Which stream makes which pair: the streams of a device take turns, devices take runs of pairs."""

    devices: int = 1
    streams: int = 1
    run: int = 1

    @property
    def period(self) -> int:
        """After so many pairs it begins anew."""
        return self.run * self.devices * self.streams

    def stream(self, pair: int) -> int:
        """Return the number of the stream that makes a pair; those of a device stand together."""
        device = pair // self.run % self.devices
        # With runs of one pair, a device makes only every n-th pair, where n is the number of devices.
        turn = pair // self.devices if self.run == 1 else pair
        return device * self.streams + turn % self.streams

    def requests(self, per_pair: float) -> int:
        """Return for how many frames the host must be asked at once, so that every stream is busy.

        per_pair: output frames of a pair.
        """
        if self.devices * self.streams == 1:
            return 1
        ahead = self.devices * self.run if self.run > 1 else 2 * self.devices * self.streams
        return math.ceil(max(ahead, 2 * self.streams) * per_pair) + 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the making of frames needs to know: checked, nothing loaded yet.

    given: every option as it was given, checked, by its name. The others are computed from it:

    settings: what makes an engine. sc_threshold: None without cut detection. dedupe: the threshold, or None.
    borders: bars, "auto" or None. curved: whether motion bends. streams: nodes of a device that work side by side.
    devices: the settings on each device.
    """

    given: MovingOptions
    settings: Settings
    sc_threshold: float | None
    dedupe: float | None
    borders: borders_of.Borders | str | None
    curved: bool
    streams: int
    devices: tuple[Settings, ...]

    @property
    def spread(self) -> Spread:
        """Which stream makes which pair."""
        return Spread(len(self.devices), self.streams, RUN if self.curved and len(self.devices) > 1 else 1)

    def cuts(self, clip: vs.VideoNode) -> vs.VideoNode | None:
        """Return what `cuts.detect` says of the clip; None without cut detection. Raises ArgumentError."""
        if self.sc_threshold is None:
            return None
        sc_clip = self.given["sc_clip"]
        if sc_clip is not None and sc_clip.num_frames != clip.num_frames:
            raise ArgumentError("sc_clip", f"{sc_clip.num_frames} frames", f"as many as the clip, {clip.num_frames}")
        return cuts.detect(clip if sc_clip is None else sc_clip, self.sc_threshold)


def check_devices(device: object) -> tuple[str, ...]:
    """Return the devices' names: one, or several of one kind. Raises ArgumentError."""
    if device is None or isinstance(device, str):
        return (check_device(device),)
    several = isinstance(device, Sequence) and len(device) > 0 and all(isinstance(name, str) for name in device)
    names = tuple(check_device(name) for name in device) if isinstance(device, Sequence) and several else ()
    if not names or len(set(names)) < len(names) or len({name.partition(":")[0] for name in names}) > 1:
        raise ArgumentError(
            "device", device, 'a name such as "cuda", or different ones of a kind, ["cuda:0", "cuda:1"]'
        )
    return names


def check_options(size: tuple[int, int], function: str = "check_options", **given: Unpack[MovingOptions]) -> Options:
    """Return the options; `slomo` says what they mean. Raises ArgumentError or WeightsError, before anything costly.

    size: the clip's width and height. function: who was given them, for the TypeError where one has another name.
    """
    for name in given.keys() - MOVING.keys():
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    told = cast("MovingOptions", check(MOVING, given))
    info = weights.read_info(told["model"])
    devices = check_devices(told["device"])
    device = devices[0]
    scale, flow = check_networks(told["scale"], told["flow"], info, size, device)
    settings = Settings(
        # Absolute: vspipe changes the working directory while it loads the script, and only then.
        model=weights.find(told["model"]).absolute(),
        device=device,
        precision=check_precision(told["precision"], device),
        scale=scale,
        flow=flow,
        tile=told["tile"],
    )
    sc_clip, dedupe, num_streams = told["sc_clip"], told["dedupe"], told["num_streams"]
    if sc_clip is not None:
        if not isinstance(sc_clip, vs.VideoNode) or sc_clip.format.id == vs.PresetVideoFormat.NONE:
            raise ArgumentError("sc_clip", sc_clip, "None or a vapoursynth.VideoNode of one format")
        if not told["sc"]:
            raise ArgumentError("sc_clip", sc_clip, "not together with sc=False")
    curved = dedupe is None if told["curved"] is None else told["curved"]
    if curved and dedupe is not None:
        raise ArgumentError("curved", curved, "not together with dedupe, whose pictures come at uneven times")
    formats.check_matrix(told["matrix"])
    return Options(
        given=told,
        settings=settings,
        sc_threshold=told["sc_threshold"] if told["sc"] else None,
        dedupe=duplicates.THRESHOLD if dedupe is True else dedupe,
        borders=borders_of.check(told["borders"]),
        curved=curved,
        streams=num_streams or (1 if device == "cpu" or curved else 2),
        devices=tuple(replace(settings, device=name) for name in devices),
    )
