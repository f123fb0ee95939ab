"""Files with bytes flipped at random: a clip, or a clear error; no crash and no hang."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time

import media
import pytest

from vs_slomo.errors import SlomoError

COPIES = 40
PATIENCE = 90
KINDS = {
    "mp4": ("-c:a", "aac"),
    "mkv": ("-c:a", "libvorbis"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
}


def damaged(data, seed):
    """Return a copy with some bytes changed: a few anywhere, or many in one place."""
    chance = random.Random(seed)
    made = bytearray(data)
    if seed % 4 == 3:
        at = chance.randrange(len(made))
        places = range(at, min(len(made), at + chance.randrange(8, 400)))
    else:
        places = [chance.randrange(len(made)) for _ in range(2 ** chance.randrange(1, 8))]
    for place in places:
        made[place] = chance.randrange(256)
    return bytes(made)


def outcome(path, output):
    """Render a file in a process of its own; return how that ended."""
    child = os.fork()
    if not child:
        logging.disable()
        code = 3
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            from vs_slomo.video.probe import probe
            from vs_slomo.video.render import Tracks, encode
            from vs_slomo.video.source import open_file

            opened = open_file(probe(path))
            encode(opened.clip, output, crf=30, preset="ultrafast", tracks=Tracks(file=opened.file))
            code = 0
        except SlomoError:
            code = 1
        except BaseException:  # noqa: BLE001  # what it was, its parent only counts
            code = 2
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return f"died by signal {os.WTERMSIG(status)}"
            return {0: "a film", 1: "an error", 2: "a traceback"}.get(os.WEXITSTATUS(status), "?")
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "a hang"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("ending", KINDS)
def test_flipped_bytes(tmp_path, ending):
    before = ("-f", "lavfi", "-i", "sine=duration=1")
    options = KINDS[ending]
    video = () if "-c:v" in options else ("-bf", 1)
    whole = media.picture(tmp_path / f"whole.{ending}", *video, *options, rate=25, seconds=1, before=before)
    data, bad, counts = whole.read_bytes(), [], {}
    copies = int(os.environ.get("VS_SLOMO_DAMAGED", COPIES))
    for seed in range(copies):
        (path := tmp_path / f"{seed}.{ending}").write_bytes(damaged(data, seed))
        output = tmp_path / "out.mkv"
        output.unlink(missing_ok=True)
        how = outcome(path, output)
        counts[how] = counts.get(how, 0) + 1
        if how not in ("a film", "an error") or (how == "a film") != output.exists():
            bad.append((seed, how))
    print(ending, counts)  # noqa: T201
    assert not bad, counts
