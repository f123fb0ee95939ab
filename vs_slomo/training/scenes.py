"""Synthetic scenes with known frames and flows, for training, tests and the demonstration.

A scene is a background and shapes in front of it, each a textured layer that moves along a curve, turns, grows
and shrinks, and bends. Time t is any number; one unit is meant as the time between two frames. Frames are
computed at any t, never interpolated, and the flow between any two times follows from the layers' motion.

Positions are pixels, (0, 0) at the centre of the top left pixel; flow follows `warp`'s convention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_slomo.errors import ArgumentError
from vs_slomo.model.warp import pixel_grid

HARMONICS = 4
"""Waves that make a shape's outline."""
ROUNDS = 12
"""Of the fixed-point iteration that undoes the bending; each gains a factor of 4 at least."""
STEEPEST = 0.25
"""Largest slope of the bending: it keeps the iteration converging and the layer unfolded."""
SUBFRAMES = 9
"""Pictures averaged for motion blur."""


@dataclass(frozen=True)
class Scenes:
    """B scenes of L layers each, all of one size; layer 0 is the background, later ones lie in front.

    A layer's point u = (x, y), pixels from its centre, is seen at time t at

        p(t) + s(t) R(t) v  with  u = v + bend(v, t)

    centre, velocity, swing, pace, phase: (B, L, 2); p(t) = centre + velocity * t + swing * sin(pace * t + phase).
    angle, turn: (B, L); R(t) turns by angle + turn * t, radians, clockwise as y points downwards.
    growth: (B, L, 3), amplitude, pace, phase; s(t) = exp(amplitude * sin(pace * t + phase)).
    bend: (B, L, 2, 4), per component amplitude, wave number in x and in y, phase.
    bend_pace: (B, L).
    stretch: (B, L, 2) half axes; outline: (B, L, HARMONICS, 2) amplitude and phase of the radius' waves;
    hole: (B, L) inner radius as a part of the outer one. The background has infinite axes.
    texture: (B, L, 3, h, w) in [0, 1], mirrored at its borders.
    light: (B, 3), amplitude, pace, phase of a gain on the whole frame.
    """

    height: int
    width: int
    centre: Tensor
    velocity: Tensor
    swing: Tensor
    pace: Tensor
    phase: Tensor
    angle: Tensor
    turn: Tensor
    growth: Tensor
    bend: Tensor
    bend_pace: Tensor
    stretch: Tensor
    outline: Tensor
    hole: Tensor
    texture: Tensor
    light: Tensor

    def to(self, device: torch.device | str) -> Scenes:
        """Return the same scenes on another device."""
        return Scenes(self.height, self.width, *(getattr(self, name).to(device) for name in _TENSORS))

    @staticmethod
    def stack(scenes: list[Scenes]) -> Scenes:
        """Join scenes of one size and number of layers."""
        first = scenes[0]
        joined = (torch.cat([getattr(s, name) for s in scenes]) for name in _TENSORS)
        return Scenes(first.height, first.width, *joined)

    def layers(self, first: int, last: int | None) -> Scenes:
        """Return some of the layers, in the same light."""
        parts = {name: getattr(self, name)[:, first:last] for name in _LAYERED}
        return Scenes(self.height, self.width, **parts, light=self.light)

    @staticmethod
    def in_front(scenes: list[Scenes]) -> Scenes:
        """Join the layers of scenes of one size, each in front of those before it, in the light of the first."""
        first = scenes[0]
        joined = {name: torch.cat([getattr(s, name) for s in scenes], 1) for name in _LAYERED}
        return Scenes(first.height, first.width, **joined, light=first.light)

    def frames(self, t: float | Tensor, shutter: float = 0.0) -> Tensor:
        """Return the frames at t, (B, 3, H, W) in [0, 1].

        t: a number or (B,). shutter: motion blur, how long the shutter is open, in units of t.
        """
        if shutter:
            offsets = torch.linspace(-0.5, 0.5, SUBFRAMES).tolist()
            return torch.stack([self.frames(t + shutter * o) for o in offsets]).mean(0)
        time = self._time(t)
        point = self._to_layer(time)
        batch, layers = point.shape[:2]
        h, w = self.texture.shape[-2:]
        span = torch.tensor([w, h], device=point.device).view(1, 1, 2, 1, 1)
        grid = (2 * point / span).flatten(0, 1).permute(0, 2, 3, 1)
        colour = F.grid_sample(
            self.texture.flatten(0, 1), grid, mode="bilinear", padding_mode="reflection", align_corners=False
        ).view(batch, layers, 3, self.height, self.width)
        cover = self._cover(point, time)
        frame = colour[:, 0]
        for k in range(1, layers):
            frame = torch.lerp(frame, colour[:, k], cover[:, k, None])
        amplitude, pace, phase = self.light.unbind(1)
        gain = 1 + amplitude * torch.sin(pace * time + phase)
        return (frame * gain.view(-1, 1, 1, 1)).clamp(0, 1)

    def flows(self, t_a: float | Tensor, t_b: float | Tensor) -> Tensor:
        """Return where each pixel of the frame at t_a is at t_b, relative to where it is, (B, 2, H, W)."""
        return self._follow(t_a, t_b)[0]

    def visible(self, t_a: float | Tensor, t_b: float | Tensor) -> Tensor:
        """Which pixels of the frame at t_a are seen at t_b, (B, H, W) bool: inside, not covered, no mixed edge."""
        flow, layer, mixed = self._follow(t_a, t_b)
        point = pixel_grid(self.height, self.width, flow.device) + flow
        inside = (
            (point[:, 0] >= 0) & (point[:, 0] <= self.width - 1) & (point[:, 1] >= 0) & (point[:, 1] <= self.height - 1)
        )
        time = self._time(t_b)
        u = self._to_layer(time, point.unsqueeze(1))
        number = torch.arange(u.shape[1], device=flow.device).view(1, -1, 1, 1)
        # Two pixels to spare at every edge: bilinear sampling reads the neighbours.
        in_front = (self._cover(u, time, margin=2.0) > 0) & (number > layer.unsqueeze(1))
        within = (self._cover(u, time, margin=-2.0) == 1).gather(1, layer.unsqueeze(1)).squeeze(1)
        return inside & ~in_front.any(1) & within & ~mixed

    def _time(self, t: float | Tensor) -> Tensor:
        """Return t as (B,)."""
        time = torch.as_tensor(t, dtype=torch.float32, device=self.centre.device)
        return time.expand(len(self.centre))

    def _pose(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Position, (B, L, 2, 1, 1); cosine and sine of the angle times the scale; the scale: (B, L, 1, 1)."""
        time = time.view(-1, 1)
        position = self.centre + self.velocity * time.unsqueeze(2)
        position = position + self.swing * torch.sin(self.pace * time.unsqueeze(2) + self.phase)
        amplitude, pace, phase = self.growth.unbind(2)
        scale = torch.exp(amplitude * torch.sin(pace * time + phase))
        angle = self.angle + self.turn * time
        shape = (*scale.shape, 1, 1)
        return (
            position[..., None, None],
            (scale * angle.cos()).view(shape),
            (scale * angle.sin()).view(shape),
            scale.view(shape),
        )

    def _bending(self, v: Tensor, time: Tensor) -> Tensor:
        """bend(v, t): (B, L, 2, H, W) as v."""
        amplitude, kx, ky, phase = (x[..., None, None] for x in self.bend.unbind(3))
        moved = phase + (self.bend_pace * time.view(-1, 1))[:, :, None, None, None]
        return amplitude * torch.sin(kx * v[:, :, :1] + ky * v[:, :, 1:] + moved)

    def _to_layer(self, time: Tensor, point: Tensor | None = None) -> Tensor:
        """Which point of each layer is seen at a point of the picture: (B, L, 2, H, W); default: every pixel."""
        if point is None:
            point = pixel_grid(self.height, self.width, self.centre.device).unsqueeze(1)
        position, cosine, sine, scale = self._pose(time)
        x, y = (point - position).unbind(2)
        v = torch.stack((cosine * x + sine * y, cosine * y - sine * x), 2) / scale.unsqueeze(2) ** 2
        return v + self._bending(v, time)

    def _from_layer(self, u: Tensor, time: Tensor) -> Tensor:
        """Undo `_to_layer`."""
        v = u
        for _ in range(ROUNDS):
            v = u - self._bending(v, time)
        position, cosine, sine, _ = self._pose(time)
        x, y = v.unbind(2)
        return position + torch.stack((cosine * x - sine * y, sine * x + cosine * y), 2)

    def _cover(self, u: Tensor, time: Tensor, margin: float = 0.0) -> Tensor:
        """How much of each pixel a layer covers, (B, L, H, W), its shape grown by `margin` pixels."""
        reach = u / self.stretch[..., None, None]
        radius = reach.square().sum(2).sqrt()
        turn = torch.atan2(reach[:, :, 1], reach[:, :, 0])
        edge = torch.ones_like(radius)
        for k in range(HARMONICS):
            amplitude, phase = (x[..., None, None] for x in self.outline[:, :, k].unbind(2))
            edge = edge + amplitude * torch.cos((k + 2) * turn + phase)
        hole = self.hole[..., None, None] * edge
        size = self.stretch.min(2).values[..., None, None] * self._pose(time)[3]
        # Distance from the outline in pixels, nearly: negative inside.
        outside = torch.maximum(radius - edge, hole - radius) * size
        cover = (0.5 + margin - outside).clamp(0, 1)
        return torch.where(size.isinf(), torch.ones_like(cover), cover)

    def _follow(self, t_a: float | Tensor, t_b: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Flow (B, 2, H, W); the layer seen at each pixel (B, H, W); whether an edge runs through it."""
        here, there = self._time(t_a), self._time(t_b)
        u = self._to_layer(here)
        cover = self._cover(u, here)
        layer = torch.zeros(cover[:, 0].shape, dtype=torch.int64, device=cover.device)
        mixed = torch.zeros_like(layer, dtype=torch.bool)
        for k in range(1, cover.shape[1]):
            layer = torch.where(cover[:, k] > 0.5, k, layer)
            mixed = torch.where(cover[:, k] == 1, False, mixed | (cover[:, k] > 0))
        flow = self._from_layer(u, there) - pixel_grid(self.height, self.width, cover.device).unsqueeze(1)
        seen = layer[:, None, None].expand(-1, 1, 2, -1, -1)
        return flow.gather(1, seen).squeeze(1), layer, mixed


_TENSORS = [f.name for f in fields(Scenes) if f.name not in ("height", "width")]
_LAYERED = [name for name in _TENSORS if name != "light"]


@dataclass(frozen=True)
class Scene:
    """One scene: what `Scenes` does, without the leading axis."""

    batch: Scenes

    @staticmethod
    def random(
        seed: int,
        height: int,
        width: int,
        textures: Tensor | None = None,
        *,
        layers: int = 6,
        speed: float | None = None,
        lighting: float = 0.0,
    ) -> Scene:
        """Make a scene; the same arguments always make the same one.

        textures: (N, 3, h, w) in [0, 1], pictures to cut the layers from; none: patterns are made up.
        layers: background included; the foremost is a thin bar that moves at twice the speed.
        speed: the shapes' largest, pixels per unit of t; default: a fiftieth of the width.
        lighting: largest change of the frame's brightness over time, as a part of it.
        """
        if height < 16 or width < 16:
            raise ArgumentError("height, width", (height, width), "at least 16 each")
        if layers < 1:
            raise ArgumentError("layers", layers, "at least 1")
        return Scene(random_scenes([seed], height, width, textures, layers, speed, lighting))

    def frame(self, t: float, shutter: float = 0.0) -> Tensor:
        """Return the frame at t, (3, H, W) in [0, 1]; see `Scenes.frames`."""
        return self.batch.frames(t, shutter)[0]

    def flow(self, t_a: float, t_b: float) -> Tensor:
        """Return where each pixel of the frame at t_a is at t_b, relative to where it is: (2, H, W) pixels."""
        return self.batch.flows(t_a, t_b)[0]

    def visible(self, t_a: float, t_b: float) -> Tensor:
        """Which pixels of the frame at t_a are seen at t_b, (H, W) bool."""
        return self.batch.visible(t_a, t_b)[0]


def random_scenes(
    seeds: list[int],
    height: int,
    width: int,
    textures: Tensor | None = None,
    layers: int = 6,
    speed: float | None = None,
    lighting: float = 0.0,
) -> Scenes:
    """Make one scene a seed, see `Scene.random`; a seed's scene does not depend on the others."""
    top = width / 50 if speed is None else speed
    return Scenes.stack([_random(s, height, width, textures, layers, top, lighting) for s in seeds])


def _random(
    seed: int, height: int, width: int, textures: Tensor | None, layers: int, speed: float, lighting: float
) -> Scenes:
    """Draw one scene."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    turn = 2 * math.pi
    size = torch.tensor([width, height], dtype=torch.float32)
    centre = draw(layers, 2) * (size - 1)
    centre[0] = (size - 1) / 2
    # Speeds from slow to fast alike; the background keeps to half.
    fast = speed * draw(layers, 1, low=0.1, high=1.0)
    fast[0] /= 2
    pace = draw(layers, 2, low=0.15, high=0.5)
    heading = turn * draw(layers, 1)
    swing = fast / pace * torch.cat((heading.cos(), heading.sin()), 1)
    small = min(height, width)
    stretch = draw(layers, 2, low=0.08, high=0.28) * small
    outline = torch.stack((draw(layers, HARMONICS, low=-0.12, high=0.12), turn * draw(layers, HARMONICS)), 2)
    hole = torch.where(draw(layers) < 0.2, draw(layers, low=0.3, high=0.7), -1.0)
    turns = draw(layers, low=-1, high=1) * speed / (0.3 * small)
    growth = torch.stack((draw(layers, high=0.15), draw(layers, low=0.1, high=0.4), turn * draw(layers)), 1)
    waves = draw(layers, 2, 2, low=-1, high=1) * turn / (0.4 * small)
    slope = waves.abs().sum(2).clamp(min=1e-6)
    # Both components' slopes add up, so each may have half.
    amplitude = draw(layers, 2) * STEEPEST / 2 / slope
    bend = torch.cat((amplitude.unsqueeze(2), waves, turn * draw(layers, 2, 1)), 2)
    bend[0, :, 0] *= 0.3
    stretch[0] = math.inf
    outline[0] = 0
    hole[0] = -1
    turns[0] *= 0.2
    if layers > 1:
        stretch[-1] = torch.tensor([0.3 * small, max(1.5, 0.008 * small)])
        swing[-1] *= 2 * speed / fast[-1]
        outline[-1] = 0
        hole[-1] = -1
        bend[-1, :, 0] = 0
    parts = {
        "centre": centre,
        "velocity": torch.zeros(layers, 2),
        "swing": swing,
        "pace": pace,
        "phase": turn * draw(layers, 2),
        "angle": turn * draw(layers),
        "turn": turns,
        "growth": growth,
        "bend": bend,
        "bend_pace": draw(layers, low=-0.4, high=0.4),
        "stretch": stretch,
        "outline": outline,
        "hole": hole,
        "texture": _textures(generator, layers, height, width, textures),
        "light": torch.tensor([lighting, 0.3 + 0.7 * float(draw(1)), turn * float(draw(1))]),
    }
    parts["angle"][0] = 0
    return Scenes(height, width, **{k: v.unsqueeze(0) for k, v in parts.items()})


def _textures(generator: torch.Generator, layers: int, height: int, width: int, textures: Tensor | None) -> Tensor:
    """One texture a layer, (L, 3, h, w), as large as the picture and half as much again."""
    h, w = height * 3 // 2, width * 3 // 2
    if textures is None:
        return torch.stack([pattern(generator, h, w) for _ in range(layers)])
    chosen = []
    for _ in range(layers):
        picture = textures[int(torch.randint(len(textures), (), generator=generator))]
        high, wide = (min(a, b) for a, b in zip(picture.shape[1:], (h, w), strict=True))
        y = int(torch.randint(picture.shape[1] - high + 1, (), generator=generator))
        x = int(torch.randint(picture.shape[2] - wide + 1, (), generator=generator))
        cut = picture[None, :, y : y + high, x : x + wide]
        if cut.shape[-2:] != (h, w):
            cut = F.interpolate(cut, (h, w), mode="bilinear", align_corners=False)
        chosen.append(cut[0])
    return torch.stack(chosen)


def pattern(generator: torch.Generator, height: int, width: int) -> Tensor:
    """Make up a texture, (3, H, W) in [0, 1]: a colour with grain of five sizes, the finest 3 pixels."""
    ground = 0.2 + 0.6 * torch.rand((1, 3, 1, 1), generator=generator)
    strength = 0.35 + 0.45 * float(torch.rand((), generator=generator))
    total = ground.expand(1, 3, height, width)
    for octave in range(5):
        cell = 3 * 2**octave
        grid = torch.rand((1, 3, height // cell + 2, width // cell + 2), generator=generator) - 0.5
        # Mostly light and dark of one colour, as in most things.
        grid = torch.lerp(grid, grid.mean(1, keepdim=True) * 1.5, 0.85)
        total = total + strength * 0.8 ** (4 - octave) * F.interpolate(
            grid, (height, width), mode="bicubic", align_corners=False
        )
    return total.clamp(0, 1)[0]
