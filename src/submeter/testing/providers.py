# SPDX-License-Identifier: Apache-2.0
"""What every provider of grid data has to hold, as tests to inherit from."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.errors import CoverageError, ProviderReplyError
from submeter.grid.providers import Ask, Provider, Request
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
    """Conformance suite of a provider of live grid data (`submeter.grid.providers.Provider`).

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
        assert provider.name
        assert provider.name == provider.name.lower().strip()
        for name in provider.requires:
            assert name.isidentifier()
            assert name == name.upper()
        assert provider.register or not provider.requires

    def test_its_kind_does_not_change(self, provider: Provider) -> None:
        """The kind is known before anything is asked, and the trace has it."""
        trace, _ = self._fetched(provider)
        assert isinstance(provider.kind(None), Kind)
        assert trace.kind == provider.kind(self.ask(provider).scope)

    def test_a_place_that_is_not_is_none_of_its(self, provider: Provider) -> None:
        """An unknown zone is refused before anything is asked."""
        try:
            place = provider.place(_NOWHERE)
        except CoverageError as exc:
            assert exc.remedy  # noqa: PT017
        else:
            raise AssertionError(f"{provider.name} takes {place!r} for a place")

    def test_a_good_answer_covers_what_was_asked(self, provider: Provider) -> None:
        """Whole slots from start to end, each a finite number of at least zero, or a gap."""
        ask = self.ask(provider)
        trace, _ = self._fetched(provider)
        end_utc_s = trace.start_utc_s + len(trace.values) * trace.step_s
        assert trace.start_utc_s <= ask.start_utc_s < ask.end_utc_s <= end_utc_s
        assert end_utc_s - ask.end_utc_s < trace.step_s
        assert any(v is not None for v in trace.values)
        for value in trace.values:
            assert value is None or (math.isfinite(value) and value >= 0)
        assert trace.unit == "g/kWh"
        assert trace.zone == ask.zone.code

    def test_a_trace_says_where_it_is_from(self, provider: Provider) -> None:
        """Source, year, licence, the key of its doubt, and an interval around it."""
        trace, _ = self._fetched(provider)
        assert trace.key
        assert trace.source
        assert trace.licence
        assert trace.year > 2000  # noqa: PLR2004
        assert trace.verified in {"live", "declared"}
        assert 0 < trace.low_ratio <= 1 <= trace.high_ratio < math.inf

    def test_no_secret_leaves_its_place(self, provider: Provider) -> None:
        """Keys stand in headers and in secret parts, never in what is kept or shown."""
        trace, requests = self._fetched(provider)
        assert requests or self.asks_nobody(provider)
        shown = [msgspec.json.encode(trace).decode()]
        shown += [f"{r.question} {r.address(secret=False)}" for r in requests]
        assert not [text for text in shown if _SECRET in text]

    def test_equal_questions_are_asked_equally(self, provider: Provider) -> None:
        """So that an answer that is kept is found again."""
        first, second = (self._fetched(provider)[1] for _ in range(2))
        assert [r.question for r in first] == [r.question for r in second]

    def test_a_bad_answer_is_refused_in_one_sentence(self, provider: Provider) -> None:
        """Whatever comes, it is an error of ours that names what to do, or a gap in coverage."""
        if self.asks_nobody(provider):
            return
        for name, body in _BAD.items():
            try:
                provider.fetch(
                    self.ask(provider), lambda _request, body=body: body, self._keys(provider)
                )
            except (ProviderReplyError, CoverageError) as exc:
                assert exc.remedy, name  # noqa: PT017
                assert _SECRET not in f"{exc} {exc.remedy}", name  # noqa: PT017
            else:
                raise AssertionError(f"{provider.name} takes {name} for an answer")
