"""Every hostile model file is refused or loads, in bounded time and memory."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import environment
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.weights.pickles import PickleError, PickleReader, RefusedError

from . import hostile_models as tool

needs_fork = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


def run(count, first=0, timeout=280):
    command = [sys.executable, tool.__file__, "--count", str(count), "--first", str(first)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@needs_fork
def test_some_hostile_files():
    assert "'refused': " in run(20)


@needs_fork
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_3000_hostile_files():
    assert "'refused': " in run(3000, timeout=3500)


def read(data):
    """Follow a pickle to its end or to the first error; nothing else may be raised."""
    with suppress(PickleError, RefusedError):
        PickleReader(data).load()


@given(st.binary(max_size=300))
def test_any_bytes_for_a_pickle(data):
    read(data)
    read(b"\x80\x02" + data)


@given(st.integers(0, 2**32))
def test_any_program_for_a_pickle(seed):
    read(tool.opcodes(random.Random(seed), None))


PLAIN = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text(max_size=9)


@given(st.recursive(PLAIN, lambda x: st.lists(x) | st.tuples(x, x) | st.dictionaries(st.text(max_size=5), x)))
def test_plain_values_come_back(value):
    assert PickleReader(pickle.dumps(value, 2)).load() == value
