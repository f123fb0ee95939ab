"""The command `vs-slomo`: one file per command. It parses and calls; the work is done in the other packages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from vs_slomo.stops import ended_by_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; a call that cannot be parsed exits with 2."""
    with ended_by_signals():
        if not find_spec("cyclopts"):
            print("vs-slomo: the command needs the package cyclopts: pip install cyclopts", file=sys.stderr)
            return 1
        from .app import run

        return run(sys.argv[1:] if argv is None else argv)
