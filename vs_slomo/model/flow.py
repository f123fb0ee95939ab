"""Where the flow between two frames comes from: one class for each flow stage, and their registry `FLOWS`.

A new flow stage is a class here and a line in `FLOWS`. This module does not load torch before a stage runs, so that
the names of all stages are cheap to ask for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from .superslomo import SuperSloMo
    from .warp import Flows


class Seen(NamedTuple):
    """What a flow stage sees of two frames.

    i0, i1: the networks' input, (1, 3, h, w) RGB in [0, 1], on the networks' device and in their precision. gray: both
    frames' luma at full size, without padding, (H, W) uint8; only for a stage with `needs_gray`. scale: the networks'
    resolution, as a part of the picture's. classical: DIS's flow, as
    the stage finds it, (1, 2, h, w) each, if it is known.
    """

    i0: Tensor
    i1: Tensor
    gray: tuple[np.ndarray, np.ndarray] | None
    scale: float
    classical: Flows | None = None


class Found(NamedTuple):
    """What a flow stage finds: (F01, F10), each (1, 2, h, w) float32.

    flows: at the networks' resolution, in its pixels. finer: the same at the stage's own `ratio`, in its pixels,
    padded as the networks' input is; None where that is the networks' resolution.
    """

    flows: Flows
    finer: Flows | None = None


class FlowStage(ABC):
    """A way to find the flow between two frames."""

    needs_gray = False
    """Whether it must be fed both frames' luma at full size."""
    needs_colour = True
    """Whether it, or the second network, sees the frames in RGB; else `Seen.i0` and `i1` are empty in the filter."""
    uses_network = False
    """Whether it runs the model's own flow network."""
    part = 1.0
    """What the networks see of large pictures without a `scale`, as a part of the model's own scale."""
    refined = True
    """Whether the second network refines what it finds and says what is visible; else no network runs at all."""

    @abstractmethod
    def ratio(self, scale: float) -> float:
        """Return the resolution of the finest flow found, as a part of the picture's. scale: the networks'."""

    @abstractmethod
    def find(self, seen: Seen, model: SuperSloMo) -> Found:
        """Find the flow from each frame to the other."""


class Network(FlowStage):
    """The paper's flow computation network."""

    uses_network = True

    def ratio(self, scale: float) -> float:
        """Return the networks' own resolution."""
        return scale

    def find(self, seen: Seen, model: SuperSloMo) -> Found:
        """Run the network."""
        return Found(model.flow(seen.i0, seen.i1))


class WithClassical(FlowStage):
    """A stage that runs DIS on the CPU."""

    needs_gray = True
    iterations = 5
    """Of DIS's own variational refinement."""
    finest = 0.5
    """The resolution of its flow, as a part of the picture's, where the networks' is not higher: 1/2, or 1."""

    def ratio(self, scale: float) -> float:
        """Return the higher one of both resolutions."""
        return max(scale, self.finest)

    @abstractmethod
    def found(self, seen: Seen, model: SuperSloMo) -> Flows:
        """Return F01 and F10 at `ratio`, on the networks' device."""

    def find(self, seen: Seen, model: SuperSloMo) -> Found:
        """Find the flow, and shrink it for the networks."""
        f01, f10 = self.found(seen, model)
        shrink = seen.scale / self.ratio(seen.scale)
        return Found((f01, f10)) if shrink == 1 else Found(resized((f01, f10), shrink), (f01, f10))

    def classical(self, seen: Seen) -> Flows:
        """Return DIS's flow in both directions at `finest`, side by side where the networks are elsewhere."""
        if seen.classical is not None:
            return seen.classical
        gray0, gray1 = grays(seen)
        if seen.i0.device.type == "cpu":  # the networks run there too, on all cores
            return self.dis(gray0, gray1), self.dis(gray1, gray0)
        with ThreadPoolExecutor(2) as threads:  # OpenCV lets Python go on meanwhile
            there, back = threads.map(self.dis, (gray0, gray1), (gray1, gray0))
        return there, back

    def dis(self, gray0: np.ndarray, gray1: np.ndarray) -> Tensor:
        """Return DIS's flow in one direction, (1, 2, h, w): `finest` of the picture's size, rounded up."""
        from .dis import dis_flow

        return dis_flow(gray0, gray1, iterations=self.iterations, halved=self.finest < 1)

    def fitted(self, flows: Flows, seen: Seen) -> Flows:
        """Return flows of the picture, (1, 2, h, w) at `finest`, at `ratio`, on the networks' device.

        They are padded as the networks' input is.
        """
        from .warp import padded_to

        height, width = (round(n * self.finest / seen.scale) for n in seen.i0.shape[-2:])
        f01, f10 = (padded_to(f, height, width).to(seen.i0.device) for f in flows)
        return resized((f01, f10), self.ratio(seen.scale) / self.finest)


