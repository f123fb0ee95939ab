"""The download."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from http.client import HTTPException
from types import SimpleNamespace
from urllib.request import Request

import pytest

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.weights import ModelInfo, download

from .conftest import serving
from .modelfiles import INFO, NAN, WIDTH, page, saved, spoil


def leftovers(home):
    return sorted(p.name for p in home.iterdir())


def test_fetch(site, home):
    seen = []
    digest = hashlib.sha256(site.content).hexdigest()
    info = weights.fetch(site.url(), sha256=digest.upper(), progress=lambda *step: seen.append(step))
    assert info == ModelInfo(name="model", width=WIDTH, path=home / "model.safetensors")
    assert info.key == "model"
    assert weights.load("model")[1] == info
    assert leftovers(home) == ["model.safetensors"]
    assert seen[-1] == (len(site.content), len(site.content))


def test_fetch_our_own_format_under_a_name(tmp_path, home):
    content = saved(tmp_path / "m").read_bytes()
    with serving(content) as site:
        info = weights.fetch(site.url("%C3%BC%20x.safetensors"), name="mine")
    assert info == replace(INFO, path=home / "mine.safetensors")
    assert info.path.read_bytes() == content


def test_fetch_goes_on_where_it_stopped(site, home):
    site.plan = {"cut": 1000}
    size = len(site.content)
    with pytest.raises(WeightsError, match=rf"the connection ended after 1000 of {size} bytes\): run the same"):
        weights.fetch(site.url())
    with pytest.raises(WeightsError, match=rf"the connection ended after 2000 of {size} bytes"):
        weights.fetch(site.url())
    assert leftovers(home) == [".model.part", ".model.part.json"]
    assert weights.installed().keys() == {"bundled"}
    site.plan = {}
    digest = hashlib.sha256(site.content).hexdigest()
    assert weights.fetch(site.url(), sha256=digest).width == WIDTH
    assert site.asked == [None, "bytes=1000-", "bytes=2000-"]
    assert leftovers(home) == ["model.safetensors"]


@pytest.mark.parametrize("second", [{"no_ranges": True}, {"etag": '"v2"'}])
def test_fetch_starts_anew_where_it_cannot_go_on(site, second):
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan = second
    site.content = bytes(site.content)
    assert weights.fetch(site.url(), sha256=hashlib.sha256(site.content).hexdigest()).width == WIDTH
    assert site.asked[1] == "bytes=1000-"


def test_fetch_without_a_version_starts_anew(site):
    site.plan = {"cut": 1000, "etag": 'W/"weak"'}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan = {}
    weights.fetch(site.url())
    assert site.asked == [None, None]


def test_fetch_of_another_address_starts_anew(site):
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url("a.ckpt"), name="m")
    site.plan = {}
    weights.fetch(site.url("b.ckpt"), name="m")
    assert site.asked == [None, None]


def test_fetch_of_what_was_whole_but_not_checked(site, home):
    home.mkdir(parents=True)
    (home / ".model.part").write_bytes(site.content)
    (home / ".model.part.json").write_text(json.dumps({"url": site.url(), "tag": '"v1"', "total": len(site.content)}))
    assert weights.fetch(site.url()).width == WIDTH
    assert site.asked == [f"bytes={len(site.content)}-", None]


def test_fetch_with_a_spoilt_note_starts_anew(site, home):
    home.mkdir(parents=True)
    for note in ("", "[1]", "{}", "[1, 2]"):
        (home / ".model.part").write_bytes(b"some")
        (home / ".model.part.json").write_text(note)
        assert weights.fetch(site.url()).width == WIDTH
    assert site.asked == [None] * 4


def test_fetch_with_a_wrong_range(site):
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan = {"lie": 7}
    with pytest.raises(WeightsError, match="asked for bytes from 1000, got bytes 7-"):
        weights.fetch(site.url())


def test_fetch_without_a_length(site):
    site.plan = {"no_length": True}
    seen = []
    weights.fetch(site.url(), progress=lambda *step: seen.append(step))
    assert seen[-1] == (len(site.content), None)


def test_fetch_refuses_the_wrong_hash(site, home):
    with pytest.raises(WeightsError, match=r"model\.ckpt\?download=1: has SHA-256 [0-9a-f]{64}, not 0{64}"):
        weights.fetch(site.url(), sha256="0" * 64)
    assert leftovers(home) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_fetch_with_an_error_of_the_server(site, home, status):
    site.plan = {"status": status}
    with pytest.raises(WeightsError, match=rf"model\.ckpt.*: the server answered {status} "):
        weights.fetch(site.url())
    assert leftovers(home) == []


def test_fetch_refuses_what_does_not_load(tmp_path, site, home):
    home.mkdir(parents=True)
    saved(home / "model.safetensors")
    old = (home / "model.safetensors").read_bytes()
    page(tmp_path / "page")
    spoiled = spoil(tmp_path / "nan", lambda t, m: t["flow_net.conv3.bias"].fill_(NAN))
    for file, text in ((tmp_path / "page", "is a web page, not a model"), (spoiled, "holds NaN or infinity")):
        site.content = file.read_bytes()
        with pytest.raises(WeightsError, match=rf"^http://127.*{text}") as caught:
            weights.fetch(site.url())
        assert str(home) not in str(caught.value)
    assert leftovers(home) == ["model.safetensors"]
    assert (home / "model.safetensors").read_bytes() == old


def test_fetch_with_nobody_there():
    with serving(b"") as site:
        url = site.url()
    with pytest.raises(WeightsError, match="the download failed"):
        weights.fetch(url)


@pytest.mark.parametrize("etag", ['"v2"', '"v1"', None])
def test_parts_of_two_versions_are_never_joined(tmp_path, site, etag):
    """Though the server sends the rest of another file, of another length where it does not say so."""
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.content = saved(tmp_path / "other").read_bytes()
    site.plan = {"careless": True, "etag": etag}
    assert weights.fetch(site.url()).name == INFO.name
    assert site.asked == [None, "bytes=1000-", None]


def test_a_date_is_a_version_too(site):
    site.plan = {"cut": 1000, "etag": None, "headers": {"Last-Modified": "Fri, 01 Mar 2024 00:00:00 GMT"}}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan |= {"careless": True, "cut": None}
    assert weights.fetch(site.url()).width == WIDTH
    assert site.asked == [None, "bytes=1000-"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks by flock")
def test_each_process_has_a_part_of_its_own(site, home):
    import fcntl

    home.mkdir(parents=True)
    part = home / ".model.part"
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"another process writes here")
        other.flush()
        assert weights.fetch(site.url()).width == WIDTH
        assert part.read_bytes() == b"another process writes here"
        assert leftovers(home) == [".model.part", "model.safetensors"]
    assert weights.fetch(site.url()).width == WIDTH
    assert leftovers(home) == ["model.safetensors"]


def test_a_part_is_never_written_through_a_link(tmp_path, site, home):
    home.mkdir(parents=True)
    (tmp_path / "other").write_bytes(b"somebody's")
    (home / ".model.part").symlink_to(tmp_path / "other")
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be written: "):
        weights.fetch(site.url())
    assert (tmp_path / "other").read_bytes() == b"somebody's"


@pytest.mark.parametrize("no_length", [True, False])
def test_fetch_refuses_what_is_too_large(site, home, monkeypatch, no_length):
    monkeypatch.setattr(download, "LARGEST", 3 << 20)
    site.content = b"x" * (4 << 20)
    site.plan = {"no_length": no_length}
    with pytest.raises(WeightsError, match=r"the file has (more than 3 MB|4 MB: at most 3)"):
        weights.fetch(site.url())
    assert sum(p.stat().st_size for p in home.iterdir()) <= 3 << 20


def test_fetch_looks_for_room_on_the_disk(site, home, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    with pytest.raises(WeightsError, match=r"has 5 MB free: \d+ are needed"):
        weights.fetch(site.url())
    assert leftovers(home) == []


def test_fetch_follows_to_another_address(site):
    site.plan = {"to": ["/elsewhere?x=\u00fc", site.url("b.ckpt")]}
    assert weights.fetch(site.url()).width == WIDTH


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://[x", "http://a:b/", "gopher://x"]
)
def test_fetch_does_not_follow_to_other_schemes(site, home, to):
    site.plan = {"to": [to]}
    with pytest.raises(WeightsError, match=r"only http and https are followed|is not allowed|Invalid IPv6"):
        weights.fetch(site.url())
    assert leftovers(home) == []


def test_fetch_does_not_follow_forever(site):
    site.plan = {"to": [site.url()] * 30}
    with pytest.raises(WeightsError, match="the server answered 302"):
        weights.fetch(site.url())


def test_fetch_never_leaves_encryption():
    follow, first = download._Redirects().redirect_request, Request("https://example.org/m.pt")
    with pytest.raises(HTTPException, match=r"from https to http://example\.org/m\.pt, which is not encrypted"):
        follow(first, None, 302, "Found", {}, "http://example.org/m.pt")
    assert follow(first, None, 302, "Found", {}, "https://example.org/x").full_url == "https://example.org/x"
    assert follow(first, None, 302, "Found", {}, "x").full_url == "https://example.org/x"


def test_what_a_server_says_does_not_control_the_terminal(site):
    site.plan = {"status": 404, "reason": "gone\x1b[2J\x1b]0;title\x07" + "x" * 5000}
    with pytest.raises(WeightsError, match=r"the server answered 404 'gone\\x1b\[2J") as caught:
        weights.fetch(site.url())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_fetch_of_packed_content(site):
    site.plan = {"headers": {"Content-Encoding": "gzip"}}
    with pytest.raises(WeightsError, match="the server packed the file: gzip"):
        weights.fetch(site.url())


def test_an_address_may_hold_what_has_to_be_encoded(site):
    assert weights.fetch(site.url("M\u00fcller 1.ckpt"), name="m").width == WIDTH


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http:///m.pt",
        "http://[::1/m.pt",
        "http://[zz]/m.pt",
        "http://a:99999/m.pt",
        "http://a:b/m.pt",
        "http://a b/m.pt",
        "http://a/m\n.pt",
        "http://a/m\x1b.pt",
        " http://a/m.pt",
        "http://me:secret@a/m.pt",
        "http://a..b/m.pt",
        "http://" + "a" * 70 + "/m.pt",
        "http://a/" + "x" * 5000,
        "javascript:alert(1)",
        5,
        None,
    ],
)
def test_addresses_that_are_none(url):
    with pytest.raises(ArgumentError, match=r"^url: got .*, allowed: an http or https address") as caught:
        weights.fetch(url)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("file:///etc/passwd", {}, r"url: got 'file:///etc/passwd', allowed: an http or https address"),
        ("model.pt", {}, r"url: got 'model\.pt'"),
        ("ftp://example.org/model.pt", {}, r"allowed: an http or https address"),
        ("http://127.0.0.1:1/m.pt", {"sha256": "abc"}, r"sha256: got 'abc', allowed: 64 hexadecimal digits"),
        ("http://127.0.0.1:1/", {}, r"name: got '', allowed: letters"),
        ("http://127.0.0.1:1/m.pt", {"name": "../m"}, r"name: got '\.\./m', allowed: letters"),
        ("http://127.0.0.1:1/m.pt", {"name": "bundled"}, r"name: got 'bundled'.* not 'bundled'"),
    ],
)
def test_fetch_refuses_arguments(url, options, text):
    with pytest.raises(ArgumentError, match=text):
        weights.fetch(url, **options)
