"""Pictures in files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_slomo.errors import SourceError

Image = NDArray[np.uint8]
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
"""Endings of the files that are taken for pictures."""


def read_picture(path: Path) -> Image:
    """Return a picture, (H, W, 3) uint8 RGB. Raises SourceError."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SourceError(f"{path}: is not a picture that OpenCV can read")
    return np.asarray(picture[..., ::-1], np.uint8)
