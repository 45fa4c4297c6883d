# SPDX-License-Identifier: Apache-2.0
"""Asking with patience: statuses, kept answers, keys that stay secret, and what else if not."""

import json
import math
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest

from submeter.errors import (
    ConfigError,
    CoverageError,
    ProviderDownError,
    ProviderError,
    ProviderRefusedError,
    ProviderReplyError,
    UsageError,
)
from submeter.grid.weighting import repair, weighted
from submeter.providers.cache import FRESH_S, STALE_S, AnswerCache
from submeter.providers.eia import Eia
from submeter.providers.electricity_maps import TOKEN, ElectricityMaps
from submeter.providers.entsoe import Entsoe
from submeter.providers.finding import Ask, Getter, Provider
from submeter.providers.live import fetch, live_or_offline
from submeter.providers.uk_carbon_intensity import UkCarbonIntensity
from submeter.providers.watttime import WattTime
from submeter.records.places import Zone
from submeter.records.traces import Kind, Load, Trace
from submeter.settings.rules import accept
from submeter.testing import VirtualClock
from tests.providers.desk import (
    ANSWERS,
    CAISO,
    DE,
    GB,
    SECRET,
    Asked,
    Desk,
    Reply,
    at,
    clock_at,
    desk_of,
    factor_of,
    recorded,
)

NOW = "2026-11-20T12:10"
START, END = "2026-11-20T10:30", "2026-11-20T13:00"
GOOD = recorded("uk_carbon_intensity.json")
KEYS = {TOKEN: SECRET}


@pytest.fixture
def desk() -> Iterator[Desk]:
    with desk_of(GOOD) as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> AnswerCache:
    return AnswerCache(tmp_path / "grid")


@pytest.fixture
def clock() -> VirtualClock:
    return clock_at(NOW)


def asked_uk(desk: Desk, clock: VirtualClock, cache: AnswerCache | None = None) -> Trace:
    provider = UkCarbonIntensity(desk.base)
    return fetch(provider, GB, at(START), at(END), clock=clock, cache=cache, keys={})


STATUSES: dict[str, tuple[Reply, type[ProviderError], str]] = {
    "400": (Reply(b"", 400), ProviderReplyError, "does not know that place or time"),
    "401": (Reply(b"", 401), ProviderRefusedError, "refuses"),
    "403": (Reply(b"", 403), ProviderRefusedError, "refuses"),
    "404": (Reply(b"", 404), ProviderReplyError, "does not know that place or time"),
    "429": (Reply(b"", 429), ProviderDownError, "asked too often"),
    "429 and a long wait": (
        Reply(b"", 429, {"Retry-After": "3600"}),
        ProviderDownError,
        "come back in 60 min",
    ),
    "429 and nonsense": (
        Reply(b"", 429, {"Retry-After": "soon"}),
        ProviderDownError,
        "asked too often",
    ),
    "500": (Reply(b"oops", 500), ProviderDownError, "out of order"),
    "503": (Reply(b"", 503), ProviderDownError, "out of order"),
    "204": (Reply(b"", 204), ProviderReplyError, "does not know"),
    "HTML": (Reply(b"<!doctype html><h1>Sign in</h1>"), ProviderReplyError, "a web page"),
    "no JSON": (Reply(b"{'single': 'quotes'}"), ProviderReplyError, "other than JSON"),
    "half of it": (Reply(GOOD.body, cut=100), ProviderReplyError, "breaks off"),
    "half of it, as if whole": (Reply(GOOD.body[:200]), ProviderReplyError, "other than JSON"),
    "not UTF-8": (Reply(b'{"data": "\xff\xfe"}'), ProviderReplyError, "other than JSON"),
    "no rows": (Reply(b'{"data": []}'), ProviderReplyError, ""),
}


@pytest.mark.parametrize("name", [n for n in STATUSES if n != "no rows"])
def test_e13_what_goes_wrong_is_one_sentence_with_a_remedy(
    desk: Desk, clock: VirtualClock, name: str
) -> None:
    reply, error, words = STATUSES[name]
    desk.answer = lambda _asked: reply
    with pytest.raises(error, match=words) as caught:
        asked_uk(desk, clock)
    assert caught.value.exit_code == 5
    assert "annual figure" in (caught.value.remedy or "") or "cached" in (
        caught.value.remedy or ""
    )


