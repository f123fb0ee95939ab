"""The folder of parts beside an output: of which command they are, which are whole, and who works on it.

    film.mp4.parts/
        manifest.json       what was asked for; written once
        parts.jsonl         a line for each run, for each whole part, and for the file that is being joined
        lock                held by the process at work
        000017.3f2a90c1.mp4 a part, by its number and its run

The lines are appended and flushed, so that they cost the same at the last part as at the first. A last line that is
torn is not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from vs_slomo import outputs
from vs_slomo.errors import ArgumentError, RenderError

log = logging.getLogger("vs_slomo")

FORMAT = "vs_slomo parts 1"
MANIFEST, JOURNAL, LOCK = "manifest.json", "parts.jsonl", "lock"
BEGUN = re.compile(r"lock|\.[0-9a-f]{12}\.json")
"""What a run leaves that ends before its manifest is there."""
LONGEST_NAME = 255
"""Bytes of a file's name, where the file system does not tell."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A whole part. frames: how many. size: in bytes. digest: of its content. delay: see `joining.look`."""

    number: int
    name: str
    frames: int
    size: int
    digest: str
    delay: int


@dataclass
class Folder:
    """An open folder of parts; this process holds its lock.

    threads: of the encoder; the first run has chosen it. parts: those that are whole, by number.
    """

    path: Path
    run: str
    threads: int
    parts: dict[int, Part] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)

    def new_part(self, number: int, ending: str, attempt: int = 1) -> Path:
        """Return the name under which a part is written; it counts once it is noted."""
        return self.path / f"{number:06d}.{self.run}.{attempt}.{ending}"

    def note(self, part: Part) -> None:
        """Note that a part is whole."""
        self._append({"part": asdict(part)})
        self.parts[part.number] = part

    def note_joined(self, name: str) -> None:
        """Note the file, beside the folder, in which the parts are joined: a run that dies leaves it."""
        self._append({"joined": name})

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            with (self.path / JOURNAL).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RenderError(f"{self.path / JOURNAL}: cannot be written: {error.strerror or error}") from error

    def names(self) -> Iterator[Path]:
        """Return the files here that are ours: parts of the runs that the journal names."""
        for path in self.path.iterdir():
            found = re.fullmatch(r"(?:\d{6,}|shared)\.(\w+)(\.\d)?(\.\w+)?", path.name)
            if ((found and found[1] in self.runs) or BEGUN.fullmatch(path.name)) and path.is_file():
                yield path

    def remove(self) -> None:
        """Remove our files, and then the folder, if it is empty."""
        for path in [*self.names(), self.path / MANIFEST, self.path / JOURNAL]:
            path.unlink(missing_ok=True)
        try:
            self.path.rmdir()
        except OSError:
            log.warning("%s: is kept, because it holds files that are not ours", self.path)


