"""Ray itself: found, started or connected to, and kept quiet.

Only here it is imported; `render` looks for it before anything starts, and only where workers are asked for.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.stops import SIGNALS

log = logging.getLogger("vs_slomo")

STORE_BYTES = 256 << 20
"""For Ray's store of objects on this machine: parts are not kept in it."""
STARTS = 3
"""How often Ray is started on this machine: it gives up after 30 seconds, which a busy machine may take."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "error",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
"""What keeps Ray from reporting home and from talking in the terminal."""


def ray(*, local: bool = False) -> Any:
    """Return Ray. Raises ArgumentError where it is not installed.

    local: it is to be started on this machine. It listens on all addresses, and lets in only those who have its token.
    """
    if "ray" not in sys.modules:  # it reads the environment when it is loaded
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)} if local else {}
        os.environ.update({name: value for name, value in (QUIET | own).items() if name not in os.environ})
    try:
        import ray as found
    except ImportError:
        allowed = "None (no --workers or --cluster), or install Ray: pip install 'vs-slomo[cluster]'"
        raise ArgumentError("workers", "Ray is not installed", allowed) from None
    # It prints on standard output that a worker has died, which no option of it prevents.
    found._private.worker.print_to_stdstream = _note  # noqa: SLF001
    return found


def _note(told: Mapping[str, Any], **_: Any) -> None:
    log.debug("ray: %s", " ".join(map(str, told.get("lines", ()))))


@contextmanager
def connected(address: str | None, cpus: int, gpus: int) -> Iterator[None]:
    """Connect to a cluster; without an address, start Ray on this machine with so many CPUs and GPUs. Then leave it."""
    engine = ray()
    folder = None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address is None:
        folder = tempfile.mkdtemp(prefix="slomo-ray-")  # short: a socket's name has at most 107 bytes
        options |= {"address": "local", "num_cpus": cpus, "num_gpus": gpus}
        options |= {"include_dashboard": False, "_temp_dir": folder, "_node_ip_address": "127.0.0.1"}
        options |= {"object_store_memory": STORE_BYTES}
    else:
        options |= {"address": address}
    try:
        _init(engine, options, tries=STARTS if address is None else 1)
        yield
    finally:
        engine.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _init(engine: Any, options: Mapping[str, Any], tries: int) -> None:
    """Start Ray or connect to it. Raises ArgumentError for a cluster's address, else RenderError."""
    for left in reversed(range(tries)):
        try:
            with _silent(), _own_signals():
                engine.init(**options)
        except Exception as error:
            engine.shutdown()
            why = next(iter(str(error).splitlines()), type(error).__name__)
            log.debug("Ray: %s", why)
            if options["address"] != "local":
                allowed = f"the address of a Ray cluster that runs ({why})"
                raise ArgumentError("cluster", options["address"], allowed) from error
            if not left:
                raise RenderError(f"Ray does not start on this machine: {why}") from error
        else:
            return


@contextmanager
def _silent() -> Iterator[None]:
    """Keep back what Ray's own libraries write to the terminal while they start."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals: Ray sets one that ends the process at once."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
