"""The demonstration's scene: a valley with balloons and a windmill, seen by a camera that moves to the right.

It is painted from nothing and known at any time. Each layer is painted once and then moved, turned and scaled, so
the true frame between two others is a frame like all others. Lengths are in pixels of a picture that is 360 high.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""(H, W, 4): red, green, blue and cover in [0, 1], colours multiplied by the cover."""
Colour = tuple[float, float, float]

REACH = 900
"""How far the nearest layer goes in all, in pixels; the camera turns back before."""
BALLOONS: tuple[tuple[Colour, Colour, float, float, float, float], ...] = (
    # two colours, x, y, size, how far it has drifted after one frame
    ((0.87, 0.22, 0.20), (0.98, 0.90, 0.72), 165, 120, 1.0, 1.6),
    ((0.15, 0.42, 0.70), (0.95, 0.78, 0.25), 400, 80, 0.62, 0.8),
    ((0.30, 0.58, 0.35), (0.96, 0.96, 0.90), 560, 150, 0.45, -1.1),
    ((0.85, 0.45, 0.15), (0.35, 0.20, 0.45), 300, 175, 0.32, 0.5),
)


def noise(random: np.random.Generator, height: int, width: int, cell: float, octaves: int = 5) -> Picture:
    """Return smooth noise, (H, W) in [0, 1]. cell: pixels of the largest grain; each octave has half of the last."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        size = max(cell / 2**octave, 1.5)
        grid = random.random((int(height / size) + 3, int(width / size) + 3), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def single(*numbers: float) -> NDArray[np.float32]:
    """Return the numbers, such as a colour's, in single precision."""
    return np.array(numbers, np.float32)


def covered(colour: NDArray[np.float32], cover: NDArray[np.float32]) -> Picture:
    """Return a layer of a colour, (H, W, 3) or (3,), and its cover, (H, W)."""
    return np.dstack([np.broadcast_to(colour, (*cover.shape, 3)) * cover[..., None], cover]).astype(np.float32)


