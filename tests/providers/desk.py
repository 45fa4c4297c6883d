# SPDX-License-Identifier: Apache-2.0
"""A provider on 127.0.0.1: real sockets, answers by table, and a log of what was asked."""

import contextlib
import gzip
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from submeter.errors import CoverageError
from submeter.records.factors import Factor
from submeter.records.places import Zone
from submeter.testing import VirtualClock

HERE = Path(__file__).parent
ANSWERS = HERE / "answers"
CERTIFICATES = HERE / "certificates"
SECRET = "s3cret-of-the-user-0123456789"  # noqa: S105  # of nobody

DE = Zone("DE", "Germany", "country", "argument", country="DE", parents=("WORLD",))
GB = Zone("GB", "United Kingdom", "country", "argument", country="GB", parents=("WORLD",))
CAISO = Zone(
    "US-CAL-CISO", "California ISO", "subregion", "argument", country="US", parents=("US", "WORLD")
)


@dataclass(frozen=True)
class Reply:
    """What the desk says: *cut* sends only so many bytes of what it promised, then hangs up."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    silent: bool = False


@dataclass(frozen=True)
class Asked:
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]


Answer = Callable[[Asked], Reply]


class Desk:
    """A server whose answer can be changed at any time; `asked` is what it was asked."""

    def __init__(self, answer: Answer, *, certificate: Path | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.hold = threading.Event()  # silent answers wait for it
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(parts.path, parse_qs(parts.query), dict(self.headers.items()))
                desk.asked.append(asked)
                reply = desk.answer(asked)
                if reply.silent:
                    desk.hold.wait(30)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: reply.cut])
                if reply.cut is not None:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                del args

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up is what some tests are about."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        self.port = self._server.server_address[1]
        self.base = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def desk_of(answer: Answer | Reply, *, certificate: Path | None = None) -> Iterator[Desk]:
    always = answer if callable(answer) else lambda _asked: answer
    desk = Desk(always, certificate=certificate)
    try:
        yield desk
    finally:
        desk.close()


def recorded(name: str, *, zipped: bool = False) -> Reply:
    body = (ANSWERS / name).read_bytes()
    if zipped:
        return Reply(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    return Reply(body)


def at(text: str) -> float:
    """Instant of an ISO text in UTC [s since 1970]."""
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def clock_at(text: str) -> VirtualClock:
    return VirtualClock(utc_ns=round(at(text) * 1e9))


def factor_of(fuel: str, quantity: str) -> Factor:
    """Round factors, so that a person can check the figures: gas 500, coal 1000, wind 10."""
    known = {"gas": 500.0, "coal": 1000.0, "wind": 10.0, "solar": 40.0}
    if fuel not in known or quantity not in {"lifecycle_g_per_kwh", "direct_g_per_kwh"}:
        raise CoverageError(f"no {quantity} of {fuel}")
    value = known[fuel] if quantity.startswith("life") else 0.8 * known[fuel]
    return Factor(f"generation/{fuel}/{quantity}", value, value / 1.2, value * 1.2, "g/kWh")
