"""What is compared: the filter and the older methods, each from a clip and a factor to a clip."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vapoursynth as vs

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, SlomoError, SourceError
from vs_slomo.filters.baselines import blend, flow, mc, sample
from vs_slomo.filters.options import check_options
from vs_slomo.filters.slomo import slomo
from vs_slomo.given import texts
from vs_slomo.training.pictures import Image
from vs_slomo.video.probe import ffmpeg, last_lines, run
from vs_slomo.video.render import raw_input

log = logging.getLogger("vs_slomo")

Method = Callable[[vs.VideoNode, int], vs.VideoNode]
"""From a clip and a factor to that many times as many frames."""


def methods(names: Sequence[str] | None = None, *, sc: bool = True, **options: Any) -> dict[str, Method]:
    """Return methods by name: those asked for, or all that can run here.

    slomo-STAGE is the filter with one of the flow stages, slomo-even the filter with the model's own stage and
    `curved` off. dis is classical flow by the paper's formula, the mean of both warps; flow adds occlusions.
    sc: detect scene cuts. options: further options of `slomo`.

    Raises ArgumentError for an unknown name, SlomoError for a method whose plugin is missing.
    """
    known: dict[str, Method] = {
        **{f"slomo-{stage}": functools.partial(slomo, flow=stage, sc=sc, **options) for stage in weights.FLOWS},
        "slomo-even": functools.partial(slomo, curved=False, sc=sc, **options),
        "sample": functools.partial(sample, sc=sc),
        "blend": functools.partial(blend, sc=sc),
        "mc": functools.partial(mc, sc=sc),
        "minterpolate": functools.partial(minterpolate, sc=sc),
        "dis": functools.partial(flow, occlusion=False, sc=sc),
        "flow": functools.partial(flow, sc=sc),
    }
    chosen = {}
    probe = vs.core.std.BlankClip(format=vs.GRAY8, width=64, height=64, length=2)
    for name in known if names is None else texts("methods", names, f"some of {', '.join(known)}"):
        if name not in known:
            raise ArgumentError("methods", name, f"some of {', '.join(known)}")
        try:
            if name in ("mc", "minterpolate"):
                known[name](probe, 2)
        except SlomoError as error:
            if names is not None:
                raise
            log.warning("%s is left out: %s", name, error)
        else:
            chosen[name] = known[name]
    return chosen


def default_method(size: tuple[int, int], **options: Any) -> str:
    """Return the name of the method that `slomo` is by default, for clips of this width and height on this machine."""
    return f"slomo-{check_options(size, **options).settings.flow}"


def model_line(size: tuple[int, int] | None = None, **options: Any) -> str:
    """Return a line about the model that the filter's methods use. The options are those of `methods`.

    size: width and height of the clip; None where clips differ.
    """
    info = weights.read_info(options.get("model", "bundled"))
    about = f"model {info.name} {info.version}, width {info.width}"
    if size is None:
        return f"{about}; the default flow stage depends on size and device"
    scale = check_options(size, **options).settings.scale
    return f"{about}, scale {scale:g}; the default here is {default_method(size, **options)}"


def minterpolate(clip: vs.VideoNode, multi: int, *, sc: bool = True) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, by ffmpeg's filter of that name.

    The whole clip is made at once, not frame by frame on demand. sc: let ffmpeg detect cuts. Raises SourceError.
    """
    motion = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1" + ("" if sc else ":scd=none")
    raw = raw_input(clip.std.AssumeFPS(fpsnum=1))
    kind = raw[raw.index("-pixel_format") + 1]
    told = ["-vf", f"minterpolate=fps={multi}:{motion}", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", kind]
    # It ends one frame early.
    frames = [*clip.frames(close=False), clip.get_frame(len(clip) - 1)]
    done = run(["-v", "error", *raw, *told, "pipe:1"], input=b"".join(map(packed, frames)))
    pixels = np.frombuffer(done.stdout, np.uint8)
    size = len(packed(frames[0]))
    made = pixels.reshape(-1, size) if len(pixels) % size == 0 else pixels[:0].reshape(0, size)
    if done.returncode or len(made) != (len(clip) - 1) * multi + 1:
        raise SourceError(f"{ffmpeg()}: minterpolate failed: {last_lines(done.stderr.decode(errors='replace'))}")

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        return unpack(f.copy(), made[min(n, len(made) - 1)])

    longer = vs.core.std.Interleave([clip] * multi)
    return longer.std.ModifyFrame(longer, fill)


def packed(frame: vs.VideoFrame) -> bytes:
    """Return a frame's planes as raw video has them: RGB as G, B, R."""
    return b"".join(np.ascontiguousarray(np.asarray(frame[p])).tobytes() for p in raw_order(frame))


def raw_order(frame: vs.VideoFrame) -> Sequence[int]:
    """Return a frame's planes in the order of raw video."""
    return (1, 2, 0) if frame.format.color_family == vs.ColorFamily.RGB else range(frame.format.num_planes)


def unpack(frame: vs.VideoFrame, pixels: Image) -> vs.VideoFrame:
    """Undo `packed`."""
    for p in raw_order(frame):
        plane = np.asarray(frame[p])
        own, pixels = pixels[: plane.nbytes], pixels[plane.nbytes :]
        np.copyto(plane, own.view(plane.dtype).reshape(plane.shape))
    return frame
