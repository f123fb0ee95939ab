"""The other tools of this folder: a quick part of each here, the whole of it with the marker `slow`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")


def run(tool, *options, timeout=250, **more):
    command = [sys.executable, HERE / f"{tool}.py", *map(str, options)]
    env = environment() | more
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=env)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("only", ["slomo", "sample", "weights.fetch", "$ script"])
def test_some_hostile_arguments(only):
    assert "tried: " in run("hostile_arguments", "--only", only, "--part", "3/9")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_hostile_arguments():
    assert "tried: " in run("hostile_arguments", timeout=7100)


def test_some_hostile_servers():
    assert "servers: " in run("hostile_server", "--count", 12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_hostile_servers():
    assert "servers: " in run("hostile_server", "--count", 400, timeout=3500)


def test_some_signals():
    assert "3 signals: " in run("signals", "--count", 3)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_100_signals():
    assert "100 signals: " in run("signals", "--count", 100, timeout=7100)


def test_a_full_disk():
    assert "'refused': " in run("full_disk", "--count", 20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_161_sizes_of_disk():
    assert "161 tried: " in run("full_disk", "--count", 161, timeout=3500)


def test_the_same_bits_with_any_number_of_threads():
    one, three = (run("same_bits", "--torch", n, OMP_NUM_THREADS=str(n)) for n in (1, 3))
    assert one == three


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_same_bits_whatever_the_host_does():
    want = run("same_bits")
    for threads, cache in ((1, 1000), (2, 1), (8, 1), (8, 1000)):
        for order in ("forwards", "backwards", "random"):
            for torch in (1, 2, 5):
                options = ("--threads", threads, "--cache", cache, "--order", order, "--torch", torch)
                assert run("same_bits", *options, OMP_NUM_THREADS=str(torch)) == want, options


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_memory_over_20000_frames():
    run("soak", "--frames", os.environ.get("VS_SLOMO_SOAK", "20000"), timeout=7100)


def test_some_states_of_the_host():
    assert " 0 wrong" in run("host_matrix", "--part", "5/24")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_384_states_of_the_host():
    assert "384 combinations: 384 right" in run("host_matrix", timeout=3500)
