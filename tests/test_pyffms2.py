"""ffms2's Python bindings as a source filter; `test_source` holds it to the others."""

from __future__ import annotations

import media
import numpy as np
import pytest
import vapoursynth as vs

from vs_slomo.errors import SourceError
from vs_slomo.video.probe import probe
from vs_slomo.video.render import encode

try:
    from vs_slomo.video.pyffms2 import open_file, pixel_formats
except (ImportError, OSError):
    pytest.skip("the ffms2 bindings or libffms2 are not installed", allow_module_level=True)


def test_pixel_formats_have_one_number_each():
    formats = pixel_formats()
    assert formats[0].id == vs.YUV420P8  # AV_PIX_FMT_YUV420P
    assert formats[12].id == vs.YUV420P8  # AV_PIX_FMT_YUVJ420P
    assert {vs.GRAY8, vs.GRAY16, vs.RGB24, vs.RGBS, vs.YUV444P10} <= {format_.id for format_ in formats.values()}


def test_the_index_is_used_again(tmp_path):
    video, index = media.picture(tmp_path / "x.mp4", seconds=0.3), tmp_path / "x.index"
    first = open_file(video, 0, str(index))
    written = index.stat().st_mtime_ns
    again = open_file(video, 0, str(index))
    assert index.stat().st_mtime_ns == written
    for clip in (first, again):
        assert np.array_equal(np.asarray(clip.get_frame(2)[0]), media.luma(video, 96, 64)[2])


def test_frames_do_not_share_a_buffer(tmp_path):
    video = media.picture(tmp_path / "x.mp4", seconds=0.5)
    clip = open_file(video, 0, str(tmp_path / "index"))
    kept = [clip.get_frame(n) for n in range(5)]
    for frame, truth in zip(kept, media.luma(video, 96, 64), strict=True):
        assert np.array_equal(np.asarray(frame[0]), truth)


def test_properties_reach_past_what_the_bindings_know(tmp_path):
    told = {"_Matrix": 9, "_Transfer": 16, "_Primaries": 9, "_Range": 0, "_ChromaLocation": 2}
    hdr = {"ContentLightLevelMax": 1000, "ContentLightLevelAverage": 200}
    hdr |= {"MasteringDisplayPrimariesX": [0.7, 0.2, 0.1], "MasteringDisplayPrimariesY": [0.3, 0.8, 0.05]}
    hdr |= {"MasteringDisplayWhitePointX": 0.3127, "MasteringDisplayWhitePointY": 0.329}
    hdr |= {"MasteringDisplayMaxLuminance": 1000.0, "MasteringDisplayMinLuminance": 0.005}
    blank = vs.core.std.BlankClip(format=vs.YUV420P10, width=96, height=64, length=2)
    path = encode(blank.std.SetFrameProps(**told, **hdr), tmp_path / "x.mkv", codec="x265", preset="ultrafast")
    props = open_file(path, 0, str(tmp_path / "index")).get_frame(0).props
    for key, value in (told | hdr).items():
        assert props[key] == pytest.approx(value, abs=2e-5), key
    assert props["_PictType"] == "I"
    assert props["_FieldBased"] == 0


def test_a_track_that_is_no_video(tmp_path):
    path = media.film(tmp_path)
    assert probe(path).streams[1].kind == "audio"
    with pytest.raises(SourceError):
        open_file(path, 1, str(tmp_path / "index"))
