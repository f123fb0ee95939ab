"""The U-Net that both stages of Super SloMo share (paper, section 3.3 and figure 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
"""Of the leaky ReLU behind every convolution."""
MULTIPLE = 32
"""Five halvings: height and width must be multiples of this."""


def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """Make a convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU with the paper's slope."""
    return F.leaky_relu(x, SLOPE)


class Down(nn.Module):
    """Halve by averaging, then two convolutions: (B, in, H, W) to (B, out, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, kernel)
        self.conv2 = conv(out_channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return activate(self.conv2(activate(self.conv1(F.avg_pool2d(x, 2)))))


class Up(nn.Module):
    """Double bilinearly, convolve, take in the skip: (B, in, H, W), (B, out, 2H, 2W) to (B, out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3)
        self.conv2 = conv(2 * out_channels, out_channels, 3)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Run it."""
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return activate(self.conv2(torch.cat((activate(self.conv1(x)), skip), dim=1)))


class UNet(nn.Module):
    """(B, in, H, W) to (B, out, H, W), H and W multiples of 32.

    width: channels at full resolution, 32 in the paper; the deepest levels have 16 times as many.
    last_activation: leaky ReLU behind the last convolution too, as in the public checkpoint.

    The layers' names are those of the public checkpoint.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 32, *, last_activation: bool = True) -> None:
        super().__init__()
        w = width
        self.last_activation = last_activation
        self.conv1 = conv(in_channels, w, 7)
        self.conv2 = conv(w, w, 7)
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
        self.conv3 = conv(w, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        s1 = activate(self.conv2(activate(self.conv1(x))))
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
        return activate(x) if self.last_activation else x
