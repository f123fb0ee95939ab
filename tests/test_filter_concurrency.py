"""`slomo()` under load: any order, many threads, small caches, errors upstream, the core going away, leaks."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import vapoursynth as vs
from clips import core, moving, same
from conftest import environment, python

from vs_slomo import slomo
from vs_slomo.timing.positions import Timing

FRAMES, MULTI = 6, 4
TIMES = Timing(FRAMES, MULTI)
PAIRS = FRAMES - 1
IN_ORDER = list(range(TIMES.length))
SHUFFLED = random.Random(1).sample(IN_ORDER, len(IN_ORDER))


@pytest.fixture
def host():
    """Return a function that sets the host's threads and cache (MB); both are as before afterwards."""
    threads, cache = core.num_threads, core.max_cache_size

    def set_host(num_threads=threads, max_cache_size=cache):
        core.num_threads, core.max_cache_size = num_threads, max_cache_size

    yield set_host
    set_host()


@pytest.fixture(scope="module")
def fresh(seeing_model, engine_of):
    """A new graph on each call, so that nothing is cached in the host."""
    clip = moving(vs.YUV420P8, 48, 32, FRAMES)
    engine_of(seeing_model)
    return lambda **options: slomo(clip, MULTI, model=seeing_model, device="cpu", **options)


@pytest.fixture
def flows(seeing_model, engine_of):
    """A function that says how many flows were computed since the test began."""
    engine = engine_of(seeing_model)
    before = engine.runs
    return lambda: engine.runs - before


@pytest.fixture(scope="module")
def want(fresh):
    """The frames of curved and of even motion, each from a graph of its own."""
    return {curved: [fresh(curved=curved).get_frame(n) for n in IN_ORDER] for curved in (True, False)}


def one_by_one(clip, order):
    return [clip.get_frame(n) for n in order]


def all_at_once(clip, order):
    return [future.result(timeout=60) for future in [clip.get_frame_async(n) for n in order]]


# --- any order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [IN_ORDER, SHUFFLED, IN_ORDER[::-1]], ids=["sequential", "shuffled", "backwards"])
@pytest.mark.parametrize("read", [one_by_one, all_at_once])
@pytest.mark.parametrize(("threads", "cache", "num_streams"), [(1, 1000, 1), (8, 1000, 1), (8, 8, 3), (2, 1, 2)])
def test_the_same_pixels_and_each_flow_once(host, fresh, flows, want, order, read, threads, cache, num_streams):
    host(threads, cache)
    frames = read(fresh(num_streams=num_streams), order)
    wanted = want[True]
    assert all(same(frame, wanted[n]) for n, frame in zip(order, frames, strict=True))
    assert flows() == PAIRS


def test_frames_larger_than_the_hosts_cache(host, seeing_model, engine_of):
    """8 MB, frames of 5 MB: the host keeps next to nothing, the flows are found once all the same."""
    engine, clip = engine_of(seeing_model, 0.125), moving(vs.RGBS, 736, 608, 3)
    before = engine.runs
    host(8, 8)
    out = slomo(clip, 3, model=seeing_model, device="cpu", scale=0.125, num_streams=2)
    assert len(all_at_once(out, random.Random(2).sample(range(len(out)), len(out)))) == 9
    assert engine.runs - before == 2


def test_reading_again_finds_the_flows_again(host, fresh, flows):
    """They are kept beside the engine, even where the host keeps no frame."""
    host(4, 1)
    clip = fresh()
    for _ in range(3):
        all_at_once(clip, SHUFFLED)
        clip.clear_cache()
    assert flows() == PAIRS


def test_two_clips_at_once(host, fresh, want, seeing_model):
    host(4)
    other = moving(vs.RGB24, 64, 48, FRAMES)
    one, two = fresh(), slomo(other, MULTI, model=seeing_model, device="cpu")
    wanted = one_by_one(slomo(other, MULTI, model=seeing_model, device="cpu"), IN_ORDER)
    pending = [(c.get_frame_async(n), w[n]) for n in SHUFFLED for c, w in ((one, want[True]), (two, wanted))]
    assert all(same(future.result(timeout=60), frame) for future, frame in pending)


