"""`motion()`: the flow between frames, visibility and occlusion as clips, for masks and for looking at them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple, Unpack

import cv2
import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.clips import cuts, durations, formats, frames
from vs_slomo.engine.engine import Pair
from vs_slomo.model.superslomo import Flows
from vs_slomo.model.warp import backwarp, pixel_grid, resize_field
from vs_slomo.timing.positions import Times, Timing

from .options import Options, check, check_options
from .pairs import Moment, Pairs, feed
from .record import MovingOptions, Shown

COLOURED = 1 / 40
"""Of the clip's width: the length of a flow that has its full colour by default."""


class MotionClips(NamedTuple):
    """Frame n of each clip tells of the pair of frames n and n + 1; of the last frame and itself at the end.

    forward: RGBS on the pixels of frame n. Plane R is how far the pixel moves to the right until frame n + 1, plane G
        how far downwards, plane B the length of both, all in pixels of the clip.
    backward: the same on the pixels of frame n + 1, back to frame n.
    visibility: GRAYS on the pixels of the frame at t: frame n's share in [0, 1] in what is seen of both
        (the paper's V0; 1 - V0 is frame n + 1's).
    occluded: GRAYS on the pixels of frame n: 1 where frame n + 1 does not show them, else 0.
    revealed: GRAYS on the pixels of frame n + 1: 1 where frame n did not show them, else 0.
    view: RGB24, `forward` in colours: the hue is the direction (red to the right, then clockwise yellow-green
        downwards, cyan to the left, violet upwards), white stands still.

    Where both frames are the same, and at a cut, flow is 0 and visibility 1/2; at a cut occluded and revealed are 1.
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
        visibility=layers.clip(vs.GRAYS, lambda _, pair: layers.visibility(pair, t), still=0.5, cut=0.5, bent=True),
        occluded=layers.clip(vs.GRAYS, layers.occluded, cut=1),
        revealed=layers.clip(vs.GRAYS, layers.revealed, cut=1),
        view=coloured(forward, span),
    )


def shown(what: Shown, out: vs.VideoNode, clip: vs.VideoNode, times: Times, options: Options) -> vs.VideoNode:
    """Return `out`, made of `clip` by `times`, with what it was made by in place of its pictures, in its format.

    "flow": the view of `MotionClips`. "visibility": that of frame k, white is 1. "t": `out` itself, and on it which
    source frame, and how far from there to the next.
    """
    if what == "t":
        plan = feed(clip, times, options, options.cuts(clip))[-1]
        told = out.std.ModifyFrame([out, plan], lambda n, f: with_moment(f[0], Moment.of(n, times, f[1])))
        return told.text.FrameProps(props=["SlomoFrame", "SlomoT"])
    layers = Layers(clip, times, options)
    if what == "flow":
        picture = coloured(layers.clip(vs.RGBS, layers.forward), None)
    else:
        gray = layers.clip(
            vs.GRAYS, lambda moment, pair: layers.visibility(pair, float(moment.t)), still=0.5, cut=0.5, bent=True
        )
        picture = vs.core.std.ShufflePlanes([gray] * 3, [0, 0, 0], vs.RGB)
    matrix = {} if out.format.color_family == vs.RGB else {"matrix": vs.MATRIX_BT709}
    return picture.resize.Bilinear(format=out.format.id, **matrix).std.CopyFrameProps(out, props=[cuts.NEXT, cuts.PREV])


class Layers:
    """What is known of the pairs that `times` leads to, as clips that share every pair's flow."""

    def __init__(self, clip: vs.VideoNode, times: Times, options: Options) -> None:
        self.times, self.size = times, (clip.height, clip.width)
        self.pairs, self.lock = Pairs(options, times.frames), threading.Lock()
        cut = options.cuts(clip)
        self.fed = {bent: feed(clip, times, replace(options, curved=bent), cut) for bent in {False, options.curved}}

    def clip(
        self,
        pixels: int,
        layer: Callable[[Moment, Pair], Tensor],
        *,
        still: float = 0,
        cut: float = 0,
        bent: bool = False,
    ) -> vs.VideoNode:
        """Return a layer as a clip: frame n is layer(its moment, its pair), (1, C, H, W).

        still, cut: the value where both frames are the same, and at a cut. bent: with what the frames around say of the
        motion, where they are looked at.
        """
        fed, find = (
            (self.fed[self.pairs.options.curved], self.pairs.get) if bent else (self.fed[False], self.pairs.even)
        )
        blank = fed[0].std.BlankClip(format=pixels, keep=True)

        def fill(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
            *f, out = f
            out = out.copy()
            for frame in f[:2]:
                formats.check_progressive(frame)
            planes, moment = range(out.format.num_planes), Moment.of(n, self.times, f[-1])
            flat = torch.full((1, len(planes), *self.size), cut if moment.cut else still)
            frames.write_planes(out, planes, flat)
            if not moment.cut:
                with torch.inference_mode(), self.lock:
                    pair = find(moment, f)
                    if pair is not None:
                        frames.write_planes(out, planes, layer(moment, pair), pair.box)
            return out

        kept = [durations.NUM, durations.DEN, "_SARNum", "_SARDen"]
        return blank.std.ModifyFrame([*fed, blank], fill).std.CopyFrameProps(fed[0], props=kept)

    def flows(self, pair: Pair) -> Flows:
        """Return F01 and F10 in pixels of the clip, (1, 2, H, W), without its bars."""
        ratio = 1.0 if pair.finer else 1 / self.pairs.options.settings.scale
        f01, f10 = (resize_field(f.float(), ratio, ratio) * ratio for f in pair.finest)
        return pair.within(f01), pair.within(f10)

    def forward(self, _moment: Moment, pair: Pair) -> Tensor:
        """F01 and its length."""
        return with_length(self.flows(pair)[0])

    def backward(self, _moment: Moment, pair: Pair) -> Tensor:
        """F10 and its length."""
        return with_length(self.flows(pair)[1])

    def occluded(self, _moment: Moment, pair: Pair) -> Tensor:
        """Frame 0's pixels that frame 1 does not show."""
        return occlusion(*self.flows(pair))

    def revealed(self, _moment: Moment, pair: Pair) -> Tensor:
        """Frame 1's pixels that frame 0 does not show."""
        return occlusion(*self.flows(pair)[::-1])

    def visibility(self, pair: Pair, t: float) -> Tensor:
        """V0 of the frame at t."""
        logit = self.pairs.engine.motion(pair, t).logit
        ratio = 1.0 if pair.finer else 1 / self.pairs.options.settings.scale
        return pair.within(torch.sigmoid(resize_field(logit, ratio, ratio)))


def with_length(flow: Tensor) -> Tensor:
    """Return (1, 3, H, W): the flow and its length."""
    return torch.cat((flow, flow.norm(dim=1, keepdim=True)), dim=1)


def occlusion(there: Tensor, back: Tensor) -> Tensor:
    """Return 1 where a pixel is not seen in the other frame, else 0, (B, 1, H, W).

    there, back: flows from this frame to the other and back, (B, 2, H, W). A pixel is seen where both lead to the
    same place and back (Sundaram et al., ECCV 2010, equation 5), within the picture.
    """
    returned = backwarp(back, there)
    lost = ((there + returned) ** 2).sum(1, keepdim=True)
    moved = (there**2).sum(1, keepdim=True) + (returned**2).sum(1, keepdim=True)
    height, width = there.shape[-2:]
    place = pixel_grid(height, width, there.device) + there
    x, y = place[:, :1], place[:, 1:]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    hidden: Tensor = outside | (lost > 0.01 * moved + 0.5)
    return hidden.to(there.dtype)


def coloured(flow: vs.VideoNode, span: float | None) -> vs.VideoNode:
    """Return flow in colours, RGB24; a length of `span` pixels has the full colour."""
    span = flow.width * COLOURED if span is None else span
    blank = flow.std.BlankClip(format=vs.RGB24, keep=True)

    def paint(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:  # noqa: ARG001  # the host's names
        out, (x, y, length) = f[0].copy(), (np.asarray(f[1][p]) for p in range(3))
        hue = np.degrees(np.arctan2(y, x)) % 360
        colours = np.stack([hue, (length / span).clip(0, 1), np.ones_like(hue)], axis=2)
        for p, plane in enumerate(cv2.split(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB))):
            np.copyto(np.asarray(out[p]), plane * 255 + 0.5, casting="unsafe")
        return out

    return blank.std.ModifyFrame([blank, flow], paint)


def with_moment(frame: vs.VideoFrame, moment: Moment) -> vs.VideoFrame:
    """Return the frame, and as properties where it lies."""
    out = frame.copy()
    out.props["SlomoFrame"], out.props["SlomoT"] = moment.first, str(moment.t)
    return out
