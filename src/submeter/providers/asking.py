# SPDX-License-Identifier: Apache-2.0
"""What a provider is, what it is asked, and how it asks in turn."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol

import msgspec

from submeter.errors import CoverageError, ProviderReplyError
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace
from submeter.units import S_PER_H

Scope = Literal["lifecycle", "direct"]
DAY_S = 86_400.0
HOUR_S = float(S_PER_H)
ANNUAL = "the annual figure is used instead"


class Ask(msgspec.Struct, frozen=True):
    """Which intensity, where and when; ``place`` is the zone in the provider's own words."""

    zone: Zone
    place: str
    start_utc_s: float
    end_utc_s: float
    now_utc_s: float
    scope: Scope | None = None

    def days(self, most: int, *, end_utc_s: float | None = None) -> Iterator[tuple[float, float]]:
        """Whole UTC days of what is asked, at most so many at a time, so that answers are reused.

        They reach to *end_utc_s* [s] if that is earlier.
        """
        end = self.end_utc_s if end_utc_s is None else min(self.end_utc_s, end_utc_s)
        begin = self.start_utc_s // DAY_S * DAY_S
        while begin < end and self.start_utc_s < end:
            until = min(begin + most * DAY_S, -(-end // DAY_S) * DAY_S)
            yield begin, until
            begin = until


class Request(msgspec.Struct, frozen=True):
    """One question over the wire. What is secret stands in ``secret`` and ``headers`` only.

    ``settled`` says that the answer will not change any more, ``keep`` that it may be cached;
    ``sign`` gives further headers at the moment that the question really goes out.
    """

    url: str
    query: tuple[tuple[str, str], ...] = ()
    secret: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    settled: bool = False
    keep: bool = True
    sign: Callable[[], tuple[tuple[str, str], ...]] | None = None

    def address(self, *, secret: bool) -> str:
        """Whole address; with *secret* it is for the wire and for nothing else."""
        from urllib.parse import urlencode

        query = urlencode((*self.query, *(self.secret if secret else ())))
        return f"{self.url}?{query}" if query else self.url

    @property
    def question(self) -> str:
        """Everything by which this request differs from others, without secrets."""
        from urllib.parse import urlencode

        return f"{self.url}?{urlencode(sorted(self.query))}"


Getter = Callable[[Request], bytes]


class Provider(Protocol):
    """Somebody who knows intensities of the past, of now, or of the next days.

    ``requires`` names the environment variables that hold its keys, ``register`` is where those
    are given.
    """

    @property
    def name(self) -> str:
        """Short name, as in settings."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Environment variables that must be set."""
        ...

    @property
    def register(self) -> str:
        """Where a key is to be had; "" if none is needed."""
        ...

    def kind(self, scope: Scope | None) -> Kind:
        """What its intensities tell, in *scope* (None: its own).

        Raises
        ------
        CoverageError
            If it has none of that scope.
        """
        ...

    def place(self, zone: Zone) -> str:
        """Its own word for *zone*, or for the nearest parent of it that it has.

        Raises
        ------
        CoverageError
            If it has neither.
        """
        ...

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        """Intensities of *ask*, gaps left open, from answers that *get* fetches.

        Raises
        ------
        CoverageError
            If there is nothing at that time.
        ProviderError
            If it is down, refuses, or its answer makes no sense.
        """
        ...


def only(scope: Scope | None, kind: Kind, name: str) -> Kind:
    """*kind*, if that is what is asked for.

    Raises
    ------
    CoverageError
        If another scope is asked for.
    """
    if scope not in {None, kind.scope}:
        raise CoverageError(
            f"{name} has no {scope} intensities, only {kind}",
            remedy="ask another provider, or leave it out for the annual figure",
        )
    return kind


def json_object(body: bytes, name: str) -> dict[str, object]:
    """Parse *body*, which must be a JSON object.

    Raises
    ------
    ProviderReplyError
        If it is anything else, such as the page of a portal.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        what = "a web page" if body.lstrip()[:1] == b"<" else "something other than JSON"
        raise ProviderReplyError(f"{name} answers with {what}", remedy=ANNUAL) from None
    if not isinstance(document, dict):
        raise ProviderReplyError(f"{name} answers with a bare value", remedy=ANNUAL)
    return document


def rows(document: Mapping[str, object], *names: str, provider: str) -> list[dict[str, object]]:
    """List of objects under the first of *names* that *document* has.

    Raises
    ------
    ProviderReplyError
        If there is no such list.
    """
    for name in names:
        found = document.get(name)
        if isinstance(found, list):
            return [row for row in found if isinstance(row, dict)]
    raise ProviderReplyError(f"the answer of {provider} has no list of values", remedy=ANNUAL)


def same_place(said: object, asked: str, name: str) -> None:
    """Refuse an answer that is about another place than *asked*; one that says nothing passes.

    Raises
    ------
    ProviderReplyError
        If it is about another place.
    """
    if said is not None and said != asked:
        raise ProviderReplyError(
            f"{name} answers about {str(said)[:40]!r} when asked about {asked!r}", remedy=ANNUAL
        )
