"""The model against the paper transcribed a second time, and against motions whose frames are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F

from vs_slomo import weights
from vs_slomo.model import fusion, unet, warp
from vs_slomo.model import superslomo as module
from vs_slomo.model.fusion import mixed, weight0
from vs_slomo.model.superslomo import Motion, SuperSloMo, flows_at, network_input
from vs_slomo.model.warp import backwarp

TOLERANCE = 1e-4
"""Of the range: float32 against float64."""


def lively(width, *, last_activation):
    """A random model whose flows are some pixels and whose visibility varies."""
    torch.manual_seed(width)
    net = SuperSloMo(width, last_activation=last_activation).eval().requires_grad_(requires_grad=False)
    for part in (net.flow_net, net.interp_net):
        part.conv3.weight *= 40
        part.conv3.bias.normal_(0, 2)
    return net


def frames(height, width, batch=1):
    torch.manual_seed(height)
    return torch.rand(2, batch, 3, height, width)


def difference(net, pair, t, scale):
    """Largest difference to the oracle, and what the oracle found on the way."""
    frame0, frame1 = (frame[0].double().numpy() for frame in pair)
    expected, found = oracle.interpolate(
        frame0,
        frame1,
        t,
        oracle.parameters(net),
        scale=scale,
        last_activation=net.flow_net.last_activation,
        levels=net.levels,
        fusion=net.fusion,
    )
    return abs(net(*pair, t, scale)[0].numpy() - expected).max(), found


# --- the oracle -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last_activation", [True, False])
@pytest.mark.parametrize(("scale", "size"), [(1, (31, 27)), (0.5, (61, 53))])
@pytest.mark.parametrize(("width", "t"), [(8, 0.25), (16, 0.5), (32, 0.75)])
def test_oracle(width, t, scale, size, last_activation, record_property):
    net = lively(width, last_activation=last_activation)
    error, (f01, f10, ft0, ft1, v0) = difference(net, frames(*size), t, scale)
    print(f"largest difference to the oracle: {error:.1e}")  # noqa: T201
    record_property("largest_difference", error)
    assert error < TOLERANCE
    # The comparison says something: pixels move, by more than one, and not all frames are seen alike.
    assert max(abs(f).max() for f in (f01, f10)) > 1
    assert max(abs(f).max() for f in (ft0, ft1)) > 1
    assert np.ptp(v0) > 0.05


@pytest.mark.parametrize(("scale", "size"), [(1, (33, 70)), (0.25, (130, 97)), (0.125, (40, 257))])
def test_oracle_at_other_shapes_and_scales(scale, size):
    error, _ = difference(lively(8, last_activation=False), frames(*size), 0.3, scale)
    assert error < TOLERANCE


@pytest.mark.parametrize(("levels", "scale", "size"), [(2, 1, (33, 70)), (3, 0.5, (61, 200)), (5, 1, (31, 27))])
def test_oracle_with_levels(levels, scale, size):
    net = lively(8, last_activation=False)
    net.levels = levels
    error, (f01, f10, *_) = difference(net, frames(*size), 0.3, scale)
    assert error < TOLERANCE
    net.levels = 1
    _, (one, other, *_) = difference(net, frames(*size), 0.3, scale)
    assert min(abs(f01 - one).max(), abs(f10 - other).max()) > 1


@pytest.mark.parametrize(("t", "scale", "size"), [(0.25, 1, (33, 70)), (0.5, 0.5, (61, 53)), (0.75, 0.5, (9, 200))])
def test_oracle_of_agreement(t, scale, size):
    net, pair = lively(8, last_activation=False), frames(*size)
    paper = net(*pair, t, scale)
    net.fusion = "agreement"
    error, _ = difference(net, pair, t, scale)
    assert error < TOLERANCE
    assert (net(*pair, t, scale) - paper).abs().max() > 100 * TOLERANCE


def half_a_pixel_off(image, flow, mode="bilinear"):
    """What grid_sample's default makes of a grid that was normalised by width and height."""
    return backwarp(image, flow - 0.5, mode)


