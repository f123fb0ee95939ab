"""ffms2's Python bindings as a source filter.

Debian 12's libffms2 is a plugin for an older host. The library itself works: a blank clip whose frames are filled in
by a callback, of which the host runs one at a time.
"""

from __future__ import annotations

import ctypes
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffms2
import numpy as np
import vapoursynth as vs

from vs_slomo.clips.formats import planar_formats
from vs_slomo.errors import SourceError


class Frame(ctypes.Structure):
    """FFMS_Frame as of 2.27; the bindings know it as of 2.17."""

    _fields_ = (
        *ffms2.FFMS_Frame._fields_,
        ("ColorPrimaries", ctypes.c_int),
        ("TransferCharacteristics", ctypes.c_int),
        ("ChromaLocation", ctypes.c_int),
        ("HasMasteringDisplayPrimaries", ctypes.c_int),
        ("MasteringDisplayPrimariesX", ctypes.c_double * 3),
        ("MasteringDisplayPrimariesY", ctypes.c_double * 3),
        ("MasteringDisplayWhitePointX", ctypes.c_double),
        ("MasteringDisplayWhitePointY", ctypes.c_double),
        ("HasMasteringDisplayLuminance", ctypes.c_int),
        ("MasteringDisplayMinLuminance", ctypes.c_double),
        ("MasteringDisplayMaxLuminance", ctypes.c_double),
        ("HasContentLightLevel", ctypes.c_int),
        ("ContentLightLevelMax", ctypes.c_uint),
        ("ContentLightLevelAverage", ctypes.c_uint),
    )


FULL_RANGE = ("yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p")
"""ffmpeg has a second number for these where the range is full."""


def pixel_formats() -> dict[int, vs.VideoFormat]:
    """Return the host's formats by ffmpeg's numbers."""
    found = planar_formats()
    found |= {name.replace("yuv", "yuvj"): found[name] for name in FULL_RANGE}
    return {number: format_ for name, format_ in found.items() if (number := ffms2.get_pix_fmt(name)) >= 0}


def open_file(path: Path, track: int, index_file: str) -> vs.VideoNode:
    """Open a video track. Raises SourceError."""
    try:
        return Reader(path, track, index_file).clip()
    except ffms2.Error as error:
        raise SourceError(str(error)) from error


def times(path: Path, track: int, index_file: str) -> tuple[list[int], Fraction]:
    """Return the times of a track's frames as the index has them, and how many seconds a tick lasts."""
    video = ffms2.VideoSource(str(path), track, find_index(path, track, index_file)).track
    # ffms2 counts in milliseconds per tick.
    return [int(info.PTS) for info in video.frame_info_list], Fraction(video.time_base) / 1000


class Reader:
    """A video track: decodes frame n into a frame of the host."""

    def __init__(self, path: Path, track: int, index_file: str) -> None:
        self.video = ffms2.VideoSource(str(path), track, find_index(path, track, index_file))
        formats = pixel_formats()
        # First the best of all formats, then it for every frame, should the file change on the way.
        self.video.set_output_format([*formats])
        self.video.set_output_format()
        frame = self.frame(0)
        self.format = formats[frame.ConvertedPixelFormat]
        self.width = frame.ScaledWidth >> self.format.subsampling_w << self.format.subsampling_w
        self.height = frame.ScaledHeight >> self.format.subsampling_h << self.format.subsampling_h

    def clip(self) -> vs.VideoNode:
        """Return the track as a clip."""
        length = self.video.properties.NumFrames
        blank = vs.core.std.BlankClip(
            width=self.width, height=self.height, format=self.format.id, length=length, keep=True
        )
        return blank.std.ModifyFrame(blank, self)

    def frame(self, n: int) -> Frame:
        """Decode frame n; the next call takes its buffers again."""
        self.video.get_frame(n)  # for its errors; its result lacks the later fields
        pointer = ffms2.FFMS_GetFrame(self.video._source, n, ctypes.byref(ffms2.err_info))  # noqa: SLF001
        frame: Frame = ctypes.cast(pointer, ctypes.POINTER(Frame))[0]
        return frame

    def __call__(self, n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        """Return frame n."""
        frame = self.frame(n)
        out = f.copy()
        order = (2, 0, 1) if self.format.color_family == vs.RGB else (0, 1, 2)  # ffmpeg's are G, B, R
        for plane in range(self.format.num_planes):
            to = np.asarray(out[plane])
            line = frame.Linesize[order[plane]]
            data = np.ctypeslib.as_array(frame.Data[order[plane]], (to.shape[0], line))
            to[:] = data[:, : to.shape[1] * to.itemsize].view(to.dtype)
        for name, value in properties(frame).items():
            out.props[name] = value
        return out


def find_index(path: Path, track: int, index_file: str) -> Any:
    """Return the file's index: the one on disk, else a new one."""
    try:
        return ffms2.Index.read(index_file, str(path))
    except ffms2.Error:
        indexer = ffms2.Indexer(str(path))
        for known in indexer.track_info_list:
            indexer.track_index_settings(known.num, known.num == track, dump=False)
        index = indexer.do_indexing2(ffms2.FFMS_IEH_IGNORE)
        index.write(index_file)
        return index


def properties(frame: Frame) -> dict[str, Any]:
    """Return a frame's properties, as the plugin sets them."""
    props = {
        "_Matrix": frame.ColorSpace,
        "_Primaries": frame.ColorPrimaries,
        "_Transfer": frame.TransferCharacteristics,
        "_PictType": frame.PictType.decode(),
        "_FieldBased": (2 if frame.TopFieldFirst else 1) if frame.InterlacedFrame else 0,
    }
    if frame.ChromaLocation > 0:
        props["_ChromaLocation"] = frame.ChromaLocation - 1
    if frame.ColorRange in RANGES:
        props["_Range"] = RANGES[frame.ColorRange]
    names = []
    if frame.HasMasteringDisplayPrimaries:
        names += [f"MasteringDisplay{x}" for x in ("PrimariesX", "PrimariesY", "WhitePointX", "WhitePointY")]
    if frame.HasMasteringDisplayLuminance:
        names += ["MasteringDisplayMinLuminance", "MasteringDisplayMaxLuminance"]
    if frame.HasContentLightLevel:
        names += ["ContentLightLevelMax", "ContentLightLevelAverage"]
    for name in names:
        value = getattr(frame, name)
        props[name] = [*value] if isinstance(value, ctypes.Array) else value
    return props


RANGES = {ffms2.FFMS_CR_MPEG: 0, ffms2.FFMS_CR_JPEG: 1}
