# SPDX-License-Identifier: Apache-2.0
"""Fetching over real sockets: what is followed, what is cut off, whom TLS does not let pass."""

import contextlib
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.errors import ProviderDownError, ProviderError, ProviderReplyError, UsageError
from submeter.providers import transport, wire
from submeter.providers.transport import HttpsTransport
from tests.providers.desk import CERTIFICATES, SECRET, Asked, Reply, desk_of

FETCH = HttpsTransport().get


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


def test_an_answer_comes_whole_with_status_and_headers() -> None:
    with desk_of(Reply(b'{"a":1}', 418, {"X-Thing": "yes"})) as desk:
        answer = FETCH(f"{desk.base}/v1?zone=DE", {"auth-token": SECRET}, 5)
    assert (answer.status, answer.body, answer.headers["x-thing"]) == (418, b'{"a":1}', "yes")
    (asked,) = desk.asked
    assert asked.path == "/v1"
    assert asked.query == {"zone": ["DE"]}
    assert asked.headers["auth-token"] == SECRET
    assert asked.headers["User-Agent"] == "submeter"


def test_gzip_is_undone() -> None:
    packed = Reply(gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})
    with desk_of(packed) as desk:
        assert FETCH(desk.base, {}, 5).body == b"hello"
        assert desk.asked[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.org/v1",
        "ftp://api.example.org",
        "file:///etc/passwd",
        "http://127.0.0.1.example.org/",
        "https:///nowhere",
    ],
)
def test_f20_plain_http_goes_to_this_machine_only(url: str) -> None:
    with pytest.raises(UsageError, match="only https"):
        FETCH(url, {"auth-token": SECRET}, 5)


def test_a_redirect_within_the_same_origin_is_followed() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(b"here") if asked.path == "/new" else Reply(b"", 302, {"Location": "/new"})

    with desk_of(answer) as desk:
        assert FETCH(f"{desk.base}/old", {}, 5).body == b"here"


@pytest.mark.parametrize("target", ["http://localhost:{port}/", "https://127.0.0.1:{port}/", ""])
def test_f19_a_redirect_elsewhere_gets_no_key(target: str) -> None:
    with desk_of(Reply()) as other, desk_of(Reply()) as desk:
        where = target.format(port=other.port) or f"http://127.0.0.1:{other.port}/"
        desk.answer = lambda _asked: Reply(b"", 302, {"Location": where})
        with pytest.raises(ProviderReplyError, match="not followed"):
            FETCH(desk.base, {"auth-token": SECRET}, 5)
        assert other.asked == []


def test_redirects_in_a_circle_end() -> None:
    with desk_of(Reply(b"", 301, {"Location": "/"})) as desk:
        with pytest.raises(ProviderReplyError, match="in circles"):
            FETCH(desk.base, {}, 5)
        assert len(desk.asked) == transport.MOST_REDIRECTS + 1


