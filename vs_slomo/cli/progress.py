"""The progress bar of all commands, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vs_slomo.stops import Stops, stops

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """Frames or megabytes done, rate and time left; where stderr is no terminal, one line at the end.

    What is logged meanwhile appears above it. A signal is obeyed at the next call.
    """

    def __init__(self, unit: str = "frames") -> None:
        self.unit = unit
        self.progress: Progress | None = None
        self.began, self.first = 0.0, 0
        self.state = ""
        self.held = ExitStack()
        self.stopped = Stops()

    def segments(self, state: Mapping[str, int]) -> None:
        """Show how many segments there are, by their state."""
        failed = f", {state['failed']} failed" if state["failed"] else ""
        self.state = f"; segments: {state['done']}/{state['segments']}, {state['running']} running{failed}"

    def __enter__(self) -> Self:
        return self

    def wait(self, text: str) -> None:
        """Say what the first frame waits for; only in a terminal, where somebody waits too."""
        if sys.stderr.isatty():
            print(f"{text} ...", file=sys.stderr)

    def __call__(self, done: int, total: int | None) -> None:
        """Show that `done` of `total` frames or bytes are done; a total of None is not known."""
        if self.progress is None:
            self.began, self.first = time.monotonic(), done  # what came before took an unknown time
            # A signal must find the time to show the cursor again.
            self.stopped = self.held.enter_context(stops())
            self.progress = shown()
            self.stopped.before_end.append(self.progress.stop)
            self.progress.add_task("", total=total, text="")
        self.stopped.check()
        rate = (done - self.first) / max(time.monotonic() - self.began, 1e-3)
        if self.unit == "frames":
            text = f"{done}/{total} frames, {rate:.1f} fps{self.state}"
        else:
            of = f" of {total / 1e6:.1f}" if total else ""
            text = f"{done / 1e6:.1f}{of} MB, {rate / 1e6:.1f} MB/s"
        self.progress.update(self.progress.task_ids[0], completed=done, text=text)
        if done == total:  # what is said of the result stands below it
            self.progress.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self.progress is not None:
            self.progress.stop()
        return self.held.__exit__(kind, error, trace)


def shown() -> Progress:
    """Return a bar that is shown."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn()
    progress = Progress(*columns, console=Console(stderr=True), redirect_stdout=False)
    progress.start()
    return progress