SLIPS = {
    "Ft0 and Ft1 swapped": ("flows_at", lambda flows, t: flows_at(flows, t)[::-1]),
    "F01 and F10 swapped": ("flows_at", lambda flows, t: flows_at(flows[::-1], t)),
    "t and 1 - t swapped in the flow": ("flows_at", lambda flows, t: flows_at(flows, 1 - t)),
    "t and 1 - t swapped in the fusion": ("mixed", lambda a, b, logit, t: mixed(a, b, logit, 1 - t)),
    "V0 and V1 swapped": ("mixed", lambda a, b, logit, t: mixed(a, b, -logit, t)),
    "the frames swapped": ("mixed", lambda a, b, logit, t: mixed(b, a, logit, t)),
    "half a pixel": ("backwarp", half_a_pixel_off),
    "x and y swapped": ("backwarp", lambda image, flow, mode="bilinear": backwarp(image, flow.flip(1), mode)),
    "flow negated": ("backwarp", lambda image, flow, mode="bilinear": backwarp(image, -flow, mode)),
    "padded with zeros": (
        "network_input",
        lambda frame, scale: F.interpolate(
            F.pad(frame, (0, 64 - frame.shape[-1], 0, 64 - frame.shape[-2])), scale_factor=scale, mode="area"
        ),
    ),
    "shrunk without a filter": (
        "network_input",
        lambda frame, scale: network_input(frame, 1)[..., ::2, ::2],
    ),
    "flow not scaled": (
        "Motion",
        type("Same", (Motion,), {"resized": lambda self, x, y: Motion.resized(scaled(self, 0.5), x, y)}),
    ),
}


def scaled(motion, factor):
    return replace(motion, ft0=motion.ft0 * factor, ft1=motion.ft1 * factor)


def slipped(monkeypatch, name, slip):
    """Put a slip in the place of a function, wherever it is used."""
    for where in (module, fusion, warp):
        if hasattr(where, name):
            monkeypatch.setattr(where, name, slip)


@pytest.mark.parametrize(("name", "slip"), SLIPS.values(), ids=SLIPS)
def test_the_oracle_notices(name, slip, monkeypatch):
    slipped(monkeypatch, name, slip)
    error, _ = difference(lively(8, last_activation=False), frames(61, 53), 0.25, 0.5)
    assert error > 50 * TOLERANCE


def test_the_oracle_notices_slips_in_the_network(monkeypatch):
    net, pair = lively(8, last_activation=True), frames(31, 27)
    error, _ = difference(net, pair, 0.25, 1)
    assert error < TOLERANCE
    with monkeypatch.context() as patch:
        patch.setattr(unet, "SLOPE", 0.2)
        assert difference(net, pair, 0.25, 1)[0] > 50 * TOLERANCE
    expected = net(*pair, 0.25)
    net.flow_net.last_activation = net.interp_net.last_activation = False
    assert (net(*pair, 0.25) - expected).abs().max() > 50 * TOLERANCE
    net.flow_net.last_activation = net.interp_net.last_activation = True
    net.mean = net.mean.flip(1)
    assert (net(*pair, 0.25) - expected).abs().max() > 50 * TOLERANCE


# --- known motions ----------------------------------------------------------------------------------------
#
# Both networks' places are taken: the flow is given, the interpolation network adds nothing. What lies at p in
# frame 0 lies at M p in frame 1, and at (1 - t) p + t M p in the frame at t. Nothing of the package is used to
# paint the frames, so a slip in a sign, an order or a direction cannot be on both sides.

SIZE = 128
MARGIN = 16
CENTRE = np.array([SIZE / 2, SIZE / 2])
FADE = 0.2
"""Frame 1 is brighter by this, so that the weights of the fusion are seen too."""


def affine(matrix=((1.0, 0.0), (0.0, 1.0)), shift=(0.0, 0.0)):
    """p to matrix (p - centre) + centre + shift, as a 2 by 3 matrix; p is (x, y)."""
    matrix = np.array(matrix)
    return np.column_stack([matrix, CENTRE - matrix @ CENTRE + shift])


