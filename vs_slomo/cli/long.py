"""Long work of `render`: segments, workers, many files, and progress for other programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from cyclopts import Group, Parameter

from vs_slomo.errors import ArgumentError

from .flags import Flags

LONG = Group("Long work", sort_key=4)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Long(Flags):
    """How a long render is cut up, and who makes its parts."""

    to: Annotated[
        str | None, Parameter(group=LONG, metavar="ENDING", help="With -o FOLDER: the outputs' ending, such as mkv")
    ] = None
    segment: Annotated[
        float | None,
        Parameter(group=LONG, metavar="SECONDS", help="The length of the segments that are kept (default: 10)"),
    ] = None
    no_segments: Annotated[
        bool | None,
        Parameter(group=LONG, negative=(), help="Make the output in one piece; a stopped render then starts anew"),
    ] = None
    restart: Annotated[
        bool | None, Parameter(group=LONG, negative=(), help="Throw away the segments that an earlier run has left")
    ] = None
    workers: Annotated[
        str | None,
        Parameter(
            group=LONG,
            metavar="N",
            help="Let N processes make the segments, or auto: one for each GPU (needs vs-slomo\\[cluster])",
        ),
    ] = None
    cluster: Annotated[
        str | None,
        Parameter(
            group=LONG, metavar="ADDRESS", help="Let a running Ray cluster make the segments: HOST:6379, or auto"
        ),
    ] = None
    tracks_from: Annotated[
        str | None,
        Parameter(group=LONG, metavar="FILE", help="Take sound, subtitles and the rest from this file (for a .vpy)"),
    ] = None
    json_progress: Annotated[
        bool | None,
        Parameter(group=LONG, negative=(), help="Write how far it is to standard output, a line of JSON a second"),
    ] = None

    def options(self) -> dict[str, Any]:
        """Return what `video.render.render` takes. Raises ArgumentError."""
        told = self.given()
        for name in ("to", "json_progress"):
            told.pop(name, None)
        if told.pop("no_segments", None):
            for other in ("segment", "restart", "workers", "cluster"):
                if other in told:
                    raise ArgumentError(other, told[other], "not together with --no-segments")
            told["segment"] = None
        if "workers" in told and told["workers"] != "auto":
            if not told["workers"].isdecimal() or not int(told["workers"]):
                raise ArgumentError("workers", told["workers"], "a number from 1, or auto")
            told["workers"] = int(told["workers"])
        return told


class JsonLines:
    """Progress for other programs: a line a second on standard output, and when all frames are made."""

    EVERY = 1.0

    def __init__(self, name: str) -> None:
        self.name, self.state = name, dict[str, int]()
        self.began = self.last = 0.0
        self.first: int | None = None
        self.told: dict[str, Any] = {}
        self.written: dict[str, Any] = {}

    def segments(self, state: Mapping[str, int]) -> None:
        """Note the segments, by their state."""
        self.state = dict(state)

    def wait(self, text: str) -> None:
        """Say nothing of what the first frame waits for."""

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Write how many of all frames are done."""
        now = time.monotonic()
        if self.first is None:
            self.first, self.began = done, now
        rate = (done - self.first) / max(now - self.began, 1e-3)
        left = round((total - done) / rate, 1) if rate > 0 else None
        self.told = {"file": self.name, "frames": done, "total": total, "fps": round(rate, 2), "seconds_left": left}
        self.told |= {"segments": self.state} if self.state else {}
        if now - self.last >= self.EVERY or done == total:
            self._write()

    def _write(self) -> None:
        self.last, self.written = time.monotonic(), self.told
        print(json.dumps(self.told), flush=True, file=sys.stdout)

    def __exit__(self, *_: object) -> None:
        if self.told != self.written:
            self._write()
