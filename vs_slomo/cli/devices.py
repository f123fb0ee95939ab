"""`vs-slomo devices`: what is there to work with."""

from __future__ import annotations


def devices() -> None:
    """Show the GPUs, ffmpeg and its encoders, source filters and plugins that are here, and what would be used.

    vs-slomo devices
    """
    import torch

    from vs_slomo.engine.devices import cpu_name, gpu_name, gpus, why_no_cuda
    from vs_slomo.engine.settings import check_device, check_precision
    from vs_slomo.video.inventory import encoders, ffmpeg_line, plugins, source_filters

    used = check_device(None)
    rows = [("PyTorch", torch.__version__), ("CPU", cpu_name())]
    rows += [("GPU", gpu_name(name)) for name in gpus()] or [("GPU", "none found")]
    rows += [("CUDA", why)] if (why := why_no_cuda()) else []
    rows += [("used", f"{gpu_name(used) if used != 'cpu' else 'the CPU'}, {check_precision(None, used)}")]
    rows += [("ffmpeg", ffmpeg_line()), ("encoders", encoders())]
    rows += [("source filters", source_filters()), ("plugins", plugins())]
    for name, what in rows:
        print(f"{name:16}{what}")
