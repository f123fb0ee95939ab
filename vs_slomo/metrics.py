"""How far a picture is from the truth: PSNR, SSIM and IE, as the paper's tables have them.

Pictures are (..., C, H, W) float, 1 is white; each function returns one number for all of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB; infinity where both are equal."""
    error = (picture.double() - truth.double()).square().mean()
    return float(-10 * torch.log10(error))


def interpolation_error(picture: Tensor, truth: Tensor) -> float:
    """IE of Middlebury: root mean squared difference of the colours, in steps of 8 bit (0 to 255)."""
    error = (picture.double() - truth.double()).square().mean()
    return float(255 * error.sqrt())


def ssim(picture: Tensor, truth: Tensor) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 and sigma 1.5, mean over channels.

    Only windows that lie in the picture count; it must be at least 11 pixels wide and high.
    """
    x, y = (p.double().reshape(-1, 1, *p.shape[-2:]) for p in (picture, truth))
    distance = torch.arange(11, dtype=torch.float64, device=x.device) - 5
    window = torch.exp(-distance.square() / (2 * 1.5**2))
    window = window / window.sum()

    def blur(z: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(z, window.view(1, 1, 1, 11)), window.view(1, 1, 11, 1))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similar / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
