"""From a clip's format to an encoder's: what is converted, how raw frames are described, what is told of colours."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vapoursynth as vs

from vs_slomo.clips.formats import planar_formats
from vs_slomo.errors import ArgumentError

from .colours import assumed_matrix
from .encoders import SHORT, encoder_name, encoder_row
from .ffmpeg import encoder_help, ffmpeg

log = logging.getLogger("vs_slomo")

BT2020 = 9
UNSPECIFIED = 2
SEMI_PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
}
"""What hardware encoders take: the same numbers, U and V side by side."""
PACKED = {
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr"), "gbrp"),
    **dict.fromkeys(("rgba", "bgra", "argb", "abgr"), "gbrap"),
    **dict.fromkeys(("rgb48le", "rgb48be", "bgr48le", "bgr48be"), "gbrp16le"),
    **dict.fromkeys(("rgba64le", "rgba64be", "bgra64le", "bgra64be"), "gbrap16le"),
    "gray16be": "gray16le",
    "pal8": "gbrap",
}
"""Formats with the same numbers in another order: ffmpeg rearranges them."""
ALPHA = {"gbrap": "gbrp", "yuva": "yuv"}


@dataclass(frozen=True)
class Pixels:
    """A format that an encoder takes.

    name: ffmpeg's. format: the host's, without alpha. alpha: bits of transparency, or 0. full: full range only.
    raw: the planar format in which frames are handed over.
    """

    name: str
    format: vs.VideoFormat
    raw: str
    alpha: int = 0
    full: bool = False


def known_pixels() -> dict[str, Pixels]:
    """Return all formats that can be handed over, by ffmpeg's names."""
    found = {name: Pixels(name, format_, name) for name, format_ in planar_formats().items()}
    for name in [*found]:
        base = found[name]
        bits = base.format.bits_per_sample
        for alpha, plain in ALPHA.items():
            if name.startswith(plain) and base.format.sample_type == vs.INTEGER:
                other = name.replace(plain, alpha, 1)
                found[other] = Pixels(other, base.format, other, alpha=bits)
        if bits == 8 and name.startswith("yuv"):
            full = name.replace("yuv", "yuvj")
            found[full] = Pixels(full, base.format, full, full=True)
    for name, planar in (SEMI_PLANAR | PACKED).items():
        found[name] = Pixels(name, found[planar].format, planar, found[planar].alpha)
    return found


def taken_pixels(codec: str) -> dict[str, Pixels]:
    """Return the formats that an encoder takes, by ffmpeg's names. Raises ArgumentError."""
    name = encoder_name(codec)
    text = encoder_help(name)
    if "Encoder " not in text:
        raise ArgumentError("codec", codec, f"{', '.join(SHORT)} or another encoder of {ffmpeg()}")
    row, known = encoder_row(name), known_pixels()
    listed = re.search("Supported pixel formats: (.*)", text)
    names = listed[1].split() if listed else [name for name, pixels in known.items() if not pixels.alpha]
    if row.upload:
        names = ["nv12", "p010le"] if name.startswith(("hevc", "av1", "vp9")) else ["nv12"]
    taken = {name: known[name] for name in names if name in known and known[name].format.bits_per_sample < 32}
    if not listed:  # anything goes: y4m has no RGB
        taken = {name: pixels for name, pixels in taken.items() if pixels.format.color_family != vs.RGB}
    taken = {name: pixels for name, pixels in taken.items() if re.fullmatch(row.formats, name)}
    if "Supported sample" in text or not taken:
        raise ArgumentError("codec", codec, "an encoder that takes planar YUV from memory")
    return taken


