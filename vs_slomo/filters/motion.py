"""`motion()`: clips of flow, visibility and occlusion between frames, to make masks of or to look at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple, Unpack

import cv2
import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import formats, frames
from vs_slomo.clips.properties import view_of
from vs_slomo.engine.pair import Pair
from vs_slomo.model.flow import resized
from vs_slomo.model.steady import sigmoid
from vs_slomo.model.warp import Flows, pixel_grid, resize_field, round_trip
from vs_slomo.timing.positions import Times, Timing

from .inputs import Inputs, PairInputs
from .options import Options, check, check_options
from .pairs import Moment, PairFinder, frame_inputs
from .record import MovingOptions, Shown

COLOURED = 1 / 40
"""The length of a flow that has its full colour by default, as a part of the clip's width."""


class MotionClips(NamedTuple):
    """Frame n of each clip describes the pair of frames n and n + 1. The last frame is paired with itself.

    forward: RGBS, for the pixels of frame n. Plane R is how far the pixel moves to the right until frame n + 1, plane
        G how far it moves down, plane B the length of that vector; in pixels of the clip.
    backward: the same for the pixels of frame n + 1, back to frame n.
    visibility: GRAYS, for the pixels of the frame at t: frame n's visibility in [0, 1] (the paper's V0; frame n + 1's
        is 1 - V0).
    occluded: GRAYS, for the pixels of frame n: 1 where frame n + 1 does not show them, else 0.
    revealed: GRAYS, for the pixels of frame n + 1: 1 where frame n does not show them, else 0.
    view: RGB24, `forward` in colours. The hue is the direction: red to the right, then clockwise yellow-green down,
        cyan to the left, violet up. White does not move.

    Where both frames are the same, and at a cut, flow is 0 and visibility 1/2. At a cut occluded and revealed are 1.
    """

    forward: vs.VideoNode
    backward: vs.VideoNode
    visibility: vs.VideoNode
    occluded: vs.VideoNode
    revealed: vs.VideoNode
    view: vs.VideoNode


def motion(
    clip: vs.VideoNode, *, t: float = 0.5, span: float | None = None, **options: Unpack[MovingOptions]
) -> MotionClips:
    """Return what moves from frame to frame, as clips of the same size and length.

    t: the moment between both frames, in (0, 1), that `visibility` shows.
    span: how many pixels of flow have the full colour in `view`; None is a fortieth of the width.
    options: those of `slomo` from `model` to `range`.

    Flow and masks cost one run of the flow network for each pair, `visibility` one of the second network more.
    Raises ArgumentError, FormatError or WeightsError when the script loads.
    """
    told = check(("t", "span"), locals())
    t, span = told["t"], told["span"]
    clip = formats.check_clip(clip)
    checked = check_options((clip.width, clip.height), "motion", **options)
    times = Timing(clip.num_frames, Fraction(1))
    layers = Layers(clip, times, checked)
    forward = layers.clip(vs.RGBS, layers.forward)
    return MotionClips(
        forward=forward,
        backward=layers.clip(vs.RGBS, layers.backward),
        visibility=layers.clip(vs.GRAYS, lambda _, pair: layers.visibility(pair, t), still=0.5, cut=0.5, curved=True),
        occluded=layers.clip(vs.GRAYS, layers.occluded, cut=1),
        revealed=layers.clip(vs.GRAYS, layers.revealed, cut=1),
        view=coloured(forward, span),
    )


def shown(what: Shown, out: vs.VideoNode, clip: vs.VideoNode, times: Times, options: Options) -> vs.VideoNode:
    """Return, in place of the pictures of `out`, what they were made by. It has the format of `out`.

    out: made of `clip` by `times`. "flow": the view of `MotionClips`. "visibility": frame k's, white is 1. "t": `out`
    itself, with the source frame and the part of the way to the next one written on it.
    """
    if what == "t":
        plan = frame_inputs(clip, times, options, options.cuts(clip)).plan
        marked = out.std.ModifyFrame([out, plan], lambda n, f: with_moment(f[0], Moment.of(n, times, f[1])))
        return marked.text.FrameProps(props=["SlomoFrame", "SlomoT"])
    layers = Layers(clip, times, options)
    if what == "flow":
        picture = coloured(layers.clip(vs.RGBS, layers.forward), None)
    else:
        gray = layers.clip(
            vs.GRAYS, lambda moment, pair: layers.visibility(pair, float(moment.t)), still=0.5, cut=0.5, curved=True
        )
        picture = vs.core.std.ShufflePlanes([gray] * 3, [0, 0, 0], vs.RGB).std.SetFrameProps(_Matrix=vs.MATRIX_RGB)
    matrix = {} if out.format.color_family == vs.RGB else {"matrix": vs.MATRIX_BT709}
    limited = out.format.color_family == vs.YUV and out.format.sample_type == vs.INTEGER
    return view_of(out, picture.resize.Bilinear(format=out.format.id, range=int(not limited), **matrix))


@dataclass(frozen=True, kw_only=True)
class LayerInputs(Inputs):
    """What a layer is made from: a pair, and an empty frame in the layer's format."""

    pair: PairInputs
    blank: vs.VideoNode


