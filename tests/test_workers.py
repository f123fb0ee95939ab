"""Workers by a real Ray, on this machine and on a cluster of two nodes: the film is the same, whatever dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import media
import pytest
from cluster import ALONE, alone, needs_ray, result
from conftest import environment

from vs_slomo.engine import settings
from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.video.render import render
from vs_slomo.video.segments import cluster as workers
from vs_slomo.video.segments import engine as ray_engine
from vs_slomo.video.segments import worker
from vs_slomo.video.segments.asked import versions
from vs_slomo.video.segments.folder import folder_of

ENDS = {"model": "", "codec": "ffv1", "precision": "fp32"}


@pytest.fixture(scope="module", autouse=True)
def engine():
    needs_ray()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    sound = ("-f", "lavfi", "-i", "sine=duration=4", "-c:a", "aac")
    return media.picture(folder / "film.mkv", size="64x48", rate=25, seconds=4, before=sound)


@pytest.fixture(scope="module")
def whole(film, shifting_model, tmp_path_factory):
    """The film in one piece: every frame's hash."""
    path = tmp_path_factory.mktemp("whole") / "x.mkv"
    render(film, path, **ENDS | {"model": shifting_model}, segment=None)
    return frames(path)


def frames(path):
    return media.run("-i", path, "-map", "0", "-f", "framemd5", "-")


BEGIN = """
import json, logging, os, signal, sys, threading, time
from pathlib import Path
import torch
torch.set_num_threads(1)
import cluster
from vs_slomo.errors import SlomoError
from vs_slomo.video.render import render
from vs_slomo.video.segments.folder import Folder
said = []
class Kept(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("vs_slomo").addHandler(Kept())
film, output, model = sys.argv[1:4]
options = dict(model=model, codec="ffv1", precision="fp32", segment=0.5)

def noted(act):
    "Call something whenever a part is whole, with how many are."
    note = Folder.note
    def also(self, part):
        note(self, part)
        act(len(self.parts))
    Folder.note = also
"""


