"""Every row of the table of containers: what is rendered into it is read back, with every frame at its moment."""

from __future__ import annotations

import av
import pytest
from media import film, picture

from vs_slomo import source
from vs_slomo.render import encode
from vs_slomo.video.encoders import CONTAINERS
from vs_slomo.video.probe import probe
from vs_slomo.video.tracks import Tracks

RATE = 25
FRAMES = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clip of one rate that all of them know, with the tracks of a film."""
    folder = tmp_path_factory.mktemp("rows")
    clip = source(picture(folder / "clip.mp4", rate=RATE, seconds=FRAMES / RATE, size="176x144"))
    return clip, Tracks(file=probe(film(folder)))


@pytest.mark.parametrize("ending", CONTAINERS)
@pytest.mark.parametrize("with_tracks", [False, True], ids=["bare", "tracks"])
def test_into_every_row(made, tmp_path, ending, with_tracks):
    clip, tracks = made
    row = CONTAINERS[ending]
    if with_tracks and not row.sound:
        pytest.skip("no tracks in it")
    output = tmp_path / (f"%02d{ending}" if row.pattern else f"x{ending}")
    encode(clip, output, tracks=tracks if with_tracks else None)
    if row.pattern:
        assert len(list(tmp_path.iterdir())) == FRAMES
        return
    if not row.countable:
        assert output.stat().st_size
        return
    with av.open(output) as file:
        stream = file.streams.video[0]
        times = [float(frame.pts * frame.time_base) for frame in file.decode(stream)]
    assert len(times) == FRAMES
    assert max(abs(t - times[0] - n / RATE) for n, t in enumerate(times)) <= 0.3 / RATE
