"""Time: what variable rates, speed ramps, an open shutter and flow are worth, measured where the truth is known.

    python benchmarks/retiming.py ../shared/data

The folder holds val/gopro_walk.mp4 and the test files. The bundled model, on the CPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from itertools import accumulate, cycle, islice, pairwise
from pathlib import Path

import numpy as np
import torch
import vapoursynth as vs

from vs_slomo import Timecodes, motion, retime, slomo, source, source_timecodes
from vs_slomo.clips.frames import read_planes, write_planes
from vs_slomo.filters.baselines import sample
from vs_slomo.filters.motion import occlusion
from vs_slomo.metrics import psnr
from vs_slomo.timing import timecodes
from vs_slomo.training.scenes import Scene
from vs_slomo.video.probe import probe, run
from vs_slomo.video.render import render

STEPS = (1, 1, 2, 1, 3, 1, 1, 2)
"""Source frames from one kept frame to the next: a phone's 33, 67 and 100 ms."""


def walk(data: Path, first: int = 60, length: int = 48) -> vs.VideoNode:
    """A hand-held walk at 30000/1001, 424x240 in gray, frames decoded once."""
    clip = source(data / "val" / "gopro_walk.mp4", "bs")[first : first + length]
    clip = clip.resize.Bicubic(424, 240, format=vs.GRAY16)
    made = list(clip.frames())
    return clip.std.BlankClip(keep=True).std.ModifyFrame(clip, lambda n, f: made[n])  # noqa: ARG005


def only(clip: vs.VideoNode, frames: Iterable[int], fps: Fraction) -> vs.VideoNode:
    parts = vs.core.std.Splice([clip[k] for k in frames])
    return parts.std.AssumeFPS(fpsnum=fps.numerator, fpsden=fps.denominator)


def score(out: vs.VideoNode, truth: vs.VideoNode, frames: Iterable[int]) -> float:
    """Mean PSNR of these frames, dB; a margin of 8 pixels is left out."""
    values = []
    for n in frames:
        a, b = (read_planes(x.get_frame(n), [0])[..., 8:-8, 8:-8] / 65535 for x in (out, truth))
        values.append(min(psnr(a, b), 99.0))
    return float(np.mean(values))


