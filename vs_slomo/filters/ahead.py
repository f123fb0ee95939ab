"""Classical flow for a GPU, found by host nodes of their own: the host's threads find it ahead of the device.

gray, k, k+1 -> one node of many, in turns -> F01 and F10 as one float frame, stacked -> PairFinder
"""

from __future__ import annotations

import math

import numpy as np
import torch
import vapoursynth as vs

from vs_slomo.clips.select import select, shifted
from vs_slomo.model.flow import WithClassical
from vs_slomo.model.warp import Flows

from .options import Options

FIELDS = 4
"""x and y of F01, x and y of F10."""


def pays(options: Options) -> bool:
    """Whether flow is found ahead: on a GPU, by a stage with DIS, where every pair is two whole adjacent frames."""
    settings = options.settings
    classical = settings.device != "cpu" and isinstance(settings.stage, WithClassical)
    return classical and options.dedupe is None and options.borders is None


def flow_clip(gray: vs.VideoNode, stage: WithClassical) -> vs.VideoNode:
    """Return DIS flow between each frame and the next, both ways, as the stage finds it: GRAYS, four flows' height.

    gray: GRAY8 at full size. The host runs a node for one frame at a time, so each of its threads gets a node.
    """
    count = max(2, min(vs.core.num_threads, gray.num_frames))
    length = -(-gray.num_frames // count) * count
    width, height = (math.ceil(n * stage.finest) for n in (gray.width, gray.height))
    blank = gray.std.BlankClip(width, FIELDS * height, format=vs.GRAYS, length=length, keep=True)

    def found(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:  # noqa: ARG001  # as the host calls it
        made, (gray0, gray1) = f[0].copy(), (np.asarray(x[0]) for x in f[1:])
        target = np.asarray(made[0])
        if np.array_equal(gray0, gray1):
            target[:] = 0
            return made
        ways = stage.dis(gray0, gray1), stage.dis(gray1, gray0)
        target[:] = torch.cat([flow[0].flatten(0, 1) for flow in ways]).numpy()
        return made

    whole = [select(clip, 1, [0], length) for clip in (gray, shifted(gray, 1))]
    nodes = []
    for turn in range(count):
        fed = [clip.std.SelectEvery(count, turn) for clip in (blank, *whole)]
        nodes.append(fed[0].std.ModifyFrame(fed, found))
    return vs.core.std.Interleave(nodes)[: gray.num_frames]


def read(frame: vs.VideoFrame) -> Flows:
    """Return F01 and F10, each (1, 2, h, w) float32, from a frame of `flow_clip`."""
    stacked = torch.from_numpy(np.array(frame[0])).view(2, 1, 2, frame.height // FIELDS, frame.width)
    return stacked[0], stacked[1]