def test_e13_no_rows_is_no_coverage(desk: Desk, clock: VirtualClock) -> None:
    desk.answer = lambda _asked: Reply(b'{"data": []}')
    with pytest.raises(CoverageError, match="has nothing from"):
        asked_uk(desk, clock)


@pytest.mark.parametrize("said", ["7", "date"])
def test_e13_a_short_wait_is_waited_for_by_the_clock(
    desk: Desk, clock: VirtualClock, said: str
) -> None:
    """No test sleeps: the clock jumps."""
    wait = "7" if said == "7" else formatdate(at(NOW) + 7, usegmt=True)
    replies = [Reply(b"", 429, {"Retry-After": wait}), GOOD]
    desk.answer = lambda _asked: replies.pop(0)
    began_ns = clock.monotonic_ns()
    assert asked_uk(desk, clock).values[0] == 181
    assert clock.monotonic_ns() - began_ns == 7_000_000_000


def test_e13_a_server_that_is_always_busy_ends_at_the_deadline(
    desk: Desk, clock: VirtualClock
) -> None:
    desk.answer = lambda _asked: Reply(b"", 503, {"Retry-After": "0"})
    with pytest.raises(ProviderDownError):
        asked_uk(desk, clock)
    assert 25 < len(desk.asked) < 35  # a second each, for half a minute of patience


def changed(**intensity: object) -> Reply:
    """The recorded answer with its first actual value changed."""
    document = json.loads(GOOD.body)
    document["data"][0]["intensity"] |= intensity
    return Reply(json.dumps(document).encode())


@pytest.mark.parametrize("value", [-5, math.nan, 1e9, "n/a", True, [1], math.inf], ids=str)
def test_e13_a_bad_value_in_a_good_answer_is_a_gap(
    desk: Desk, clock: VirtualClock, value: object
) -> None:
    reply = changed(actual=value)
    desk.answer = lambda _asked: reply
    if isinstance(value, float) and not math.isfinite(value):
        with pytest.raises(ProviderReplyError, match="other than JSON"):  # NaN is no JSON
            asked_uk(desk, clock)
        return
    trace = asked_uk(desk, clock)
    assert trace.values == (None, 177, 179, 175, 171)
    assert any("slots have no value" in note for note in trace.notes)


def test_e13_what_is_called_actual_and_has_not_been_yet_is_not(
    desk: Desk, clock: VirtualClock
) -> None:
    document = json.loads(GOOD.body)
    document["data"][4]["intensity"]["actual"] = 555
    desk.answer = lambda _asked: Reply(json.dumps(document).encode())
    assert asked_uk(desk, clock).values[4] == 171


def rows_of(change: Callable[[list[dict[str, object]]], None]) -> Reply:
    document = json.loads((ANSWERS / "electricity_maps_past_range.json").read_bytes())
    change(document["data"])
    return Reply(json.dumps(document).encode())


def asked_maps(desk: Desk) -> Trace:
    return fetch(
        ElectricityMaps(desk.base),
        DE,
        at("2026-09-10T00:00"),
        at("2026-09-10T04:00"),
        clock=clock_at(NOW),
        keys=KEYS,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("zone", "FR"),  # that of the caller, say
        ("emissionFactorType", "direct"),
        ("flowTraced", False),
        ("datetime", "2026-09-10 00:00"),
        ("datetime", None),
        ("datetime", "noon"),
    ],
)
def test_e13_an_answer_to_another_question_is_refused(field: str, value: object) -> None:
    reply = rows_of(lambda rows: rows[1].update({field: value}))
    with desk_of(reply) as desk, pytest.raises(ProviderReplyError):
        asked_maps(desk)


def test_g08_gaps_duplicates_and_disorder_in_an_answer() -> None:
    def change(rows: list[dict[str, object]]) -> None:
        del rows[1]
        rows.reverse()
        rows.append(dict(rows[0]))

    with desk_of(rows_of(change)) as desk:
        trace = asked_maps(desk)
    assert trace.values == (302, None, 295, 301)


def test_e13_all_hours_from_the_future_are_no_answer() -> None:
    def change(rows: list[dict[str, object]]) -> None:
        for i, row in enumerate(rows):
            row["datetime"] = f"2027-09-10T0{i}:00:00.000Z"

    with desk_of(rows_of(change)) as desk, pytest.raises(CoverageError):
        asked_maps(desk)


