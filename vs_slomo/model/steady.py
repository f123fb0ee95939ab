"""Functions that give the same bits with any number of threads.

PyTorch cuts a tensor into a part for each thread, and computes the last few numbers of a part in another way than the
rest. For exp, log, powers and bilinear enlarging, both ways differ in the last bit. Numpy and OpenCV have no such ends.
On this path they also take less time. Tensors with gradients, and other devices, keep PyTorch's functions.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)), of any shape."""
    if not _plain(x):
        return torch.sigmoid(x)
    with np.errstate(over="ignore"):  # exp is infinite there, and the result 0
        y = np.asarray(np.exp(-x.numpy()))  # of one number numpy makes no array
    y += 1
    return torch.from_numpy(np.reciprocal(y, out=y))


def exp(x: Tensor) -> Tensor:
    """Return e to the power of x."""
    return torch.from_numpy(np.asarray(np.exp(x.numpy()))) if _plain(x) else torch.exp(x)


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm of x, above 0."""
    return torch.from_numpy(np.asarray(np.log(x.numpy()))) if _plain(x) else torch.log(x)


def power(x: Tensor, exponent: float) -> Tensor:
    """Return x, 0 and more, to the power of a number."""
    return torch.from_numpy(np.asarray(np.power(x.numpy(), exponent))) if _plain(x) else x**exponent


def enlarged(x: Tensor, ratio_x: float, ratio_y: float) -> Tensor:
    """Return (B, C, H, W), bilinearly enlarged by these ratios, pixel areas aligned."""
    if not _plain(x) or x.dtype != torch.float32:
        return F.interpolate(x, scale_factor=(ratio_y, ratio_x), mode="bilinear", align_corners=False)
    return _resized(x, round(x.shape[-2] * ratio_y), round(x.shape[-1] * ratio_x), cv2.INTER_LINEAR)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Return (B, C, H, W) bilinearly at another size, pixel areas aligned: to enlarge, or to shrink by less than 2."""
    if x.shape[-2:] == (height, width) and not _traced():
        return x
    exact = x if x.dtype == torch.float64 or x.device.type != "cpu" else x.float()
    if not _plain(exact) or exact.dtype != torch.float32:
        return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
    return _resized(exact, height, width, cv2.INTER_LINEAR).to(x.dtype)


def averaged(x: Tensor, factor_x: int, factor_y: int) -> Tensor:
    """Return the means of cells of so many pixels of (B, C, H, W). Cells that are not whole are left out."""
    if not _plain(x) or x.dtype != torch.float32:
        return F.avg_pool2d(x, (factor_y, factor_x))
    height, width = x.shape[-2] // factor_y, x.shape[-1] // factor_x
    return _resized(x[..., : height * factor_y, : width * factor_x], height, width, cv2.INTER_AREA)


def mean_around(x: Tensor, size: int) -> Tensor:
    """Return the mean of size x size pixels around each of (B, C, H, W), the border repeated. size: odd."""
    if not _plain(x) or x.dtype != torch.float32:
        edge = size // 2
        across = F.avg_pool2d(F.pad(x, (edge, edge, 0, 0), mode="replicate"), (1, size), 1)
        return F.avg_pool2d(F.pad(across, (0, 0, edge, edge), mode="replicate"), (size, 1), 1)
    out = torch.empty(x.shape)
    for plane, target in zip(x.contiguous().flatten(0, 1).numpy(), out.flatten(0, 1).numpy(), strict=True):
        cv2.blur(plane, (size, size), dst=target, borderType=cv2.BORDER_REPLICATE)  # its time does not grow with size
    return out


def _resized(x: Tensor, height: int, width: int, interpolation: int) -> Tensor:
    out = torch.empty(*x.shape[:2], height, width)
    for plane, target in zip(x.contiguous().flatten(0, 1).numpy(), out.flatten(0, 1).numpy(), strict=True):
        cv2.resize(plane, (width, height), dst=target, interpolation=interpolation)
    return out


def _traced() -> bool:
    """Whether PyTorch traces, as for ONNX. The graph must hold for any size, so nothing may depend on this one."""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing


def _plain(x: Tensor) -> bool:
    """Whether numpy can have the tensor. Not while a graph is made of what is computed."""
    if type(x) is not Tensor or _traced() or torch.compiler.is_compiling():
        return False
    kinds = (torch.float32, torch.float64)
    return x.device.type == "cpu" and x.dtype in kinds and not (x.requires_grad and torch.is_grad_enabled())