def bomb(size: int) -> bytes:
    """Gzip of *size* zeros, made without holding them."""
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(2**20)
    return b"".join([*(machine.compress(block) for _ in range(size // 2**20)), machine.flush()])


E13 = {
    "gzip bomb": (
        Reply(bomb(64 * 2**20), headers={"Content-Encoding": "gzip"}),
        ProviderReplyError,
        "larger than",
    ),
    "too large": (Reply(bytes(transport.LARGEST_BODY_BYTES + 1)), ProviderReplyError, "larger"),
    "truncated": (Reply(b"x" * 1000, cut=400), ProviderReplyError, "breaks off"),
    "nothing at all": (Reply(b"x" * 1000, cut=0), ProviderReplyError, "breaks off"),
    "truncated gzip": (
        Reply(gzip.compress(b"x" * 1000)[:-9], headers={"Content-Encoding": "gzip"}),
        ProviderReplyError,
        "breaks off",
    ),
    "broken gzip": (
        Reply(b"not gzip", headers={"Content-Encoding": "gzip"}),
        ProviderReplyError,
        "broken gzip",
    ),
    "unasked encoding": (
        Reply(b"?", headers={"Content-Encoding": "br"}),
        ProviderReplyError,
        "not asked for",
    ),
}


@pytest.mark.parametrize("name", E13)
def test_e13_a_bad_body_is_refused_in_one_sentence(name: str) -> None:
    reply, error, words = E13[name]
    with desk_of(reply) as desk, pytest.raises(error, match=words) as caught:
        FETCH(f"{desk.base}/?api_key={SECRET}", {"auth-token": SECRET}, 5)
    assert isinstance(caught.value, ProviderError)
    assert caught.value.remedy
    assert caught.value.exit_code == 5
    assert SECRET not in f"{caught.value} {caught.value.remedy} {caught.value.__cause__}"


def test_e13_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ProviderDownError, match="cannot be reached"):
            FETCH(f"http://127.0.0.1:{port}/?api_key={SECRET}", {}, 5)


def test_e13_silence_ends_at_the_deadline() -> None:
    with desk_of(Reply(silent=True)) as desk, pytest.raises(ProviderDownError, match="in time"):
        FETCH(desk.base, {}, 0.2)


@contextlib.contextmanager
def dripping(head: bytes) -> Iterator[int]:
    """A server that hears once, says *head*, then a byte now and then: its port."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(head)
                while not over.wait(0.02):
                    try:
                        line.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("length", ["Content-Length: 100000\r\n", ""])
def test_e13_single_bytes_do_not_stretch_the_deadline(length: str) -> None:
    """Each byte comes well before a timeout of the socket would see it."""
    with dripping(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode()) as port:
        began = time.monotonic()
        with pytest.raises(ProviderDownError, match="in time"):
            FETCH(f"http://127.0.0.1:{port}/", {}, 0.3)
        took_s = time.monotonic() - began
    assert 0.2 < took_s < 20


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX-Thing: "])
def test_e13_a_proxy_that_drips_does_not_stretch_the_deadline(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    with dripping(head) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        began = time.monotonic()
        with pytest.raises(ProviderDownError, match="in time"):
            FETCH("https://api.example.org/v1", {"auth-token": SECRET}, 0.3)
        took_s = time.monotonic() - began
    assert 0.2 < took_s < 20


def test_e13_tls_that_drips_does_not_stretch_the_deadline() -> None:
    with dripping(b"\x16\x03\x03\x40\x00") as port:
        began = time.monotonic()
        with pytest.raises(ProviderDownError, match="in time"):
            FETCH(f"https://127.0.0.1:{port}/", {"auth-token": SECRET}, 0.3)
        took_s = time.monotonic() - began
    assert 0.2 < took_s < 20


@pytest.mark.parametrize("end", [b"\r\n\r\n", b" OK\r\nX: 1\r\n\r\n"])
def test_https_reaches_through_a_proxy_to_the_provider(
    monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    """The provider proves who it is to us, and the proxy passes bytes on that it cannot read."""
    good = CERTIFICATES / "good.pem"
    trusted(monkeypatch, good)
    with (
        desk_of(Reply(b"safe"), certificate=good) as desk,
        socket.create_server(("127.0.0.1", 0)) as proxy,
    ):

        def passed(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while part := source.recv(65536):
                    target.sendall(part)
                target.shutdown(socket.SHUT_WR)

        def serve() -> None:
            near, _ = proxy.accept()
            with near, socket.create_connection(("127.0.0.1", desk.port)) as far:
                near.recv(4096)
                near.sendall(b"HTTP/1.1 200" + end)
                back = threading.Thread(target=passed, args=(far, near))
                back.start()
                passed(near, far)
                back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setattr(wire, "LOOPBACK", frozenset())  # a proxy for this machine, for once
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        assert FETCH(f"{desk.base}/?a=1", {"auth-token": SECRET}, 20).body == b"safe"
        thread.join()


def test_e13_a_redirect_to_an_address_that_is_none() -> None:
    with (
        desk_of(Reply(b"", 302, {"Location": "//[::1"})) as desk,
        pytest.raises(ProviderReplyError, match="address that is none"),
    ):
        FETCH(desk.base, {}, 5)


@pytest.mark.parametrize("url", ["https://[::1", "https://api.example.org:port/"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="none"):
        FETCH(url, {}, 5)


def test_e13_an_answer_that_is_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(ProviderReplyError, match="does not speak HTTP"):
            FETCH(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, 5)
        thread.join()


def test_f19_a_header_that_cannot_be_sent_is_not_shown() -> None:
    with desk_of(Reply()) as desk, pytest.raises(ProviderReplyError) as caught:
        FETCH(desk.base, {"auth-token": f"{SECRET}\r\nX: y"}, 5)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.remedy}"
    assert desk.asked == []


def trusted(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def test_f20_a_certificate_that_the_system_trusts_lets_https_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = CERTIFICATES / "good.pem"
    trusted(monkeypatch, good)
    with desk_of(Reply(b"safe"), certificate=good) as desk:
        assert FETCH(f"{desk.base}/?a=1", {"auth-token": SECRET}, 5).body == b"safe"


@pytest.mark.parametrize(
    ("served", "believed", "words"),
    [
        ("good.pem", None, "self-signed|unable to get local issuer"),
        ("expired.pem", "expired.pem", "expired"),
        ("elsewhere.pem", "elsewhere.pem", "mismatch|not valid for"),
    ],
)
def test_f20_a_bad_certificate_is_never_let_pass(
    monkeypatch: pytest.MonkeyPatch, served: str, believed: str | None, words: str
) -> None:
    if believed is not None:
        trusted(monkeypatch, CERTIFICATES / believed)
    with desk_of(Reply(b"unsafe"), certificate=CERTIFICATES / served) as desk:
        with pytest.raises(ProviderDownError, match=words) as caught:
            FETCH(f"{desk.base}/?api_key={SECRET}", {"auth-token": SECRET}, 5)
        assert desk.asked == []
    assert "nothing was sent" in (caught.value.remedy or "")
    assert SECRET not in str(caught.value)


def test_f20_https_is_not_tried_again_without_tls() -> None:
    with desk_of(Reply(b"plain")) as desk:
        with pytest.raises(ProviderError):
            FETCH(f"https://127.0.0.1:{desk.port}/", {}, 5)
        assert desk.asked == []


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with desk_of(Reply(b"direct")) as desk:
        assert FETCH(desk.base, {}, 5).body == b"direct"


@pytest.mark.parametrize("said", ["http://me:pw@127.0.0.1:{}", "me:pw@127.0.0.1:{}"])
def test_https_to_elsewhere_goes_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """The proxy sees whom we want to reach and never a key."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            line, _ = proxy.accept()
            with line:
                seen.append(line.recv(4096))
                line.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        monkeypatch.setenv("https_proxy", said.format(proxy.getsockname()[1]))
        with pytest.raises(ProviderDownError, match="cannot be reached"):
            FETCH(f"https://api.example.org/v1?api_key={SECRET}", {"auth-token": SECRET}, 5)
        thread.join()
    assert seen[0].startswith(b"CONNECT api.example.org:443 ")
    assert b"Basic bWU6cHc=" in seen[0]
    assert SECRET.encode() not in seen[0]