def choose(clip: vs.VideoNode, codec: str, *, alpha: bool = False) -> tuple[Pixels, dict[str, Any]]:
    """Return the format to encode in, and the arguments of the `resize` that leads there, if any.

    alpha: whether transparency is to be kept; with an encoder that has no place for it, it is not.
    """
    row = encoder_row(encoder_name(codec))
    family, is_float = clip.format.color_family, clip.format.sample_type == vs.FLOAT
    is_rgb = family == vs.RGB
    taken = taken_pixels(codec)
    keeps_rgb = is_rgb and (row.rgb or all(pixels.format.color_family == vs.RGB for pixels in taken.values()))
    bits = (16 if row.rgb else 10) if is_float else clip.format.bits_per_sample
    if is_rgb and not keeps_rgb:
        bits = min(bits, 10)
    across, down = (clip.format.subsampling_w, clip.format.subsampling_h) if not is_rgb else (1, 1)
    if keeps_rgb:
        across, down = 0, 0

    def loss(pixels: Pixels) -> tuple[int, ...]:
        to = pixels.format
        changes = (to.color_family == vs.RGB) != keeps_rgb if is_rgb else to.color_family == vs.RGB
        changes = changes and not (alpha and family == vs.GRAY)  # no planar format has gray and transparency
        coarser = max(0, to.subsampling_w - across) + max(0, to.subsampling_h - down)
        wider = to.bits_per_sample - bits
        other = (to.color_family == vs.GRAY) != (family == vs.GRAY)
        colourless = other and to.color_family == vs.GRAY
        no_alpha = alpha and row.alpha and not pixels.alpha
        spare = bool(pixels.alpha) and not (alpha and row.alpha)
        padded = pixels.name in SEMI_PLANAR or pixels.name in ("pal8", "bgr0", "rgb0") or pixels.full
        order = (colourless, changes, no_alpha, max(0, -wider), coarser, other, wider)
        return (*map(int, order), -to.subsampling_w - to.subsampling_h, int(spare), int(padded))

    chosen = min(taken.values(), key=loss)
    return chosen, _conversion(clip, chosen, is_float=is_float)


def _conversion(clip: vs.VideoNode, chosen: Pixels, *, is_float: bool) -> dict[str, Any]:
    to, family = chosen.format, clip.format.color_family
    props = clip.get_frame(0).props if family != to.color_family or chosen.full else {}
    full = chosen.full and to.color_family == vs.YUV and props.get("_Range", 0) != 1
    if to.id == clip.format.id and not full:
        return {}
    conversion: dict[str, Any] = {"format": vs.PresetVideoFormat(to.id)} if _has_name(to.id) else {"format": to.id}
    guess = assumed_matrix(clip.width, clip.height)
    if family == vs.RGB and to.color_family != vs.RGB:
        conversion["matrix"] = BT2020 if props.get("_Primaries") == BT2020 else guess
    if family == vs.YUV and to.color_family == vs.RGB and props.get("_Matrix", UNSPECIFIED) == UNSPECIFIED:
        conversion["matrix_in"] = guess
    if full:
        conversion["range"] = 1
    if is_float or to.bits_per_sample < clip.format.bits_per_sample:
        conversion["dither_type"] = "error_diffusion"
    return conversion


def _has_name(number: int) -> bool:
    try:
        vs.PresetVideoFormat(number)
    except ValueError:
        return False
    return True


def encodable(clip: vs.VideoNode, codec: str) -> tuple[str, dict[str, Any]]:
    """Return the format to encode in, by ffmpeg's name, and the arguments of the `resize` that leads there, if any."""
    chosen, conversion = choose(clip, codec)
    return chosen.name, conversion


def even(clip: vs.VideoNode, pixels: Pixels, codec: str) -> tuple[int, int]:
    """Return by how many columns and rows a clip must grow for an encoder, and a format that keeps colours coarsely.

    Gray counts as such where players decode it with colours (H.264).
    """
    to = pixels.format
    across, down = to.subsampling_w, to.subsampling_h
    row = encoder_row(encoder_name(codec))
    if to.color_family == vs.GRAY and not row.rgb:
        across, down = 1, 1
    return -clip.width % max(1 << across, row.multiple), -clip.height % max(1 << down, row.multiple)


