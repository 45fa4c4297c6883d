# SPDX-License-Identifier: Apache-2.0
"""A file of the user's own: read as it says, refused where one would have to guess."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from submeter.errors import CoverageError, ProviderReplyError, UsageError
from submeter.providers.csv_file import CsvFile, parse, parse_kind, render
from submeter.providers.live import fetch
from submeter.providers.series import MEASURED_SD, interval
from submeter.records.places import Zone
from submeter.records.traces import Kind, Shape, Trace
from tests.providers.desk import DE, at, clock_at

HEAD = "# kind: average, lifecycle, consumption\n"
H = 3600.0


def text(*rows: str, head: str = HEAD, columns: str = "timestamp,value") -> str:
    return head + "\n".join([columns, *rows]) + "\n"


def test_a_plain_file_is_a_trace() -> None:
    trace = parse(text("2026-11-20T00:00:00Z,300", "2026-11-20T01:00:00Z,310.5"), zone="DE")
    assert (trace.start_utc_s, trace.step_s) == (at("2026-11-20T00:00"), H)
    assert trace.values == (300, 310.5)
    assert trace.kind == Kind("average", "lifecycle", "consumption")
    assert trace.verified == "declared"
    assert trace.shape == "metered"


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-20T01:00:00+01:00",
        "2026-11-20 01:00+01:00",
        "2026-11-19T19:00:00.000-0500",
        "2026-11-20T00:00Z",
    ],
)
def test_an_instant_says_its_offset(stamp: str) -> None:
    assert parse(text(f"{stamp},300"), zone="DE").start_utc_s == at("2026-11-20T00:00")


@pytest.mark.parametrize(
    "stamp",
    [
        "20/11/2026 01:00",
        "11/20/2026 01:00",
        "01.02.2026",
        "2026-11-20T01:00:00",  # whose time?
        "2026-11-20",
        "1795132800",
        "Nov 20 2026",
        "2026-13-20T01:00Z",
        "2026-02-30T01:00Z",
        "0001-01-01T00:00Z",
        "9999-12-31T23:59-14:00",
        "",
    ],
)
def test_an_instant_that_would_have_to_be_guessed_is_refused_with_its_line(stamp: str) -> None:
    with pytest.raises(UsageError, match="line 4 of ") as caught:
        parse(text("2026-11-20T00:00:00Z,300", f"{stamp},310"), zone="DE")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "head", ["", "# kind: average\n", "# kind: lifecycle, consumption\n", "# kind: nice\n",
             "# kind: average, marginal, direct, production\n"]
)  # fmt: skip
def test_g09_the_kind_is_never_guessed(head: str) -> None:
    with pytest.raises(UsageError, match="which kind"):
        parse(text("2026-11-20T00:00:00Z,300", head=head), zone="DE")


def test_a_kind_in_any_order() -> None:
    words = "production, location-based, direct, marginal"
    assert parse_kind(words, "x") == Kind("marginal", "direct", "production", "location")
    assert parse_kind(str(Kind("average", "direct", "consumption", "market")), "x").method == (
        "market"
    )


@pytest.mark.parametrize(
    "columns", ["time,value", "timestamp", "value,timestamp", "timestamp,value,extra", ""]
)
def test_other_columns_are_refused(columns: str) -> None:
    with pytest.raises(UsageError, match="columns"):
        parse(text("2026-11-20T00:00:00Z,300", columns=columns), zone="DE")


def test_a_forecast_stands_where_there_is_no_value_yet() -> None:
    rows = ["2026-11-20T00:00Z,300,290", "2026-11-20T01:00Z,,280"]
    trace = parse(text(*rows, columns="timestamp,value,forecast"), zone="DE")
    assert trace.values == (300, 280)
    assert trace.shape == "forecast"


def test_g08_gaps_disorder_and_bad_values() -> None:
    rows = [
        "2026-11-20T05:00Z,350",
        "2026-11-20T00:00Z,300",
        "2026-11-20T01:00Z,-5",
        "2026-11-20T04:00Z,nan",
        "2026-11-20T02:00Z,320",
    ]
    trace = parse(text(*rows), zone="DE")
    assert trace.values == (300, None, 320, None, None, 350)
    assert any("negative" in n for n in trace.notes)
    assert any("not finite" in n for n in trace.notes)


@pytest.mark.parametrize(("day", "n"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_g08_local_days_of_23_and_25_hours(day: str, n: int) -> None:
    offsets = ["+01:00"] * 2 + ["+02:00"] * 21 if n == 23 else ["+02:00"] * 3 + ["+01:00"] * 22
    clock_hours = (
        [0, 1, *range(3, 24)] if n == 23 else [0, 1, 2, *range(2, 24)]
    )  # 02:00 does not exist, or twice
    rows = [
        f"{day}T{h:02d}:00{offset},{i}"
        for i, (h, offset) in enumerate(zip(clock_hours, offsets, strict=True))
    ]
    trace = parse(text(*rows), zone="DE")
    assert trace.values == tuple(float(i) for i in range(n))


def test_g08_the_resolution_changes() -> None:
    rows = ["2026-11-20T00:00Z,60", "2026-11-20T01:00Z,61"]
    rows += [f"2026-11-20T02:{m:02d}Z,{m}" for m in (0, 15, 30, 45)]
    trace = parse(text(*rows), zone="DE")
    # Without step_s nobody can know how long 61 holds but up to the next row
    assert trace.values == (60,) * 4 + (61,) * 4 + (0, 15, 30, 45)


def test_prices_may_be_negative_and_have_no_kind() -> None:
    prices = text("2026-11-20T00:00Z,-0.02", head="# unit: EUR/kWh\n")
    trace = parse(prices, zone="DE", unit="EUR/kWh")
    assert (trace.values, trace.kind, trace.unit) == ((-0.02,), None, "EUR/kWh")
    with pytest.raises(UsageError, match="USD/kWh is wanted"):
        parse(prices, zone="DE", unit="USD/kWh")


@pytest.mark.parametrize(
    ("unit", "value", "g_per_kwh"),
    [
        ("g/kWh", "380", 380),
        ("gCO2eq/kWh", "380", 380),
        ("gCO₂e/kWh", "380", 380),
        ("kg/kWh", "0.38", 380),
        ("kg CO2e / MWh", "380", 380),
        ("kgCO2/MWh", "380", 380),
        ("t/MWh", "0.38", 380),
        ("tCO2-eq per MWh", "0.38", 380),
        ("t/kWh", "0.00038", 380),
        ("g/MWh", "380000", 380),
    ],
)
def test_g08_the_unit_of_a_file_is_brought_to_grams_per_kwh(
    unit: str, value: str, g_per_kwh: float
) -> None:
    head = HEAD + f"# unit: {unit}\n"
    rows = (f"2026-11-20T00:00Z,{value},", f"2026-11-20T01:00Z,,{value}", "2026-11-20T02:00Z,1e9,")
    trace = parse(text(*rows, head=head, columns="timestamp,value,forecast"), zone="DE")
    assert trace.unit == "g/kWh"
    assert trace.values[:2] == pytest.approx((g_per_kwh, g_per_kwh))
    assert trace.values[2] is None  # beyond any power station, in whatever unit


@pytest.mark.parametrize(
    "unit", ["lb/MWh", "G/kWh", "Mg/kWh", "kg/mWh", "g/J", "kg", "EUR/kWh", "L/kWh", "%", "g/KWh"]
)
def test_g08_a_unit_that_is_no_intensity_is_refused(unit: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text("2026-11-20T01:00Z,300", head=HEAD + f"# unit: {unit}\n"))
    with pytest.raises(UsageError, match=f"is in '{unit}'") as caught:
        asked(path)
    assert "g/kWh" in str(caught.value.remedy)


def test_a_file_that_says_no_doubt_is_as_doubtful_as_any_series() -> None:
    trace = parse(text("2026-11-20T00:00Z,300"), zone="DE")
    assert (trace.low_ratio, trace.high_ratio) == pytest.approx(interval(MEASURED_SD))
    assert sum("is taken, as of measured series" in note for note in trace.notes) == 2
    ahead = parse(
        text("2026-11-20T00:00Z,,300", columns="timestamp,value,forecast"), zone="DE"
    )  # fmt: skip
    assert ahead.high_ratio > trace.high_ratio
    told = parse(
        text("2026-11-20T00:00Z,300", head=HEAD + "# low_ratio: 1\n# high_ratio: 1\n"), zone="DE"
    )
    assert (told.low_ratio, told.high_ratio, told.notes) == (1, 1, ())


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (HEAD + "# step_s: often\n", "step_s"),
        (HEAD + "# high_ratio: -1\n", "high_ratio"),
        (HEAD + "# high_ratio: 0.5\n", "high_ratio .* outside"),
        (HEAD + "# low_ratio: 2\n", "low_ratio .* outside"),
        (HEAD + "# low_ratio: 0\n", "low_ratio"),
        (HEAD + HEAD, "twice"),
    ],
)
def test_what_the_head_says_must_make_sense(head: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse(text("2026-11-20T00:00Z,1", head=head), zone="DE")


def test_a_cell_does_not_go_on_in_the_next_line() -> None:
    with pytest.raises(UsageError, match=r"line 3 of .* is no CSV"):
        parse(text('2026-11-20T00:00Z,"1', '2"'), zone="DE")


def test_more_slots_than_anybody_needs_are_refused() -> None:
    rows = ["2020-01-01T00:00Z,1", "2020-01-01T00:01Z,1", "2026-01-01T00:00Z,1"]
    with pytest.raises(ProviderReplyError, match="slots of 60 s"):
        parse(text(*rows), zone="DE")
    with pytest.raises(ProviderReplyError, match="no step"):
        parse(text("1971-01-01T00:00Z,1", "2026-01-01T00:00Z,1"), zone="DE")


def test_an_empty_file_holds_nothing() -> None:
    with pytest.raises(CoverageError, match="no rows"):
        parse(text(), zone="DE")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    rows = ["2026-11-20T00:00Z,300", "2026-11-20T01:00Z,310", "2026-11-20T02:00Z,320"]
    path.write_bytes(b"\xef\xbb\xbf" + text(*rows, head=HEAD + "# zone: DE\n").encode())
    return path


def asked(path: Path, zone: Zone = DE, end: str = "2026-11-20T02:00") -> Trace:
    return fetch(
        f"csv:{path}", zone, at("2026-11-20T01:00"), at(end), clock=clock_at("2026-11-21T00:00")
    )


def test_a_file_is_asked_like_any_provider(mine: Path) -> None:
    trace = asked(mine)
    assert trace.values == (310,)
    assert str(mine) in trace.source


def test_a_file_about_another_zone_is_refused(mine: Path) -> None:
    with pytest.raises(CoverageError, match="is about DE, not about FR"):
        asked(mine, Zone("FR", "France", "country", "argument"))


def test_a_file_of_another_scope_is_refused(mine: Path) -> None:
    with pytest.raises(CoverageError, match="no direct"):
        CsvFile(mine).kind("direct")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        asked(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        asked(tmp_path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        asked(path)


words = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=20)
kinds = st.builds(
    Kind,
    signal=st.sampled_from(["average", "marginal"]),
    scope=st.sampled_from(["lifecycle", "direct"]),
    flow=st.sampled_from(["production", "consumption"]),
    method=st.sampled_from(["location", "market"]),
)


@settings(deadline=None)
@given(
    values=st.lists(st.none() | st.floats(0, 3000), min_size=1, max_size=40),
    start=st.integers(0, 70_000_000).map(lambda s: float(s * 60)),
    step_s=st.sampled_from([300.0, 900.0, 1800.0, H, 86_400.0]),
    kind=kinds,
    ahead=st.booleans(),
    low=st.floats(0.01, 1),
    high=st.floats(1, 100),
    source=words,
)
def test_what_is_written_is_read_back(
    *,
    values: list[float | None],
    start: float,
    step_s: float,
    kind: Kind,
    ahead: bool,
    low: float,
    high: float,
    source: str,
) -> None:
    assume(any(v is not None for v in values))
    shape: Shape = "forecast" if ahead else "metered"
    before = Trace(
        "k", "DE", "g/kWh", start, step_s, tuple(values), low, high, kind, shape, source
    )  # fmt: skip
    after = parse(render(before), zone="DE")
    assert after.values == before.values
    assert (after.start_utc_s, after.step_s) == (start, step_s)
    assert (after.kind, after.shape, after.unit) == (kind, shape, "g/kWh")
    assert (after.low_ratio, after.high_ratio, after.source) == (low, high, source)
    assert after.zone == before.zone
