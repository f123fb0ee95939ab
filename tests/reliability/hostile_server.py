"""Fetches from a server on the loopback that answers in hostile ways.

    python tests/reliability/hostile_server.py --count 400

What is right: one of our errors, bounded and printable, within SECONDS and MEGABYTES and no model installed; or, where
the server in the end sends the whole file, that file.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tally import Tally

SECONDS, MEGABYTES = 20, 300
"""By the clock, without those that the product waits for a silent server; of memory that the process grows by."""
SILENCE = 2
"""Seconds after which the product gives up here."""


def answer(chance: random.Random, model: bytes) -> bytes:
    """Return a whole answer, head and body."""
    odd = ["204 Nothing", "100 Continue", "999 ?", "abc", "200 " + "x" * 70000, "200 \x1b[31mred"]
    usual = ["200 OK", "206 Partial Content", "302 Found", "301 Moved", "404 No", "416 Range", "500 Oh"]
    status = chance.choice([*usual, *odd])
    if chance.random() < 0.4:
        status = "200 OK"
    body = chance.choice([model, model[: chance.randrange(len(model))], b"", bytes(1000), b"<!doctype html>",
                          b"\x1f\x8b" + bytes(100), model + b"more", chance.randbytes(5000)])  # fmt: skip
    heads = []
    length = chance.choice([len(body), len(body) + 1000, max(len(body) - 1000, 0), 10**15, -1, "x", "1" * 5000, None])
    if chance.random() < 0.5:
        length = len(body)
    if length is not None:
        heads.append(f"Content-Length: {length}")
    if chance.random() < 0.3:
        heads.append(chance.choice(['ETag: "a"', 'ETag: W/"a"', "ETag: \x1b[31m", "ETag: " + "e" * 60000]))
    if chance.random() < 0.2:
        heads.append(chance.choice(["Last-Modified: yesterday", "Last-Modified: " + "m" * 60000]))
    if chance.random() < 0.3:
        ranges = ["bytes 0-9/10", "bytes 5-1/3", "bytes 99999999999999999999-1/2", "bytes */*", "x"]
        heads.append(f"Content-Range: {chance.choice(ranges)}")
    if chance.random() < 0.3:
        places = ["/again", "http://[::1", "file:///etc/passwd", "ftp://x/y", "//", "http://a\x1bb/", "x" * 60000]
        heads.append(f"Location: {chance.choice([*places, 'javascript:1', 'http://127.0.0.1:9/', '/%00', ''])}")
    if chance.random() < 0.15:
        heads.append(chance.choice(["Content-Encoding: gzip", "Transfer-Encoding: chunked", "Content-Encoding: br"]))
    if chance.random() < 0.1:
        heads += [f"X-{n}: y" for n in range(chance.choice([50, 300]))]
    if "Transfer-Encoding: chunked" in heads and chance.random() < 0.8:
        body = chance.choice([b"ffffffffffffffffffff\r\n", b"5\r\nabc", b"-1\r\n", b"x\r\n", b"1" * 70000])
    head = f"{chance.choice(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/9.9', 'SSH-2.0'])} {status}"
    return "\r\n".join([head, *heads, "", ""]).encode("latin1", "replace") + body


class Hostile(BaseHTTPRequestHandler):
    """Answers as a number says."""

    seed, model, asked = 0, b"", 0

    def do_GET(self) -> None:
        """Answer."""
        kind = type(self)
        chance = random.Random(f"{kind.seed} {kind.asked}")
        kind.asked += 1
        data = answer(chance, kind.model)
        cut = chance.random()
        with suppress(OSError):
            if cut < 0.1:
                return
            if cut < 0.15:  # says nothing, or goes silent
                self.wfile.write(data[: chance.randrange(200)])
                self.wfile.flush()
                time.sleep(SILENCE + 1)
                return
            if cut < 0.25:
                data = data[: chance.randrange(len(data))]
            self.wfile.write(data)
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(model: bytes) -> Iterator[str]:
    """Serve; give the address."""
    Hostile.model = model
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/model.safetensors"
    finally:
        server.shutdown()


def outcome(address: str, seed: int, home: Path, model: bytes) -> str:
    """Return what came of fetching, once and again, from a server of this number."""
    from vs_slomo import weights
    from vs_slomo.errors import SlomoError

    Hostile.seed, Hostile.asked = seed, 0
    models = home / "models"
    results = set()
    for _ in range(2):
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            info = weights.fetch(address, name=f"m{seed}")
        except SlomoError as error:
            text = str(error)
            if len(text) > 2100 or not text.isprintable():
                return f"a message of {len(text)} characters, or that controls the terminal"
            results.add("refused")
        except BaseException as error:  # noqa: BLE001  # this is what is looked for
            return f"{type(error).__name__}: {str(error)[:100]!r}"
        else:
            # What comes behind the model in a file of its format is not looked at.
            same = info.path is not None and info.path.read_bytes()[: len(model)] == model
            (models / f"m{seed}.safetensors").unlink()
            if not same:
                return "another file was installed"
            results.add("fetched")
        if time.monotonic() - began > SECONDS:
            return f"took {time.monotonic() - began:.0f} s"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
        if grown > MEGABYTES:
            return f"grew by {grown:.0f} MB"
    if [x for x in models.iterdir() if x.suffix == ".safetensors"]:
        return "a model was installed"
    return "fetched" if "fetched" in results else "refused"


def main() -> int:
    """Fetch, and print what is wrong and a count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    from vs_slomo.model.superslomo import SuperSloMo
    from vs_slomo.weights import ModelInfo, download, load, save

    download.TIMEOUT = SILENCE
    tally = Tally("refused", "fetched")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ["VS_SLOMO_HOME"] = name
        path = home / "small.safetensors"
        save(SuperSloMo(1), ModelInfo(name="small", width=1), path)
        load(path)
        model = path.read_bytes()
        with serving(model) as address:
            for seed in range(arguments.first, arguments.first + arguments.count):
                tally.add(str(seed), outcome(address, seed, home, model))
    return tally.end("servers")


if __name__ == "__main__":
    sys.exit(main())