def folder_of(output: Path) -> Path:
    """Return the folder of an output's parts, absolute: to ffmpeg and PyAV "a:b.mp4" is no name of a file."""
    output = output.absolute()
    try:
        longest = os.pathconf(output.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        longest = LONGEST_NAME
    name = f"{output.name}.parts"
    if len(os.fsencode(name)) > longest:
        name = f"{hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16]}.parts"
    return output.with_name(name)


@contextmanager
def opened(output: Path, asked: Mapping[str, Any], threads: int, *, restart: bool = False) -> Iterator[Folder]:
    """Open the folder of an output's parts, or make it; hold its lock meanwhile.

    asked: what the parts depend on, as JSON has it; what is there must have been asked the same. threads: of the
    encoder, if no earlier run has chosen. restart: throw away what is there. Raises ArgumentError: another command,
    another run at work, or a folder that is not ours.
    """
    path = folder_of(output)
    with _locked(path, output):
        threads, runs, parts, joined = _read(path, output, asked, threads, restart=restart)
        folder = Folder(path, secrets.token_hex(4), threads, parts, runs)
        for name in joined:
            if re.fullmatch(r"\.[0-9a-f]{12}\.\w{1,16}", name):  # as `outputs` names what is not whole yet
                output.with_name(name).unlink(missing_ok=True)
        kept = {part.name for part in parts.values()}
        for left in [file for file in folder.names() if file.name not in {*kept, LOCK}]:
            left.unlink()
        folder._append({"run": folder.run})  # noqa: SLF001
        folder.runs.add(folder.run)
        yield folder


@contextmanager
def _locked(path: Path, output: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises ArgumentError where another process does, or the folder is not ours."""
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError:
        raise ArgumentError(
            "output", str(output), f"a file whose parts can be kept in {path}, which is a file"
        ) from None
    except OSError as error:
        raise ArgumentError("output", str(output), f"a file in a folder that can be written to ({error})") from None
    if not (path / MANIFEST).is_file() and any(not BEGUN.fullmatch(entry.name) for entry in path.iterdir()):
        allowed = f"a file whose parts can be kept in {path}, which is there and has no manifest of ours"
        raise ArgumentError("output", str(output), allowed)
    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        allowed = f"a file that no other render is at work on; one is, in {path}"
        raise ArgumentError("output", str(output), allowed) from None
    except OSError as error:
        raise RenderError(f"{path}: cannot be locked: {error.strerror or error}") from error
    try:
        if not (path / LOCK).exists():  # the run before has just finished, and its folder is gone
            allowed = f"a file that no other render is at work on; one has just finished in {path}"
            raise ArgumentError("output", str(output), allowed)
        yield
    finally:
        lock.release()
        with suppress(OSError):
            if not any(entry.name != LOCK for entry in path.iterdir()):
                (path / LOCK).unlink(missing_ok=True)
                path.rmdir()


def _read(
    path: Path, output: Path, asked: Mapping[str, Any], threads: int, *, restart: bool
) -> tuple[int, set[str], dict[int, Part], list[str]]:
    """Return threads, runs, whole parts and joined files of a folder; begin it where it is empty."""
    wanted = json.loads(json.dumps({"format": FORMAT, **asked}))
    manifest = path / MANIFEST
    if not manifest.exists():
        outputs.write_text(manifest, json.dumps({**wanted, "threads": threads}, indent=1))
        return threads, set(), {}, []
    try:
        there = json.loads(manifest.read_text(encoding="utf-8"))
        ours = isinstance(there, dict) and there.get("format") == FORMAT
        chosen = int(there.pop("threads")) if ours else 0
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        why = "whose manifest is damaged or not ours; to begin anew, remove that folder"
        allowed = f"a file whose parts can be kept in {path}, {why}"
        raise ArgumentError("output", str(output), allowed)
    runs, parts, joined = _journal(path)
    if restart:
        folder = Folder(path, "", threads, {}, runs)
        for file in [*folder.names(), path / JOURNAL]:
            if file.name != LOCK:
                file.unlink(missing_ok=True)
        outputs.write_text(manifest, json.dumps({**wanted, "threads": threads}, indent=1))
        return threads, set(), {}, joined
    if other := differences(there, wanted):
        allowed = f"the command whose parts are in {path} ({'; '.join(other)}), or --restart, which throws them away"
        raise ArgumentError("output", str(output), allowed)
    return chosen, runs, {number: part for number, part in parts.items() if is_whole(path, part)}, joined


def _journal(path: Path) -> tuple[set[str], dict[int, Part], list[str]]:
    runs, parts, joined = set[str](), dict[int, Part](), list[str]()
    try:
        lines = (path / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        with suppress(ValueError, TypeError, KeyError, msgspec.MsgspecError):
            told = json.loads(line)
            if "part" in told:
                part = msgspec.convert(told["part"], Part)
                parts[part.number] = part
            elif "run" in told:
                runs.add(str(told["run"]))
            elif "joined" in told:
                joined.append(str(told["joined"]))
    if lines:  # whatever comes next stands on a line of its own
        with (path / JOURNAL).open("a", encoding="utf-8") as file:
            file.write("\n")
    return runs, parts, joined


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any], above: str = "") -> list[str]:
    """Return what differs between two commands, each as "name: A there, B now"."""
    found = []
    for name in sorted({*there, *wanted}):
        a, b = there.get(name), wanted.get(name)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{above}{name} ")
        elif isinstance(a, str) and isinstance(b, str) and "\n" in a + b:
            lines = [(x, y) for x, y in zip(a.splitlines(), b.splitlines(), strict=False) if x != y]
            found += [f"{above}{name}: {x!r} there, {y!r} now" for x, y in lines[:2]] or [f"{above}{name}"]
        elif isinstance(a, list) and isinstance(b, list):
            x, y = _told(a, b), _told(b, a)
            found.append(f"{above}{name}: {x!r} there, {y!r} now" if x or y else f"{above}{name}: in another order")
        else:
            found.append(f"{above}{name}: {a!r} there, {b!r} now")
    return found


def _told(arguments: list[Any], others: list[Any]) -> str:
    """Return those of ffmpeg's options, each with its value, that others do not have."""
    own, there = (re.split(r" (?=-[a-z])", " ".join(map(str, given))) for given in (arguments, others))
    return " ".join(option for option in own if option not in there)


def is_whole(path: Path, part: Part) -> bool:
    """Return whether a part is as it was noted, and in the folder."""
    file = path / part.name
    try:
        return file.parent == path and file.stat().st_size == part.size and digest(file) == part.digest
    except OSError:
        return False


def digest(path: Path) -> str:
    """Return a hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
