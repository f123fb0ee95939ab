"""What a node is fed, by name.

The host hands a callback its frames as a list, in the order of the clips that the node was built with. A dataclass that
is derived from `Inputs` names those clips instead. Its fields are clips, further such records, or None:

    fed = PairInputs(first=SourceInputs(native=a, network=b), second=..., plan=c)
    node.std.ModifyFrame(fed.clips, callback)

    def callback(n, f):
        frames = fed.frames(f)      # the same record, with frames in the clips' places
        frames.first.native, frames.second.network, frames.plan
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, cast

import vapoursynth as vs


class Inputs:
    """Base of the frozen dataclasses whose fields are clips, further `Inputs`, or None."""

    @property
    def clips(self) -> list[vs.VideoNode]:
        """Every clip, in the order in which `frames` expects their frames."""
        found: list[vs.VideoNode] = []
        self.each(found.append)
        return found

    def frames(self, f: Sequence[vs.VideoFrame]) -> Self:
        """Return the same record with a callback's frames in their clips' places. f: one frame for each clip."""
        if len(f) != len(self.clips):
            raise ValueError(f"{type(self).__name__}: got {len(f)} frames, allowed: {len(self.clips)}, one for a clip")
        left = iter(f)
        return self.each(lambda _: next(left))

    def each(self, change: Callable[[vs.VideoNode], Any]) -> Self:
        """Return the same record with every clip changed by a function."""
        given = {field.name: getattr(self, field.name) for field in fields(cast("Any", self))}
        changed = {
            name: value.each(change) if isinstance(value, Inputs) else change(value)
            for name, value in given.items()
            if value is not None
        }
        return cast("Self", replace(cast("Any", self), **changed))


@dataclass(frozen=True, kw_only=True)
class SourceInputs(Inputs):
    """One source frame.

    native: the clip itself. network: the networks' input (`formats.network_clip`), and gray: luma at full size
    (`formats.gray_clip`), each for a flow stage that needs it. flow: to the next source frame and back
    (`ahead.flow_clip`), where it is found ahead.
    """

    native: vs.VideoNode
    network: vs.VideoNode | None = None
    gray: vs.VideoNode | None = None
    flow: vs.VideoNode | None = None


@dataclass(frozen=True, kw_only=True)
class AroundInputs(Inputs):
    """What lies around a pair: its previous and its next source frame.

    previous_plan, next_plan: as `PairInputs.plan`, for the previous pair (previous, first) and the next (second, next).
    """

    previous: SourceInputs
    next: SourceInputs
    previous_plan: vs.VideoNode
    next_plan: vs.VideoNode


@dataclass(frozen=True, kw_only=True)
class PairInputs(Inputs):
    """Both frames of a pair, and the properties that say what happens between them (see `pairs.Moment`).

    around: the frames around the pair, where motion may be curved.
    """

    first: SourceInputs
    second: SourceInputs
    plan: vs.VideoNode
    around: AroundInputs | None = None

    @property
    def previous_pair(self) -> PairInputs | None:
        """The previous frame and the first one."""
        if self.around is None:
            return None
        return PairInputs(first=self.around.previous, second=self.first, plan=self.around.previous_plan)

    @property
    def next_pair(self) -> PairInputs | None:
        """The second frame and the next one."""
        if self.around is None:
            return None
        return PairInputs(first=self.second, second=self.around.next, plan=self.around.next_plan)