@dataclass(frozen=True)
class Landscape:
    """The scene at one size; the same arguments always make the same one."""

    width: int
    height: int
    seed: int = 7

    @property
    def unit(self) -> float:
        """Pixels of this picture for one of a picture that is 360 high."""
        return self.height / 360

    def frame(self, t: float) -> NDArray[np.uint8]:
        """Return the frame at t, (H, W, 3) RGB; one unit of t is from source frame to source frame."""
        going = REACH * (0.5 - 0.5 * math.cos(math.pi * t / 75))  # speeds up, slows down, and comes back
        picture = self.sky.copy()
        lay(picture, self.clouds, shift=(-0.12 * going - 0.9 * t) * self.unit)
        lay(picture, self.mountains, shift=-0.3 * going * self.unit)
        for layer, place in self.floating(t, going):
            lay(picture, layer, place=place)
        lay(picture, self.hills, shift=-0.55 * going * self.unit)
        lay(picture, self.sails, place=self.placed(self.sails, 470 - 0.55 * going, 196, 1, 0.11 * t))
        lay(picture, self.meadow, shift=-going * self.unit)
        return np.asarray((255 * picture[..., :3]).round().clip(0, 255), np.uint8)

    def floating(self, t: float, going: float) -> list[tuple[Picture, NDArray[np.float64]]]:
        """Return each balloon and where it is at t; the far ones come first."""
        found = []
        for n, (_, _, x, y, size, drift) in sorted(enumerate(BALLOONS), key=lambda b: b[1][4]):
            across = x + drift * t * 2 - 0.22 * size * going
            down = y - 14 * size * math.sin(0.09 * t + n) - 0.5 * t * size
            place = self.placed(self.balloons[n], across, down, size, 0.06 * math.sin(0.13 * t + 2 * n))
            found.append((self.balloons[n], place))
        return found

    def placed(self, layer: Picture, x: float, y: float, size: float, angle: float) -> NDArray[np.float64]:
        """Return the affine map that puts a sprite's centre at x, y, scaled and turned by radians."""
        scale = size * self.unit * 60 / layer.shape[0] * 2
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        middle = layer.shape[1] / 2 - 0.5, layer.shape[0] / 2 - 0.5
        right, down = x * self.unit - c * middle[0] + s * middle[1], y * self.unit - s * middle[0] - c * middle[1]
        return np.array([[c, -s, right], [s, c, down]])

    def random(self, layer: int) -> np.random.Generator:
        """Return the layer's own random numbers."""
        return np.random.default_rng((self.seed, layer))

    def long(self, part: float) -> int:
        """Return how wide a layer is that moves by this part of REACH."""
        return self.width + math.ceil((REACH * part + 90) * self.unit) + 8

    @cached_property
    def sky(self) -> Picture:
        """A morning sky, and the sun."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32) / self.unit
        up = np.clip(1 - y / 260, 0, 1)[..., None]
        picture = single(0.98, 0.80, 0.62) * (1 - up) + single(0.28, 0.52, 0.82) * up
        far = np.hypot(x - 0.78 * self.width / self.unit, y - 130)
        glow = np.exp(-far / 90)[..., None] * single(0.30, 0.22, 0.08)
        disc = np.clip(22.5 - far, 0, 1)[..., None]
        picture = np.clip((picture + glow) * (1 - disc) + disc * single(1, 0.96, 0.82), 0, 1)
        return np.dstack([picture, np.ones_like(x)]).astype(np.float32)

    @cached_property
    def clouds(self) -> Picture:
        """Clouds, thinner towards the horizon."""
        height, width = self.height, self.long(0.2)
        thick = noise(self.random(1), height, width, 110 * self.unit)
        fade = np.clip(1 - np.arange(height, dtype=np.float32) / (0.5 * height), 0, 1)[:, None]
        cover = np.clip((thick - 0.52) * 3.2, 0, 0.9) * fade
        light = 0.86 + 0.14 * np.roll(thick, 4, axis=0)
        return covered(light[..., None] * single(1, 0.97, 0.94), cover.astype(np.float32))

    def ridge(self, layer: int, width: int, foot: float, rise: float, cell: float) -> NDArray[np.float32]:
        """Return a skyline: for each column, the row where the land begins."""
        line = noise(self.random(layer), 1, width, cell * self.unit, 6)[0]
        return np.asarray((foot - rise * line) * self.unit, np.float32)

    def land(self, skyline: NDArray[np.float32], colour: NDArray[np.float32]) -> Picture:
        """Return a layer that covers all below the skyline."""
        rows = np.arange(self.height, dtype=np.float32)[:, None]
        return covered(colour, np.clip(rows - skyline + 0.5, 0, 1).astype(np.float32))

    @cached_property
    def mountains(self) -> Picture:
        """Far mountains with snow."""
        width = self.long(0.3)
        skyline = self.ridge(2, width, 250, 150, 210)
        rock = noise(self.random(3), self.height, width, 60 * self.unit)[..., None]
        below = (np.arange(self.height, dtype=np.float32)[:, None] - skyline)[..., None] / self.unit
        high = np.clip((170 - skyline / self.unit) / 60, 0, 1)[None, :, None]
        snow = np.clip((34 * high + 26 * (rock - 0.5) - below) / 7, 0, 1) * high
        colour = single(0.42, 0.47, 0.60) + (rock - 0.5) * 0.34
        return self.land(skyline, (colour * (1 - snow) + snow * single(0.95, 0.95, 0.98)).astype(np.float32))

    @cached_property
    def hills(self) -> Picture:
        """Hills with woods, and the windmill's tower."""
        width = self.long(0.55)
        skyline = self.ridge(4, width, 300, 70, 190)
        wood = noise(self.random(5), self.height, width, 34 * self.unit)[..., None]
        picture = self.land(skyline, (single(0.30, 0.44, 0.26) + (wood - 0.5) * 0.4).astype(np.float32))
        random = self.random(6)
        for x in sorted(random.uniform(0, width, width // max(1, round(16 * self.unit)))):
            foot = float(skyline[int(x)]) + random.uniform(2, 30) * self.unit
            size = random.uniform(7, 15) * self.unit
            shade = random.uniform(0.75, 1.15)
            crown = np.array([[x - 0.45 * size, foot], [x + 0.45 * size, foot], [x, foot - 1.8 * size]])
            fill(picture, crown, (0.13 * shade, 0.27 * shade, 0.17 * shade))
        tower = np.array([[452, 290], [488, 290], [479, 192], [461, 192]]) * self.unit
        fill(picture, tower, (0.93, 0.90, 0.84))
        fill(picture, np.array([[457, 193], [483, 193], [470, 178]]) * self.unit, (0.50, 0.22, 0.18))
        return picture

    @cached_property
    def meadow(self) -> Picture:
        """The ground in front: grass, flowers, a fence."""
        width = self.long(1)
        skyline = self.ridge(7, width, 322, 16, 260)
        grass = noise(self.random(8), self.height, width, 20 * self.unit)[..., None]
        picture = self.land(skyline, (single(0.44, 0.56, 0.22) + (grass - 0.5) * 0.42).astype(np.float32))
        random = self.random(9)
        for _ in range(round(width / self.unit / 5)):
            place = (random.uniform(0, width), random.uniform(322, 358) * self.unit)
            petals = ((0.95, 0.93, 0.90), (0.92, 0.30, 0.25), (0.97, 0.82, 0.25))[random.integers(3)]
            spot(picture, place, (random.uniform(1.2, 2.4) * self.unit,) * 2, petals)
        wood = (0.44, 0.31, 0.21)
        for y in (304, 317):
            fill(picture, np.array([[0, y], [width, y], [width, y + 3.5], [0, y + 3.5]]) * [1, self.unit], wood)
        for x in np.arange(12, width / self.unit, 62):
            fill(picture, np.array([[x, 294], [x + 7, 294], [x + 7, 338], [x, 338]]) * self.unit, wood)
        return picture

    @cached_property
    def sails(self) -> Picture:
        """The windmill's four sails, twice as large as they are shown."""
        side = max(32, round(4 * 60 * self.unit))
        picture = np.zeros((side, side, 4), np.float32)
        arm = np.array([[-0.012, 0], [0.012, 0], [0.012, 0.48], [-0.012, 0.48]])
        cloth = np.array([[0.012, 0.12], [0.085, 0.12], [0.085, 0.47], [0.012, 0.47]])
        for quarter in range(4):
            c, s = math.cos(quarter * math.pi / 2), math.sin(quarter * math.pi / 2)
            turned = np.array([[c, -s], [s, c]])
            fill(picture, (cloth @ turned + 0.5) * side, (0.96, 0.94, 0.88))
            fill(picture, (arm @ turned + 0.5) * side, (0.36, 0.25, 0.18))
        return picture

    @cached_property
    def balloons(self) -> list[Picture]:
        """The balloons, twice as large as the largest is shown."""
        side = max(48, round(4 * 60 * self.unit))
        made = []
        for first, second, *_ in BALLOONS:
            picture = np.zeros((side, side, 4), np.float32)
            for n in range(6):  # stripes: each ellipse is narrower than the one behind it
                spot(
                    picture, (0.5 * side, 0.36 * side), ((0.30 - 0.055 * n) * side, 0.34 * side), (first, second)[n % 2]
                )
            skirt = np.array([[0.36, 0.62], [0.64, 0.62], [0.55, 0.76], [0.45, 0.76]]) * side
            fill(picture, skirt, first)
            fill(picture, np.array([[0.45, 0.83], [0.55, 0.83], [0.54, 0.92], [0.46, 0.92]]) * side, (0.42, 0.28, 0.17))
            for x in (0.46, 0.54):
                rope = np.array([[x - 0.004, 0.75], [x + 0.004, 0.75], [x + 0.004, 0.84], [x - 0.004, 0.84]])
                fill(picture, rope * side, (0.3, 0.2, 0.15))
            light = np.linspace(1.12, 0.72, side, dtype=np.float32)[None, :, None]
            picture[..., :3] = np.minimum(picture[..., :3] * light, picture[..., 3:])
            made.append(picture)
        return made


def lay(picture: Picture, layer: Picture, *, shift: float = 0, place: NDArray[np.float64] | None = None) -> None:
    """Lay a layer over the picture, moved across by `shift` pixels or as the affine map `place` says."""
    if place is None:
        place = np.array([[1, 0, shift], [0, 1, 0]])
    small = math.hypot(*place[:, 0]) < 0.75
    while small and min(layer.shape[:2]) > 16:  # so that what is shown much smaller does not flicker
        layer, place = cv2.resize(layer, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), place.copy()
        place[:, 2] += place[:, :2] @ (0.5, 0.5)
        place[:, :2] *= 2
        small = math.hypot(*place[:, 0]) < 0.75
    corners = np.array([[0, 0], [layer.shape[1], 0], [0, layer.shape[0]], layer.shape[1::-1]]) @ place[:, :2].T
    first, last = (np.clip(x, 0, picture.shape[1::-1]).astype(int) for x in span_of(corners + place[:, 2]))
    if (first >= last).any():
        return
    part = picture[first[1] : last[1], first[0] : last[0]]
    place = place - np.array([[0, 0, first[0]], [0, 0, first[1]]])
    moved = cv2.warpAffine(layer, place, part.shape[1::-1], flags=cv2.INTER_LINEAR)
    part *= 1 - moved[..., 3:]
    part += moved


def span_of(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest and the largest x and y, with room for soft edges."""
    return np.floor(corners.min(0)) - 2, np.ceil(corners.max(0)) + 3


FINE = 4
"""Bits of a pixel's parts that outlines are drawn to."""


def fill(picture: Picture, corners: NDArray[np.float64], colour: Colour) -> None:
    """Fill a polygon, smooth at its edges. corners: (N, 2), x and y."""

    def draw(cover: NDArray[np.uint8], corner: NDArray[np.int64]) -> None:
        points = np.round((corners - corner) * 2**FINE).astype(np.int32)
        cv2.fillPoly(cover, [points], (255,), cv2.LINE_AA, FINE)

    paint(picture, corners.min(0), corners.max(0), colour, draw)


def spot(picture: Picture, centre: tuple[float, float], axes: tuple[float, float], colour: Colour) -> None:
    """Fill an ellipse, smooth at its edges. axes: half of its width and height."""
    half = [round(x * 2**FINE) for x in axes]

    def draw(cover: NDArray[np.uint8], corner: NDArray[np.int64]) -> None:
        at = np.round((np.array(centre) - corner) * 2**FINE).astype(int).tolist()
        cv2.ellipse(cover, at, half, 0, 0, 360, (255,), -1, cv2.LINE_AA, FINE)

    paint(picture, np.subtract(centre, axes), np.add(centre, axes), colour, draw)


def paint(
    picture: Picture,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: Colour,
    draw: Callable[[NDArray[np.uint8], NDArray[np.int64]], None],
) -> None:
    """Lay a colour over what `draw` covers. low, high: the box that it may touch, x and y."""
    size = picture.shape[1::-1]
    first, last = (np.clip(x, 0, size).astype(int) for x in span_of(np.array([low, high])))
    if (first >= last).any():
        return
    cover = np.zeros((last[1] - first[1], last[0] - first[0]), np.uint8)
    draw(cover, first)
    part = (cover.astype(np.float32) / 255)[..., None]
    place = picture[first[1] : last[1], first[0] : last[0]]
    place *= 1 - part
    place += part * single(*colour, 1)
