"""The download."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.weights import ModelInfo

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
