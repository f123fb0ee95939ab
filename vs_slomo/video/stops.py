"""Signals that end a render: noted when they come, obeyed between two frames, passed on when all is cleaned up.

A signal's handler runs wherever the main thread happens to be, also inside a callback of the host, which would swallow
an exception. So the handler only sets a flag.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Stopped(BaseException):
    """A signal has come."""


class Stops:
    """Which signal has come, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal; the second one raises, wherever it is: whoever sends two cannot wait."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.signal is not None:
            raise Stopped


@contextmanager
def stops() -> Iterator[Stops]:
    """Note signals while the block runs, and send the one that has come again when the block is left.

    Then it meets the handlers of before: the process ends by the signal itself, or Ctrl-C is a KeyboardInterrupt.
    Outside the main thread no signal arrives, and nothing is done. Signals that are ignored (nohup) stay ignored.
    """
    state = Stops()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in handlers:
            signal.signal(number, state.handle)
        with suppress(Stopped):
            yield state
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # Raised here, so that it also replaces an error that followed from it.
        if state.signal is not None:
            signal.raise_signal(state.signal)
            raise KeyboardInterrupt
