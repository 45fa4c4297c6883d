# SPDX-License-Identifier: Apache-2.0
"""Fetching one answer over HTTPS, with limits on time and size and no way around certificates.

Only whoever asks for live data pays for the imports below. No sentence that is raised here holds
more of an address than its host, because keys of some providers are part of the query.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from submeter.errors import ProviderDownError, ProviderError, ProviderReplyError, UsageError
from submeter.providers.wire import LOOPBACK, connected

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.parse import SplitResult

LARGEST_BODY_BYTES: Final = 8 * 2**20  # as sent
LARGEST_TEXT_BYTES: Final = 32 * 2**20  # after decompression
MOST_REDIRECTS: Final = 3
_CHUNK_BYTES: Final = 64 * 2**10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HTTPS: Final = "give an https address"
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
            try:
                parts = urlsplit(url)
                _ = parts.port  # looked at only when it is asked for
            except ValueError:
                raise UsageError("an address of a provider is none", remedy=_HTTPS) from None
            _refuse_plain(parts)
            answer = _exchange(parts, headers, end_s)
            if answer.status not in _REDIRECTS:
                return answer
            try:
                moved = urlsplit(urljoin(url, answer.headers.get("location", "")))
            except ValueError:
                raise ProviderReplyError(
                    f"{parts.hostname} sends us to an address that is none", remedy=_AS_USUAL
                ) from None
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
        remedy=_HTTPS,
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
        with connected(parts, end_s) as connection:
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
