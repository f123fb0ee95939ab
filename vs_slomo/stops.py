"""Signals that end a run: none is lost, nothing is left behind, and the process ends by the signal itself.

Outside of `stops` a command is ended by the system at once (`ended_by_signals`), also while torch loads or a file is
opened. What has to be cleaned up runs inside `stops`: there, a signal is noted when it comes, obeyed between two
frames, and sent again when all is cleaned up. A handler must not raise: it runs wherever the main thread happens to
be, also inside a callback of the host, which swallows exceptions.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
PATIENCE = 5
"""Seconds after which one more signal ends the process at once, whatever is left behind."""


class Stopped(BaseException):
    """A signal has come."""


class Stops:
    """Which signal has come, if any.

    before_end: called, once all else is cleaned up, before the signal is sent again.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.since = 0.0
        self.before_end: list[Callable[[], object]] = []

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal."""
        if self.signal is None:
            self.signal, self.since = number, time.monotonic()
        elif time.monotonic() - self.since > PATIENCE:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.signal is not None:
            raise Stopped


_active: Stops | None = None


def _handlers() -> dict[int, Any]:
    """Return the handlers of the signals that are not ignored."""
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in found.items() if handler not in (signal.SIG_IGN, None)}


@contextmanager
def stops() -> Iterator[Stops]:
    """Note signals while the block runs, and send the one that has come again when the block is left.

    Then it meets the handlers of before: the process ends by the signal itself, or Ctrl-C is a KeyboardInterrupt.
    Inside another such block, it is part of that one. Outside the main thread no signal arrives, and nothing is done.
    Signals that are ignored (nohup) stay ignored.
    """
    global _active  # noqa: PLW0603  # signals belong to the process, too
    if threading.current_thread() is not threading.main_thread():
        yield Stops()
        return
    if _active is not None:
        yield _active
        return
    handlers = _handlers()
    state = _active = Stops()
    try:
        for number in handlers:
            signal.signal(number, state.handle)
        with suppress(Stopped):
            yield state
    finally:
        _active = None
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # Raised here, so that it also replaces an error that followed from it.
        if state.signal is not None:
            for call in state.before_end:
                call()
            signal.raise_signal(state.signal)
            raise KeyboardInterrupt


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let each signal end the process at once while the block runs, but for what runs inside `stops`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = _handlers()
    for number in handlers:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
