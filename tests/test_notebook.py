"""The notebook runs from top to bottom, on a small clip of one's own."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import cv2
import media
import numpy as np
import pytest

from vs_slomo.video.source import source

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")
NOTEBOOK = Path(__file__).parents[1] / "examples" / "slomo.ipynb"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The notebook's cells after a run, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("notebook")
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1.2")
    media.picture(folder / "mine.mkv", "-c:a", "aac", seconds=1.2, before=tone)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOMO_CLIP", "mine.mkv")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")]))
        client = nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}})
        client.execute()
    if kept := os.environ.get("KEEP_NOTEBOOK"):
        nbformat.write(notebook, kept)
    return notebook, folder


def outputs(notebook, kind):
    found = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    return [out["data"][kind] for out in found if kind in out.get("data", {})]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(900)
def test_it_runs_and_draws(ran):
    notebook, _ = ran
    plots = [cv2.imdecode(np.frombuffer(base64.b64decode(x), np.uint8), 1) for x in outputs(notebook, "image/png")]
    assert len(plots) == 3
    assert all(plot.std() > 10 for plot in plots)
    assert sum("<video" in page for page in outputs(notebook, "text/html")) == 2
    assert any("| `multi` |" in text for text in outputs(notebook, "text/markdown"))


@pytest.mark.filterwarnings("ignore")
def test_what_it_writes(ran):
    _, folder = ran
    for name, frames, seconds in (("slow.mp4", 48, 4.8), ("smooth.mp4", 24, 1.2)):
        assert len(source(folder / name)) == frames
        said = media.about(folder / name)
        assert "Audio: aac" in said
        duration = re.search(r"Duration: 00:00:([\d.]+)", said)[1]
        assert float(duration) == pytest.approx(seconds, abs=0.15), name


def test_it_is_committed_without_results():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
