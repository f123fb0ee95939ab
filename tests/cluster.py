"""A real Ray for tests: in a network namespace of its own, where nobody else reaches it; nodes in one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import environment

ALONE = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""Runs a command with no network but its own loopback."""


def needs_ray():
    """Skip a test where Ray is not installed, or a network namespace cannot be made."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'vs-slomo[cluster]'")
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a network namespace of its own (unshare)")


def alone(code: str, *arguments: object, timeout: float = 280, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a network namespace of its own; what it starts ends with it."""
    command = [*ALONE, sys.executable, "-c", code, *map(str, arguments)]
    env = {**environment(), **more}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, check=False)


@contextmanager
def nodes(count: int = 2, cpus: int = 1):
    """A cluster of nodes with so many CPUs each, whose `add_node` adds one. For use inside `alone`."""
    folder = tempfile.mkdtemp(prefix="ray-")
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_BACKEND_LOG_LEVEL="error", RAY_TMPDIR=folder)
    (Path(folder) / "ray").mkdir()
    from ray.cluster_utils import Cluster

    arguments = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=arguments)
    try:
        more = {"num_cpus": cpus, "object_store_memory": 100 << 20}
        for _ in range(count - 1):
            cluster.add_node(**more)
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def workers_at_work() -> list[int]:
    """The processes of Ray that make a segment, in this network namespace: another job's are left alone."""
    found, ours = [], Path("/proc/self/ns/net").readlink()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"ray::_task" in (folder / "cmdline").read_bytes() and (folder / "ns/net").readlink() == ours:
                found.append(int(folder.name))
    return found


def result(done: subprocess.CompletedProcess[str]) -> dict:
    """The JSON that the code has printed last."""
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