def test_two_workers_of_this_machine(film, whole, shifting_model, tmp_path):
    """By the command: the same film, nothing of Ray's in the terminal or at home, progress as JSON."""
    home = tmp_path / "home"
    home.mkdir()
    arguments = ["render", film, "-o", tmp_path / "x.mkv", "--model", shifting_model, "--codec", "ffv1"]
    arguments += ["--precision", "fp32", "--segment", "1", "--workers", "2", "--json-progress"]
    code = "import sys; from vs_slomo.cli import main; sys.exit(main())"
    done = alone(code, *arguments, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert frames(tmp_path / "x.mkv") == whole
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (told[-1]["frames"], told[-1]["total"]) == (200, 200)
    assert told[-1]["segments"] == {"segments": 4, "done": 4, "running": 0, "failed": 0}
    assert "ray" not in done.stderr.lower()
    assert not list(home.iterdir())
    assert not folder_of(tmp_path / "x.mkv").exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_on_a_cluster_of_two(film, whole, shifting_model, tmp_path):
    code = """
killed = []
def kill(count):
    if count == 2:
        def later():
            while not (found := cluster.workers_at_work()):
                time.sleep(0.01)
            os.kill(found[0], signal.SIGKILL)
            killed.append(found[0])
        threading.Thread(target=later, daemon=True).start()
noted(kill)
with cluster.nodes(2) as two:
    render(film, output, cluster=two.address, **options)
print(json.dumps({"killed": len(killed), "said": said}))
"""
    told = result(alone(BEGIN + code, film, tmp_path / "x.mkv", shifting_model))
    assert told["killed"] == 1
    assert any("has failed (try 1 of 3)" in line for line in told["said"])
    assert frames(tmp_path / "x.mkv") == whole


@pytest.mark.slow
def test_a_node_that_is_added(film, whole, shifting_model, tmp_path):
    code = """
most = [0]
def watch():
    while True:
        most[0] = max(most[0], len(cluster.workers_at_work()))
        time.sleep(0.05)
with cluster.nodes(1) as one:
    threading.Thread(target=watch, daemon=True).start()
    def add(count):
        if count == 1:
            before.append(most[0])
            one.add_node(num_cpus=1, object_store_memory=100 << 20)
    before = []
    noted(add)
    render(film, output, cluster=one.address, **options | {"segment": 0.1})
print(json.dumps({"before": before[0], "most": most[0]}))
"""
    told = result(alone(BEGIN + code, film, tmp_path / "x.mkv", shifting_model))
    assert told["before"] == 1
    assert told["most"] >= 2  # one that ends may still be there for a moment
    assert frames(tmp_path / "x.mkv") == whole


@pytest.mark.slow
def test_nothing_is_shared(film, whole, shifting_model, tmp_path):
    """The workers see neither the input, nor the model, nor the folder: all of it is sent."""
    code = """
from dataclasses import replace
from vs_slomo.video.segments.cluster import Workers
def shipped(self, recipe):
    from vs_slomo.video.segments.cluster import ray
    files = {name: file.with_content(ray().put) for name, file in recipe.files.items()}
    files = {name: replace(file, path="/nowhere/" + Path(file.path).name) for name, file in files.items()}
    return replace(recipe, folder="/nowhere", files=files)
Workers._shipped = shipped
render(film, output, workers=2, **options)
print(json.dumps({}))
"""
    done = alone(BEGIN + code, film, tmp_path / "x.mkv", shifting_model, TMPDIR="/tmp")
    result(done)
    assert frames(tmp_path / "x.mkv") == whole


@pytest.mark.slow
def test_a_worker_that_lacks_a_plugin(tmp_path, shifting_model):
    script = tmp_path / "x.vpy"
    script.write_text(
        "import sys, vapoursynth as vs\n"
        "clip = vs.core.std.BlankClip(width=64, height=48, length=100, fpsnum=25, format=vs.YUV420P8)\n"
        "if 'default_worker' in sys.argv[0]:\n    clip = vs.core.nosuch.Filter(clip)\n"
        "clip.set_output()\n"
    )
    code = """
try:
    render(film, output, workers=2, codec="ffv1", segment=0.5)
except SlomoError as error:
    print(json.dumps(str(error)))
"""
    told = result(alone(BEGIN + code, script, tmp_path / "x.mkv", shifting_model))
    assert "nosuch" in told
    assert "line 4" in told
    assert "worker" in told


@pytest.mark.slow
@pytest.mark.parametrize("hands", ["", "workers=2, "])
def test_a_full_disk(hands, film, whole, shifting_model, tmp_path):
    """A disk of 340 kB; then it is larger, and the same call goes on."""
    code = f"""
import subprocess
disk = Path(output).parent
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=340k", "none", disk], check=True)
try:
    render(film, output, {hands}**options)
except SlomoError as error:
    first = str(error)
kept = len(list(disk.glob("x.mkv.parts/0*")))
subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
render(film, output, {hands}**options)
print(json.dumps(dict(first=first, kept=kept, said=said, left=sorted(path.name for path in disk.iterdir()))))
Path(output + ".copy").write_bytes(b"")
import shutil
shutil.copy(output, sys.argv[4])
"""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["unshare", "--map-root-user", "--net", "--mount", *ALONE[3:]]
    code = BEGIN + code
    arguments = [sys.executable, "-c", code, film, disk / "x.mkv", shifting_model, tmp_path / "copy.mkv"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=280, env=environment(), check=False
    )
    if "mount" in done.stderr and "permission" in done.stderr.lower():
        pytest.skip("needs to mount a disk of its own")
    told = result(done)
    assert "No space left" in told["first"] or "too full" in told["first"] or "disk full" in told["first"]
    assert told["kept"] >= 1
    assert told["left"] == ["x.mkv"]
    assert frames(tmp_path / "copy.mkv") == whole


@pytest.mark.slow
@pytest.mark.parametrize("hands", [[], ["--workers", "2"]])
def test_a_driver_that_is_killed(hands, film, whole, shifting_model, tmp_path):
    """SIGKILL, three times at the latest possible moments; what was whole is not made again."""
    output = tmp_path / "x.mkv"
    command = [*ALONE, sys.executable, "-m", "vs_slomo", "render", film, "-o", output, "--codec", "ffv1"]
    command += ["--model", shifting_model, "--precision", "fp32", "--segment", "0.5", *hands]
    kept = 0
    for wanted in (1, 3, 6):
        with subprocess.Popen(list(map(str, command)), env=environment(), stderr=subprocess.PIPE) as driver:
            deadline = time.monotonic() + 200
            while time.monotonic() < deadline and whole_parts(output) < wanted and driver.poll() is None:
                time.sleep(0.02)
            driver.send_signal(signal.SIGKILL)
            said = driver.stderr.read().decode()
        assert whole_parts(output) >= max(wanted, kept), said
        kept = whole_parts(output)
    done = subprocess.run(list(map(str, command)), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{kept} of 8 segments are there" in done.stderr
    assert frames(output) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["x.mkv"]


def whole_parts(output: Path) -> int:
    """How many parts the journal has."""
    try:
        return (folder_of(output) / "parts.jsonl").read_text().count('"part"')
    except OSError:
        return 0


# --- what is said before anything starts ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, True, "two", 1.5])
def test_workers_are_a_number(value):
    with pytest.raises(ArgumentError, match="workers: got"):
        workers.chosen(value, None, "cpu")


def test_workers_or_a_cluster():
    with pytest.raises(ArgumentError, match="not together with cluster"):
        workers.chosen(2, "auto", "cpu")


def test_each_worker_has_its_device():
    with pytest.raises(ArgumentError, match="device: got 'cuda:1'"):
        workers.chosen(2, None, "cuda:1")


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 12)
    monkeypatch.setattr(workers, "ray", lambda **_: None)
    assert workers.chosen(3, None, "cpu") == (3, None, workers.Needs(cpus=4))
    assert workers.chosen(24, None, "cpu") == (24, None, workers.Needs(cpus=1))
    assert workers.chosen("auto", None, "cpu") is None
    assert workers.chosen(None, None, "cpu") is None


def test_a_cluster_of_the_environment_is_for_segments(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(workers, "ray", lambda **_: None)
    assert workers.chosen(None, None, "cpu")[1] == "127.0.0.1:1"
    assert workers.chosen(None, None, "cpu", segments=False) is None


def test_a_processor_with_another_precision_is_told(monkeypatch):
    """A CPU that multiplies bfloat16 makes other frames than one that does not, if nothing is asked for."""
    recipes = [SimpleNamespace(call=call, versions=versions(call)) for call in ({}, {"precision": "fp32"})]
    for recipe in recipes:
        worker._check_versions(recipe)
    other = not settings.multiplies_bfloat16()
    monkeypatch.setattr(settings, "multiplies_bfloat16", lambda: other)
    worker._check_versions(recipes[1])
    with pytest.raises(RenderError, match=r"precision (bf16 here, fp32|fp32 here, bf16) on the driver"):
        worker._check_versions(recipes[0])


@pytest.mark.parametrize("failing", [2, 3])
def test_ray_that_is_slow_to_start_is_started_again(failing, monkeypatch):
    started, ended = [], []

    def init(**_):
        started.append(1)
        if len(started) <= failing:
            raise Exception("The current node timed out")  # noqa: TRY002  # as Ray does

    fake = SimpleNamespace(init=init, shutdown=lambda: ended.append(1))
    monkeypatch.setattr(ray_engine, "ray", lambda: fake)
    if failing == 3:
        with pytest.raises(RenderError, match="Ray does not start on this machine: The current node"):
            ray_engine.connected(None, 2, 0).__enter__()
    else:
        with ray_engine.connected(None, 2, 0):
            assert len(ended) == failing
    assert len(started) == 3


def test_an_address_where_no_ray_is(monkeypatch):
    fake = SimpleNamespace(init=lambda **_: 1 / 0, shutdown=lambda: None)
    monkeypatch.setattr(ray_engine, "ray", lambda: fake)
    with pytest.raises(ArgumentError, match=r"cluster: got '127.0.0.1:1'.*division by zero"):
        ray_engine.connected("127.0.0.1:1", 0, 0).__enter__()


def test_without_ray_there_is_one_clear_error(film, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ArgumentError, match=r"Ray is not installed.*vs-slomo\[cluster\]"):
        render(film, tmp_path / "x.mkv", workers=2)
