"""Films that no encoder at hand makes: edited bit by bit."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import media

PICTURE, EXTENSION = b"\0\0\1\0", b"\0\0\1\xb5"
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def dolby_vision(folder: Path, profile: int, ending: str = "mp4") -> Path:
    """Make a HEVC film whose configuration says Dolby Vision of a profile."""
    log = ("-x265-params", "log-level=none")
    path = media.picture(folder / "plain.mp4", "-c:v", "libx265", *log, "-tag:v", "hvc1", rate=25, seconds=0.4)
    data = bytearray(path.read_bytes())
    entry = data.find(b"hvc1", data.find(b"stsd")) - 4
    size = struct.unpack_from(">I", data, entry)[0]
    # Version 1.0; profile, level 1, metadata and base layer are there; what the base layer is by itself.
    bits = profile << 9 | 1 << 3 | 0b101
    record = struct.pack(">BBHB", 1, 0, bits, (1 << 4) if profile == 8 else 0) + bytes(19)
    box = struct.pack(">I", 8 + len(record)) + b"dvcC" + record
    data[entry + size : entry + size] = box
    for name in PARENTS:
        at = data.find(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(box))
    struct.pack_into(">I", data, entry, size + len(box))
    (made := folder / "dovi.mp4").write_bytes(data)
    if ending != "mp4":
        media.run("-i", made, "-c", "copy", "-strict", "unofficial", made := folder / f"dovi.{ending}")
    return made


def pictures(data: bytes) -> list[bytes]:
    """Split an MPEG-2 stream behind each picture."""
    starts = [n for n in range(len(data) - 4) if data[n : n + 4] == PICTURE]
    heads = [data.rfind(b"\0\0\1\xb3", 0, start) for start in starts]
    cuts = [head if head > before else start for head, start, before in zip(heads, starts, [-1, *starts], strict=False)]
    return [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)]


def extension(picture: bytearray) -> int:
    """Return where the picture coding extension begins."""
    at = picture.find(EXTENSION)
    while picture[at + 4] >> 4 != 8:
        at = picture.find(EXTENSION, at + 1)
    return at


def field_pictures(path: Path, frames: int = 10) -> Path:
    """Make MPEG-2 whose fields are pictures, each in a packet of its own (PAFF): a film of 96x64 at 25 a second."""
    source = f"testsrc2=s=96x64:r=25:d={frames / 25},format=yuv420p,separatefields,setpts=N/25/TB"
    raw = path.with_suffix(".m2v")
    media.run("-f", "lavfi", "-i", source, "-r", 25, "-c:v", "mpeg2video", "-g", 1, "-q:v", 3, raw)
    fields = [bytearray(field) for field in pictures(raw.read_bytes())]
    assert len(fields) == 2 * frames
    for n, field in enumerate(fields):
        if n % 2:  # no head between the fields of a frame
            del field[: field.find(PICTURE)]
        else:
            head = field.find(b"\0\0\1\xb3")
            field[head + 5] = field[head + 5] & 0xF0
            field[head + 6] = 64
            field[field.find(EXTENSION) + 5] &= ~0x08  # not progressive
        at = extension(field)
        field[at + 6] = field[at + 6] & 0xFC | (2 if n % 2 else 1)  # bottom or top field
        field[at + 7] &= 0x3F  # neither top field first nor whole frames only
        field[at + 8] &= 0x7F
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n, field in enumerate(fields):
            packet = av.Packet(bytes(field))
            packet.stream, packet.time_base = stream, Fraction(1, 50)
            packet.pts = packet.dts = n
            packet.is_keyframe = True
            file.mux(packet)
    return path


def captioned(path: Path) -> Path:
    """Make MPEG-2 with closed captions (CEA-608 in ATSC A/53's user data) in each picture."""
    raw = path.with_suffix(".m2v")
    media.run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.4", "-c:v", "mpeg2video", "-bf", 0, raw)
    # The identifier, captions, one triple of the first field: the letters "HI" with odd parity, the end.
    captions = b"\0\0\1\xb2" + b"GA94\3" + bytes([0x40 | 1, 0xFF, 0xFC, 0xC8, 0x49, 0xFF])
    made = b""
    for picture in pictures(raw.read_bytes()):
        slices = picture.find(b"\0\0\1\1")
        made += picture[:slices] + captions + picture[slices:]
    raw.write_bytes(made)
    media.run("-fflags", "+genpts", "-r", 25, "-i", raw, "-c", "copy", path)
    return path


def telecine(path: Path, frames: int = 24) -> Path:
    """Make MPEG-2 of 24000/1001 frames a second with the flags of 3:2 pulldown, as on a DVD."""
    raw = path.with_suffix(".m2v")
    source = f"testsrc2=s=96x64:r=24000/1001:d={frames * 1001 / 24000}"
    media.run("-f", "lavfi", "-i", source, "-c:v", "mpeg2video", "-bf", 0, raw)
    made = [bytearray(picture) for picture in pictures(raw.read_bytes())]
    for n, picture in enumerate(made):
        head = picture.find(b"\0\0\1\xb3")
        if head >= 0:
            picture[picture.find(EXTENSION, head) + 5] &= ~0x08
        at = extension(picture)
        picture[at + 7] = picture[at + 7] & 0x7F | (n % 4 in (0, 3)) << 7
        picture[at + 8] = picture[at + 8] & 0xFD | (n % 2 == 0) << 1
    raw.write_bytes(b"".join(made))
    media.run("-fflags", "+genpts", "-r", "24000/1001", "-i", raw, "-c", "copy", path)
    return path


def blu_ray_subtitles(path: Path, shown: float, gone: float) -> Path:
    """Write a PGS file (.sup): one gray bar in a picture of 96x64, in five segments."""

    def segments(time: float, *parts: tuple[int, bytes]) -> bytes:
        return b"".join(
            struct.pack(">2sIIBH", b"PG", int(time * 90000), 0, kind, len(data)) + data for kind, data in parts
        )

    width, height, window = 40, 10, bytes([1, 0]) + struct.pack(">HHHH", 20, 40, 40, 10)
    bar = bytes([0, 0x80 | width, 1, 0, 0]) * height
    here = struct.pack(">HHBHBBBBHBBHH", 96, 64, 0x10, 0, 0x80, 0, 0, 1, 0, 0, 0, 20, 40)
    drawn = (
        struct.pack(">HBB", 0, 0, 0xC0) + struct.pack(">I", len(bar) + 4)[1:] + struct.pack(">HH", width, height) + bar
    )
    palette = bytes([0, 0, 1, 200, 128, 128, 255])
    empty = struct.pack(">HHBHBBBB", 96, 64, 0x10, 1, 0, 0, 0, 0)
    made = segments(shown, (0x16, here), (0x17, window), (0x14, palette), (0x15, drawn), (0x80, b""))
    path.write_bytes(made + segments(gone, (0x16, empty), (0x17, window), (0x80, b"")))
    return path
