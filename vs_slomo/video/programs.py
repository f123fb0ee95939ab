"""The programs of a broadcast: several films in one file, each with its own sound. PyAV tells none, ffmpeg does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vs_slomo.errors import SourceError

from .ffmpeg import run

PROGRAM = re.compile(r"  (?:Program (\d+)|No Program)")
NAME = re.compile(r"      service_name\s*: (.*)")
STREAM = re.compile(r"  Stream #0:(\d+)")


def other_programs(readable: str, film: int) -> dict[int, str]:
    """Return the streams that belong to other programs than the film does, by index, and a name of their program."""
    try:
        said = run(["-i", readable]).stderr.decode(errors="replace")
    except SourceError:  # no ffmpeg: all streams are taken for one program's
        return {}
    return read_programs(said.splitlines(), film)


def read_programs(lines: Sequence[str], film: int) -> dict[int, str]:
    """Return what `other_programs` does, from what ffmpeg prints of a file."""
    names, streams, program = dict[str, str](), dict[str, set[int]](), ""
    for line in lines:
        if found := PROGRAM.match(line):
            program = found[1] or ""
        elif found := NAME.match(line):
            names[program] = found[1].strip()
        elif found := STREAM.match(line):
            streams.setdefault(program, set()).add(int(found[1]))
    own = {index for program, its in streams.items() if film in its or not program for index in its}
    if film not in own or film in streams.get("", ()):
        return {}
    return {
        index: ", ".join(filter(None, (program, names.get(program))))
        for program, its in streams.items()
        for index in sorted(its - own)
    }
