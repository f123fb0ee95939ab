"""Frame properties that a view takes over from its source's frames.

The rule for every clip that is returned: a property that is unknown here is on the output if it is on the input. So
players find their own properties again (mpv ends without them), and later filters find what earlier ones wrote.
"""

from __future__ import annotations

import vapoursynth as vs

PIXELS = (
    *("_Matrix", "_Transfer", "_Primaries", "_Range", "_ColorRange", "_ChromaLocation", "_Alpha"),
    *("_PictType", "_AbsoluteTime", "DolbyVisionRPU", "HDR10Plus"),
    *("MasteringDisplayPrimariesX", "MasteringDisplayPrimariesY", "MasteringDisplayWhitePointX"),
    *("MasteringDisplayWhitePointY", "MasteringDisplayMinLuminance", "MasteringDisplayMaxLuminance"),
    *("ContentLightLevelMax", "ContentLightLevelAverage"),
)
"""What describes a frame's own pixels, and so does not hold for a picture of something else."""
SRGB = {"_Transfer": vs.TRANSFER_IEC_61966_2_1, "_Primaries": vs.PRIMARIES_BT709}


def view_of(source: vs.VideoNode, view: vs.VideoNode) -> vs.VideoNode:
    """Return `view`, a picture made of `source`, with the source's frame properties, but with colours of its own: sRGB.

    Both are equally long. Previewers refuse to show what does not say its colours.
    """
    kept = view.std.CopyFrameProps(source).std.RemoveFrameProps(list(PIXELS))
    family = view.format.color_family
    matrix = vs.MATRIX_RGB if family == vs.RGB else vs.MATRIX_BT709
    full = family != vs.YUV or view.format.sample_type == vs.FLOAT
    return kept.std.SetFrameProps(_Matrix=matrix, _Range=int(full), **SRGB)
