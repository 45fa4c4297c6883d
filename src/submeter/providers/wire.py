# SPDX-License-Identifier: Apache-2.0
"""A connection that ends at its deadline, whatever it does: dialling, a proxy, TLS, reading.

Timeouts of a socket count from each byte anew, so a proxy that drips its answer could hold us for
ever. Here a timer shuts the socket down.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from http.client import HTTPConnection
    from urllib.parse import SplitResult

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_PORTS: Final = {"http": 80, "https": 443}
_PROXY_PORT: Final = 3128
_OK: Final = range(200, 300)


@contextmanager
def connected(parts: "SplitResult", end_s: float) -> Iterator["HTTPConnection"]:
    """Connection to the host of *parts*, through the proxy of the environment if there is one.

    It is open within the block, and gone at *end_s* of the monotonic clock [s].

    Raises
    ------
    TimeoutError
        If the end came first, whatever else broke by it.
    OSError
        If nobody can be reached, or TLS does not hold.
    """
    from http.client import HTTPConnection

    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    wire = _Wire(end_s)
    try:
        with closing(HTTPConnection(host, port)) as connection:
            connection.default_port = _PORTS[parts.scheme]  # not said again in the header
            connection.auto_open = 0  # a line that ended is not opened again behind our back
            connection.sock = _opened(wire, parts.scheme, host, port)
            yield connection
        wire.check()  # a body without a length that was cut looks whole
    except Exception:
        if wire.late:
            raise TimeoutError from None
        raise
    finally:
        wire.close()


class _Wire:
    """The socket that is in use, and the timer that shuts it down."""

    def __init__(self, end_s: float) -> None:
        import threading

        self.late = False
        self._end_s = end_s
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(self.left_s, self._cut)
        self._timer.daemon = True
        self._timer.start()

    @property
    def left_s(self) -> float:
        """Time that is left [s], more than zero, since zero means something else to a socket."""
        return max(0.001, self._end_s - time.monotonic())

    def holds(self, line: "socket.socket") -> None:
        """Let the timer cut *line* from now on; if it has struck by then, nothing goes on."""
        self._socket = line
        line.settimeout(self.left_s)
        self.check()

    def check(self) -> None:
        if self.late or time.monotonic() >= self._end_s:
            raise TimeoutError

    def close(self) -> None:
        self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def _cut(self) -> None:
        import socket

        self.late = True
        if self._socket is not None:
            with suppress(OSError):
                # Of the plain socket, also under TLS: that of TLS would unwrap first.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _opened(wire: _Wire, scheme: str, host: str, port: int) -> "socket.socket":
    """Socket to *host* over which it can be asked, TLS done."""
    if scheme == "http":
        return _dialled(wire, host, port)
    import ssl

    context = ssl.create_default_context()
    proxy = _proxy(host)
    if proxy is None:
        line = _dialled(wire, host, port)
    else:
        line = _dialled(wire, proxy.hostname or "", proxy.port or _PROXY_PORT)
        _tunnel(line, proxy, host, port)
    safe = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
    wire.holds(safe)
    safe.do_handshake()
    return safe


def _dialled(wire: _Wire, host: str, port: int) -> "socket.socket":
    """Socket to the first address of *host* that answers, all of them within the time left."""
    import socket

    failed: OSError = TimeoutError()
    for family, kind, protocol, _, address in _addresses(wire, host, port):
        wire.check()
        line = socket.socket(family, kind, protocol)
        try:
            wire.holds(line)
            line.connect(address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as exc:
            line.close()
            failed = exc
        else:
            return line
    raise failed


def _addresses(
    wire: _Wire, host: str, port: int
) -> "list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]]":
    """Addresses of *host*; a resolver that is silent is left behind in a thread of its own."""
    import socket
    import threading

    found: list[object] = []

    def look() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as exc:
            found.append(exc)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(wire.left_s)
    if not found:
        raise TimeoutError
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]  # type: ignore[return-value]  # what getaddrinfo gives


def _proxy(host: str) -> "SplitResult | None":
    """Proxy that the environment names for HTTPS to *host*; none for this machine."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    said = "" if host in LOOPBACK or proxy_bypass(host) else getproxies().get("https", "")
    proxy = urlsplit(said if "://" in said else f"http://{said}")  # "proxy:3128" is usual, too
    return proxy if proxy.hostname else None


def _tunnel(line: "socket.socket", proxy: "SplitResult", host: str, port: int) -> None:
    """Have *proxy* pass everything on to *host*; it is told whom we want to reach and no more."""
    from http.client import HTTPResponse

    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    asked = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.username is not None:
        from base64 import b64encode
        from urllib.parse import unquote

        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        asked.append(f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode('ascii')}")
    line.sendall("\r\n".join([*asked, "", ""]).encode("ascii"))
    answer = HTTPResponse(line, method="CONNECT")
    try:
        answer.begin()
    finally:
        answer.close()
    if answer.status not in _OK:
        raise OSError(0, f"its proxy {proxy.hostname} refuses ({answer.status})")
