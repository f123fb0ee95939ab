"""Clips that tests are made of, and what they measure on them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import vapoursynth as vs

core = vs.core

SHIFT = (4.0, -2.0)
"""How far `picture` moves from one frame to the next, x and y in pixels."""


def picture(width, height, time=0.0):
    """RGB in [0.1, 0.9], (3, h, w): long waves that move by SHIFT a frame, the channels all different."""
    x = np.arange(width)[None, :] - SHIFT[0] * time
    y = np.arange(height)[:, None] - SHIFT[1] * time
    waves = [(x / 53 + y / 71, x / 67 - y / 59), (x / 61 - y / 73, x / 79 + y / 47), (y / 57 + x / 83, y / 89 - x / 65)]
    rgb = [
        0.5 + 0.2 * np.sin(2 * math.pi * (a + c / 3)) + 0.2 * np.cos(2 * math.pi * b) for c, (a, b) in enumerate(waves)
    ]
    return np.stack(rgb).astype(np.float32)


def from_pictures(pictures, fps=Fraction(25)):
    """RGBS clip of arrays (3, h, w)."""
    _, height, width = pictures[0].shape

    def fill(n, f):
        out = f.copy()
        for p in range(3):
            np.copyto(np.asarray(out[p]), pictures[n][p])
        return out

    blank = core.std.BlankClip(
        format=vs.RGBS,
        width=width,
        height=height,
        length=len(pictures),
        fpsnum=fps.numerator,
        fpsden=fps.denominator,
        keep=True,
    )
    return blank.std.ModifyFrame(blank, fill)


def moving(format_id=vs.GRAY8, width=64, height=48, length=3, *, times=None, fps=Fraction(25), full=False):
    """`picture` at frames 0, 1, ... (or at `times`) in any format; BT.709, limited range unless `full`.

    Read once: a frame is the same, and costs nothing, whenever it is asked for.
    """
    rgb = from_pictures([picture(width, height, float(t)) for t in (times or range(length))], fps)
    return frozen(convert(rgb, format_id, full=full))


def convert(clip, format_id, *, full=False):
    """Return an RGB clip in another format: BT.709, limited range unless `full`; RGB stays full."""
    if core.get_video_format(format_id).color_family == vs.RGB:
        return clip.resize.Bilinear(format=format_id)
    return clip.resize.Bilinear(format=format_id, matrix=vs.MATRIX_BT709, range=int(full))


def frozen(clip):
    """Return a clip that holds the frames of `clip`, made now."""
    made = [clip.get_frame(n) for n in range(len(clip))]  # `frames()` costs 100 ms
    blank = clip.std.BlankClip(keep=True)
    return blank.std.ModifyFrame(blank, lambda n, f: made[n])


def counting(clip, requests=None):
    """Return the clip, and the list that the numbers of the requested frames are added to."""
    requests = [] if requests is None else requests

    def note(n, f):
        requests.append(n)
        return f

    noted = clip.std.ModifyFrame(clip, note)
    noted.std.SetVideoCache(mode=0)
    return noted, requests


def planes(frame):
    """Return the frame's planes as float64 copies; integers as parts of the format's range."""
    peak = 2**frame.format.bits_per_sample - 1 if frame.format.sample_type == vs.INTEGER else 1
    return [np.asarray(frame[p]).astype(np.float64) / peak for p in range(frame.format.num_planes)]


def distances(a, b, margin=0):
    """Return the largest difference in each plane of two frames, as a part of the range.

    margin: of luma pixels at each side that are left out.
    """
    found = []
    for p, (x, y) in enumerate(zip(planes(a), planes(b), strict=True)):
        mx, my = (margin >> a.format.subsampling_w, margin >> a.format.subsampling_h) if p else (margin, margin)
        inside = np.s_[my : x.shape[0] - my, mx : x.shape[1] - mx]
        found.append(float(np.abs(x[inside] - y[inside]).max()))
    return found


def distance(a, b, margin=0):
    """Return the largest of `distances`."""
    return max(distances(a, b, margin))


def same(a, b):
    """Whether two frames hold the same pixels, to the bit."""
    return all(np.asarray(a[p]).tobytes() == np.asarray(b[p]).tobytes() for p in range(a.format.num_planes))


ENDLESS = (2**31 - 1) // 16
"""As many frames has a clip that mpv hands over."""


def played(pictures, lasts=None, first=0):
    """Return `pictures` as mpv hands them over: with no known end, no rate, and a property of mpv's on each frame.

    lasts: seconds of each frame, or one for all. first: the frame that the player has sought. Past the last picture a
    frame is an error, as mpv says it at a file's end.
    """
    count = len(pictures) - first
    shown = frozen(pictures[first:])
    blank = core.std.BlankClip(shown, length=ENDLESS, fpsnum=0, fpsden=1, keep=True)

    def picture(n, f):
        if n >= count:
            raise core_error(n)
        out = shown.get_frame(n).copy()
        out.props["_MP_IMAGE"] = 4711 + first + n
        out.props["_SARNum"], out.props["_SARDen"] = 4, 3
        for name in ("_DurationNum", "_DurationDen"):
            del out.props[name]
        if lasts is not None:
            length = lasts[first + n] if isinstance(lasts, list) else lasts
            out.props["_DurationNum"], out.props["_DurationDen"] = length.numerator, length.denominator
        return out

    return blank.std.ModifyFrame(blank, picture)


def core_error(n):
    """What a player says of a frame behind its file's end."""
    return vs.Error(f"EOF or filter EOF/reset, frame {n}")
