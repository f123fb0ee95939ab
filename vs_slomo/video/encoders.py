"""Two tables: what each container takes, and how each encoder is told. A new container or codec is one row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from pathlib import Path

from vs_slomo.errors import ArgumentError
from vs_slomo.given import text

from .ffmpeg import encoder_help


@dataclass(frozen=True, kw_only=True)
class Container:
    """What an output's ending means.

    codec: the picture's encoder where none is asked for.
    sound: the encoder for sound that is not copied; "" where there is no sound. copies: sound codecs that are copied
        as they are; None leaves it to the muxer.
    text: the encoder for text subtitles; "" where it takes none. texts, pictures: subtitle codecs that are copied.
    cover: "stream" or "file", how a cover picture is kept; "" where it is lost. attachments, chapters, alpha: whether
        it keeps them. flags: ffmpeg's options. pattern: whether the name is that of numbered pictures.
    countable: whether the frames of a finished file can be counted. highest: its highest rate, or 0.
    late: whether it stores when a track begins, so that sound may begin after the picture (AVI does not).
    gapless: whether its chapters are a track: from the start on, each up to the next one.
    even: the rate of its sound, which must last as long as the picture (MXF); 0 leaves both as they are.
    """

    codec: str = "x264"
    sound: str = "aac"
    copies: frozenset[str] | None = None
    text: str = ""
    texts: frozenset[str] = frozenset()
    pictures: frozenset[str] = frozenset()
    cover: str = ""
    attachments: bool = False
    chapters: bool = False
    alpha: bool = False
    flags: tuple[str, ...] = ()
    pattern: bool = False
    countable: bool = True
    highest: int = 0
    late: bool = True
    gapless: bool = False
    even: int = 0


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


BITMAPS = _set("hdmv_pgs_subtitle dvd_subtitle dvb_subtitle xsub")
"""Subtitles that are pictures."""
TRANSPORT = _set("mp2 mp3 aac ac3 eac3 dts opus")
MOVIE = Container(
    text="mov_text",
    texts=_set("mov_text"),
    cover="stream",
    chapters=True,
    gapless=True,
    flags=("-movflags", "+faststart"),
)
MATROSKA = Container(
    text="srt",
    texts=_set("subrip ass ssa webvtt text hdmv_text_subtitle"),
    pictures=BITMAPS - {"xsub"},
    cover="file",
    attachments=True,
    chapters=True,
    alpha=True,
)
STREAMED = Container(copies=TRANSPORT, pictures=_set("dvb_subtitle"))
DISC = Container(
    sound="ac3",
    copies=TRANSPORT | {"truehd", "pcm_bluray"},
    pictures=_set("hdmv_pgs_subtitle"),
    flags=("-mpegts_m2ts_mode", "1"),
)
PROGRAM = Container(codec="mpeg2video", sound="ac3", copies=_set("mp2 ac3 dts"), pictures=_set("dvd_subtitle"))
SILENT = Container(sound="", alpha=True)
PICTURES = Container(sound="", alpha=True, pattern=True, codec="png")

CONTAINERS: dict[str, Container] = {
    ".mp4": MOVIE,
    ".mkv": MATROSKA,
    ".mov": Container(**vars(MOVIE) | {"alpha": True, "cover": ""}),
    ".webm": Container(
        codec="vp9",
        sound="libopus",
        copies=_set("opus vorbis"),
        text="webvtt",
        texts=_set("webvtt"),
        chapters=True,
        alpha=True,
    ),
    ".avi": Container(
        sound="ac3",  # has up to 6 channels, and hardly any silence at its start, which AVI cannot tell
        copies=_set("mp3 mp2 ac3 pcm_s16le pcm_u8 aac"),
        alpha=True,
        late=False,
        # It has no times: neither the order in which frames are shown, nor what lies before the first one.
        flags=("-bf", "0", "-avoid_negative_ts", "disabled"),
    ),
    ".ts": STREAMED,
    ".mxf": Container(codec="mpeg2video", sound="pcm_s24le", copies=_set(""), even=48000),
    ".m4v": MOVIE,
    ".m2ts": DISC,
    ".mts": DISC,
    ".vob": PROGRAM,
    ".mpg": PROGRAM,
    ".mpeg": PROGRAM,
    ".flv": Container(copies=_set("aac mp3")),
    ".wmv": Container(codec="wmv2", sound="wmav2", copies=_set("wmav1 wmav2 wmapro")),
    # Theora has packets without data, of frames that repeat: they are not counted.
    ".ogv": Container(codec="libtheora", sound="libvorbis", copies=_set("vorbis opus flac"), countable=False),
    ".nut": Container(alpha=True),
    ".gif": Container(**vars(SILENT) | {"codec": "gif", "highest": 50}),
    ".apng": Container(**vars(SILENT) | {"codec": "apng", "flags": ("-plays", "0")}),
    ".webp": Container(**vars(SILENT) | {"codec": "libwebp_anim", "flags": ("-loop", "0"), "countable": False}),
    ".y4m": Container(**vars(SILENT) | {"codec": "wrapped_avframe", "alpha": False, "flags": ("-strict", "-1")}),
    ".png": PICTURES,
    ".tif": Container(**vars(PICTURES) | {"codec": "tiff"}),
    ".tiff": Container(**vars(PICTURES) | {"codec": "tiff"}),
    ".bmp": Container(**vars(PICTURES) | {"codec": "bmp"}),
    ".dpx": Container(**vars(PICTURES) | {"codec": "dpx"}),
    ".jp2": Container(**vars(PICTURES) | {"codec": "jpeg2000"}),
    ".jxl": Container(**vars(PICTURES) | {"codec": "libjxl"}),
    ".ppm": Container(**vars(PICTURES) | {"codec": "ppm", "alpha": False}),
    ".tga": Container(**vars(PICTURES) | {"codec": "targa"}),
    ".jpg": Container(**vars(PICTURES) | {"codec": "mjpeg", "alpha": False}),
    ".jpeg": Container(**vars(PICTURES) | {"codec": "mjpeg", "alpha": False}),
}
"""By the output's ending."""
OTHER = Container()
"""Any other that ffmpeg knows."""
WORTH_A_MENTION = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".mxf")
MANY_FILES = (".m3u8", ".m3u", ".mpd", ".ism", ".ffconcat")
MANY_FILE_MUXERS = _set("hls dash segment stream_segment ssegment tee hds smoothstreaming webm_chunk")
"""Outputs that write more files than their name."""
CODEC_FLAGS: dict[tuple[str, str], tuple[str, ...]] = {
    **{(ending, "libx265"): ("-tag:v", "hvc1") for ending in (".mp4", ".m4v", ".mov")},
    **{(ending, "hevc_"): ("-tag:v", "hvc1") for ending in (".mp4", ".m4v", ".mov")},
}
"""What a container needs of an encoder to be played everywhere; a name that ends in _ stands for all of its kind."""


