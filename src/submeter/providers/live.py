# SPDX-License-Identifier: Apache-2.0
"""Asking a provider, when the user wants it: keys, patience, kept answers, and what else if not.

Nothing here is asked by itself. `fetch` gives what the provider says, gaps left open; or it raises
one sentence and a remedy. `live_or_offline` turns that into the offline trace, widened.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

import msgspec

from submeter.errors import (
    CoverageError,
    ProviderDownError,
    ProviderError,
    ProviderRefusedError,
    ProviderReplyError,
    UsageError,
)
from submeter.grid.factors import place_sd
from submeter.grid.weighting import widened
from submeter.providers.asking import ANNUAL, DAY_S, Scope
from submeter.providers.cache import STALE_S, AnswerCache
from submeter.providers.finding import Ask, Provider, Request, find
from submeter.providers.places import code_of
from submeter.providers.series import ESTIMATED_SD, GRAMS
from submeter.providers.transport import HttpsTransport, Response, Transport
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace
from submeter.units import NS_PER_S

PATIENCE_S: Final = 30.0  # for all requests of one question together
LONGEST_DAYS: Final = 366
_BUSY: Final = frozenset({429, 503})
_REFUSED: Final = frozenset({401, 403, 407})
_SHORTEST_WAIT_S: Final = 1.0

_Way = Literal["kept or asked", "asked", "kept"]


class Clock(Protocol):
    """Time, and waiting for it; `submeter.testing.VirtualClock` is one."""

    def utc_ns(self) -> int:
        """Wall time [ns since 1970]."""
        ...

    def monotonic_ns(self) -> int:
        """Time that never goes back [ns]."""
        ...

    def wait_until(self, t_ns: int) -> object:
        """Wait for the monotonic instant *t_ns* [ns]."""
        ...


class SystemClock:
    """The clock of this machine."""

    def utc_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, t_ns: int) -> None:
        time.sleep(max(0, t_ns - time.monotonic_ns()) / NS_PER_S)


def fetch(
    provider: Provider | str,
    zone: Zone,
    start_utc_s: float,
    end_utc_s: float,
    *,
    transport: Transport | None = None,
    cache: AnswerCache | None = None,
    clock: Clock | None = None,
    keys: Mapping[str, str] | None = None,
    scope: Scope | None = None,
    timeout_s: float = PATIENCE_S,
    kept: bool = False,
) -> Trace:
    """Intensity of *zone* [gCO2e/kWh] from *start_utc_s* to *end_utc_s*, as *provider* says.

    Parameters
    ----------
    provider
        Name, or the provider itself.
    zone
        Its code or one of its parents must be known to the provider.
    start_utc_s, end_utc_s
        Instants [s since 1970], at most a year apart; the end may lie ahead.
    transport, cache, clock, keys
        The border: HTTPS, nothing kept, the machine's clock, and the environment if not given.
    scope
        Lifecycle or direct; the provider's own if None.
    timeout_s
        Patience for all requests together [s].
    kept
        Ask nobody: only what is in *cache*, for which no key is needed.

    Returns
    -------
    Trace
        Its slots cover what was asked; those without a usable value are None. Where the provider
        failed and a kept answer stood in, a note says so and its age, and the doubt is wider.

    Raises
    ------
    CoverageError
        If the provider does not have this zone, scope or time.
    ProviderError
        If it is down, refuses, or its answer makes no sense, and no answer is kept.
    """
    found = find(provider) if isinstance(provider, str) else provider
    if not 0 < end_utc_s - start_utc_s <= LONGEST_DAYS * DAY_S:
        raise UsageError(
            f"{(end_utc_s - start_utc_s) / DAY_S:.3g} days of live data are asked for",
            remedy=f"ask for up to {LONGEST_DAYS} days, the end after the start",
        )
    clock = clock or SystemClock()
    ask = Ask(zone, found.place(zone), start_utc_s, end_utc_s, clock.utc_ns() / NS_PER_S, scope)
    found.kind(scope)  # refuses what it does not have, before anything is asked
    if kept:
        secrets = dict.fromkeys(found.requires, "")
    else:
        secrets = keys_of(found, os.environ if keys is None else keys)
    asker = _Asker(found, transport or HttpsTransport(), cache, clock, ask.now_utc_s, timeout_s)
    if kept:
        return asker.answer(ask, secrets, "kept")
    try:
        return asker.answer(ask, secrets, "kept or asked")
    except (ProviderDownError, ProviderReplyError) as exc:
        failed = exc
    if isinstance(failed, ProviderReplyError) and asker.used_kept:
        try:  # an answer that was kept by another version may be what is not understood
            return asker.answer(ask, secrets, "asked")
        except (ProviderDownError, ProviderReplyError) as exc:
            failed = exc
    try:
        trace = asker.answer(ask, secrets, "kept")
    except (ProviderError, CoverageError):
        raise failed from None
    age = _age(asker.oldest_s)
    return _doubted(trace, f"answer of {age} ago, because {failed}")


def live_or_offline(
    offline: Callable[[Kind], Trace],
    provider: Provider | str,
    zone: Zone,
    start_utc_s: float,
    end_utc_s: float,
    *,
    transport: Transport | None = None,
    cache: AnswerCache | None = None,
    clock: Clock | None = None,
    keys: Mapping[str, str] | None = None,
    scope: Scope | None = None,
    timeout_s: float = PATIENCE_S,
) -> Trace:
    """As `fetch`, or what *offline* knows of the same kind, wider and with a note that says why.

    Kinds are never mixed: if *offline* has none of the provider's kind (it raises `CoverageError`
    or `UsageError`, or gives another kind), what went wrong with the provider is raised.
    """
    found = find(provider) if isinstance(provider, str) else provider
    try:
        return fetch(
            found,
            zone,
            start_utc_s,
            end_utc_s,
            transport=transport,
            cache=cache,
            clock=clock,
            keys=keys,
            scope=scope,
            timeout_s=timeout_s,
        )
    except (ProviderError, CoverageError) as exc:
        failed = exc
    kind = found.kind(scope)
    try:
        trace = offline(kind)
    except (CoverageError, UsageError):
        trace = None
    if trace is None or trace.kind != kind:
        if not isinstance(failed, ProviderRefusedError):  # whose remedy is a key
            failed.remedy = f"leave the provider out: offline no figure is {kind}"
        raise failed from None
    return _doubted(trace, f"offline figures, because {failed}")


def _doubted(trace: Trace, note: str) -> Trace:
    """*trace* with the doubt of an estimate in quadrature, and why."""
    noted = msgspec.structs.replace(trace, notes=(*trace.notes, note))
    return widened(noted, ESTIMATED_SD)


def _placed(trace: Trace, ask: Ask, provider: Provider) -> Trace:
    """*trace* with the doubt that its place is that of the run, where nobody said so."""
    code = code_of(ask.place, ask.zone, provider.name)
    if code != ask.zone.code:
        words = f"{code} stands for {ask.zone.code}"
        trace = msgspec.structs.replace(trace, notes=(*trace.notes, words))
    sd = place_sd(ask.zone, code)
    return widened(trace, sd) if sd else trace


def keys_of(provider: Provider, env: Mapping[str, str]) -> dict[str, str]:
    """Keys that *provider* needs, out of *env* and nowhere else.

    Raises
    ------
    ProviderRefusedError
        If one is not set or cannot be one; it names the variable, never the value.
    """
    found = {name: env.get(name, "").strip() for name in provider.requires}
    for name, value in found.items():
        if not value:
            raise ProviderRefusedError(
                f"{provider.name} wants a key, and {name} is not set", remedy=_key_remedy(provider)
            )
        if not value.isascii() or not value.isprintable():
            raise ProviderRefusedError(
                f"{name} holds characters that no key has", remedy=_key_remedy(provider)
            )
    return found


def _key_remedy(provider: Provider) -> str:
    return f"set {' and '.join(provider.requires)}; keys: {provider.register}"


class _Asker:
    """What stands between a provider and the wire: kept answers, deadline, status codes."""

    def __init__(
        self,
        provider: Provider,
        transport: Transport,
        cache: AnswerCache | None,
        clock: Clock,
        now_utc_s: float,
        timeout_s: float,
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._cache = cache
        self._clock = clock
        self._now_utc_s = now_utc_s
        self._end_ns = clock.monotonic_ns() + round(timeout_s * NS_PER_S)
        self._way: _Way = "kept or asked"
        self._new: list[tuple[Request, bytes]] = []
        self.used_kept = False
        self.oldest_s = 0.0

    def answer(self, ask: Ask, keys: Mapping[str, str], way: _Way) -> Trace:
        """Let the provider ask in this *way*, and keep what it understood."""
        self._way = way
        self._new.clear()
        told = self._provider.fetch(ask, self._get, keys)
        if told.kind is None or told.unit != GRAMS:
            raise ProviderReplyError(
                f"{self._provider.name} gives {told.unit or 'figures without a unit'},"
                " which is no intensity of a known kind",
                remedy=ANNUAL,
            )
        trace = _placed(told, ask, self._provider)
        for request, body in self._new:
            if self._cache is not None and request.keep:
                self._cache.put(
                    request.question, body, now_utc_s=self._now_utc_s, settled=request.settled
                )
        return trace

    def _get(self, request: Request) -> bytes:
        kept = None
        if self._cache is not None and request.keep and self._way != "asked":
            kept = self._cache.get(request.question)
        if kept is not None:
            age_s = kept.age_s(self._now_utc_s)
            old = self._way == "kept" and (kept.settled or age_s <= STALE_S)
            if old or kept.fresh(self._now_utc_s):
                self.used_kept = True
                self.oldest_s = max(self.oldest_s, 0.0 if kept.settled else age_s)
                return kept.body
        if self._way == "kept":
            raise ProviderDownError(f"no answer of {self._provider.name} is kept", remedy=ANNUAL)
        body = self._ask(request)
        self._new.append((request, body))
        return body

    def _ask(self, request: Request) -> bytes:
        headers = dict(request.headers) | dict(request.sign() if request.sign else ())
        while True:
            left_s = self._left_s()
            if left_s <= 0:
                raise ProviderDownError(
                    f"{self._provider.name} does not answer in time", remedy=ANNUAL
                )
            answer = self._transport.get(request.address(secret=True), headers, left_s)
            wait_s = self._wait_s(answer)
            if wait_s is None:
                return self._accepted(answer)
            if wait_s > self._left_s():
                raise ProviderDownError(
                    f"{self._provider.name} asks us to come back in {_age(wait_s)}",
                    remedy=f"try again then; {ANNUAL}",
                )
            self._clock.wait_until(self._clock.monotonic_ns() + round(wait_s * NS_PER_S))

    def _left_s(self) -> float:
        return (self._end_ns - self._clock.monotonic_ns()) / NS_PER_S

    def _wait_s(self, answer: Response) -> float | None:
        """How long a busy server wants us to wait [s]; None if it does not say so."""
        said = answer.headers.get("retry-after", "").strip()
        if answer.status not in _BUSY or not said:
            return None
        if said.isascii() and said.isdecimal():
            return max(_SHORTEST_WAIT_S, float(said[:9]))
        from email.utils import parsedate_to_datetime

        try:
            at_utc_s = parsedate_to_datetime(said).timestamp()
        except (ValueError, OverflowError):
            return None
        return max(_SHORTEST_WAIT_S, at_utc_s - self._clock.utc_ns() / NS_PER_S)

    def _accepted(self, answer: Response) -> bytes:
        """Body of an answer that is one. Bodies of others are not shown: they may echo a key."""
        name, status = self._provider.name, answer.status
        if status == 200:  # noqa: PLR2004  # HTTP: OK
            return answer.body
        if status in _REFUSED:
            if not self._provider.requires:
                raise ProviderRefusedError(f"{name} refuses us ({status})", remedy=ANNUAL)
            raise ProviderRefusedError(
                f"{name} refuses the key, or its plan does not reach that far ({status})",
                remedy=_key_remedy(self._provider),
            )
        if status == 429:  # noqa: PLR2004  # HTTP: too many requests
            raise ProviderDownError(
                f"{name} was asked too often ({status})", remedy=f"try again later; {ANNUAL}"
            )
        if status >= 500:  # noqa: PLR2004  # HTTP: errors of the server
            raise ProviderDownError(f"{name} is out of order ({status})", remedy=ANNUAL)
        raise ProviderReplyError(
            f"{name} does not know that place or time ({status})",
            remedy=f"ask for another zone or time; {ANNUAL}",
        )


def _age(length_s: float) -> str:
    """Length of time in the unit that suits it."""
    for unit, size_s in (("days", DAY_S), ("h", 3600.0), ("min", 60.0)):
        if length_s >= 2 * size_s:
            return f"{length_s / size_s:.0f} {unit}"
    return f"{length_s:.0f} s"
