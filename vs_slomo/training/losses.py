"""What a batch costs: every part is one value a sample, so that any split of a batch has the same mean.

PSNR is a logarithm: what counts is by which part an error shrinks, in easy and hard frames alike. So errors of
pictures are divided by what DIS flow leaves on the whole frame of that window; 1 is as good as DIS.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_slomo.errors import WeightsError
from vs_slomo.model.superslomo import Motion, SuperSloMo, flows_at, network_input
from vs_slomo.model.unet import enlarged
from vs_slomo.model.warp import Flows, backwarp, resize_field, round_trip

from .cache import FLOW_SCALE
from .config import Weights
from .samples import Sample
from .scenes import Scenes

L1_FLOOR = 0.004
BANDS = 4
"""Of a Laplacian pyramid, beside what is left."""
MSE_FLOOR = 4e-5
"""Added to DIS's errors, of 1, before anything is divided by them: 44 dB need not get better."""

Losses = dict[str, Tensor]
"""Parts of the loss by their names in `config.Weights`, each (B,)."""


def mean(x: Tensor) -> Tensor:
    """Mean of everything but the first axis: (B, ...) to (B,)."""
    return x.flatten(1).mean(1)


def frame_loss(picture: Tensor, truth: Tensor, error: Tensor) -> Tensor:
    """Return the mean of absolute and squared error, each divided by DIS's, in logarithms, (B,). error: DIS's, (B, 2).

    0 is perfect, 1 as good as DIS. The logarithm holds down crops that nothing can get right.
    """
    difference = picture - truth
    l1 = mean(difference.abs()) / (error[:, 0] + L1_FLOOR)
    mse = mean(difference.square()) / (error[:, 1] + MSE_FLOOR)
    return (l1.log1p() + mse.log1p()) / (2 * math.log(2))


def pyramid(picture: Tensor) -> list[Tensor]:
    """Return what each doubling of a picture's size adds, finest first, and the smallest one, (B, C, h, w) each."""
    bands = []
    for _ in range(BANDS):
        small = F.avg_pool2d(picture, 2)
        bands.append(picture - enlarged(small))
        picture = small
    return [*bands, picture]


def detail_loss(picture: Tensor, truth: Tensor, error: Tensor) -> Tensor:
    """Absolute error of the bands of a Laplacian pyramid as a part of DIS's absolute error, (B,); error: (B, 2).

    Each coarser band counts twice as much a pixel. On a logarithmic scale, as `frame_loss`.
    """
    bands = pyramid(picture - truth)  # it is linear
    total = torch.stack([2**k * mean(band.abs()) for k, band in enumerate(bands)]).sum(0) / len(bands)
    return (total / (error[:, 0] + L1_FLOOR)).log1p() / math.log(2)


def visible_loss(motion: Motion, agrees: Tensor) -> Tensor:
    """Cross entropy of frame 0's weight and of which end the truth agrees with, (B,).

    agrees: (B, 1, H, W), 1 (frame 0) to -1 (frame 1); the nearer to 0, the less it counts.
    """
    t = torch.as_tensor(motion.t, device=agrees.device)
    logit = motion.logit + torch.log((1 - t) / t)
    return mean(agrees.square() * F.softplus(-logit * agrees.sign()))


def warping_loss(i0: Tensor, i1: Tensor, flows: Flows, error: Tensor) -> Tensor:
    """Return the paper's l_w between both frames, (B,), as a part of DIS's absolute error."""
    f01, f10 = flows
    l1 = mean((i0 - backwarp(i1, f01)).abs()) + mean((i1 - backwarp(i0, f10)).abs())
    return l1 / (error[:, 0] + L1_FLOOR)


def smoothness_loss(flows: Flows) -> Tensor:
    """Return the paper's l_s: mean absolute gradient of both flows, (B,), pixels a pixel."""
    parts = [
        mean((f.narrow(axis, 1, f.shape[axis] - 1) - f.narrow(axis, 0, f.shape[axis] - 1)).abs())
        for f in flows
        for axis in (2, 3)
    ]
    return torch.stack(parts).sum(0)


def flow_loss(flows: Flows, labels: Flows, trust: Flows | None = None) -> Tensor:
    """Endpoint error of both flows as a part of 1 + mean motion, (B,).

    trust: what each pixel of a label counts, (B, 1, H, W).
    """
    total = torch.zeros(len(flows[0]), device=flows[0].device)
    for k, (flow, label) in enumerate(zip(flows, labels, strict=True)):
        distance = ((flow - label).square().sum(1, keepdim=True) + 1e-4).sqrt()
        if trust is not None:
            distance = distance * trust[k]
        total = total + mean(distance) / (1 + mean(label.square().sum(1).sqrt()))
    return total


