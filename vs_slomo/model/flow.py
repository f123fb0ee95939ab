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
    resolution, as a part of the picture's. classical: DIS's flow between `gray`, each (1, 2, H, W), if it is known.
    """

    i0: Tensor
    i1: Tensor
    gray: tuple[np.ndarray, np.ndarray] | None
    scale: float
    classical: Flows | None = None


class Found(NamedTuple):
    """What a flow stage finds: (F01, F10), each (1, 2, h, w) float32.

    flows: at the networks' resolution, in its pixels. finer: the same at the picture's resolution and in its pixels,
    padded as the networks' input is; None where the stage works at the networks' resolution.
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
    iterations: int | None = None
    """Iterations of DIS's own variational refinement; None for a stage that does not use DIS at full size."""
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


class Full(FlowStage):
    """A stage that finds the flow at the picture's resolution, on the CPU."""

    needs_gray = True
    iterations: int = 5

    def ratio(self, scale: float) -> float:  # noqa: ARG002  # a stage may use it
        """Return the picture's resolution."""
        return 1.0

    def classical(self, gray0: np.ndarray, gray1: np.ndarray, seen: Seen) -> Flows:
        """Return DIS's flow in both directions, side by side where the networks are elsewhere."""
        from .dis import dis_flow

        if seen.classical is not None:
            return seen.classical

        def found(way: tuple[np.ndarray, np.ndarray]) -> Tensor:
            return dis_flow(*way, iterations=self.iterations)

        ways = (gray0, gray1), (gray1, gray0)
        if seen.i0.device.type == "cpu":  # the networks run there too, on all cores
            return found(ways[0]), found(ways[1])
        with ThreadPoolExecutor(2) as threads:  # OpenCV lets Python go on meanwhile
            there, back = threads.map(found, ways)
        return there, back

    @abstractmethod
    def at_full_size(self, gray0: np.ndarray, gray1: np.ndarray, seen: Seen, model: SuperSloMo) -> Flows:
        """Return F01 and F10, (1, 2, H, W) float32 on the CPU, in the picture's pixels, without padding."""

    @staticmethod
    def enlarged(field: Tensor, ratio: float, gray: np.ndarray) -> Tensor:
        """Return a field (B, C, h, w), so many times as large, on the CPU: of the size of the picture, (H, W)."""
        from .warp import resize_field

        height, width = gray.shape
        return resize_field(field.float().cpu(), ratio, ratio)[..., :height, :width]

    def find(self, seen: Seen, model: SuperSloMo) -> Found:
        """Find the flow at full size, and shrink it for the interpolation network."""
        from .warp import padded_to, resize_field

        if seen.gray is None:
            raise TypeError("this flow stage needs both frames in gray")
        found = self.at_full_size(*seen.gray, seen, model)
        size = (round(n / seen.scale) for n in seen.i0.shape[-2:])
        height, width = size
        f01, f10 = (padded_to(f.to(seen.i0.device), height, width) for f in found)
        if seen.scale == 1:
            return Found((f01, f10))
        small01, small10 = (resize_field(f, seen.scale, seen.scale) * seen.scale for f in (f01, f10))
        return Found((small01, small10), (f01, f10))


class Classical(Full):
    """DIS (Kroeger et al., ECCV 2016) by OpenCV."""

    part = 0.5
    """Within 0.1 dB of 1 at 1280x720, for a quarter of the second network's time."""

    def at_full_size(self, gray0: np.ndarray, gray1: np.ndarray, seen: Seen, model: SuperSloMo) -> Flows:  # noqa: ARG002
        """Run it in both directions."""
        return self.classical(gray0, gray1, seen)


class Guided(Full):
    """DIS where it fits, and else the flow network's flow, found at half of the networks' resolution."""

    uses_network = True
    part = Classical.part
    iterations = 0
    """Within 0.03 dB of 5 here, in less than half of the time."""

    def at_full_size(self, gray0: np.ndarray, gray1: np.ndarray, seen: Seen, model: SuperSloMo) -> Flows:
        """Compare both at the networks' resolution; see `dis.nearer`."""
        from .dis import between, nearer
        from .warp import padded_to, resize_field

        fine = self.classical(gray0, gray1, seen)
        i0, i1 = seen.i0, seen.i1
        f01, f10 = (f.cpu() for f in model.coarse_flow(i0, i1))
        grow = 1 / seen.scale
        padding = [round(n * grow) for n in i0.shape[-2:]]
        small01, small10 = (resize_field(padded_to(f, *padding), 1 / grow, 1 / grow) / grow for f in fine)
        shares = nearer(i0.cpu(), i1.cpu(), (f01, f10), (small01, small10), in_doubt=True)
        large01, large10, share01, share10 = (self.enlarged(x, grow, gray0) for x in (f01, f10, *shares))
        return between((grow * large01, grow * large10), fine, (share01, share10))


def mirrored(flows: Flows) -> Flows:
    """Return flows, (B, 2, H, W) each in pixels, mirrored from left to right."""
    f01, f10 = (f.flip(-1) * f.new_tensor((-1, 1))[:, None, None] for f in flows)
    return f01, f10


class Both(Full):
    """The flow network's flow, refined by classical means: see `dis.refined` and `dis.nearer`.

    The network also looks at both frames mirrored from left to right. `dis.agreed` makes one flow of both.
    """

    uses_network = True

    def at_full_size(self, gray0: np.ndarray, gray1: np.ndarray, seen: Seen, model: SuperSloMo) -> Flows:
        """Refine the network's flow, take DIS's where that fits better nearby, and refine again."""
        from .dis import agreed, between, nearer, refined

        grow = 1 / seen.scale
        frame0, frame1 = (self.enlarged(x, grow, gray0) for x in (seen.i0, seen.i1))

        def whole(flows: Flows) -> Flows:
            f01, f10 = (self.enlarged(f, grow, gray0) * grow for f in flows)
            return f01, f10

        first = model.flow(seen.i0, seen.i1)
        second = mirrored(model.flow(seen.i0.flip(-1), seen.i1.flip(-1)))
        f01, f10 = agreed(frame0, frame1, whole(first), whole(second))
        near = refined(gray0, gray1, f01), refined(gray1, gray0, f10)
        classical = self.classical(gray0, gray1, seen)
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

        if seen.gray is None:
            raise TypeError("this flow stage needs both frames in gray")
        gray0, gray1 = (shrunk(x, round(1 / seen.scale)) for x in seen.gray)
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
