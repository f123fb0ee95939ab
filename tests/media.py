"""Files that tests are made of, and what they hear, read and see in them; all by the ffmpeg at hand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np

from vs_slomo.video.probe import ffmpeg, probe

RATE = 48000
CLICKS = (0.5, 1.0, 1.5)
"""Seconds at which `film` is heard to begin clicking, and another click at 0."""


def run(*arguments: object) -> bytes:
    """Run ffmpeg, which may not complain, and return what it wrote to its standard output."""
    command = [ffmpeg(), "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.returncode, done.stderr.decode()
    return done.stdout


def picture(path: Path, *options: object, size="96x64", rate=10, seconds=1.0, before=()) -> Path:
    """Make a video of ffmpeg's moving test picture."""
    source = f"testsrc2=size={size}:rate={rate}:duration={seconds},format=yuv420p"
    run("-f", "lavfi", "-i", source, *before, "-c:v", "libx264", "-preset", "ultrafast", *options, path)
    return path


def film(folder: Path) -> Path:
    """Two seconds at 10 fps, 96x64, with two sound tracks, a subtitle track, chapters, a title and a font."""
    subtitles, tags, font = folder / "subtitles.srt", folder / "tags.txt", folder / "font.ttf"
    subtitles.write_text("1\n00:00:00,500 --> 00:00:01,000\nhello\n\n2\n00:00:01,200 --> 00:00:01,500\nworld\n")
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    text = ";FFMETADATA1\ntitle=A film\n" + chapter.format(0, 1000, "one") + chapter.format(1000, 2000, "two")
    tags.write_text(text)
    font.write_bytes(b"not really")
    path = folder / "film.mkv"
    clicks = f"aevalsrc='lt(mod(t,0.5),0.02)*sin(2*PI*880*t)':duration=2:sample_rate={RATE}"
    picture(
        path,
        *("-map", "0:v", "-map", "1:a", "-map", "1:a", "-map", "2:s", "-map_metadata", 3, "-map_chapters", 3),
        *("-c:a:0", "pcm_s16le", "-c:a:1", "flac", "-c:s", "srt"),
        *("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=fra"),
        *("-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font"),
        seconds=2,
        before=("-f", "lavfi", "-i", clicks, "-i", subtitles, "-i", tags),
    )
    return path


def about(path: Path) -> str:
    """What ffmpeg says of a file."""
    return subprocess.run([ffmpeg(), "-hide_banner", "-i", path], capture_output=True, check=False).stderr.decode()


def streams(path: Path) -> list[str]:
    """The lines of a file's streams."""
    return [line.strip() for line in about(path).splitlines() if "Stream #" in line]


def clicks(path: Path, track: int = 0) -> list[float]:
    """When the clicks of a sound track begin, in seconds after the picture does."""
    aligned = "aresample=async=1:first_pts=0"
    raw = run("-i", path, "-map", f"0:a:{track}", "-af", aligned, "-ac", 1, "-ar", RATE, "-f", "f32le", "-")
    loud = np.flatnonzero(np.abs(np.frombuffer(raw, np.float32)) > 0.2)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-RATE) > RATE // 10)]
    return [float(start) / RATE - float(probe(path).start) for start in starts]


def subtitles(path: Path) -> list[tuple[float, float, str]]:
    """Begin and end, in seconds after the picture begins, and text of the first subtitle track's lines."""
    begin = float(probe(path).start)
    text = run("-i", path, "-map", "0:s:0", "-f", "srt", "-").decode()
    time = r"(\d+):(\d+):(\d+),(\d+)"
    found = re.findall(rf"{time} --> {time}\s+(.*)", text)
    weights = (3600, 60, 1, 0.001)

    def seconds(fields):
        return round(sum(int(field) * weight for field, weight in zip(fields, weights, strict=True)) - begin, 3)

    return [(seconds(fields[:4]), seconds(fields[4:8]), fields[8].strip()) for fields in found]


def luma(path: Path, width: int, height: int) -> np.ndarray:
    """Every frame's luma as ffmpeg shows it (turned as the container says), (N, H, W) of 8 bit."""
    options = ("-fps_mode", "passthrough", "-vf", "format=yuv420p,extractplanes=y", "-f", "rawvideo")
    return np.frombuffer(run("-i", path, "-map", "0:V:0", *options, "-"), np.uint8).reshape(-1, height, width)
