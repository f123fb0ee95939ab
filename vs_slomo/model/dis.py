"""Classical optical flow."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def dis_flow(gray0: np.ndarray, gray1: np.ndarray) -> Tensor:
    """Return DIS flow from gray0 to gray1 (Kroeger et al., ECCV 2016), (1, 2, H, W) float32, pixels.

    gray0, gray1: (H, W) uint8.
    """
    # A row of the host's frames may be longer than the picture; DIS refuses that.
    gray0, gray1 = np.ascontiguousarray(gray0), np.ascontiguousarray(gray1)
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(gray0, gray1, None)
    return torch.from_numpy(found).permute(2, 0, 1).unsqueeze(0).contiguous()
