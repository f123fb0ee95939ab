"""What the first pictures of a file say: how they are turned, and what a player or an encoder must know of them."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .clock import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("vs_slomo")

Orientation = tuple[int, int, int, int]
"""a, b, c, d in {-1, 0, 1}: a picture's point (x, y) is shown at (a·x + c·y, b·x + d·y), but for a shift."""

UPRIGHT: Orientation = (1, 0, 0, 1)
SAMPLE = 120
"""Packets of video that are looked at."""
PAIRED = ("h264", "mpeg2video", "vc1", "hevc")
"""Codecs that may keep the two fields of a frame in packets of their own."""
NO_ALPHA = ("rgb0", "bgr0", "0rgb", "0bgr")


@dataclass(frozen=True)
class Looks:
    """What the first pictures say.

    alpha: whether the format has transparency. interlaced: whether the first picture is flagged so.
    paired: whether two packets make a picture. size: as coded. depth: bits.
    spherical, stereo: whether players are told of a view of 360 degrees, or of two eyes.
    dolby_vision: its profile, or None. captions: whether closed captions are within the picture's packets.
    """

    orientation: Orientation = UPRIGHT
    alpha: bool = False
    interlaced: bool = False
    paired: bool = False
    size: tuple[int, int] = (0, 0)
    spherical: bool = False
    stereo: bool = False
    dolby_vision: int | None = None
    hdr10_plus: bool = False
    captions: bool = False
    decoded: bool = False


def look(given: Input, video: int, name: str) -> Looks:
    """Decode the first pictures of a stream and return what they say."""
    import av

    with given.open() as container:
        stream: Any = container.streams[video]
        stream.thread_type = "NONE"
        told = dict(stream.codec_context.coded_side_data)
        frames, packets, first = 0, 0, None
        codec = stream.codec_context.codec.canonical_name
        try:
            for packet in container.demux(stream):
                for frame in packet.decode():
                    frames += 1
                    first = first or frame
                packets += bool(packet.size)
                if first is not None and (packets >= 24 or codec not in PAIRED or not first.interlaced_frame):
                    break
                if packets >= SAMPLE:
                    break
        except (av.FFmpegError, ValueError):  # a damaged start; what follows may be whole
            pass
        frame_data = {} if first is None else {data.type.name: bytes(data) for data in first.side_data.values()}
        paired = bool(first is not None and first.interlaced_frame and frames and packets >= 1.6 * (frames + 1))
        size = (stream.codec_context.width, stream.codec_context.height)
        return Looks(
            orientation=_orientation(told, frame_data, name),
            alpha=_has_alpha(stream),
            interlaced=bool(first is not None and first.interlaced_frame),
            paired=paired,
            size=size if first is None else (first.width, first.height),
            spherical="spherical" in told or "SPHERICAL" in frame_data,
            stereo="stereo_3d" in told or "STEREO3D" in frame_data,
            dolby_vision=_dolby_vision(told),
            hdr10_plus="DYNAMIC_HDR_PLUS" in frame_data,
            captions="A53_CC" in frame_data,
            decoded=first is not None,
        )


def _has_alpha(stream: Any) -> bool:
    format_ = stream.codec_context.format
    if format_ is None or format_.name in NO_ALPHA:
        return False
    return bool(format_.has_palette) or len(format_.components) in (2, 4)


def _dolby_vision(told: Mapping[str, bytes]) -> int | None:
    """Return the profile of Dolby Vision's configuration record."""
    record = told.get("dovi_conf")
    return record[2] if record and len(record) > 2 else None


def _orientation(told: Mapping[str, bytes], frame_data: Mapping[str, bytes], name: str) -> Orientation:
    """Return how the picture is turned and mirrored to be shown: the stream's matrix, or the first frame's."""
    matrix = told.get("display_matrix") or frame_data.get("DISPLAYMATRIX")
    if not matrix or len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=9i", matrix[:36])[:5]
    largest = max(map(abs, (a, b, c, d))) or 1
    turned = (round(a / largest), round(b / largest), round(c / largest), round(d / largest))
    exact = all(abs(x / largest - whole) < 0.01 for x, whole in zip((a, b, c, d), turned, strict=True))
    if exact and abs(turned[0] * turned[3] - turned[1] * turned[2]) == 1:
        return turned
    log.warning("%s: is turned by an angle that is not a multiple of 90 degrees; it is shown as it is", name)
    return UPRIGHT