def grays(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Return both frames in gray."""
    if seen.gray is None:
        raise TypeError("this flow stage needs both frames in gray")
    return seen.gray


def resized(flows: Flows, ratio: float) -> Flows:
    """Return F01 and F10, (B, 2, H, W) each, at another resolution, in its pixels. ratio: a power of two."""
    from .warp import resize_field

    f01, f10 = (f if ratio == 1 else resize_field(f, ratio, ratio) * ratio for f in flows)
    return f01, f10


class Classical(WithClassical):
    """DIS (Kroeger et al., ECCV 2016) by OpenCV."""

    part = 0.5
    """Within 0.1 dB of 1 at 1280x720, for a quarter of the second network's time."""

    def found(self, seen: Seen, model: SuperSloMo) -> Flows:  # noqa: ARG002  # a stage may use it
        """Run it in both directions."""
        return self.fitted(self.classical(seen), seen)


class Guided(WithClassical):
    """DIS where it fits, and else the flow network's flow, found at half of the networks' resolution."""

    uses_network = True
    part = Classical.part
    iterations = 0
    """Within 0.03 dB of 5 here, in less than half of the time."""

    def found(self, seen: Seen, model: SuperSloMo) -> Flows:
        """Compare both at the networks' resolution; see `dis.nearer`."""
        from .dis import between, nearer
        from .warp import resize_field

        grow = self.ratio(seen.scale) / seen.scale
        fine = self.fitted(self.classical(seen), seen)
        coarse = model.coarse_flow(seen.i0, seen.i1)
        share01, share10 = nearer(seen.i0, seen.i1, coarse, resized(fine, 1 / grow), in_doubt=True)
        shares = resize_field(share01, grow, grow), resize_field(share10, grow, grow)
        return between(resized(coarse, grow), fine, shares)


def mirrored(flows: Flows) -> Flows:
    """Return flows, (B, 2, H, W) each in pixels, mirrored from left to right."""
    f01, f10 = (f.flip(-1) * f.new_tensor((-1, 1))[:, None, None] for f in flows)
    return f01, f10


class Both(WithClassical):
    """The flow network's flow, refined by classical means: see `dis.refined` and `dis.nearer`.

    The network also looks at both frames mirrored from left to right. `dis.agreed` makes one flow of both.
    """

    uses_network = True
    finest = 1.0

    def found(self, seen: Seen, model: SuperSloMo) -> Flows:
        """Return what is found at full size."""
        return self.fitted(self.at_full_size(seen, model), seen)

    def at_full_size(self, seen: Seen, model: SuperSloMo) -> Flows:
        """Refine the network's flow, take DIS's where that fits better nearby, and refine again.

        Each (1, 2, H, W) float32 on the CPU, in the picture's pixels, without padding.
        """
        from .dis import agreed, between, nearer, refined
        from .warp import resize_field

        gray0, gray1 = grays(seen)
        height, width = gray0.shape
        grow = 1 / seen.scale

        def whole(field: Tensor) -> Tensor:
            return resize_field(field.float().cpu(), grow, grow)[..., :height, :width]

        def guess(flows: Flows) -> Flows:
            return whole(flows[0]) * grow, whole(flows[1]) * grow

        frame0, frame1 = whole(seen.i0), whole(seen.i1)
        first = model.flow(seen.i0, seen.i1)
        second = mirrored(model.flow(seen.i0.flip(-1), seen.i1.flip(-1)))
        f01, f10 = agreed(frame0, frame1, guess(first), guess(second))
        near = refined(gray0, gray1, f01), refined(gray1, gray0, f10)
        classical = self.classical(seen)
        f01, f10 = between(near, classical, nearer(frame0, frame1, near, classical))
        return refined(gray0, gray1, f01), refined(gray1, gray0, f10)


class Fast(FlowStage):
    """DIS at the networks' resolution, hardly refined, and no network: for a draft."""

    needs_gray, needs_colour, refined = True, False, False

    def ratio(self, scale: float) -> float:
        """Return the networks' own resolution."""
        return scale

    def find(self, seen: Seen, model: SuperSloMo) -> Found:  # noqa: ARG002  # a stage may use it
        """Find both directions side by side."""
        import numpy as np
        import torch

        from .bands import threads
        from .dis import dis_flow, shrunk
        from .unet import MULTIPLE

        gray0, gray1 = (shrunk(x, round(1 / seen.scale)) for x in grays(seen))
        height, width = gray0.shape
        edges = (0, 0), (0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE)

        def found(way: tuple[np.ndarray, np.ndarray]) -> Tensor:
            return torch.from_numpy(np.pad(dis_flow(*way, fast=True).numpy(), edges, "edge")).to(seen.i0.device)

        f01, f10 = threads().map(found, ((gray0, gray1), (gray1, gray0)))
        return Found((f01, f10))


FlowName = Literal["unet", "dis", "guided", "both", "fast"]
NETWORK: FlowName = "unet"
CLASSICAL: FlowName = "dis"
GUIDED: FlowName = "guided"
BOTH: FlowName = "both"
DRAFT: FlowName = "fast"
FLOWS: dict[FlowName, FlowStage] = {
    NETWORK: Network(),
    CLASSICAL: Classical(),
    GUIDED: Guided(),
    BOTH: Both(),
    DRAFT: Fast(),
}
"""Every flow stage by its name; the first is for model files that name none."""
DEFAULT: FlowName = next(iter(FLOWS))
