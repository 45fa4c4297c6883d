# SPDX-License-Identifier: Apache-2.0
"""A load over a trace is one factor: by laws, and by the cases where it refuses."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from submeter.errors import CoverageError, UsageError
from submeter.grid.weighting import mix, repair, require_same_kind, weighted, widened
from submeter.records.traces import Kind, Load, Trace

START_S = datetime(2026, 1, 10, 2, tzinfo=UTC).timestamp()
HOUR_S = 3600.0

intensities = st.floats(1e-3, 1e4)
energies = st.floats(1e-3, 1e9)


def trace_of(*values: float | None, start_s: float = START_S, step_s: float = HOUR_S) -> Trace:
    return Trace(
        key="grid/XX/average",
        zone="XX",
        unit="g/kWh",
        start_utc_s=start_s,
        step_s=step_s,
        values=values,
        low_ratio=0.8,
        high_ratio=1.3,
        kind=Kind(),
        source="a table",
        year=2025,
    )


def load_of(*energies_j: float, start_s: float = START_S, slot_s: float = HOUR_S) -> Load:
    return Load(start_s, slot_s, energies_j)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Load, Trace]:
    """A load inside a trace, on slots that do not match."""
    values = draw(st.lists(intensities, min_size=1, max_size=30))
    trace = trace_of(*values, step_s=draw(st.sampled_from([300.0, 900.0, 1800.0, 3600.0])))
    span_s = trace.step_s * len(values)
    late_s = draw(st.floats(0, 0.5)) * span_s
    n = draw(st.integers(1, 40))
    slot_s = (span_s - late_s) * draw(st.floats(0.1, 0.999)) / n
    drawn = draw(st.lists(energies, min_size=n, max_size=n))
    return Load(START_S + late_s, slot_s, tuple(drawn)), trace


@given(pair=pairs(), value=intensities)
def test_a_constant_trace_is_that_constant(pair: tuple[Load, Trace], value: float) -> None:
    load, trace = pair
    flat = structs.replace(trace, values=(value,) * len(trace.values))
    assert weighted(load, flat).value == value


@given(pair=pairs(), a=st.floats(0.1, 10), b=st.floats(0, 1e3))
def test_the_mean_is_linear_in_the_trace(pair: tuple[Load, Trace], a: float, b: float) -> None:
    load, trace = pair
    other = structs.replace(trace, values=tuple(a * (v or 0) + b for v in trace.values))
    expected = a * weighted(load, trace).value + b
    assert weighted(load, other).value == pytest.approx(expected, rel=1e-9)


@given(pair=pairs())
def test_the_mean_lies_between_the_least_and_the_most(pair: tuple[Load, Trace]) -> None:
    load, trace = pair
    known = [v for v in trace.values if v is not None]
    made = weighted(load, trace)
    assert min(known) <= made.value <= max(known)
    assert made.low == pytest.approx(0.8 * made.value)
    assert made.high == pytest.approx(1.3 * made.value)


@given(pair=pairs(), cuts=st.integers(2, 5))
def test_splitting_a_slot_of_the_load_changes_nothing(pair: tuple[Load, Trace], cuts: int) -> None:
    load, trace = pair
    parts = tuple(e / cuts for e in load.energies_j for _ in range(cuts))
    split = Load(load.start_utc_s, load.slot_s / cuts, parts)
    assert weighted(split, trace).value == pytest.approx(weighted(load, trace).value, rel=1e-7)


@given(pair=pairs(), at=st.integers(0, 29), more=st.floats(0, 1e3))
def test_the_mean_grows_with_each_value(pair: tuple[Load, Trace], at: int, more: float) -> None:
    load, trace = pair
    assume(at < len(trace.values))
    values = [v if v is None or i != at else v + more for i, v in enumerate(trace.values)]
    higher = structs.replace(trace, values=tuple(values))
    assert weighted(load, higher).value >= weighted(load, trace).value * (1 - 1e-12)


@given(pair=pairs(), ratio=st.floats(1e-3, 1e3))
def test_only_when_counts_not_how_much(pair: tuple[Load, Trace], ratio: float) -> None:
    load, trace = pair
    more = structs.replace(load, energies_j=tuple(e * ratio for e in load.energies_j))
    assert weighted(more, trace).value == pytest.approx(weighted(load, trace).value, rel=1e-9)


def test_partial_overlap_is_exact() -> None:
    # 02:30 to 04:00 in two slots of 45 min with 1 and 3 J: 2/3 J in hour 2, 10/3 J in hour 3.
    load = load_of(1.0, 3.0, start_s=START_S + 1800, slot_s=2700)
    assert weighted(load, trace_of(100.0, 400.0)).value == pytest.approx(
        (100 * 2 / 3 + 400 * 10 / 3) / 4
    )


def test_what_comes_out_says_what_went_in() -> None:
    made = weighted(load_of(1.0), structs.replace(trace_of(5.0), notes=("from a file",)))
    assert (made.key, made.unit, made.source, made.year) == (
        "grid/XX/average", "g/kWh", "a table", 2025,
    )  # fmt: skip
    assert "average, lifecycle, production, location-based" in made.note
    assert "from a file" in made.note


def test_a_load_without_energy_weighs_by_time() -> None:
    assert weighted(load_of(0.0, 0.0), trace_of(10.0, 30.0)).value == 20.0


@pytest.mark.parametrize(
    ("load", "trace"),
    [
        (load_of(1.0, start_s=START_S - 60), trace_of(1.0, 2.0)),
        (load_of(1.0, 1.0, 1.0), trace_of(1.0, 2.0)),
        (load_of(1.0, 1.0), trace_of(1.0, None)),
        (load_of(1.0, start_s=START_S + 86400), trace_of(1.0)),
    ],
)
def test_energy_outside_of_the_trace_is_refused(load: Load, trace: Trace) -> None:
    with pytest.raises(CoverageError) as caught:
        weighted(load, trace)
    assert "UTC" in str(caught.value)


def test_a_gap_in_which_nothing_was_drawn_does_not_matter() -> None:
    assert weighted(load_of(1.0, 0.0, 1.0), trace_of(10.0, None, 30.0)).value == 20.0


@pytest.mark.parametrize(
    "energies_j", [(), (-1.0, 5.0), (math.nan,), (math.inf,)], ids=["none", "neg", "nan", "inf"]
)
def test_a_load_that_cannot_be_is_refused(energies_j: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        weighted(Load(START_S, HOUR_S, energies_j), trace_of(1.0))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Kind(method="market"), "location and market"),
        (Kind(signal="marginal"), "average and marginal"),
        (Kind(scope="direct"), "lifecycle and direct"),
        (Kind(flow="consumption"), "production and consumption"),
        (None, "none"),
    ],
)
def test_g09_figures_of_two_kinds_are_never_mixed(other: Kind | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        mix([(trace_of(1.0), 0.5), (structs.replace(trace_of(1.0), kind=other), 0.5)])
    assert words in str(caught.value)
    assert "side by side" in (caught.value.remedy or "")
    with pytest.raises(UsageError):
        require_same_kind([Kind(), Kind(), other])


@given(
    parts=st.lists(st.tuples(intensities, st.floats(0.01, 1)), min_size=1, max_size=5),
)
def test_a_mix_is_the_mean_of_its_parts(parts: list[tuple[float, float]]) -> None:
    made = mix([(trace_of(value, 2 * value), part) for value, part in parts])
    whole = sum(part for _, part in parts)
    expected = sum(value * part for value, part in parts) / whole
    assert made.values == pytest.approx((expected, 2 * expected))
    assert (made.low_ratio, made.high_ratio) == pytest.approx((0.8, 1.3))


@pytest.mark.parametrize(
    "other",
    [trace_of(1.0, 2.0), structs.replace(trace_of(1.0), unit="L/kWh"), trace_of(1.0, start_s=0)],
)
def test_a_mix_needs_one_unit_and_the_same_slots(other: Trace) -> None:
    with pytest.raises(UsageError):
        mix([(trace_of(1.0), 1.0), (other, 1.0)])


def test_a_mix_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError):
        mix([(trace_of(1.0), 0.0)])


def test_g08_gaps_are_filled_flagged_and_widened() -> None:
    holed = trace_of(None, 100.0, 150.0, None, None, 300.0, 250.0, 200.0)
    made = repair(holed)
    assert made.values == (100.0, 100.0, 150.0, 200.0, 250.0, 300.0, 250.0, 200.0)
    assert made.low_ratio < holed.low_ratio
    assert made.high_ratio > holed.high_ratio
    assert "3 of 8 values were missing, at most 2 h in a row" in made.notes[-1]


def test_g08_a_longer_gap_widens_more() -> None:
    hours = [200 + 100 * math.sin(i / 24 * 2 * math.pi) for i in range(72)]
    highs = []
    for length in (1, 4, 10):
        holed = [None if 20 <= i < 20 + length else v for i, v in enumerate(hours)]
        highs.append(repair(trace_of(*holed)).high_ratio)
    assert 1.3 < highs[0] < highs[1] < highs[2]


@given(
    values=st.lists(st.one_of(st.none(), intensities), min_size=2, max_size=40),
)
def test_g08_repair_keeps_what_is_known_and_stays_within(values: list[float | None]) -> None:
    known = [v for v in values if v is not None]
    assume(len(known) >= len(values) / 2)
    made = repair(trace_of(*values))
    assert all(m == v for m, v in zip(made.values, values, strict=True) if v is not None)
    assert all(m is not None and min(known) <= m <= max(known) * (1 + 1e-12) for m in made.values)
    assert repair(made) == made


def test_g08_a_trace_of_holes_is_refused() -> None:
    with pytest.raises(CoverageError):
        repair(trace_of(1.0, None, None, None))


@pytest.mark.parametrize(
    ("day", "hours"),
    [(datetime(2026, 3, 29), 23), (datetime(2026, 10, 25), 25)],  # noqa: DTZ001
)
def test_g08_days_of_23_and_25_hours_have_no_gap_in_utc(day: datetime, hours: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin_s = day.replace(tzinfo=berlin).timestamp()
    end_s = (day + timedelta(days=1)).replace(tzinfo=berlin).timestamp()
    trace = trace_of(*map(float, range(1, hours + 1)), start_s=begin_s)
    assert end_s - begin_s == hours * HOUR_S
    assert repair(trace) is trace
    load = load_of(*(1.0,) * hours, start_s=begin_s)
    assert weighted(load, trace).value == pytest.approx((hours + 1) / 2)


@given(sd=st.floats(0, 1), more=st.floats(0, 1))
def test_doubts_add_in_quadrature_whatever_the_order(sd: float, more: float) -> None:
    one = widened(widened(trace_of(1.0), sd), more)
    other = widened(trace_of(1.0), math.hypot(sd, more))
    assert one.high_ratio == pytest.approx(other.high_ratio)
    assert one.low_ratio == pytest.approx(other.low_ratio)