def inverse(m):
    return np.linalg.inv(np.vstack([m, [0, 0, 1]]))[:2]


def apply(m, x, y):
    return tuple(row[0] * x + row[1] * y + row[2] for row in m)


def rotation(angle):
    return affine([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


STILL = affine()
MOTIONS = {f"moved by ({x}, {y})": affine(shift=(x, y)) for x in (-6, 0, 6) for y in (-5, 0, 5) if (x, y) != (0, 0)}
MOTIONS |= {
    "rotated": rotation(0.08),
    "rotated back": rotation(-0.08),
    "enlarged": affine([[1.1, 0], [0, 1.1]]),
    "shrunk": affine([[0.91, 0], [0, 0.91]]),
    "wider": affine([[1.12, 0], [0, 1]]),
}


def painting(x, y):
    """Smooth, and different in every direction; three colours in [0.2, 0.7]."""
    waves = (
        np.sin(0.23 * x + 0.05 * y) + np.sin(0.19 * y),
        np.sin(0.21 * y - 0.08 * x) + np.sin(0.17 * x + 1),
        np.sin(0.15 * x + 0.15 * y) + np.sin(0.2 * x - 0.1 * y + 2),
    )
    return 0.45 + 0.125 * np.stack(waves)


def painted(motion, t):
    """The frame at t, (3, SIZE, SIZE)."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    there = (1 - t) * STILL + t * motion
    return painting(*apply(inverse(there), x, y)) + FADE * t


def exact_flow(motion, scale):
    """The flow of a motion at the networks' resolution, in its pixels, (1, 2, h, w)."""
    y, x = np.mgrid[: SIZE * scale, : SIZE * scale]
    x, y = (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5
    ends = apply(motion, x, y)
    return torch.tensor(np.stack([ends[0] - x, ends[1] - y]) * scale, dtype=torch.float32)[None]


class Given(SuperSloMo):
    """Super SloMo with a given flow and an interpolation network that adds nothing."""

    def __init__(self, flows):
        super().__init__(1, last_activation=False)
        self.flows = flows
        for parameter in self.interp_net.conv3.parameters():
            parameter.data.zero_()

    def flow(self, i0, i1):
        assert self.flows[0].shape[-2:] == i0.shape[-2:]
        return self.flows


def given(motion, scale):
    return Given((exact_flow(motion, scale), exact_flow(inverse(motion), scale)))


def frame_at(net, motion, t, scale):
    frame0, frame1 = (torch.tensor(painted(motion, end), dtype=torch.float32)[None] for end in (0, 1))
    with torch.no_grad():
        return net(frame0, frame1, t, scale)[0].numpy()


def error_inside(frame, motion, t):
    """Largest error where nothing came in over the border."""
    inside = np.s_[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    return abs(frame - painted(motion, t))[inside].max()


EXACT = 0.002
"""Of the range. The largest error of all cases is 0.0016: bilinear sampling blurs, and equation 4 is an approximation
for anything but a shift. The smallest error of a slip is 0.011."""


@pytest.mark.parametrize("t", [0.25, 0.75])
@pytest.mark.parametrize("scale", [1, 0.5])
@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
def test_the_frame_is_where_it_must_be(motion, scale, t):
    assert error_inside(frame_at(given(motion, scale), motion, t, scale), motion, t) < EXACT
    # Neither end would do.
    assert error_inside(painted(motion, 0) + FADE * t, motion, t) > 10 * EXACT
    assert error_inside(painted(motion, 1) - FADE * (1 - t), motion, t) > 10 * EXACT


WRONG = {name: slip for name, slip in SLIPS.items() if slip[0] in ("flows_at", "backwarp")}
WRONG |= {name: SLIPS[name] for name in ("t and 1 - t swapped in the fusion", "the frames swapped")}


@pytest.mark.parametrize("t", [0.25, 0.75])
@pytest.mark.parametrize("motion", ["moved by (6, -5)", "rotated", "wider"])
@pytest.mark.parametrize("slip", WRONG)
def test_a_slip_puts_it_elsewhere(motion, slip, t, monkeypatch):
    motion = MOTIONS[motion]
    slipped(monkeypatch, *WRONG[slip])
    assert error_inside(frame_at(given(motion, 1), motion, t, 1), motion, t) > 4 * EXACT


def test_unscaled_flow_puts_it_elsewhere(monkeypatch):
    motion = MOTIONS["moved by (6, -5)"]
    slipped(monkeypatch, *SLIPS["flow not scaled"])
    assert error_inside(frame_at(given(motion, 0.5), motion, 0.25, 0.5), motion, 0.25) > 4 * EXACT


@pytest.mark.parametrize("t", [0.25, 0.75])
@pytest.mark.parametrize("shift", [(9, 0), (-9, 0), (0, 9), (0, -9), (8, -4)])
def test_a_spot_moves_along_its_way(shift, t):
    """From (48, 48) to (48, 48) + shift: at t it is at (48, 48) + t * shift."""

    y, x = np.mgrid[:SIZE, :SIZE]

    def spot(x0, y0):
        return torch.tensor(np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 32), dtype=torch.float32)[None, None]

    net = given(affine(shift=shift), 1)
    with torch.no_grad():
        out = net(*(spot(48 + e * shift[0], 48 + e * shift[1]).expand(1, 3, -1, -1) for e in (0, 1)), t)[0, 0]
    weight = out.double().numpy() / out.double().sum().item()
    assert (weight * x).sum() == pytest.approx(48 + t * shift[0], abs=0.01)
    assert (weight * y).sum() == pytest.approx(48 + t * shift[1], abs=0.01)


# --- parts ------------------------------------------------------------------------------------------------


def test_batches_and_times_are_independent():
    net, (a, b) = lively(8, last_activation=False), frames(31, 27, batch=3)
    times = [0.2, 0.5, 0.9]
    together = net(a, b, torch.tensor(times).view(3, 1, 1, 1))
    for k, t in enumerate(times):
        assert torch.allclose(together[k : k + 1], net(a[k : k + 1], b[k : k + 1], t), atol=1e-5)


def test_one_flow_serves_every_time():
    """`synthesize` with the flow found once is `forward`."""
    net, (a, b) = lively(8, last_activation=False), frames(32, 64)
    flows = net.flow(a, b)
    for t in (0.25, 0.75):
        assert torch.equal(net.synthesize(a, b, flows, t), net(a, b, t))


def test_finer_flows_take_the_place_of_the_networks():
    """With the networks' own flow enlarged as the finer one, equation 4 and enlarging commute."""
    net, (a, b) = lively(8, last_activation=False), frames(64, 128)
    i0, i1 = network_input(a, 0.5), network_input(b, 0.5)
    flows = net.flow(i0, i1)
    finer = Motion(*flows, flows[0][:, :1], 0.5).resized(2, 2)
    expected = net.motion(i0, i1, flows, 0.25).resized(2, 2)
    found = net.motion(i0, i1, flows, 0.25, finer=(finer.ft0, finer.ft1))
    for name in ("ft0", "ft1", "logit"):
        assert torch.allclose(getattr(found, name), getattr(expected, name), atol=1e-4)


def test_motion_moves_any_plane():
    """Chroma at half the size moves half as far, and a plane smaller than the padded motion is its top left."""
    flow = torch.tensor([4.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64)
    motion = Motion(flow, flow, torch.full((1, 1, 64, 64), 30.0), 0.5)  # only frame 0 is seen
    plane = torch.rand(1, 1, 21, 30)
    half = motion.resized(0.5, 0.5).render(plane, plane)
    assert half.shape == plane.shape
    assert torch.allclose(half[..., 1:, :-2], plane[..., :-1, 2:], atol=1e-5)
    narrow = motion.resized(0.5, 1).render(plane, plane)  # 4:2:2
    assert torch.allclose(narrow[..., 2:, :-2], plane[..., :-2, 2:], atol=1e-5)


def test_weight_is_the_fraction_of_equation_5():
    logit = torch.linspace(-12, 12, 49, dtype=torch.float64).view(1, 1, 7, 7)
    v0 = torch.sigmoid(logit)
    for t in (0.01, 0.25, 0.5, 0.75, 0.99):
        expected = (1 - t) * v0 / ((1 - t) * v0 + t * (1 - v0))
        assert torch.allclose(weight0(logit, t), expected, rtol=1e-12)
        assert torch.allclose(weight0(logit, torch.tensor(t, dtype=torch.float64)), expected, rtol=1e-12)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_fusion_stays_between_the_frames(logit):
    """However sure the network is, nothing overflows and no colour is made up."""
    a, b = torch.rand(2, 1, 3, 8, 8)
    out = mixed(a, b, torch.full((1, 1, 8, 8), logit), 0.999)
    assert torch.isfinite(out).all()
    assert (out >= torch.minimum(a, b) - 1e-6).all()
    assert (out <= torch.maximum(a, b) + 1e-6).all()


def test_flows_at_the_ends():
    f01, f10 = torch.rand(2, 1, 2, 4, 4)
    ft0, ft1 = flows_at((f01, f10), 0.0)
    assert torch.equal(ft0, torch.zeros_like(ft0))
    assert torch.equal(ft1, f01)
    ft0, ft1 = flows_at((f01, f10), 1.0)
    assert torch.equal(ft0, f10)
    assert torch.equal(ft1, torch.zeros_like(ft1))


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((32, 64), 1, (32, 64)),
        ((33, 1), 1, (64, 32)),
        ((64, 128), 0.5, (32, 64)),
        ((65, 127), 0.5, (64, 64)),
        ((270, 480), 0.25, (96, 128)),
        ((16, 16), 0.125, (32, 32)),
    ],
)
def test_network_input_is_padded_by_repetition(size, scale, expected):
    frame = torch.rand(1, 3, *size)
    out = network_input(frame, scale)
    assert out.shape[-2:] == expected
    reference = oracle.shrink(oracle.pad(frame[0].double().numpy(), round(32 / scale)), round(1 / scale))
    assert abs(out[0].numpy() - reference).max() < 1e-6


def test_the_models_colours_stay_in_range():
    """A frame between two frames has no colour that neither has: a weighted mean of samples."""
    net, (a, b) = lively(8, last_activation=True), frames(31, 27)
    out = net(a, b, 0.5)
    assert out.min() >= 0
    assert out.max() <= 1


def texture_of_three_sizes(seed, height, width):
    generator, made = torch.Generator().manual_seed(seed), torch.zeros(1, 3, height, width)
    for cell, weight in ((5, 4), (15, 2), (50, 1.5)):
        noise = torch.rand(1, 3, height // cell + 2, width // cell + 2, generator=generator)
        made += F.interpolate(noise, (height, width), mode="bicubic") / weight
    return (made / 1.4).clamp(0, 1)


@pytest.mark.parametrize(("seed", "size", "least"), [(1, (320, 416), 33), (0, (352, 608), 32), (0, (224, 288), 32)])
def test_what_enters_through_the_border_of_any_size(seed, size, least):
    """A coarse look that pads its frames has 30.8, 30.8 and 30.4 dB there: the padding moves with what enters."""
    net, _ = weights.load("bundled")
    height = size[0]
    road, car = texture_of_three_sizes(10 + seed, *size), texture_of_three_sizes(20 + seed, 120, 110)
    road = 0.5 + 0.1 * (road - 0.5)

    def frame(t):
        picture, top = road.clone(), round(height - 80 - 28 * t)
        seen = min(120, height - top)
        picture[..., top : top + seen, 150:260] = car[..., :seen, :]
        return picture

    with torch.inference_mode():
        made = net(frame(0), frame(1), 0.5).clamp(0, 1)
    error = (made - frame(0.5))[..., -60:, 140:270].square().mean()
    assert -10 * torch.log10(error) > least
