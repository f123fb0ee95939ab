"""How far a picture is from the truth: PSNR, SSIM and IE, as the paper's tables have them, and SSIMULACRA2.

Pictures are (..., C, H, W) float, 1 is white; each function returns one number for all of it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
import vapoursynth as vs
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


def has_ssimulacra2() -> bool:
    """Whether the plugin is there that `ssimulacra2` asks, `vapoursynth-vszip`."""
    return hasattr(vs.core, "vszip")


def ssimulacra2(picture: Tensor, truth: Tensor) -> float:
    """SSIMULACRA2 of two pictures (1, 3, H, W) in [0, 1], sRGB: 100 is equal, 90 and more hardly to be told apart.

    It weighs what is seen: edges that are soft or twice there, detail that is lost. Below 0 for what is far off.
    """

    def clip_of(values: Tensor) -> vs.VideoNode:
        planes = values[0].float().clamp(0, 1).cpu().numpy()
        blank = vs.core.std.BlankClip(
            format=vs.RGBS, width=planes.shape[2], height=planes.shape[1], length=1, keep=True
        )

        def write(n: int, f: vs.VideoFrame) -> vs.VideoFrame:  # noqa: ARG001
            frame = f.copy()
            for k, plane in enumerate(planes):
                np.copyto(np.asarray(frame[k]), plane)
            return frame

        return blank.std.ModifyFrame(blank, write)

    compared = vs.core.vszip.SSIMULACRA2(clip_of(truth), clip_of(picture))
    with compared.get_frame(0) as frame:
        return float(frame.props["SSIMULACRA2"])