def trust_in(i0: Tensor, i1: Tensor, flows: Flows) -> Flows:
    """How far to believe a label, per direction, (B, 1, H, W) in [0, 1].

    Little where the warped frame does not fit, and where the way there and back does not end at its start.
    """
    f01, f10 = flows
    trusts = []
    for here, there, out, back in ((i0, i1, f01, f10), (i1, i0, f10, f01)):
        misfit = (here - backwarp(there, out)).abs().mean(1, keepdim=True)
        loop, _ = round_trip(out, back)
        room = 0.5 + 0.05 * out.square().sum(1, keepdim=True)
        trusts.append(torch.exp(-misfit / 0.04 - loop / room))
    return trusts[0], trusts[1]


class Features(nn.Module):
    """VGG16 up to conv4_3, for the paper's l_p; from torchvision's weights file."""

    LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512)
    """Channels of the convolutions; 0 is a pooling."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for count in self.LAYERS:
            if count:
                layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU()]
                channels = count
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.load_state_dict({k: saved[k] for k in self.state_dict()})
        except (OSError, KeyError, RuntimeError) as error:
            raise WeightsError(f"vgg: {path} does not hold torchvision's VGG16 ({error})") from error
        self.requires_grad_(requires_grad=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Features of (B, 3, H, W) in [0, 1]."""
        mean_ = picture.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = picture.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        features: Tensor = self.features((picture - mean_) / deviation)
        return features


def window_losses(
    model: SuperSloMo,
    batch: Sample,
    scale: float,
    *,
    weights: Weights | None = None,
    fine: bool = True,
    features: Features | None = None,
) -> tuple[Losses, Tensor | None]:
    """Losses of real windows, and the pictures made, (B, 3, S, S), if a loss looks at the motion at t.

    Samples with `own` use the flow network; the others start from the DIS flow that comes with the sample.
    weights: losses with weight 0 are left out.
    fine: render at the frames' resolution, as the filter does; else at the networks', `scale` times that.
    """
    counts = weights or Weights()
    frame0, truth, frame1 = (x.float() / 255 for x in (batch.frame0, batch.truth, batch.frame1))
    i0, i1 = network_input(frame0, scale), network_input(frame1, scale)
    ratio = scale / FLOW_SCALE
    flow, bend = (resize_field(x, ratio, ratio) * ratio for x in (batch.flow, batch.bend))
    losses: Losses = {}
    teacher = resize_field(batch.teacher, ratio, ratio)
    motions = teacher[:, :2] * ratio, teacher[:, 2:4] * ratio
    beliefs = teacher[:, 4:5], teacher[:, 5:6]
    own = batch.own.nonzero().squeeze(1).to(flow.device, non_blocking=True)
    if len(own):
        labels = flow[own, :2], flow[own, 2:]
        pair = i0[own], i1[own]
        found = model.flow(*pair)
        if found[0].requires_grad:
            parts: Losses = {}
            if counts.warping:
                parts["warping"] = warping_loss(*pair, found, batch.error[own])
            if counts.smoothness:
                parts["smoothness"] = smoothness_loss(found)
            if counts.flow:
                parts["flow"] = flow_loss(found, labels, trust_in(*pair, labels))
            if counts.teacher_flow:
                taught = (motions[0][own], motions[1][own]), (beliefs[0][own], beliefs[1][own])
                parts["teacher_flow"] = flow_loss(flows_at(found, batch.t[own]), *taught)
            nothing = torch.zeros(len(flow), device=flow.device)
            losses |= {name: nothing.index_put((own,), value) for name, value in parts.items()}
        flow = flow.index_put((own,), torch.cat(found, 1))
    pictures = counts.frame or counts.detail or features is not None
    if not (pictures or counts.teacher or counts.visible):
        return losses, None
    motion = model.motion(i0, i1, (flow[:, :2], flow[:, 2:]), batch.t, bend=bend)
    if counts.teacher:
        losses["teacher"] = flow_loss((motion.ft0, motion.ft1), motions, beliefs)
    if counts.visible:
        losses["visible"] = visible_loss(motion, teacher[:, 6:])
    if not pictures:
        return losses, None
    if fine:
        picture = motion.resized(1 / scale, 1 / scale).render(frame0, frame1)
    else:
        picture, truth = motion.render(i0, i1), network_input(truth, scale)
    if counts.frame:
        losses["frame"] = frame_loss(picture, truth, batch.error)
    if counts.detail:
        losses["detail"] = detail_loss(picture, truth, batch.error)
    if features is not None:
        losses["perceptual"] = mean((features(picture).float() - features(truth).float()).square())
    return losses, picture


def scene_losses(model: SuperSloMo, scenes: Scenes) -> Losses:
    """Return the flow network's error on scenes, between times 0 and 1, where the flow is exact."""
    with torch.no_grad(), torch.autocast(scenes.centre.device.type, enabled=False):
        i0, i1 = scenes.frames(0.0), scenes.frames(1.0)
        labels = scenes.flows(0.0, 1.0), scenes.flows(1.0, 0.0)
    return {"scene": flow_loss(model.flow(i0, i1), labels)}
