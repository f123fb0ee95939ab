"""A render ends by the signal that comes, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import media
import pytest
from conftest import environment

from vs_slomo.stops import stops

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")

RENDER = """
import signal, sys
# A job in a shell's background, or under nohup, ignores signals, and what it starts does too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from vs_slomo.video.render import encode
from vs_slomo.video.source import source

def shown(done, total):
    print(done, flush=True)

clip = source(sys.argv[1])
clip = clip.std.ModifyFrame(clip, lambda n, f: f).std.Loop(1000)
encode(clip, sys.argv[2], crf=20, progress=shown)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_render(tmp_path, number):
    (out := tmp_path / "out").mkdir()
    path = media.picture(tmp_path / "a.mkv", seconds=1)
    command = [sys.executable, "-c", RENDER, str(path), str(out / "x.mkv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == -number
    assert not list(out.iterdir())


def stopped_by(number, seen):
    with stops() as stopped:
        signal.raise_signal(number)
        assert (seen, stopped.signal) == ([], number)
        stopped.check()


def test_a_signal_is_noted_and_sent_again():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("before"))
    try:
        with pytest.raises(KeyboardInterrupt):
            stopped_by(signal.SIGTERM, seen)
        assert seen == ["before"]
        assert signal.getsignal(signal.SIGTERM) is not before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nothing_happens_without_a_signal():
    before = signal.getsignal(signal.SIGINT)
    with stops() as stopped:
        time.sleep(0.01)
        stopped.check()
    assert signal.getsignal(signal.SIGINT) is before
