# SPDX-License-Identifier: Apache-2.0
"""Fetching one answer over HTTPS, with limits on time and size and no way around certificates.

Only whoever asks for live data pays for the imports below. No sentence that is raised here holds
more of an address than its host, because keys of some providers are part of the query.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from submeter.errors import ProviderDownError, ProviderError, ProviderReplyError, UsageError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse
    from urllib.parse import SplitResult

LARGEST_BODY_BYTES: Final = 8 * 2**20  # as sent
LARGEST_TEXT_BYTES: Final = 32 * 2**20  # after decompression
MOST_REDIRECTS: Final = 3
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_CHUNK_BYTES: Final = 64 * 2**10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AS_USUAL: Final = "the cached or annual figure is used instead where one was asked for"


class Response(msgspec.Struct, frozen=True):
    """What a server said: status, headers with lower-case names, and the decompressed body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Whatever can fetch an answer; the real one is `HttpsTransport`."""

    def get(self, url: str, headers: Mapping[str, str], timeout_s: float) -> Response:
        """Fetch *url* within *timeout_s* [s] in all, whatever its status.

        Raises
        ------
        ProviderDownError
            If nobody answers in time, or the certificate of who answers does not hold.
        ProviderReplyError
            If the answer breaks off, is too large, or points to another host.
        """
        ...


class HttpsTransport:
    """HTTPS with the certificates that the system trusts; plain HTTP to this machine only.

    Proxies are those of the environment (``HTTPS_PROXY``); TLS reaches through them to the
    provider. Redirects are followed within one origin only, so that no key goes elsewhere.
    """

    def get(self, url: str, headers: Mapping[str, str], timeout_s: float) -> Response:
        from urllib.parse import urljoin, urlsplit

        end_s = time.monotonic() + timeout_s
        for _ in range(MOST_REDIRECTS + 1):
            parts = urlsplit(url)
            _refuse_plain(parts)
            answer = _exchange(parts, headers, end_s)
            if answer.status not in _REDIRECTS:
                return answer
            moved = urlsplit(urljoin(url, answer.headers.get("location", "")))
            if (moved.scheme, moved.netloc) != (parts.scheme, parts.netloc):
                raise ProviderReplyError(
                    f"{parts.hostname} sends us to {moved.scheme}://{moved.hostname},"
                    " which is not followed",
                    remedy=_AS_USUAL,
                )
            url = moved.geturl()
        raise ProviderReplyError(
            f"{urlsplit(url).hostname} sends us round in circles", remedy=_AS_USUAL
        )


def _refuse_plain(parts: "SplitResult") -> None:
    """Let only HTTPS pass, or plain HTTP to this very machine."""
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    raise UsageError(
        f"{parts.scheme}://{parts.hostname} is not asked: only https is",
        remedy="give an https address",
    )


def _exchange(parts: "SplitResult", headers: Mapping[str, str], end_s: float) -> Response:
    """One request and its whole answer, by *end_s* of the monotonic clock [s]."""
    import ssl
    from http.client import HTTPException, IncompleteRead

    host = parts.hostname or ""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"Accept-Encoding": "gzip", "User-Agent": "submeter", **headers}
    # Errors are raised "from None" where the cause would show the address with the key in it.
    try:
        with _deadline(_connection(parts, end_s), end_s) as connection:
            connection.request("GET", target, headers=sent)
            answer = connection.getresponse()
            raw = _body(answer, host)
    except ProviderError:
        raise
    except ssl.SSLCertVerificationError as exc:
        raise ProviderDownError(
            f"the certificate of {host} does not hold: {exc.verify_message}",
            remedy="check the clock and the certificates of this machine; nothing was sent",
        ) from None
    except TimeoutError:
        raise ProviderDownError(f"{host} does not answer in time", remedy=_AS_USUAL) from None
    except IncompleteRead:
        raise ProviderReplyError(f"the answer of {host} breaks off", remedy=_AS_USUAL) from None
    except OSError as exc:
        raise ProviderDownError(
            f"{host} cannot be reached: {exc.strerror or type(exc).__name__}", remedy=_AS_USUAL
        ) from None
    except (HTTPException, ValueError) as exc:
        raise ProviderReplyError(
            f"{host} does not speak HTTP as it should: {type(exc).__name__}", remedy=_AS_USUAL
        ) from None
    kept = {name.lower(): value for name, value in answer.getheaders()}
    return Response(answer.status, kept, _decompressed(raw, kept.get("content-encoding"), host))


def _connection(parts: "SplitResult", end_s: float) -> "HTTPConnection":
    """Connection to the host of *parts*, through the proxy of the environment if there is one."""
    import http.client
    import ssl
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    host, left_s = parts.hostname or "", max(0.001, end_s - time.monotonic())
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=left_s)
    context = ssl.create_default_context()
    said = "" if proxy_bypass(host) else getproxies().get("https", "")
    proxy = urlsplit(said if "://" in said else f"http://{said}")  # "proxy:3128" is usual, too
    if not proxy.hostname or host in LOOPBACK:
        return http.client.HTTPSConnection(host, parts.port, timeout=left_s, context=context)
    through = http.client.HTTPSConnection(
        proxy.hostname, proxy.port or 3128, timeout=left_s, context=context
    )
    login = {}
    if proxy.username is not None:
        from base64 import b64encode
        from urllib.parse import unquote

        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        login["Proxy-Authorization"] = f"Basic {b64encode(pair.encode()).decode('ascii')}"
    through.set_tunnel(host, parts.port or 443, headers=login)
    return through


@contextmanager
def _deadline(connection: "HTTPConnection", end_s: float) -> Iterator["HTTPConnection"]:
    """Connect, and cut the line at *end_s*, so that drops of bytes do not keep us waiting."""
    import contextlib
    import socket
    import threading

    late = threading.Event()
    try:
        connection.connect()
        line = connection.sock

        def cut() -> None:
            late.set()
            with contextlib.suppress(OSError):
                # Of the plain socket, also under TLS: that of TLS would unwrap first.
                socket.socket.shutdown(line, socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, end_s - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            yield connection
        except Exception:
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if late.is_set():  # a body without a length that was cut looks whole
            raise TimeoutError
    finally:
        connection.close()


def _body(answer: "HTTPResponse", host: str) -> bytes:
    """Read the body as sent, no more of it than we are willing to keep."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read(_CHUNK_BYTES):
        size += len(part)
        if size > LARGEST_BODY_BYTES:
            raise _too_large(host)
        parts.append(part)
    if answer.length:  # read(n) does not complain of an early end
        from http.client import IncompleteRead

        raise IncompleteRead(b"", answer.length)
    return b"".join(parts)


def _decompressed(raw: bytes, encoding: str | None, host: str) -> bytes:
    """Undo gzip, which may hide a thousand times its size."""
    if encoding in {None, "", "identity"}:
        return raw
    if encoding not in {"gzip", "x-gzip"}:
        raise ProviderReplyError(
            f"{host} answers in an encoding that was not asked for", remedy=_AS_USUAL
        )
    import zlib

    try:
        machine = zlib.decompressobj(wbits=31)
        text = machine.decompress(raw, LARGEST_TEXT_BYTES + 1)
    except zlib.error:
        raise ProviderReplyError(f"{host} sends broken gzip", remedy=_AS_USUAL) from None
    if len(text) > LARGEST_TEXT_BYTES:
        raise _too_large(host)
    if not machine.eof:
        raise ProviderReplyError(f"the answer of {host} breaks off", remedy=_AS_USUAL)
    return text


def _too_large(host: str) -> ProviderReplyError:
    most = LARGEST_BODY_BYTES // 2**20
    return ProviderReplyError(
        f"the answer of {host} is larger than {most} MiB allow", remedy=_AS_USUAL
    )
