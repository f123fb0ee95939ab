"""Figures for synthetic scenes: a trunk, a head and four limbs that swing while the body moves on.

People before a camera that stands still are narrow, move by more than their width, and cross their own legs; both
legs look alike. Shapes that float by themselves have none of this.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .scenes import HARMONICS, Scenes

HEIGHTS = 0.25, 0.9
"""Range of a figure's height, as a part of the picture's."""
TRUNK, HEAD, ARM, LEG = (0.18, 0.08), (0.07, 0.05), (0.17, 0.028), (0.24, 0.045)
"""Half axes, along and across, as parts of the figure's height."""
SHOULDER, HIP, NECK = -0.13, 0.15, -0.24
"""Where limbs and head begin, from the trunk's centre downwards, as a part of the figure's height."""
SPREAD = 0.7
"""How far a limb may be from hanging straight down in the middle of the time, in radians."""
STEEP = 0.3
"""How far a figure may lean, in radians."""
PLAIN = 12
"""Pixels. Smaller details of clothes and skin are weakened."""


def with_figures(scene: Scenes, count: int, speed: float, middle: float, seed: int) -> Scenes:
    """Return one scene with `count` figures behind its foremost layer, the same for the same seed.

    speed: the fastest figure's, pixels a unit of t. middle: the time at which limbs are near where they hang.
    """
    rng = np.random.default_rng(seed)
    figures = [figure(scene, speed * rng.uniform(0.3, 1), middle, rng) for _ in range(count)]
    return Scenes.in_front([scene.layers(0, -1), *figures, scene.layers(-1, None)])


def figure(scene: Scenes, speed: float, middle: float, rng: np.random.Generator) -> Scenes:
    """Draw one figure as layers: far arm, far leg, trunk, head, near leg, near arm."""
    tall = scene.height * rng.uniform(*HEIGHTS)
    # Mostly sideways. At `middle` it is inside the picture.
    heading = rng.normal(0, 0.3) + math.pi * rng.integers(2)
    velocity = speed * np.array((math.cos(heading), math.sin(heading)))
    trunk = rng.uniform(0.15, 0.85, 2) * (scene.width, scene.height) - middle * velocity
    down = math.pi / 2 + rng.uniform(-STEEP, STEEP)
    downwards = np.array((math.cos(down), math.sin(down)))
    # A foot moves about as fast as the body.
    leg, arm = (rng.uniform(-1.5, 1.5) * speed / (2 * tall * length) for length, _ in (LEG, ARM))
    apart = rng.uniform(-SPREAD, SPREAD, 2)
    coat, trousers, skin, hair = (clothing(scene.texture[0], rng) for _ in range(4))
    # Half axes, where it begins, radius of the circle of its middle around there, angle at `middle`, turn, texture.
    parts = [
        (ARM, SHOULDER, ARM[0], down + apart[0], arm, 0.8 * skin),
        (LEG, HIP, LEG[0], down + apart[1], leg, 0.8 * trousers),
        (TRUNK, 0.0, 0.0, down, 0.0, coat),
        (HEAD, NECK, 0.0, down, 0.0, hair),
        (LEG, HIP, LEG[0], down - apart[1], -leg, trousers),
        (ARM, SHOULDER, ARM[0], down - apart[0], -arm, skin),
    ]
    layers = len(parts)
    turns = np.array([turn for *_, turn, _ in parts])
    angles = np.array([angle for *_, angle, _, _ in parts]) - turns * middle
    return Scenes(
        scene.height,
        scene.width,
        centre=as_layers([trunk + begin * tall * downwards for _, begin, *_ in parts]),
        velocity=as_layers([velocity] * layers),
        swing=as_layers([[radius * tall] * 2 for _, _, radius, *_ in parts]),
        pace=as_layers(np.stack((turns, turns), 1)),
        phase=as_layers(np.stack((angles + math.pi / 2, angles), 1)),
        angle=as_layers(angles),
        turn=as_layers(turns),
        growth=torch.zeros(1, layers, 3),
        bend=torch.zeros(1, layers, 2, 4),
        bend_pace=torch.zeros(1, layers),
        stretch=as_layers([[along * tall, across * tall] for (along, across), *_ in parts]),
        outline=as_layers(rng.uniform(-0.05, 0.05, (layers, HARMONICS, 2))),
        hole=-torch.ones(1, layers),
        texture=torch.stack([texture for *_, texture in parts])[None],
        light=scene.light,
    )


def clothing(textures: Tensor, rng: np.random.Generator) -> Tensor:
    """Return one of the textures, moved to a random place and with weaker details, (3, h, w)."""
    texture = textures[rng.integers(len(textures))]
    texture = texture.roll([int(rng.integers(n)) for n in texture.shape[1:]], (1, 2))
    coarse = F.avg_pool2d(texture[None], PLAIN)
    plain = F.interpolate(coarse, texture.shape[1:], mode="bilinear", align_corners=False)[0]
    return torch.lerp(texture, plain, float(rng.uniform(0.4, 1)))


def as_layers(values: object) -> Tensor:
    """Return one value for each layer as those of one scene, (1, L, ...)."""
    return torch.as_tensor(np.array(values), dtype=torch.float32)[None]
