"""Processes that prepare: what they return, and that none is left when the one that started them is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vs_slomo.training.process import in_processes

ENDLESS = """
import sys, time
from pathlib import Path
from vs_slomo.training.process import in_processes

def one(folder):
    import os
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    in_processes(one, [sys.argv[1]] * 2, 2)
"""


def wait_for(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def runs(number):
    """Whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("processes", [1, 2])
def test_in_order(processes):
    assert in_processes(str, range(5), processes) == ["0", "1", "2", "3", "4"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="asks /proc which processes run")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_none_is_left(number, tmp_path):
    script, folder = tmp_path / "endless.py", tmp_path / "started"
    script.write_text(ENDLESS)
    folder.mkdir()
    with subprocess.Popen([sys.executable, script, folder]) as parent:
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        parent.send_signal(number)
    children = [int(path.name) for path in folder.iterdir()]
    wait_for(lambda: not any(map(runs, children)), 60)
