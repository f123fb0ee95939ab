"""Playlists name parts in their own folder, or are refused."""

from __future__ import annotations

import media
import pytest

from vs_slomo.errors import SourceError
from vs_slomo.video.playlists import check_playlist
from vs_slomo.video.probe import probe

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{}'\n"
DASH = '<?xml version="1.0"?>\n<MPD><Period><BaseURL>{}</BaseURL></Period></MPD>'
KEY = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:1.0,\na.ts\n'
ELSEWHERE = ("../other/a.ts", "/etc/passwd", "http://127.0.0.1:9/a.ts", "file:///etc/passwd", "%2e%2e/a.ts", "//x/a")


@pytest.mark.parametrize("form", [HLS, CONCAT, DASH, KEY])
@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("ending", ["m3u8", "mp4"])
def test_a_playlist_that_leads_elsewhere(tmp_path, form, place, ending):
    (path := tmp_path / f"x.{ending}").write_text(form.format(place))
    with pytest.raises(SourceError, match=r"leads out of its folder, to .*--allow-playlist"):
        probe(path)


@pytest.mark.parametrize("form", [HLS, CONCAT, DASH, KEY])
def test_a_playlist_of_its_own_folder(tmp_path, form):
    (tmp_path / "parts").mkdir()
    for place in ("a.ts", "parts/a.ts"):
        (path := tmp_path / "x.m3u8").write_text(form.format(place))
        check_playlist(path)


def test_a_link_leads_elsewhere_too(tmp_path):
    (folder := tmp_path / "lists").mkdir()
    (tmp_path / "a.ts").touch()
    (folder / "a.ts").symlink_to(tmp_path / "a.ts")
    (path := folder / "x.m3u8").write_text(HLS.format("a.ts"))
    with pytest.raises(SourceError, match="leads out of its folder"):
        check_playlist(path)


def test_a_playlist_in_a_playlist(tmp_path):
    (tmp_path / "inner.m3u8").write_text(HLS.format("../a.ts"))
    (path := tmp_path / "x.m3u8").write_text(HLS.format("inner.m3u8"))
    with pytest.raises(SourceError, match="leads out of its folder"):
        check_playlist(path)
    (tmp_path / "inner.m3u8").write_text(HLS.format("x.m3u8"))
    with pytest.raises(SourceError, match="playlists"):
        check_playlist(path)


def test_it_is_read_where_that_is_allowed(tmp_path):
    (folder := tmp_path / "lists").mkdir()
    media.picture(tmp_path / "a.ts", seconds=1)
    (path := folder / "x.m3u8").write_text(HLS.format("../a.ts"))
    assert len(probe(path, allow_playlist=True).times) > 0
    with pytest.raises(SourceError, match="leads out of its folder"):
        probe(path)
