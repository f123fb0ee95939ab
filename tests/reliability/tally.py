"""What the tools beside this have in common: a count of what came out, and of a film's frames."""

from __future__ import annotations

import collections
from pathlib import Path


class Tally:
    """Counts results. right: those that may be; all others are wrong, and printed."""

    def __init__(self, *right: str) -> None:
        self.right = right
        self.counts: collections.Counter[str] = collections.Counter()

    def add(self, what: str, result: str, *, say: bool = False) -> None:
        """Count a result. say: print how far it is, too."""
        right = result in self.right
        self.counts[result if right else "wrong"] += 1
        if say or not right:
            print(f"{what}: {result}; so far {dict(self.counts)}", flush=True)  # noqa: T201

    def end(self, what: str) -> int:
        """Print the counts, and return the tool's status. what: was counted."""
        print(f"{sum(self.counts.values())} {what}: {dict(self.counts)}")  # noqa: T201
        return int(bool(self.counts["wrong"]))


def frames(path: Path) -> int:
    """Count the frames of a film."""
    import av

    with av.open(str(path)) as film:
        return sum(1 for packet in film.demux(video=0) if packet.size)
