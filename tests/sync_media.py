"""Films that flash and click at once, in any container, and how far apart the two are in a file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import media
import numpy as np

FLASHES = (0.52, 1.52, 2.52)
"""Seconds at which the picture turns white for 0.2 s and the sound clicks."""
RATE = 25

CODECS = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mkv": ("libx264", "flac"),
    "webm": ("libvpx", "libvorbis"),
    "ts": ("mpeg2video", "mp2"),
    "m2ts": ("libx264", "ac3"),
    "vob": ("mpeg2video", "mp2"),
    "avi": ("mpeg4", "libmp3lame"),
    "flv": ("libx264", "libmp3lame"),
}
"""By container: what is in it."""
SPEED = {
    "libx264": ("-preset", "ultrafast", "-bf", 2),
    "mpeg2video": ("-q:v", 3, "-bf", 2),
    "libvpx": ("-deadline", "realtime", "-b:v", "400k"),
}


def flashing(path: Path, *, late: float = 0.0, seconds: float = 3.2, options=()) -> Path:
    """Make a film whose picture begins `late` seconds after its sound, with a flash and a click at FLASHES.

    Negative: its sound begins after its picture.
    """
    video, sound = CODECS[path.suffix[1:]]
    white = "+".join(f"between(t,{moment - max(late, 0):.3f},{moment - max(late, 0) + 0.19:.3f})" for moment in FLASHES)
    click = "+".join(f"between(t,{moment + min(late, 0):.3f},{moment + min(late, 0) + 0.01:.3f})" for moment in FLASHES)
    picture = f"color=black:s=96x64:r={RATE}:d={seconds - max(late, 0)},drawbox=c=white:t=fill:enable='{white}'"
    tone = f"aevalsrc='if({click},0.7*sin(2*PI*1000*t),0)':s=48000:d={seconds + min(late, 0)}"
    rate = ("-b:a", "128k") if sound != "flac" else ()
    media.run(
        *("-itsoffset", max(late, 0), "-f", "lavfi", "-i", picture),
        *("-itsoffset", max(-late, 0), "-f", "lavfi", "-i", tone),
        *("-c:v", video, "-pix_fmt", "yuv420p", "-g", 12, *SPEED.get(video, ()), "-c:a", sound, *rate),
        *("-fps_mode", "passthrough", *options, path),
    )
    return path


def flashes(path: Path) -> list[float]:
    """When the picture turns white, in seconds of the file's clock."""
    found, before = [], 0.0
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            light = float(frame.to_ndarray(format="gray").mean())
            if light > 110 >= before:
                found.append(float(frame.time))
            before = light
    return found


def clicks(path: Path) -> list[float]:
    """When the sound clicks, in seconds of the file's clock."""
    parts = []
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            data = frame.to_ndarray()
            planar = frame.format.is_planar
            data = data[0] if planar else data.reshape(-1, len(frame.layout.channels))[:, 0]
            parts.append((float(frame.time), data.astype(float), frame.sample_rate))
    loudest = max(np.abs(data).max() for _, data, _ in parts)
    found: list[float] = []
    for begin, data, rate in parts:
        for place in np.flatnonzero(np.abs(data) > loudest * 0.3):
            moment = begin + place / rate
            if not found or moment - found[-1] > 0.3:
                found.append(moment)
    return found


def distances(path: Path) -> list[float]:
    """How many seconds after each flash the nearest click comes."""
    heard = clicks(path)
    seen = flashes(path)
    assert seen, "no flash"
    assert heard, "no click"
    return [min((click - flash for click in heard), key=abs) for flash in seen]


def grows(path: Path) -> bool:
    """Whether the picture's times grow from frame to frame."""
    with av.open(str(path)) as file:
        times = [frame.pts for frame in file.decode(video=0)]
    return all(a < b for a, b in pairwise(times))