def container_of(output: Path) -> Container:
    """Return what an output's ending means."""
    return CONTAINERS.get(output.suffix.lower(), OTHER)


def container_flags(output: Path, encoder: str) -> list[str]:
    """Return ffmpeg's options for a container and an encoder."""
    ending = output.suffix.lower()
    flags = list(container_of(output).flags)
    for (where, name), options in CODEC_FLAGS.items():
        if where == ending and (encoder == name or (name.endswith("_") and encoder.startswith(name))):
            flags += options
    return flags


@dataclass(frozen=True)
class Hdr:
    """How an encoder is told of HDR10's metadata: its option, two keys, and units to 1 and to 1 cd/m²."""

    option: str
    display: str
    light: str
    units: tuple[int, int] = (50000, 10000)

    def number(self, value: float, *, luminance: bool) -> str:
        """Return a number as the encoder reads it."""
        unit = self.units[luminance]
        return f"{value:g}" if unit == 1 else f"{value * unit:.0f}"


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """How a kind of encoder is told.

    quality: the option for constant quality, and more that go with it; {} is the number. range: its numbers.
    default: the number where none is asked for. preset: the option for speed. presets: its values; () are not known.
    rgb: whether RGB stays RGB. full: whether it has no other range than the full one (JPEG).
    alpha: whether it keeps transparency; with_alpha: flags that it then needs.
    upload: the kind of device to which frames go by a filter. multiple: of what number width and height must be.
    formats: a pattern of the pixel formats that are chosen from those it takes. filters: what prepares the picture.
    flags: options in any case. hdr: how it is told of HDR10's metadata.
    """

    quality: tuple[str, ...] = ("-crf", "{}")
    range: tuple[float, float] = (0, 63)
    default: float | None = None
    preset: str = "-preset"
    presets: tuple[str, ...] = ()
    rgb: bool = False
    full: bool = False
    alpha: bool = False
    with_alpha: tuple[str, ...] = ()
    upload: str = ""
    multiple: int = 1
    formats: str = "(?!pal8$).*"  # ffmpeg makes no palette by itself
    filters: str = ""
    flags: tuple[str, ...] = ()
    hdr: Hdr | None = None


PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
X26X = {"range": (0, 51), "default": 18, "presets": PRESETS}
LOSSLESS = Encoder(quality=(), preset="", rgb=True, alpha=True)
SCALE = Encoder(quality=("-q:v", "{}"), range=(1, 31), preset="")
VPX = {"quality": ("-crf", "{}", "-b:v", "0"), "preset": "-cpu-used", "alpha": True, "formats": "yuva420p|[^a]*"}
NVENC = ("-rc", "vbr", "-cq", "{}", "-b:v", "0")
AMF = ("-rc", "cqp", "-qp_i", "{}", "-qp_p", "{}")
LOCAL_PALETTES = "split[whole][used];[used]palettegen=stats_mode=single[palette];[whole][palette]paletteuse=new=1"
"""A palette for each frame: one for all of them would keep the whole film in memory."""

ENCODERS: dict[str, Encoder] = {
    "libx264": Encoder(**X26X, hdr=Hdr("-x264-params", "mastering-display", "cll")),  # type: ignore[arg-type]
    "libx264rgb": Encoder(**X26X, rgb=True),  # type: ignore[arg-type]
    "libx265": Encoder(**X26X, hdr=Hdr("-x265-params", "master-display", "max-cll")),  # type: ignore[arg-type]
    "libsvtav1": Encoder(hdr=Hdr("-svtav1-params", "mastering-display", "content-light", (1, 1))),
    "libaom-av1": Encoder(quality=("-crf", "{}", "-b:v", "0"), preset="-cpu-used"),
    # VP8's hidden frames do not go with transparency.
    "libvpx": Encoder(**VPX, with_alpha=("-auto-alt-ref", "0")),  # type: ignore[arg-type]
    "libvpx-.*": Encoder(**VPX),  # type: ignore[arg-type]
    "librav1e": Encoder(quality=("-qp", "{}"), range=(0, 255), preset="-speed"),
    "libkvazaar": Encoder(quality=("-kvazaar-params", "qp={}"), range=(0, 51), default=22, preset="", multiple=8),
    "av1_nvenc": Encoder(quality=NVENC, range=(0, 63)),
    ".*_nvenc": Encoder(quality=NVENC, range=(0, 51)),
    ".*_qsv": Encoder(quality=("-global_quality", "{}"), range=(1, 51)),
    "av1_amf": Encoder(quality=AMF, range=(0, 255), preset="-quality"),
    ".*_amf": Encoder(quality=AMF, range=(0, 51), preset="-quality"),
    ".*_videotoolbox": Encoder(quality=("-q:v", "{}"), range=(1, 100), preset=""),
    "(h264|hevc)_vaapi": Encoder(quality=("-qp", "{}"), range=(0, 52), preset="-compression_level", upload="vaapi"),
    ".*_vaapi": Encoder(quality=("-global_quality", "{}"), range=(1, 255), preset="", upload="vaapi"),
    "(h264|hevc|av1)_vulkan": Encoder(quality=("-qp", "{}"), range=(0, 255), preset="", upload="vulkan"),
    ".*_(v4l2m2m|omx|mediacodec|mf)": Encoder(quality=(), preset=""),  # these know a rate of bits only: -b:v
    "prores(_aw)?": Encoder(quality=("-qscale:v", "{}"), range=(0, 32), preset="", alpha=True, multiple=2),
    "prores.*": Encoder(quality=("-qscale:v", "{}"), range=(0, 32), preset="", alpha=True),
    "dnxhd": Encoder(quality=(), preset="", formats="yuv422p", flags=("-profile:v", "dnxhr_hq")),
    "qtrle": Encoder(**vars(LOSSLESS) | {"formats": "(?!gray)(?!pal8$).*"}),  # its gray has widths of 4, 8, 12, ...
    # Readers of such pictures expect RGB.
    "(tiff|(lib)?(jpeg2000|openjpeg))": Encoder(**vars(LOSSLESS) | {"formats": "(?!yuv|pal8$).*"}),
    "(ffv1|png|apng|utvideo|magicyuv|rawvideo|ffvhuff|huffyuv)": LOSSLESS,
    "(dpx|targa|qoi|sgi|pam)": LOSSLESS,
    "cfhd": Encoder(**vars(LOSSLESS) | {"quality": ("-quality", "{}"), "range": (0, 12), "multiple": 16}),
    "hap": Encoder(quality=(), preset="", rgb=True, alpha=True, with_alpha=("-format", "hap_alpha"), multiple=4),
    "y41p": Encoder(quality=(), preset="", multiple=8),
    "(bmp|exr|zmbv|ppm)": Encoder(quality=(), preset="", rgb=True),
    "ljpeg": Encoder(quality=(), preset="", rgb=True, flags=("-strict", "-1")),
    "cinepak": Encoder(quality=(), preset="", rgb=True, multiple=4),
    "libjxl.*": Encoder(quality=("-distance", "{}"), range=(0, 15), default=1, preset="", rgb=True, alpha=True),
    "gif": Encoder(quality=(), preset="", rgb=True, alpha=True, formats=".*", filters=LOCAL_PALETTES),
    "libwebp.*": Encoder(quality=("-quality", "{}"), range=(0, 100), rgb=True, alpha=True),
    "wrapped_avframe": Encoder(quality=(), preset="", formats=r"gray(8|9|1\d)?(le)?|yuv4(20|22|44)p.*|yuv411p"),
    "mjpeg": Encoder(**vars(SCALE) | {"default": 2, "filters": "scale=out_range=full", "full": True}),
    "(h263p?|rv20)": Encoder(**vars(SCALE) | {"default": 2, "multiple": 4}),
    "(rv10|speedhq|amv|roqvideo)": Encoder(**vars(SCALE) | {"default": 2, "multiple": 16}),
    "(mpeg2video|mpeg4|mpeg1video|msmpeg4.*|wmv.*|flv)": Encoder(**vars(SCALE) | {"default": 2}),
    "libtheora": Encoder(quality=("-q:v", "{}"), range=(0, 10), default=8, preset=""),
}
"""By a pattern of ffmpeg's names; the first that fits counts."""
SHORT = {"x264": "libx264", "x265": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks"}
"""Names of our own, and what ffmpeg calls them."""


def encoder_name(codec: str) -> str:
    """Return ffmpeg's name of an encoder."""
    return SHORT.get(codec, codec)


def encoder_row(name: str) -> Encoder:
    """Return the row of an encoder; one that is not in the table has the quality option that ffmpeg lists for it."""
    for pattern, row in ENCODERS.items():
        if re.fullmatch(pattern, name):
            return row
    return Encoder() if re.search(r"^ +-crf ", encoder_help(name), re.MULTILINE) else SCALE


OWN_QUALITY = _set("-crf -qp -b -q -qscale -global_quality -cq -cqp")


def quality(name: str, crf: float | None, preset: str | None, options: Sequence[str] = ()) -> list[str]:
    """Return the arguments for an encoder's quality and speed. Raises ArgumentError.

    options: further ones; where they choose the quality, there is no default.
    """
    row = encoder_row(name)
    low, high = row.range
    if crf is not None and not row.quality:
        raise ArgumentError("crf", crf, f"nothing with {name}, which has no quality to choose")
    if crf is not None and (not isinstance(crf, Real) or isinstance(crf, bool) or not low <= crf <= high):
        raise ArgumentError("crf", crf, f"{low:g} to {high:g} with {name}")
    own = any(o.partition(":")[0] in OWN_QUALITY and not re.search(":[ast]", o) for o in options)
    crf = row.default if crf is None and not own else crf
    constant = [] if crf is None else [part.format(f"{crf:g}") for part in row.quality]
    preset = None if preset is None else text("preset", preset, "the name of a speed, such as slow")
    if preset is not None and not row.preset:
        raise ArgumentError("preset", preset, f"nothing with {name}, which has none")
    if preset is not None and row.presets and preset not in (*row.presets, *"0123456789"):  # both take numbers too
        raise ArgumentError("preset", preset, f"one of {', '.join(row.presets)} with {name}")
    return constant + ([] if preset is None else [row.preset, preset])


def usual_codec(output: Path) -> str:
    """Return the codec for an output where none is asked for."""
    return container_of(output).codec


def check_kind(output: Path, options: Sequence[str]) -> None:
    """Raise ArgumentError for an output that would write more files than its name."""
    asked = {value for name, value in pairwise(options) if name == "-f"}
    if output.suffix.lower() in MANY_FILES or asked & MANY_FILE_MUXERS:
        allowed = "a file of its own, such as .mp4 or .mkv; make a playlist of it with ffmpeg afterwards"
        raise ArgumentError("output", str(output), allowed)
