"""The U-Net that both stages of Super SloMo share (paper, section 3.3 and figure 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
"""Slope of the leaky ReLU after every convolution."""
MULTIPLE = 32
"""Height and width must be multiples of this: the network halves them five times."""


class Convolution(nn.Conv2d):
    """A convolution that keeps the size, followed by a leaky ReLU.

    Several inputs are concatenated along the channels. `engine.cpu` has faster ways to the same numbers.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run it: (B, C, H, W) each, `in_channels` in total, to (B, out_channels, H, W)."""
        return F.leaky_relu(super().forward(inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)), SLOPE)


class Enlarging(Convolution):
    """Double bilinearly, then convolve: (B, in, H, W) to (B, out, 2H, 2W)."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run it."""
        return super().forward(*(enlarged(x) for x in inputs))


def enlarged(x: Tensor) -> Tensor:
    """Double height and width bilinearly, pixel areas aligned."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Down(nn.Module):
    """Halve by averaging, then two convolutions: (B, in, H, W) to (B, out, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = Convolution(in_channels, out_channels, kernel)
        self.conv2 = Convolution(out_channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return self.conv2(self.conv1(F.avg_pool2d(x, 2)))  # type: ignore[no-any-return]


class Up(nn.Module):
    """Double, convolve, concatenate the skip, convolve: (B, in, H, W) and (B, out, 2H, 2W) to (B, out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = Enlarging(in_channels, out_channels, 3)
        self.conv2 = Convolution(2 * out_channels, out_channels, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Run it."""
        return self.conv2(self.conv1(x), skip)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """(B, in, H, W) to (B, out, H, W), H and W multiples of 32.

    width: channels at full resolution, 32 in the paper; the deepest levels have 16 times as many.
    last_activation: leaky ReLU after the last convolution too, as in the public checkpoint.

    The layers' names are those of the public checkpoint.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 32, *, last_activation: bool = True) -> None:
        super().__init__()
        w = width
        self.last_activation = last_activation
        self.conv1 = Convolution(in_channels, w, 7)
        self.conv2 = Convolution(w, w, 7)
        self.down1 = Down(w, 2 * w, 5)
        self.down2 = Down(2 * w, 4 * w, 3)
        self.down3 = Down(4 * w, 8 * w, 3)
        self.down4 = Down(8 * w, 16 * w, 3)
        self.down5 = Down(16 * w, 16 * w, 3)
        self.up1 = Up(16 * w, 16 * w)
        self.up2 = Up(16 * w, 8 * w)
        self.up3 = Up(8 * w, 4 * w)
        self.up4 = Up(4 * w, 2 * w)
        self.up5 = Up(2 * w, w)
        self.conv3 = nn.Conv2d(w, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        s1 = self.conv2(self.conv1(x))
        s2 = self.down1(s1)
        s3 = self.down2(s2)
        s4 = self.down3(s3)
        s5 = self.down4(s4)
        x = self.up1(self.down5(s5), s5)
        x = self.up2(x, s4)
        x = self.up3(x, s3)
        x = self.up4(x, s2)
        x = self.up5(x, s1)
        x = self.conv3(x)
        return F.leaky_relu(x, SLOPE) if self.last_activation else x