def grown(clip: vs.VideoNode, columns: int, rows: int) -> vs.VideoNode:
    """Return the clip with its last column and row repeated, as many of them as have one sample of colour."""
    across, down = 1 << clip.format.subsampling_w, 1 << clip.format.subsampling_h
    if columns:
        last = clip.std.Crop(left=clip.width - across)
        clip = vs.core.std.StackHorizontal([clip, *[last] * (columns // across)])
    if rows:
        last = clip.std.Crop(top=clip.height - down)
        clip = vs.core.std.StackVertical([clip, *[last] * (rows // down)])
    return clip


def growing(columns: int, rows: int) -> str:
    """Return "1 column and 3 rows"."""
    parts = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((columns, "column"), (rows, "row")) if n]
    return " and ".join(parts)


def raw_input(clip: vs.VideoNode, raw: str | None = None) -> list[str]:
    """Return the arguments that describe a clip's raw frames to ffmpeg. raw: the planar format, with alpha.

    Above 101 frames a second ffmpeg guesses the rate from the first frames, and takes 119.88 for 120: no probing.
    """
    names = {format_.id: name for name, format_ in planar_formats().items()}
    return [
        *("-f", "rawvideo", "-pixel_format", raw or names[clip.format.id]),
        *("-video_size", f"{clip.width}x{clip.height}", "-framerate", str(clip.fps)),
        *("-fpsprobesize", "0", "-i", "pipe:0"),
    ]


def colour_arguments(props: Mapping[str, Any], family: vs.ColorFamily = vs.YUV) -> list[str]:
    """Return the arguments that tell colours, which raw frames do not.

    They stand before the input and before the output: which of them counts depends on ffmpeg's version.
    """
    arguments = []
    for name, tag in (("colorspace", "_Matrix"), ("color_primaries", "_Primaries"), ("color_trc", "_Transfer")):
        if (value := props.get(tag, UNSPECIFIED)) not in (UNSPECIFIED, 0):
            arguments += [f"-{name}", str(int(value))]
    if family == vs.RGB:
        return arguments
    if "_Range" in props:
        arguments += ["-color_range", "pc" if props["_Range"] else "tv"]
    if "_ChromaLocation" in props and family == vs.YUV:
        arguments += ["-chroma_sample_location", str(int(props["_ChromaLocation"]) + 1)]
    return arguments


def picture_filters(name: str, props: Mapping[str, Any]) -> list[str]:
    """Return the arguments that tell the sample aspect ratio, and prepare the picture for the encoder."""
    row = encoder_row(name)
    sar = props.get("_SARNum"), props.get("_SARDen")
    steps = [f"setsar={sar[0]}/{sar[1]}"] if all(sar) else []
    steps += ["format=nv12|p010,hwupload"] if row.upload else []
    steps += [row.filters] if row.filters else []
    return ["-filter:v:0", ",".join(steps)] if steps else []


def device_arguments(name: str, options: Sequence[str]) -> list[str]:
    """Return the arguments that open the device to which frames go, unless the user's options name one."""
    kind = encoder_row(name).upload
    if not kind or any(option.endswith("_device") for option in options):
        return []
    return ["-init_hw_device", f"{kind}=frames", "-filter_hw_device", "frames"]


def hdr_arguments(name: str, props: Mapping[str, Any]) -> list[str]:
    """Return the arguments for HDR10's metadata, mastering display and content light level, where a frame has them."""
    parts = ("PrimariesX", "PrimariesY", "WhitePointX", "WhitePointY", "MaxLuminance", "MinLuminance")
    display: list[Any] = [props.get(f"MasteringDisplay{part}") for part in parts]
    light: list[Any] = [props.get(f"ContentLightLevel{part}") for part in ("Max", "Average")]
    if None in display and any(part is not None for part in display):
        log.warning("the metadata of the HDR10 mastering display lacks a part; it is not passed on")
    if None in display and None in light:
        return []
    to = encoder_row(name).hdr
    if to is None:
        log.warning("%s: HDR10 metadata is not passed on; it is with libx264, libx265, libsvtav1", name)
        return []
    values = []
    if None not in display:
        x, y, *rest = display
        points = {"G": (x[1], y[1]), "B": (x[2], y[2]), "R": (x[0], y[0]), "WP": rest[:2], "L": rest[2:]}
        text = [
            f"{key}({','.join(to.number(value, luminance=key == 'L') for value in point)})"
            for key, point in points.items()
        ]
        values.append(f"{to.display}={''.join(text)}")
    if None not in light:
        values.append(f"{to.light}={int(light[0])},{int(light[1])}")
    return [to.option, ":".join(values)]
