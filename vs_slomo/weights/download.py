"""Get a file over HTTP; a download that was cut off goes on where it stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.outputs import write_text

from .stored import plain

CHUNK = 1 << 20
TIMEOUT = 30
"""Seconds without a byte."""
LARGEST = 2 << 30
"""The most bytes that are downloaded: no model that loads is larger."""
MARGIN = 64 << 20
"""Bytes that stay free on the disk."""
LONGEST_URL = 4000

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and in all; None where the server does not say."""


@dataclass(frozen=True)
class Version:
    """The version of a file on a server. tag: its ETag, or its date, as If-Range takes it."""

    url: str
    tag: str
    total: int | None


def download(url: str, part: Path, progress: Progress | None = None) -> None:
    """Write a whole file to `part`. If that fails, what came so far stays there, and a later call goes on from it.

    Raises ArgumentError if the address cannot be one, WeightsError if the download fails.
    """
    address = checked_url(url)
    shown = plain(url)
    try:
        _download(address, part, progress or (lambda *_: None))
    except HTTPError as error:
        error.close()
        raise WeightsError(f"{shown}: the server answered {error.code} {plain(str(error.reason))}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = plain(str(getattr(error, "reason", None) or error) or type(error).__name__)
        raise WeightsError(
            f"{shown}: the download failed ({reason}): run the same command again, it goes on where it stopped"
        ) from error


def checked_url(url: str) -> str:
    """Return an http or https address in ASCII, as it is sent. Raises ArgumentError for anything else."""
    allowed = "an http or https address"
    if not isinstance(url, str) or len(url) > LONGEST_URL:
        raise ArgumentError("url", plain(str(url), 60), allowed)
    shown = plain(url)
    if not url.isprintable() or url != url.strip():
        raise ArgumentError("url", shown, f"{allowed}, without control characters and spaces around it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        host = host.encode("idna").decode("ascii") if host and ":" not in host else host
    except ValueError as error:  # UnicodeError among them
        raise ArgumentError("url", shown, f"{allowed} ({plain(str(error))})") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[^\w.:~-]", host):
        raise ArgumentError("url", shown, allowed)
    if parts.username is not None or parts.password is not None:
        raise ArgumentError("url", shown, f"{allowed} without a user name")
    place = f"[{host}]" if ":" in host else host
    place = place if port is None else f"{place}:{port}"
    path, query = (quote(text, safe="%/:=&?~#+!$,;'@()*[]") for text in (parts.path, parts.query))
    return urlunsplit((parts.scheme, place, path, query, ""))


@contextmanager
def own_part(part: Path) -> Iterator[Path]:
    """Give a file to download to that no other process writes: `part`, or another if a process is using that.

    `part` is kept if a later call can go on from it, until `forget` is called. The other file is always removed.
    """
    handle = _lock(part)
    if handle is None:
        part = part.with_name(f"{part.name}.{os.getpid()}")
        _remove(part)
    try:
        yield part
    finally:
        if handle is not None:
            os.close(handle)
        if handle is None or not _note(part).exists():
            _remove(part)


def forget(part: Path) -> None:
    """Let no later call go on from this download."""
    _note(part).unlink(missing_ok=True)


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _lock(part: Path) -> int | None:
    """Open the file for this process alone, and create it if it is missing. None if another process has it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(part, flags, 0o666)
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, LARGEST + 1, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode) and os.path.samestat(found, part.lstat()):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _note(part: Path) -> Path:
    """Return where the address and the version of a partial download are written down."""
    return part.with_name(f"{part.name}.json")


class _Redirects(HTTPRedirectHandler):
    """Follows a server to http and https addresses only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request for the new address. Raises HTTPException where it is not followed."""
        address = urljoin(req.full_url, newurl)
        try:
            address = checked_url(address)
        except ArgumentError as error:
            raise HTTPException(f"the server leads to {plain(newurl)}: only http and https are followed") from error
        if req.type == "https" and not address.startswith("https:"):
            raise HTTPException(f"the server leads from https to {plain(newurl)}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, address)


def _download(url: str, part: Path, progress: Progress) -> None:
    start, headers = 0, {"User-Agent": "vs-slomo", "Accept-Encoding": "identity"}
    noted = _noted(url, part)
    if noted and part.exists() and (start := part.stat().st_size):
        headers |= {"Range": f"bytes={start}-", "If-Range": noted.tag}
    try:
        response = build_opener(_Redirects).open(Request(url, headers=headers), timeout=TIMEOUT)  # noqa: S310  # checked
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
        error.close()
        _start_anew(url, part, progress)  # it is whole but was never checked, or longer than the file is now
        return
    with response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise HTTPException(f"the server packed the file: {response.headers['Content-Encoding']}")
        answered = _version(url, response, start)
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            if answered != noted:  # another version, although the request named the old one
                response.close()
                _start_anew(url, part, progress)
                return
        else:
            start = 0  # another version, or a server that only sends whole files
        length = response.length
        total = None if length is None else start + length
        _check_room(url, part, start, total)
        _write_note(part, answered)
        with part.open("ab" if start else "wb") as file:
            while chunk := response.read(CHUNK):
                if file.tell() + len(chunk) > LARGEST:
                    forget(part)
                    raise WeightsError(f"{plain(url)}: the file has more than {LARGEST >> 20} MB")
                file.write(chunk)
                progress(file.tell(), total)
        if total is not None and part.stat().st_size != total:
            raise HTTPException(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _start_anew(url: str, part: Path, progress: Progress) -> None:
    """Download from the beginning. The part is emptied, not removed: this process has it locked."""
    forget(part)
    part.write_bytes(b"")
    _download(url, part, progress)


def _check_room(url: str, part: Path, start: int, total: int | None) -> None:
    """Raise WeightsError for a file that is too large for us, or for the disk."""
    if total is not None and total > LARGEST:
        raise WeightsError(f"{plain(url)}: the file has {total >> 20} MB: at most {LARGEST >> 20} are taken")
    free = shutil.disk_usage(part.parent).free
    if free < (total or start) - start + MARGIN:
        need = ((total or start) - start + MARGIN) >> 20
        raise WeightsError(f"{plain(url)}: {part.parent} has {free >> 20} MB free: {need} are needed")


def _version(url: str, response: HTTPResponse, start: int) -> Version | None:
    """Return the version that a server sends; None if the server cannot be asked for that version again.

    Raises HTTPException if the server sends another part than was asked for.
    """
    etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    total = response.length
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        sent = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", sent)
        if not found or int(found[1]) != start:
            raise HTTPException(f"asked for bytes from {start}, got {plain(sent, 60)}")
        total = None if found[3] == "*" else int(found[3])
    tag = modified if etag is None or etag.startswith("W/") else etag
    return Version(url, tag, total) if tag and tag.isprintable() else None


def _noted(url: str, part: Path) -> Version | None:
    """Return the version of the file that `part` begins. None if it is unknown or belongs to another address."""
    try:
        version = Version(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return version if version.url == url and isinstance(version.tag, str) and version.tag.isprintable() else None


def _write_note(part: Path, version: Version | None) -> None:
    """Note the version, so that a later request can ask for the rest of it."""
    with suppress(OSError):
        forget(part)
        if version:
            write_text(_note(part), json.dumps(asdict(version)))
