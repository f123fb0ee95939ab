"""Get a file over HTTP; a download that was cut off goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from vs_slomo.errors import ArgumentError, WeightsError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
TIMEOUT = 30
"""Seconds without a byte."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and in all; None where the server does not say."""


def download(url: str, part: Path, progress: Progress | None = None) -> None:
    """Write the whole of a file to `part`, or raise and leave what came so far to go on from.

    Raises ArgumentError for an address that is not http or https, WeightsError for what goes wrong on the way.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ArgumentError("url", url, "an http or https address")
    try:
        _download(url, part, progress or (lambda *_: None))
    except HTTPError as error:
        error.close()
        raise WeightsError(f"{url}: the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"{url}: the download failed ({getattr(error, 'reason', error)}): run the same command again, "
            "it goes on where it stopped"
        ) from error


def discard(part: Path) -> None:
    """Remove a download and what was noted about it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _note(part: Path) -> Path:
    """Return where the address and the version of a partial download are written down."""
    return part.with_name(f"{part.name}.json")


def _download(url: str, part: Path, progress: Progress) -> None:
    start, headers = 0, {"User-Agent": "vs-slomo"}
    if part.exists() and (version := _noted_version(url, part)):
        start = part.stat().st_size
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)  # noqa: S310  # `download` checked
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        error.close()
        discard(part)  # whole but never checked, or longer than the file now is
        _download(url, part, progress)
        return
    with response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            start = 0  # another version, or a server that sends all or nothing
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise HTTPException(f"asked for bytes from {start}, got {response.headers.get('Content-Range')}")
        _write_note(url, part, response.headers.get("ETag"), response.headers.get("Last-Modified"))
        total = None if response.length is None else start + response.length
        with part.open("ab" if start else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress(file.tell(), total)
        if total is not None and part.stat().st_size != total:
            raise HTTPException(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _noted_version(url: str, part: Path) -> str | None:
    """Return which version of the file `part` is the beginning of, if it is known."""
    try:
        noted_url, version = json.loads(_note(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(version) if noted_url == url else None


def _write_note(url: str, part: Path, etag: str | None, modified: str | None) -> None:
    """Note what a later request needs to ask for the rest of the same version; without it, it starts anew."""
    version = modified if etag is None or etag.startswith("W/") else etag
    if version:
        _note(part).write_text(json.dumps([url, version]), encoding="utf-8")
    else:
        _note(part).unlink(missing_ok=True)