@pytest.mark.parametrize(
    ("field", "value"),
    [("region", "PJM_NJ"), ("signal_type", "health_damage"), ("units", "kg_per_mwh")],
)
def test_e13_watttime_about_something_else_is_refused(field: str, value: str) -> None:
    document = json.loads((ANSWERS / "watttime_historical.json").read_bytes())
    document["meta"][field] = value

    def answer(asked: Asked) -> Reply:
        login = asked.path == "/login"
        return recorded("watttime_login.json") if login else Reply(json.dumps(document).encode())

    keys = {"SUBMETER_WATTTIME_USER": "me", "SUBMETER_WATTTIME_PASSWORD": SECRET}
    with desk_of(answer) as desk, pytest.raises(ProviderReplyError, match="answers about"):
        fetch(
            WattTime(desk.base),
            CAISO,
            at("2026-11-10T00:00"),
            at("2026-11-10T00:20"),
            clock=clock_at(NOW),
            keys=keys,
        )


BILLION_LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE GL_MarketDocument [<!ENTITY a "ha">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><GL_MarketDocument>&b;</GL_MarketDocument>"""


@pytest.mark.parametrize(
    "body",
    [
        BILLION_LAUGHS,
        b"<html><body>maintenance</body></html>",
        b"<GL_MarketDocument><TimeSeries>",
        (ANSWERS / "entsoe_a75.xml").read_bytes()[:900],
        (ANSWERS / "entsoe_a75.xml").read_bytes().replace(b"PT60M", b"P1Y"),
        (ANSWERS / "entsoe_a75.xml").read_bytes().replace(b"A1001A83F", b"A1001A65H"),
        (ANSWERS / "entsoe_a75.xml").read_bytes().replace(b"2026-11-10T00:00Z", b"today"),
        (ANSWERS / "entsoe_a75.xml").read_bytes().replace(b"<end>2026-", b"<end>3026-"),
        (ANSWERS / "entsoe_nothing.xml").read_bytes().replace(b"999", b"A02"),
    ],
    ids=["laughs", "page", "open", "cut", "year", "zone", "instant", "for ever", "rejected"],
)  # fmt: skip
def test_e13_bad_xml_is_refused(body: bytes) -> None:
    with desk_of(Reply(body)) as desk, pytest.raises(ProviderReplyError):
        fetch(
            Entsoe(desk.base, factor_of=factor_of),
            DE,
            at("2026-11-10T00:00"),
            at("2026-11-10T02:00"),
            clock=clock_at(NOW),
            keys={"SUBMETER_ENTSOE_TOKEN": SECRET},
        )


# ---- kept answers ----


def test_what_is_fresh_is_not_asked_again(
    desk: Desk, clock: VirtualClock, cache: AnswerCache
) -> None:
    first = asked_uk(desk, clock, cache)
    clock.advance(FRESH_S - 1)
    assert asked_uk(desk, clock, cache).values == first.values
    assert len(desk.asked) == 1
    clock.advance(2)
    asked_uk(desk, clock, cache)
    assert len(desk.asked) == 2


def test_what_is_settled_is_never_asked_again(desk: Desk, cache: AnswerCache) -> None:
    years_later = clock_at("2029-01-01T00:00")
    first = asked_uk(desk, years_later, cache)
    years_later.advance(365 * 86_400)
    assert asked_uk(desk, years_later, cache) == first
    assert len(desk.asked) == 1


@pytest.mark.parametrize("name", ["500", "429", "HTML", "half of it", "404"])
def test_e13_an_old_answer_stands_in_with_its_age_and_more_doubt(
    desk: Desk, clock: VirtualClock, cache: AnswerCache, name: str
) -> None:
    first = asked_uk(desk, clock, cache)
    clock.advance(3 * 3600)
    reply, _, words = STATUSES[name]
    desk.answer = lambda _asked: reply
    stale = asked_uk(desk, clock, cache)
    assert stale.values[:2] == first.values[:2]
    assert stale.high_ratio > first.high_ratio
    assert stale.low_ratio < first.low_ratio
    assert stale.notes[-1].startswith("answer of 3 h ago, because uk-carbon-intensity") or (
        stale.notes[-1].startswith("answer of 3 h ago, because the answer of 127.0.0.1")
    )
    assert words in stale.notes[-1]


def test_e13_a_bad_answer_never_replaces_a_kept_one(
    desk: Desk, clock: VirtualClock, cache: AnswerCache
) -> None:
    asked_uk(desk, clock, cache)
    kept = {p.name: p.read_bytes() for p in cache.folder.iterdir()}
    clock.advance(FRESH_S + 1)
    desk.answer = lambda _asked: Reply(b"<html>")
    asked_uk(desk, clock, cache)
    assert {p.name: p.read_bytes() for p in cache.folder.iterdir()} == kept


def test_e13_an_answer_of_last_week_says_nothing(
    desk: Desk, clock: VirtualClock, cache: AnswerCache
) -> None:
    asked_uk(desk, clock, cache)
    provider = UkCarbonIntensity(desk.base)
    desk.answer = lambda _asked: Reply(b"", 500)
    clock.advance(STALE_S + 1)
    with pytest.raises(ProviderDownError, match="out of order"):
        fetch(provider, GB, at(START), at(END), clock=clock, cache=cache, keys={})


def test_a_refused_key_is_not_covered_up_by_a_kept_answer(cache: AnswerCache) -> None:
    clock = clock_at(NOW)

    def asked(desk: Desk) -> Trace:
        return fetch(
            ElectricityMaps(desk.base),
            DE,
            at("2026-11-20T09:00"),
            at("2026-11-20T12:00"),
            clock=clock,
            cache=cache,
            keys=KEYS,
        )

    with desk_of(recorded("electricity_maps_history.json")) as desk:
        asked(desk)
        clock.advance(3600)
        desk.answer = lambda _asked: Reply(b"", 401)
        with pytest.raises(ProviderRefusedError):
            asked(desk)


def test_a_kept_answer_that_is_not_understood_is_asked_anew(
    desk: Desk, clock: VirtualClock, cache: AnswerCache
) -> None:
    """As when an older version kept what this one reads otherwise."""
    question = f"{desk.base}/intensity/2026-11-20T00:00Z/2026-11-21T00:00Z?"
    cache.put(question, b'{"old": "shape"}', now_utc_s=at(NOW), settled=True)
    assert asked_uk(desk, clock, cache).values[0] == 181
    assert len(desk.asked) == 1


def test_two_zones_do_not_share_an_answer(cache: AnswerCache) -> None:
    clock = clock_at(NOW)

    def answer(asked: Asked) -> Reply:
        zone = asked.query["zone"][0]
        body = (ANSWERS / "electricity_maps_past_range.json").read_bytes()
        value = b"302" if zone == "DE" else b"42"
        return Reply(body.replace(b'"DE"', f'"{zone}"'.encode()).replace(b"302", value))

    def first_of(zone: Zone) -> float | None:
        return fetch(
            ElectricityMaps(counter.base),
            zone,
            at("2026-09-10T00:00"),
            at("2026-09-10T04:00"),
            clock=clock,
            cache=cache,
            keys=KEYS,
        ).values[0]

    france = Zone("FR", "France", "country", "argument")
    with desk_of(answer) as counter:
        assert [first_of(z) for z in (DE, france, DE, france)] == [302, 42, 302, 42]
        assert len(counter.asked) == 2


# ---- keys ----


@pytest.mark.parametrize(
    ("provider", "zone"),
    [(ElectricityMaps(), DE), (Entsoe(), DE), (Eia(), CAISO), (WattTime(), CAISO)],
    ids=lambda x: x.name if hasattr(x, "requires") else "",
)
@pytest.mark.parametrize("value", [None, "", "   ", "with\nline", "späte"])
def test_f19_a_missing_or_broken_key_names_variable_and_place(
    provider: Provider, zone: Zone, value: str | None
) -> None:
    """Nothing is asked: port 9 of nobody would say so."""
    name = provider.requires[-1]
    keys = dict.fromkeys(provider.requires, "x") | {name: value or ""}
    with pytest.raises(ProviderRefusedError, match=name) as caught:
        fetch(provider, zone, at(START), at(END), clock=clock_at(NOW), keys=keys)
    assert name in (caught.value.remedy or "")
    assert "https://" in (caught.value.remedy or "")
    assert not value or not value.strip() or value not in f"{caught.value} {caught.value.remedy}"


def test_the_refusal_of_a_key_says_which_and_where_to_get_another() -> None:
    with desk_of(Reply(SECRET.encode(), 401)) as desk, pytest.raises(ProviderRefusedError) as e:
        asked_maps(desk)
    assert TOKEN in (e.value.remedy or "")
    assert "portal.electricitymaps.com" in (e.value.remedy or "")
    assert SECRET not in f"{e.value} {e.value.remedy}"


SERVICES: list[tuple[Callable[[str], Provider], Zone, str, str, dict[str, str]]] = [
    (
        ElectricityMaps, DE, "2026-09-10T00:00", "2026-09-10T04:00",
        {"": "electricity_maps_past_range.json"},
    ),
    (
        WattTime, CAISO, "2026-11-10T00:00", "2026-11-10T00:20",
        {"login": "watttime_login.json", "": "watttime_historical.json"},
    ),
    (
        lambda base: Entsoe(base, factor_of=factor_of), DE, "2026-11-10T00:00",
        "2026-11-10T02:00", {"": "entsoe_a75.xml"},
    ),
    (
        lambda base: Eia(base, factor_of=factor_of), CAISO, "2026-11-10T00:00",
        "2026-11-10T02:00", {"": "eia_fuel_type_data.json"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("service", SERVICES, ids=["maps", "watttime", "entsoe", "eia"])
@pytest.mark.parametrize("name", ["good", *[n for n in STATUSES if n != "no rows"]])
def test_f19_no_key_in_traces_errors_or_on_disk(
    service: tuple[Callable[[str], Provider], Zone, str, str, dict[str, str]],
    name: str,
    cache: AnswerCache,
) -> None:
    """Whatever the service answers, even where it echoes the key."""
    make, zone, start, end, files = service

    def answer(asked: Asked) -> Reply:
        file = files.get(asked.path.rpartition("/")[2], files[""])
        if name == "good" or file.endswith("login.json"):
            return recorded(file)
        reply = STATUSES[name][0]
        return Reply(reply.body + SECRET.encode(), reply.status, reply.headers, reply.cut)

    with desk_of(answer) as desk:
        provider = make(desk.base)
        keys = dict.fromkeys(provider.requires, SECRET)
        shown = ""
        try:
            trace = fetch(
                provider, zone, at(start), at(end), clock=clock_at(NOW), cache=cache, keys=keys
            )
            shown = msgspec.json.encode(trace).decode()
        except ProviderError as exc:
            chain: BaseException | None = exc
            while chain is not None:
                shown += f"{chain!r} {chain} {getattr(chain, 'remedy', '')}"
                chain = chain.__cause__ or (
                    None if chain.__suppress_context__ else chain.__context__
                )
        assert (name == "good") is shown.startswith("{")
    secrets = {SECRET, "eyJhbGciOi.hand-written.token"}
    assert not [s for s in secrets if s in shown]
    for path in cache.folder.rglob("*") if cache.folder.exists() else []:
        text = path.name.encode() + path.read_bytes()
        assert not [s for s in secrets if s.encode() in text], path


def test_f19_keys_are_no_settings_and_count_as_secrets() -> None:
    from submeter.settings import load
    from submeter.storing.redaction import secret_name

    names = ["SUBMETER_ELECTRICITYMAPS_TOKEN", "SUBMETER_WATTTIME_PASSWORD"]
    names += ["SUBMETER_ENTSOE_TOKEN", "SUBMETER_EIA_KEY"]
    assert [n for n in names if not secret_name(n)] == []
    env = dict.fromkeys([*names, "SUBMETER_WATTTIME_USER"], SECRET)
    assert load(env=env | {"SUBMETER_USER_CONFIG": "/nowhere/x.toml"}).warnings == ()


# ---- what else ----


def offline(kind: Kind) -> Trace:
    return Trace(
        "grid/GB", "GB", "g/kWh", at(START), 3600.0, (200.0,) * 3, 0.8, 1.25, kind, "flat"
    )


def asked_or_offline(desk: Desk, clock: VirtualClock, other: Callable[[Kind], Trace]) -> Trace:
    provider = UkCarbonIntensity(desk.base)
    return live_or_offline(other, provider, GB, at(START), at(END), clock=clock, keys={})


def test_what_is_live_goes_before_what_is_offline(desk: Desk, clock: VirtualClock) -> None:
    assert asked_or_offline(desk, clock, offline).values[0] == 181


@pytest.mark.parametrize("name", STATUSES)
def test_e13_offline_stands_in_wider_and_says_why(
    desk: Desk, clock: VirtualClock, name: str
) -> None:
    reply, _, words = STATUSES[name]
    desk.answer = lambda _asked: reply
    trace = asked_or_offline(desk, clock, offline)
    assert trace.values == (200.0,) * 3
    assert trace.low_ratio < 0.8
    assert trace.high_ratio > 1.25
    assert trace.notes[-1].startswith("offline figures, because ")
    assert words in trace.notes[-1]


def test_g09_another_kind_does_not_stand_in(desk: Desk, clock: VirtualClock) -> None:
    """The provider's are direct: a lifecycle figure is another thing."""
    desk.answer = lambda _asked: Reply(b"", 500)
    with pytest.raises(ProviderDownError, match="out of order"):
        asked_or_offline(desk, clock, lambda _kind: offline(Kind()))


def test_g09_offline_without_that_kind_leaves_the_error(desk: Desk, clock: VirtualClock) -> None:
    def nothing(kind: Kind) -> Trace:
        raise CoverageError(f"no {kind}")

    desk.answer = lambda _asked: Reply(b"", 500)
    with pytest.raises(ProviderDownError, match="out of order"):
        asked_or_offline(desk, clock, nothing)


def test_e13_nobody_at_home_and_offline_stands_in(clock: VirtualClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        provider = UkCarbonIntensity(f"http://127.0.0.1:{taken.getsockname()[1]}")
        trace = live_or_offline(offline, provider, GB, at(START), at(END), clock=clock, keys={})
    assert "cannot be reached" in trace.notes[-1]


@pytest.mark.parametrize(("start", "end"), [(END, START), (START, START), (START, "2028-01-01")])
def test_a_time_that_is_none_is_refused(desk: Desk, start: str, end: str) -> None:
    with pytest.raises(UsageError, match="days of live data"):
        fetch(UkCarbonIntensity(desk.base), GB, at(start), at(end), clock=clock_at(NOW), keys={})
    assert desk.asked == []


def test_nothing_of_the_network_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, submeter.providers.live, submeter.providers.entsoe as e;"
        "import submeter.providers.eia, submeter.providers.watttime;"
        "print(sorted({'ssl', 'http', 'urllib.request', 'socket', 'xml', 'importlib.metadata',"
        " 'email'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_g08_a_run_over_a_gap_is_reckoned_with_more_doubt(desk: Desk, clock: VirtualClock) -> None:
    """From the wire to the factor of a run: 181, a gap, 179, half an hour each."""
    document = json.loads(GOOD.body)
    document["data"][1]["intensity"] = {"forecast": None, "actual": None, "index": "moderate"}
    load = Load(at(START), 1800.0, (1e6, 1e6, 1e6))
    whole = weighted(load, asked_uk(desk, clock))
    desk.answer = lambda _asked: Reply(json.dumps(document).encode())
    gappy = asked_uk(desk, clock)
    assert gappy.values[:3] == (181, None, 179)
    mended = weighted(load, repair(gappy))
    assert whole.value == pytest.approx((181 + 177 + 179) / 3)
    assert mended.value == pytest.approx(180)
    assert mended.verified == "live"
    assert mended.log_sd > whole.log_sd


@pytest.mark.parametrize(
    ("word", "taken"),
    [
        ("entsoe", True),
        ("csv:my data/grid.csv", True),
        ("some.plug-in_2", True),
        ("", True),
        ("csv:", False),
        ("Electricity Maps", False),
        ("a\nb", False),
    ],
)
def test_the_setting_names_a_provider(word: str, *, taken: bool) -> None:
    if taken:
        assert accept("provider", word) == word
    else:
        with pytest.raises(ConfigError, match="provider"):
            accept("provider", word)


class Prices(UkCarbonIntensity):
    """A provider, as a plug-in may bring one, that gives something else than it should."""

    def __init__(self, base: str, **changes: Any) -> None:
        super().__init__(base)
        self._changes = changes

    def fetch(self, ask: Ask, get: Getter, keys: Mapping[str, str]) -> Trace:
        return msgspec.structs.replace(super().fetch(ask, get, keys), **self._changes)


@pytest.mark.parametrize("changes", [{"unit": "EUR/kWh"}, {"kind": None}, {"unit": ""}])
def test_g08_what_is_no_intensity_is_taken_for_none(
    desk: Desk, clock: VirtualClock, changes: dict[str, Any]
) -> None:
    provider = Prices(desk.base, **changes)
    with pytest.raises(ProviderReplyError, match="no intensity of a known kind"):
        fetch(provider, GB, at(START), at(END), clock=clock, keys={})