def blended(clip: vs.VideoNode, positions: list[Fraction]) -> vs.VideoNode:
    """Both neighbours of each position, mixed."""
    frames = [read_planes(f, [0]) for f in clip.frames()]

    def mix(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        k, t = divmod(positions[n], 1)
        out = f.copy()
        write_planes(out, [0], torch.lerp(frames[k], frames[min(k + 1, len(frames) - 1)], float(t)))
        return out

    blank = clip.std.BlankClip(length=len(positions), keep=True)
    return blank.std.ModifyFrame(blank, mix)


def variable(data: Path) -> None:
    truth = walk(data)
    kept = [k for k in accumulate(islice(cycle(STEPS), len(truth)), initial=0) if k < len(truth)]
    codes = Timecodes((*kept, len(truth)), 1 / truth.fps)
    clip = only(truth, kept, len(kept) / codes.duration)
    lost = [n for n in range(len(truth)) if n not in kept]
    as_constant = slomo(clip, fps_num=30000, fps_den=1001)
    at_moments = slomo(clip, fps_num=30000, fps_den=1001, timecodes=codes)
    repeated = only(truth, [max(k for k in kept if k <= n) for n in range(len(truth))], truth.fps)
    print(f"\nA walk at 29.97 fps, {len(lost)} of its {len(truth)} frames lost, made 29.97 fps again: those")
    for name, out in (
        ("taken as constant, a factor", as_constant),
        ("frames repeated", repeated),
        ("blended at their moments", blended(clip, [codes.position(n / truth.fps) for n in range(len(truth))])),
        ("slomo(timecodes=...)", at_moments),
    ):
        print(f"{name:42}{score(out, truth, lost):15.2f} dB")
    off = [abs(k / clip.fps - moment / truth.fps) * 1000 for k, moment in enumerate(kept)]
    print(f"as constant, frames are off by up to {float(max(off)):.0f} ms")


def phones(data: Path) -> None:
    print("\nReal files: how far frames are from their moments")
    for name in ("rooftop_1080p_10bit.mp4", "building_pan_1080p_10bit.mp4", "phone_518x488.mp4"):
        codes = source_timecodes(data / "test" / name)
        average = (codes.frames - 1) / codes.time(Fraction(codes.frames - 1))
        off = max(abs(k / average - codes.time(Fraction(k))) for k in range(codes.frames))
        line = codes.at_rate(Fraction(60))
        errors = [abs(codes.time(p) - Fraction(n, 60)) for n, p in enumerate(line.positions) if p < codes.frames - 1]
        lasts = sorted({round(float(d) * 1000, 1) for d in codes.durations()})
        print(
            f"{name}: {codes.frames} frames of {lasts} ms; as constant off by up to {float(off) * 1000:.1f} ms, "
            f"at 60 fps here by {float(max(errors)) * 1000:.4f} ms"
        )


def held(data: Path) -> None:
    """The phone's frame that stands for 100 ms while the camera pans, made 60 fps."""
    path = data / "test" / "rooftop_1080p_10bit.mp4"
    clip, codes = source(path).resize.Bicubic(960, 540, format=vs.GRAY16), source_timecodes(path)
    longest = max(range(codes.frames), key=codes.lasts)
    first = int(codes.time(Fraction(longest)) * 60) - 1
    lasts = float(codes.lasts(longest)) * 1000
    print(f"\nFrame {longest} stands for {lasts:.0f} ms: mean change of luma, of 255, from frame to frame at 60 fps")
    for name, out in (
        ("nearest frame", sample(clip, fps_num=60, timecodes=codes)),
        ("taken as constant, a factor", slomo(clip, fps_num=60)),
        ("slomo(timecodes=...)", slomo(clip, fps_num=60, timecodes=codes)),
    ):
        pictures = [read_planes(out.get_frame(n), [0]) / 257 for n in range(first, first + 10)]
        steps = (float((b - a).abs().mean()) for a, b in pairwise(pictures))
        print(f"{name:42}", *(f"{step:5.2f}" for step in steps))


def rendered(data: Path) -> None:
    """`vs-slomo render` of a real variable file, and what vspipe's two ways of telling times say of one."""
    path = (data / "test" / "rooftop_1080p_10bit.mp4").absolute()
    codes = source_timecodes(path)
    cheap = {"flow": "unet", "scale": 0.125}
    with tempfile.TemporaryDirectory() as folder:
        out = render(path, Path(folder) / "out.mp4", fps_num=60, preset="ultrafast", **cheap)
        times = probe(out).timecodes
        off = max(abs(times.time(Fraction(n)) - Fraction(n, 60)) for n in range(times.frames))
        lasts = f"{float(times.duration):.4f} s of {float(codes.duration):.4f}"
        print(f"\nrender --fps 60: {times.frames} frames in {lasts}, off by {float(off) * 1000:.4f} ms; ", end="")
        print(f"sound the same: {packets(out, 'a') == packets(path, 'a')}")
        script, mkv, txt = (Path(folder) / name for name in ("script.vpy", "out.mkv", "out.txt"))
        script.write_text(
            "from vs_slomo import slomo, source, source_timecodes\n"
            f"clip = source({str(path)!r}).resize.Bicubic(320, 180)\n"
            f"slomo(clip, 3, timecodes=source_timecodes({str(path)!r}), **{cheap}).set_output()\n"
        )
        vspipe = Path(sys.executable).with_name("vspipe")
        subprocess.run([vspipe, "-c", "mkv", "--timecodes", txt, script, mkv], check=True, capture_output=True)
        frames = 3 * codes.frames
        wanted = [codes.time(Fraction(n, 3)) for n in range(frames)]
        written, base = timecodes.read(txt, frames), probe(mkv).time_base
        muxed = [(int(t) - int(probe(mkv).times[0])) * base for t in probe(mkv).times]
        by_file = max(abs(written.time(Fraction(n)) - moment) for n, moment in enumerate(wanted))
        by_mkv = max(abs(a - b) for a, b in zip(muxed, wanted, strict=True))
        print(f"vspipe, multi=3, {frames} frames: --timecodes off by {float(by_file) * 1e9:.0f} ns, ", end="")
        print(f"-c mkv by {float(by_mkv) * 1e6:.2f} µs")


def packets(path: Path, kind: str) -> list[tuple[str, ...]]:
    """Return size and checksum of every packet of a stream."""
    arguments = ["-v", "error", "-i", str(path), "-map", f"0:{kind}:0", "-c", "copy", "-f", "framecrc", "-"]
    lines = run(arguments).stdout.decode().splitlines()
    return [tuple(x.strip() for x in line.split(",")[4:6]) for line in lines if not line.startswith("#")]


def chain(data: Path) -> None:
    """Dedupe, slomo and retime one after the other, and in one call."""
    held, double, options = 2, 2, {"precision": "fp32", "num_streams": 1}
    step = 4  # frames of the truth from one frame to the next
    print("\n60 fps footage as 7.5 drawings in 15 fps, slowed to a quarter: dedupe, slomo(2), retime; and one call")
    print(f"{'':30}{'refilled':>18}{'slomo made':>18}{'retime made':>18}{'the two differ':>18}")
    for name, first in (("london_station_60fps_240p.mp4", 20), ("bbb_1080p60_10s.mp4", 100)):
        film = source(data / "train" / name)[first : first + 64].resize.Bicubic(424, 240, format=vs.GRAY16)
        truth = film.std.AssumeFPS(fpsnum=60)
        clip = only(truth, [n // held * held * step for n in range(16)], Fraction(15))
        even = slomo(slomo(clip, 1, dedupe=True, **options), double, **options)
        curve = [Fraction(n, step) for n in range(48)]
        chained = retime(even, [double * p for p in curve], unit="frames", fps_num=15, **options)
        once = retime(clip, curve, unit="frames", dedupe=True, **options)
        kinds = [[n for n in range(8, 40) if n % 8 in rest] for rest in ((4,), (2, 6), (1, 3, 5, 7))]
        both = [f"{score(chained, truth, kind):.2f} / {score(once, truth, kind):.2f}" for kind in kinds]
        apart = [score(chained, once, kind) for kind in kinds]
        print(f"{name:30}", *(f"{text:>17}" for text in both), *(f"{a:.1f}" for a in apart), "dB")


def ramp(data: Path) -> None:
    truth = walk(data, length=61)
    clip = only(truth, range(0, 61, 2), truth.fps / 2)
    curve = [(0, 0), (10, 10), (30, 20), (40, 30)]
    out = retime(clip, curve, unit="frames")
    positions = [Fraction(n) if n < 10 else 10 + Fraction(n - 10, 2) if n < 30 else Fraction(n - 10) for n in range(40)]
    wanted = only(truth, [int(2 * p) for p in positions], clip.fps)
    new = [n for n, p in enumerate(positions) if p.denominator > 1]
    print("\nEvery second frame of the walk, at full speed, half and full again: the new frames")
    nearest = only(clip, [int(p) for p in positions], clip.fps)
    for name, made in (("nearest frame", nearest), ("blended", blended(clip, positions)), ("retime()", out)):
        print(f"{name:42}{score(made, wanted, new):15.2f} dB")
    originals = [n for n in range(40) if n not in new]
    same = sum(bytes(out.get_frame(n)[0]) == bytes(wanted.get_frame(n)[0]) for n in originals)
    print(f"originals that are so to the bit: {same} of {len(originals)}")


def scene_clip(scene: Scene, length: int, size: tuple[int, int]) -> vs.VideoNode:
    blank = vs.core.std.BlankClip(None, *size, vs.RGBS, length, 24, 1, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        write_planes(out, range(3), scene.frame(float(n)).unsqueeze(0))
        return out

    return blank.std.ModifyFrame(blank, draw)


def shutter() -> None:
    size, scenes, angle = (256, 160), range(4), 180
    rows: dict[str, list[float]] = {}
    for seed in scenes:
        scene = Scene.random(seed, size[1], size[0], speed=8.0)
        clip = scene_clip(scene, 5, size)
        made = {
            "the sharp frame": clip,
            "neighbours averaged, 1:2:1": clip.std.AverageFrames([1, 2, 1]),
        }
        for samples, stage in ((3, "unet"), (15, "unet"), (3, "dis"), (7, "dis"), (15, "dis")):
            options = {"shutter": samples, "shutter_angle": angle, "sc": False, "flow": stage}
            made[f'retime(shutter={samples}, flow="{stage}")'] = retime(clip, lambda t: t, **options)
        for name, out in made.items():
            for n in (1, 2, 3):
                truth = scene.frame(float(n), angle / 360).unsqueeze(0)
                rows.setdefault(name, []).append(psnr(read_planes(out.get_frame(n), range(3)), truth))
    print(f"\nScenes whose blur at {angle} degrees is known, up to 8 pixels a frame, {size[0]}x{size[1]}")
    for name, values in rows.items():
        print(f"{name:42}{np.mean(values):15.2f} dB")


def flow() -> None:
    size = (256, 160)
    print(f"\nScenes whose flow is known, {size[0]}x{size[1]}: mean error of flow, and of what is occluded")
    print(f"{'':12}{'flow, pixels':>14}{'zero flow':>12}{'precision':>12}{'recall':>10}")
    for stage in ("unet", "dis", "true flow"):
        errors, still, hits, found, hidden = [], [], 0, 0, 0
        for seed in range(6):
            scene = Scene.random(seed, size[1], size[0], speed=6.0)
            true, seen = scene.flow(0, 1), scene.visible(0, 1)
            if stage == "true flow":
                there, mask = true, occlusion(true[None], scene.flow(1, 0)[None])[0, 0] > 0
            else:
                clips = motion(scene_clip(scene, 2, size), flow=stage, sc=False)
                there = read_planes(clips.forward.get_frame(0), (0, 1))[0]
                mask = read_planes(clips.occluded.get_frame(0), [0])[0, 0] > 0
            errors.append(float((there - true).norm(dim=0)[seen].mean()))
            still.append(float(true.norm(dim=0)[seen].mean()))
            hits, found, hidden = hits + int((mask & ~seen).sum()), found + int(mask.sum()), hidden + int((~seen).sum())
        print(f"{stage:12}{np.mean(errors):14.2f}{np.mean(still):12.2f}{hits / found:12.2f}{hits / hidden:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    phones(data)
    held(data)
    rendered(data)
    variable(data)
    chain(data)
    ramp(data)
    shutter()
    flow()


if __name__ == "__main__":
    main()