def test_slomo_of_slomo_at_once(host, fresh, seeing_model):
    host(4, 1)
    one, two = (slomo(fresh(), 2, model=seeing_model, device="cpu") for _ in range(2))
    order = range(len(one))
    assert all(same(a, b) for a, b in zip(all_at_once(one, order), one_by_one(two, order), strict=True))


# --- errors -----------------------------------------------------------------------------------------------


def needed(n, curved):
    """Source frames that output frame n needs, for itself and for the marks of cuts around it."""
    k, t = TIMES.at(n)
    pairs = [*TIMES.crossed(n), *(TIMES.crossed(n - 1) if n else ())]
    own = range(k - curved, k + 2 + curved) if t else (k,)
    return set(own).union(*({p, p + 1} for p in pairs))


@pytest.mark.parametrize("curved", [True, False])
def test_reading_goes_on_after_an_error_upstream(host, seeing_model, want, curved):
    """Only what needs the broken frame fails; once it is whole, nothing does."""
    host(4)
    clip, broken = moving(vs.YUV420P8, 48, 32, FRAMES), [True]

    def fail(n, f):
        if n == 3 and broken:
            raise RuntimeError("frame 3 is broken")
        return f

    out = slomo(clip.std.ModifyFrame(clip, fail), MULTI, model=seeing_model, device="cpu", curved=curved)
    for _ in range(2):
        failed = []
        for n, future in enumerate([out.get_frame_async(n) for n in IN_ORDER]):
            try:
                assert same(future.result(timeout=60), want[curved][n])
            except vs.Error as error:
                assert "frame 3 is broken" in str(error)  # noqa: PT017
                failed.append(n)
        assert failed == [n for n in IN_ORDER if 3 in needed(n, curved)]
    broken.clear()
    assert all(same(frame, want[curved][n]) for n, frame in enumerate(all_at_once(out, IN_ORDER)))


def test_an_interlaced_frame_stops_no_other(host, seeing_model):
    host(4)
    clip = moving(vs.YUV420P8, 48, 32, FRAMES)
    mixed = clip[:3] + clip[3].std.SetFieldBased(2) + clip[4:]
    out = slomo(mixed, 2, model=seeing_model, device="cpu")
    for n, future in enumerate([out.get_frame_async(n) for n in range(len(out))]):
        if n in (5, 7):
            with pytest.raises(vs.Error, match="deinterlace first"):
                future.result(timeout=60)
        else:
            future.result(timeout=60)


# --- the end ----------------------------------------------------------------------------------------------


