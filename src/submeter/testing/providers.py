# SPDX-License-Identifier: Apache-2.0
"""What every provider of grid data has to hold, as tests to inherit from."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.errors import CoverageError, ProviderReplyError
from submeter.providers.finding import Ask, Provider, Request
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace

_NOWHERE: Final = Zone("ZZ-NOWHERE", "a place that is not", "subregion", "argument")
_BAD: Final = {
    "nothing": b"",
    "a page": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "a bare value": b"null",
    "an empty object": b"{}",
    "an empty list": b"[]",
    "another object": b'{"message": "ok", "data": {"zone": 1}}',
    "rows of nonsense": b'{"data": [1, null, "x", {}], "response": {"data": [7]}}',
    "binary": bytes(range(256)),
    "other XML": b"<?xml version='1.0'?><a><b/></a>",
    "deep": b"[" * 100_000,
}
_SECRET: Final = "conformance-secret-0123456789"  # noqa: S105  # of nobody


class GridProviderContract:
    """Conformance suite of a provider of live grid data (`submeter.providers.Provider`).

    Inherit from it in a test module, define a pytest fixture ``provider``, and say what it is
    asked and what its service answers::

        class TestMine(GridProviderContract):
            @pytest.fixture
            def provider(self):
                return Mine()

            def ask(self, provider):
                return Ask(zone, provider.place(zone), start_utc_s, end_utc_s, now_utc_s)

            def answer(self, request):
                return b"..."  # what the service answers to *request* when all is well
    """

    def ask(self, provider: Provider) -> Ask:
        """Question to which there is a good answer."""
        raise NotImplementedError(f"say what {provider.name} is asked")

    def answer(self, request: Request) -> bytes:
        """Body that the service gives to *request* when all is well."""
        raise NotImplementedError(f"say what is answered to {request.url}")

    def asks_nobody(self, provider: Provider) -> bool:  # noqa: ARG002 - for those who override it
        """Whether it reads a file instead of asking a service."""
        return False

    def _keys(self, provider: Provider) -> Mapping[str, str]:
        return dict.fromkeys(provider.requires, _SECRET)

    def _fetched(self, provider: Provider) -> tuple[Trace, list[Request]]:
        requests: list[Request] = []

        def get(request: Request) -> bytes:
            requests.append(request)
            if request.sign is not None:
                request.sign()
            return self.answer(request)

        return provider.fetch(self.ask(provider), get, self._keys(provider)), requests

    def test_it_says_who_it_is(self, provider: Provider) -> None:
        """A name for settings, variables for keys, and where to get those."""
        name = provider.name
        _require(name and name == name.lower().strip(), f"{name!r} is no name for settings")
        for key in provider.requires:
            _require(key.isidentifier() and key.isupper(), f"{key!r} is no variable")
        _require(provider.register or not provider.requires, "where is a key to be had?")

    def test_its_kind_is_known_beforehand(self, provider: Provider) -> None:
        """The kind is known before anything is asked, and the trace has it."""
        trace, _ = self._fetched(provider)
        _require(isinstance(provider.kind(None), Kind), "there is no kind by default")
        said = provider.kind(self.ask(provider).scope)
        _require(trace.kind == said, f"{trace.kind} came where {said} was promised")

    def test_a_place_that_is_not_is_none_of_its(self, provider: Provider) -> None:
        """An unknown zone is refused before anything is asked."""
        try:
            place = provider.place(_NOWHERE)
        except CoverageError as exc:
            _require(exc.remedy, "the refusal has no remedy")
        else:
            raise AssertionError(f"{provider.name} takes {place!r} for a place")

    def test_a_good_answer_covers_what_was_asked(self, provider: Provider) -> None:
        """Whole slots from start to end, each a finite number of at least zero, or a gap."""
        ask = self.ask(provider)
        trace, _ = self._fetched(provider)
        end_utc_s = trace.start_utc_s + len(trace.values) * trace.step_s
        _require(trace.start_utc_s <= ask.start_utc_s, "the trace begins too late")
        _require(0 <= end_utc_s - ask.end_utc_s < trace.step_s, "the trace ends elsewhere")
        known = [v for v in trace.values if v is not None]
        _require(known, "a good answer has no value")
        _require(all(math.isfinite(v) and v >= 0 for v in known), f"no intensities: {known}")
        _require(trace.unit == "g/kWh", f"the unit is {trace.unit!r}")
        _require(trace.zone == ask.zone.code, f"the zone is {trace.zone!r}")

    def test_a_trace_says_where_it_is_from(self, provider: Provider) -> None:
        """Source, year, licence, the key of its doubt, and an interval around it."""
        trace, _ = self._fetched(provider)
        _require(trace.key, "the doubt has no key")
        _require(trace.source and trace.licence, "source or licence is not said")
        _require(trace.year > 2000, f"the year is {trace.year}")  # noqa: PLR2004
        _require(trace.verified in {"live", "declared"}, f"verified is {trace.verified}")
        low, high = trace.low_ratio, trace.high_ratio
        _require(0 < low <= 1 <= high < math.inf, f"{low} to {high} is no interval around one")

    def test_no_secret_leaves_its_place(self, provider: Provider) -> None:
        """Keys stand in headers and in secret parts, never in what is kept or shown."""
        trace, requests = self._fetched(provider)
        _require(requests or self.asks_nobody(provider), "nobody was asked")
        shown = [msgspec.json.encode(trace).decode()]
        shown += [f"{r.question} {r.address(secret=False)}" for r in requests]
        _require(not [text for text in shown if _SECRET in text], "a key is shown")

    def test_equal_questions_are_asked_equally(self, provider: Provider) -> None:
        """So that an answer that is kept is found again."""
        first, second = (self._fetched(provider)[1] for _ in range(2))
        same = [r.question for r in first] == [r.question for r in second]
        _require(same, "the same was asked in two ways")

    def test_a_bad_answer_is_refused_in_one_sentence(self, provider: Provider) -> None:
        """Whatever comes, it is an error of ours that names what to do, or a gap in coverage."""
        if self.asks_nobody(provider):
            return
        for name, body in _BAD.items():
            try:
                self._fetched_from(provider, body)
            except (ProviderReplyError, CoverageError) as exc:
                _require(exc.remedy, f"no remedy for {name}")
                _require(_SECRET not in f"{exc} {exc.remedy}", f"a key is shown for {name}")
            else:
                raise AssertionError(f"{provider.name} takes {name} for an answer")

    def _fetched_from(self, provider: Provider, body: bytes) -> None:
        provider.fetch(self.ask(provider), lambda _request: body, self._keys(provider))


def _require(found: object, what: str) -> None:
    """Fail with *what* unless *found* holds; asserts would go under ``python -O``."""
    if not found:
        raise AssertionError(what)