class Layers:
    """What is known of the pairs that `times` leads to, as clips. They share every pair's flow."""

    def __init__(self, clip: vs.VideoNode, times: Times, options: Options) -> None:
        self.times, self.size = times, (clip.height, clip.width)
        self.finder, self.lock = PairFinder(options, times.frames), threading.Lock()
        cut = options.cuts(clip)
        self.straight = frame_inputs(clip, times, replace(options, curved=False), cut)
        self.curved = frame_inputs(clip, times, options, cut) if options.curved else self.straight

    def clip(
        self,
        pixels: int,
        layer: Callable[[Moment, Pair], Tensor],
        *,
        still: float = 0,
        cut: float = 0,
        curved: bool = False,
    ) -> vs.VideoNode:
        """Return a layer as a clip: frame n is layer(its moment, its pair), (1, C, H, W).

        pixels: the clip's format. still, cut: the value where both frames are the same, and at a cut. curved: use the
        motion as the frames around the pair bend it, if the options ask for it.
        """
        fed, find = (self.curved, self.finder.pair) if curved else (self.straight, self.finder.straight_pair)
        blank = fed.first.native.std.BlankClip(format=pixels, keep=True)
        inputs = LayerInputs(pair=fed, blank=blank)

        def fill(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
            given = inputs.frames(f)
            out, pair = given.blank.copy(), given.pair
            for source in (pair.first, pair.second):
                formats.check_progressive(source.native)
            planes, moment = range(out.format.num_planes), Moment.of(n, self.times, pair.plan)
            flat = torch.full((1, len(planes), *self.size), cut if moment.cut else still)
            frames.write_planes(out, planes, flat)
            if not moment.cut:
                with torch.inference_mode(), self.lock:
                    found = find(moment, pair)
                    if found is not None:
                        frames.write_planes(out, planes, layer(moment, found), found.box)
            return out

        return view_of(fed.first.native, blank.std.ModifyFrame(inputs.clips, fill))

    def flows(self, pair: Pair) -> Flows:
        """Return F01 and F10 in pixels of the clip, (1, 2, H, W), without the bars."""
        f01, f10 = resized(pair.finest, 1 / pair.ratio)
        return pair.in_box(f01), pair.in_box(f10)

    def forward(self, _moment: Moment, pair: Pair) -> Tensor:
        """Return F01 and its length."""
        return with_length(self.flows(pair)[0])

    def backward(self, _moment: Moment, pair: Pair) -> Tensor:
        """Return F10 and its length."""
        return with_length(self.flows(pair)[1])

    def occluded(self, _moment: Moment, pair: Pair) -> Tensor:
        """Return 1 for frame 0's pixels that frame 1 does not show."""
        return occlusion(*self.flows(pair))

    def revealed(self, _moment: Moment, pair: Pair) -> Tensor:
        """Return 1 for frame 1's pixels that frame 0 does not show."""
        return occlusion(*self.flows(pair)[::-1])

    def visibility(self, pair: Pair, t: float) -> Tensor:
        """Return V0 of the frame at t."""
        motion = self.finder.engine.motion(pair, t)
        grow_x, grow_y = (1 / own for own in motion.ratio)
        return pair.in_box(sigmoid(resize_field(motion.logit, grow_x, grow_y)))


def with_length(flow: Tensor) -> Tensor:
    """Return (1, 3, H, W): a flow (1, 2, H, W) and its length."""
    return torch.cat((flow, flow.norm(dim=1, keepdim=True)), dim=1)


def occlusion(there: Tensor, back: Tensor) -> Tensor:
    """Return 1 where the other frame does not show a pixel, else 0, (B, 1, H, W).

    there, back: flows from this frame to the other and back, (B, 2, H, W) pixels. A pixel is seen where the flow leads
    into the picture, and both flows together lead back to it (see `warp.round_trip`).
    """
    missed, allowed = round_trip(there, back)
    height, width = there.shape[-2:]
    place = pixel_grid(height, width, there.device) + there
    x, y = place[:, :1], place[:, 1:]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    hidden: Tensor = outside | (missed > allowed)
    return hidden.to(there.dtype)


def coloured(flow: vs.VideoNode, span: float | None) -> vs.VideoNode:
    """Return a flow clip in colours, RGB24. span: the length in pixels that has the full colour."""
    span = flow.width * COLOURED if span is None else span
    blank = flow.std.BlankClip(format=vs.RGB24, keep=True)

    def paint(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:  # noqa: ARG001  # the host's names
        picture, vectors = f
        out, (x, y, length) = picture.copy(), (np.asarray(vectors[p]) for p in range(3))
        hue = np.degrees(np.arctan2(y, x)) % 360
        colours = np.stack([hue, (length / span).clip(0, 1), np.ones_like(hue)], axis=2)
        for p, plane in enumerate(cv2.split(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB))):
            np.copyto(np.asarray(out[p]), plane * 255 + 0.5, casting="unsafe")
        return out

    return view_of(flow, blank.std.ModifyFrame([blank, flow], paint))


def with_moment(frame: vs.VideoFrame, moment: Moment) -> vs.VideoFrame:
    """Return the frame with its moment as properties."""
    out = frame.copy()
    out.props["SlomoFrame"], out.props["SlomoT"] = moment.first, str(moment.t)
    return out