def test_exit_while_frames_are_under_way(seeing_model):
    """The process ends by itself, and not a word is on stdout or stderr."""
    done = python(
        """
        import sys
        import vapoursynth as vs
        from clips import moving
        from vs_slomo import slomo

        vs.core.num_threads = 4
        clip = moving(vs.YUV420P8, 64, 48, 6)
        for flow in "unet", "dis":
            out = slomo(clip, 4, model=sys.argv[1], device="cpu", flow=flow)
            pending = [out.get_frame_async(n) for n in range(len(out))]
            pending[1].result()
        """,
        seeing_model,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("end", ["whole", "closed", pytest.param("interrupted", marks=pytest.mark.slow)])
def test_vspipe(vspipe, seeing_model, tmp_path, end):
    """Whole, every byte on stdout is the video's; cut short, it ends at once."""
    script = tmp_path / "script.vpy"
    frames = 4 if end == "whole" else 1000
    script.write_text(
        f"""
import vapoursynth as vs
from clips import moving
from vs_slomo import slomo
clip = moving(vs.YUV420P8, 128, 96, 6).std.Loop({frames})[:{frames}]
slomo(clip, 4, model={str(seeing_model)!r}, device="cpu").set_output()
"""
    )
    size = 128 * 96 * 3 // 2 + len("FRAME\n")
    command = [vspipe, "-c", "y4m", script, "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        if end == "whole":
            out, _ = process.communicate(timeout=200)
            header, frames = out[: -16 * size], out[-16 * size :]
            assert re.fullmatch(rb"YUV4MPEG2 C420\w* W128 H96 F100:1 [^\n]*\n", header)
            assert all(frames[n * size :].startswith(b"FRAME\n") for n in range(16))
            assert process.returncode == 0
            return
        process.stdout.read(3 * size)
        if end == "interrupted":
            process.send_signal(signal.SIGINT)
        process.stdout.close()
        process.stderr.read()


# --- memory -----------------------------------------------------------------------------------------------


def test_no_frame_stays_behind(seeing_model):
    """By the host's own list of frames: with alpha and an error upstream, none is left when the clips are gone."""
    done = python(
        """
        import gc
        import sys
        import time
        import vapoursynth as vs

        class Policy(vs.EnvironmentPolicy):
            def on_policy_registered(self, api):
                self.environment = api.create_environment(int(vs.ENABLE_FRAME_REF_DEBUG))

            def get_current_environment(self):
                return self.environment

            def set_environment(self, environment):
                return self.environment

            def is_alive(self, environment):
                return True

            def on_policy_cleared(self):
                pass

        vs.register_policy(Policy())
        log = []
        vs.core.add_log_handler(lambda kind, message: log.append(message))

        from clips import moving
        from vs_slomo import slomo

        def alive():
            gc.collect()
            vs.core.clear_cache()
            log.clear()
            for _ in range(10):  # each time, the host lists the frames that there are; some are just going
                vs.core.std.BlankClip(length=1).get_frame(0)
                time.sleep(0.02)
            counts = (message.rpartition("num frames: ")[2] for message in log if "num frames: " in message)
            return min(int(count.strip(" )\\n")) for count in counts)

        def fail(n, f):
            if n == 3:
                raise RuntimeError
            return f

        nothing = alive()
        clip = moving(vs.YUV420P8, 64, 48, 4).std.ClipToProp(moving(vs.GRAY8, 64, 48, 4), prop="_Alpha")
        kept = []
        for clip, flow in (clip, "dis"), (clip.std.ModifyFrame(clip, fail), "unet"):
            out = slomo(clip, 3, model=sys.argv[1], device="cpu", flow=flow)
            for n in range(len(out)):
                try:
                    kept = [out.get_frame(n)]
                except vs.Error:
                    pass
        del clip, out
        with_one = alive()
        kept.clear()
        print(nothing, with_one, alive())
        """,
        seeing_model,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "3", "1"]  # the one that asks; with a frame and its alpha; nothing else


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow(seeing_model, capsys):
    """2,000 frames of 320x180: resident memory at frame 200, when the caches are full, and at the end."""
    done = python(
        """
        import resource, sys
        import torch
        import vapoursynth as vs
        from clips import moving
        from vs_slomo import slomo

        torch.set_num_threads(1)
        vs.core.max_cache_size = 64
        clip = moving(vs.YUV420P8, 320, 180, 10).std.Loop(1000)
        out = slomo(clip, 4, model=sys.argv[1], device="cpu")
        for n in range(2000):
            out.get_frame(n).close()
            if n + 1 in (200, 1000, 2000):
                print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / (1 << 20))
        """,
        seeing_model,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    early, half, late = map(float, done.stdout.split())
    with capsys.disabled():
        sys.stdout.write(f"\nresident MiB: {early:.0f} at frame 200, {half:.0f} at 1,000, {late:.0f} at 2,000\n")
    assert late - half < 16
    assert late - early < 300  # the flows kept beside the engine fill up to settings.PAIR_BYTES, 256 MiB
