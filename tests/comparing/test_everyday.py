# SPDX-License-Identifier: Apache-2.0
"""What everyday tasks cost, how their load is, and what a training is beside them."""

import math
import random
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from submeter.accounting.boundaries import footprint
from submeter.comparing import elsewhere
from submeter.comparing.everyday import (
    Training,
    added,
    cost_of,
    costs,
    equal,
    paced,
    quiet_words,
    ratio_of,
    spread,
)
from submeter.comparing.loads import LoadStats, Scaling, load_stats, scaling
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Figure, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Host, Run
from submeter.reporting.everyday import arithmetic, everyday_document, everyday_words, sparks
from submeter.reporting.everyday_charts import everyday_svg, profiles, thinned
from tests.comparing.looks import GAIN, HOST, look, round_of

BOTH = math.exp(1.96 * 0.05 * math.sqrt(2))
POWERS = st.lists(st.floats(0.1, 1e3), min_size=6, max_size=60)
POSITIVE = st.floats(0.01, 1e6)


def test_the_energy_of_a_unit_is_the_sum_over_rounds_by_all_units() -> None:
    cost = cost_of(look(), "sql-query")
    assert cost is not None
    assert isinstance(cost.each, Figure)
    assert cost.each.value == pytest.approx((20.0 + 21.0) / 200)
    assert cost.rounds_j == pytest.approx((0.20, 0.21))
    assert cost.spread_ratio == pytest.approx(0.01 / 0.205)
    assert cost.power_w == pytest.approx(41.0 / 4.0)
    assert cost.use_ratio == pytest.approx(0.25)
    # the gain of one sensor is the same in both rounds: it does not average out; that they differ
    # counts by Student's quantile of one degree of freedom
    sds = 1.96 * 0.05, 12.71 * (0.01 / math.sqrt(2)) / math.sqrt(2) / 0.205
    assert math.log(cost.each.high / cost.each.value) == pytest.approx(math.hypot(*sds), rel=0.03)


def test_an_idle_machine_is_told_for_a_minute() -> None:
    idle = cost_of(look(), "idle")
    assert idle is not None
    assert isinstance(idle.each, Figure)
    assert idle.each.value == pytest.approx(10.0 / 5.0 * 60.0)


def test_scaling_is_amdahl_solved_for_the_parallel_part() -> None:
    cost = cost_of(look(), "sql-query")
    assert cost is not None
    assert isinstance(cost.scaling, Scaling)
    assert cost.scaling.speed_up == pytest.approx(2.5)
    assert cost.scaling.parallel_ratio == pytest.approx((1 - 1 / 2.5) / (1 - 1 / 4))


@given(parallel=st.floats(0.0, 1.0), workers=st.integers(2, 64), rate=POSITIVE)
def test_a_law_that_was_followed_is_found(parallel: float, workers: int, rate: float) -> None:
    speed_up = 1 / ((1 - parallel) + parallel / workers)
    found = scaling(rate, rate * speed_up, workers)
    assert isinstance(found, Scaling)
    assert found.parallel_ratio == pytest.approx(parallel, abs=1e-9)
    assert found.parallel_ratio + found.sequential_ratio == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "parallel"), [(0.5, 0.0), (9.0, 1.0)])
def test_slower_or_faster_than_any_law_is_cut(rate: float, parallel: float) -> None:
    found = scaling(1.0, rate, 4)
    assert isinstance(found, Scaling)
    assert found.parallel_ratio == parallel


def test_what_others_slowed_down_tells_nothing_of_scaling() -> None:
    found = look(
        round_of("sort", 20.0), round_of("sort", 20.0, kind="many", workers=4, others_s=1.0)
    )
    (cost,) = costs(found)
    assert isinstance(cost.scaling, Missing)
    assert "not quiet" in cost.scaling.why


def test_one_processor_tells_nothing_of_scaling() -> None:
    assert isinstance(scaling(1.0, 1.0, 1), Missing)


@given(powers=POWERS, factor=st.floats(0.1, 10.0))
def test_a_load_is_described_without_its_size(powers: list[float], factor: float) -> None:
    one, other = load_stats([powers], 0.25), load_stats([[factor * p for p in powers]], 0.25)
    assert isinstance(one, LoadStats)
    assert isinstance(other, LoadStats)
    assert other.mean == pytest.approx(factor * one.mean)
    assert other.variation_ratio == pytest.approx(one.variation_ratio, abs=1e-9)
    assert other.peak_ratio == pytest.approx(one.peak_ratio)
    assert one.peak_ratio >= 1 - 1e-12


def test_known_loads() -> None:
    constant = load_stats([[5.0] * 20], 0.25)
    assert isinstance(constant, LoadStats)
    assert (constant.variation_ratio, constant.autocorrelation, constant.peak_ratio) == (
        0,
        None,
        1,
    )
    turns = load_stats([[0.0, 2.0] * 20], 0.25)
    assert isinstance(turns, LoadStats)
    assert turns.variation_ratio == pytest.approx(1.0)
    assert turns.autocorrelation == pytest.approx(-1.0)
    assert turns.peak_ratio == pytest.approx(2.0)
    chance = random.Random(7)  # noqa: S311  # data
    slow, now = [], 0.0
    for _ in range(4000):
        now = 0.9 * now + chance.gauss(0, 1)
        slow.append(100 + now)
    drifting = load_stats([slow], 0.25)
    assert isinstance(drifting, LoadStats)
    assert drifting.autocorrelation == pytest.approx(0.9, abs=0.03)


def test_slots_of_different_rounds_are_no_neighbours() -> None:
    found = load_stats([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]], 0.25)
    assert isinstance(found, LoadStats)
    assert found.autocorrelation == pytest.approx(1.0)


def test_few_slots_say_nothing() -> None:
    assert isinstance(load_stats([[1.0] * 5], 0.25), Missing)


def test_what_a_prediction_adds() -> None:
    found = added(look(), "prediction", "without", "with")
    assert found is not None
    assert isinstance(found.added, Figure)
    assert found.added.value == pytest.approx(0.41 - 0.10)
    assert found.added.low < found.added.value < found.added.high
    assert found.ratio == pytest.approx(4.1)


def test_naive_code_is_told_beside_efficient_code() -> None:
    found = added(look(), "report", "efficient", "naive")
    assert found is not None
    assert found.ratio == pytest.approx(20.0)


def test_at_a_quarter_of_full_load_a_request_costs_more() -> None:
    (row,) = paced(look())
    assert row.use_ratio == pytest.approx(0.25)
    assert row.more_ratio == pytest.approx((15 / 250) / (20 / 1000))
    assert isinstance(row.load, LoadStats)
    assert row.load.variation_ratio == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("others_s", "stolen_s", "second_j", "said"),
    [
        (0.0, 0.0, 20.5, ""),
        (0.3, 0.0, 20.5, ""),  # of 8 s: 3.8 %
        (0.6, 0.0, 20.5, "the machine was not quiet: others used up to 8 %"),
        (0.0, 0.6, 20.5, "the machine was not quiet: the host took up to 8 %"),
        (0.0, 0.0, 25.0, "rounds differ by more than 10 %"),
    ],
)
def test_a_machine_that_is_not_quiet_is_said_to_be_none(
    others_s: float, stolen_s: float, second_j: float, said: str
) -> None:
    found = look(
        round_of("sort", 20.0, number=1, others_s=others_s, stolen_s=stolen_s),
        round_of("sort", second_j, number=2, others_s=others_s, stolen_s=stolen_s),
    )
    words = quiet_words(costs(found))
    assert words.startswith(said)
    assert bool(words) == bool(said)
    if said:
        flat = " ".join(everyday_words(found, width=200).split())
        assert said in flat
        assert everyday_document(found)["notes"] == [words]


@given(whole=POSITIVE, each=POSITIVE, a=st.floats(1.0, 5.0), b=st.floats(1.0, 5.0))
def test_how_many_of_one_make_the_other(whole: float, each: float, a: float, b: float) -> None:
    assume(whole / each < 1e9)
    found = ratio_of(
        Figure(whole, whole / a, whole * a, "J"), Figure(each, each / b, each * b, "J")
    )
    assert found.value == pytest.approx(whole / each)
    assert math.log(found.high / found.value) == pytest.approx(
        math.hypot(math.log(a), math.log(b)), abs=1e-9
    )
    assert found.high / found.value == pytest.approx(found.value / found.low)


def test_the_weaker_basis_names_the_ratio() -> None:
    weak = Figure(1, 0.5, 2, "J", basis_shares={Basis.ASSUMED: 1.0})
    good = Figure(1, 0.5, 2, "J", basis_shares={Basis.MEASURED: 1.0})
    assert ratio_of(weak, good).basis is ratio_of(good, weak).basis is Basis.ASSUMED


def test_spread_needs_two() -> None:
    assert spread([1.0]) is None
    assert spread([1.0, 3.0]) == pytest.approx(1.0)


def test_the_sums_on_the_page_are_those_of_the_figures() -> None:
    """Every sum is typed into Python, as a reader would into a calculator."""
    lines = list(arithmetic(look()))
    sums = [line for line in lines if " J ÷ " in line or ") ÷ " in line]
    assert len(sums) >= len(costs(look()))
    first = next(line for line in lines if line.startswith("SQLite, an analytical query: ("))
    assert "(20 J + 21 J = 41 J) ÷ 200 queries = 0.205 J" in first
    assert "41 J ÷ 4.00 s = 10.2 W" in first
    assert any("p = (1 − 1 ÷ 2.5) ÷ (1 − 1 ÷ 4) = 80 % parallel" in line for line in lines)


def training_of(
    energy_j: float | None, *, host: Host | None = HOST, term: ErrorTerm = GAIN
) -> Training:
    """A run of a minute, at a facility that doubles its energy exactly."""
    energy: Quantity | Missing = Missing("nothing was read")
    if energy_j is not None:
        energy = Quantity.of(energy_j, basis=Basis.MEASURED, terms=[term])
    name = "" if host is None else host.name
    device = DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "cpu", name), energy, energy)
    run = Run("20261124-010000-0000", "measured", "finished", "2026-11-24T01:00:00Z", 60.0,
              name="digits", devices=(device,), hosts=() if host is None else (host,))  # fmt: skip
    exact = Factor("pue", 2.0, 2.0, 2.0, "1", verified="declared")
    return Training("digits", run, footprint(run, exact), (50.0,) * 100, 0.5, use_ratio=0.9)


def test_a_run_beside_them() -> None:
    words = everyday_words(look(), training_of(4100.0), 120)
    assert "the run digits" in words
    assert "20 000 " in words  # queries of 0.205 J
    document = everyday_document(look(), training_of(4100.0))
    equals = {(row["task"], row["way"]): row["count"]["value"]
              for row in document["training"]["equals"]}  # fmt: skip
    assert equals["sql-query", "work"] == pytest.approx(20_000)
    search = next(t for t in document["published"] if t["name"].startswith("a web search"))
    assert search["of_run"]["value"] == pytest.approx(8200 / 1080)
    assert "the run digits" in everyday_svg(look(), training_of(4100.0))


@pytest.mark.parametrize(
    ("host", "term", "wide"),
    [
        (HOST, GAIN, 1.0),  # the same sensor of the same machine: its gain cancels
        (HOST, ErrorTerm("other", relative_sd=0.05), BOTH),
        (Host("elsewhere"), GAIN, BOTH),
    ],
)
def test_doubts_that_both_share_cancel(host: Host, term: ErrorTerm, wide: float) -> None:
    alike = look(round_of("sort", 20.5, number=1), round_of("sort", 20.5, number=2))
    (cost,) = costs(alike)
    found = equal(alike, training_of(4100.0, host=host, term=term), cost)
    assert isinstance(found, Figure)
    assert found.value == pytest.approx(4100 / 0.205 / 1e6)
    assert found.high / found.value == pytest.approx(wide, rel=0.01)
    assert found.value / found.low == pytest.approx(wide, rel=0.01)


def test_a_run_without_energy_says_why() -> None:
    words = everyday_words(look(), training_of(None), 100)
    assert "the run digits: — at the node" in words
    assert "nothing was read" in words or "no device" in words
    assert "published, for comparison" in words


def test_a_task_without_energy_is_missing_and_no_zero() -> None:
    found = look(round_of("sort", None))
    cost = cost_of(found, "sort")
    assert cost is not None
    assert isinstance(cost.each, Missing)
    assert "—" in everyday_words(found)
    assert everyday_document(found)["tasks"][0]["energy"] == {
        "missing": "the meter saw no such phase"
    }
    assert not list(arithmetic(found))


def test_tables_fit_the_terminal() -> None:
    for width in (80, 100, 140):
        assert max(map(len, everyday_words(look(), width=width).splitlines())) <= width


def test_tables(snapshot: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert everyday_words(look(), width=110) == snapshot


def test_a_chart_has_a_row_for_each_load() -> None:
    rows = profiles(look())
    assert len(rows) == 8
    served = next(r for r in rows if r.name == "web server, a quarter of full load")
    assert served.power == ((2.0, 7.5),)
    assert served.length_s == pytest.approx(2.0)
    drawing = everyday_svg(look())
    assert drawing.count("<polygon") == 8
    assert drawing.count("<polyline") == 3  # of those whose load was read
    assert "<script" not in drawing


@given(powers=st.lists(st.floats(0, 1e3), min_size=1, max_size=1000), most=st.integers(1, 50))
def test_thinning_keeps_no_more_than_asked(powers: list[float], most: int) -> None:
    assert len(thinned(powers, most)) <= most


def test_sparks_are_as_high_as_the_power() -> None:
    assert sparks([0.0, 5.0, 10.0], 10.0) == "▁▅█"
    assert not sparks([], 10.0)


def test_published_figures_have_sources() -> None:
    for thing in elsewhere.things():
        assert thing.each.unit == "J"
        assert thing.each.source
        assert 0 < thing.each.low <= thing.each.value <= thing.each.high
    laptop = next(t for t in elsewhere.things() if t.words.startswith("a laptop"))
    assert laptop.each.value == pytest.approx(15 * 8 * 3600)


def test_fewer_servers_use_less() -> None:
    made = elsewhere.consolidated(4, load_ratio=0.25)
    idle = made.idle.value
    assert made.left == 1
    assert made.before_ratio == pytest.approx(4 * (idle + (1 - idle) * 0.25))
    assert made.after_ratio == pytest.approx(1.0)
    assert 0 < made.saved_ratio < 1


def test_both_sides_of_the_claim_about_rooms_are_shown() -> None:
    kinds = {room.kind for room in elsewhere.rooms()}
    assert len(kinds) == 3
    bare = next(r for r in elsewhere.rooms() if "nobody cools" in r.words)
    fleets = [r for r in elsewhere.rooms() if r.kind == "large operators"]
    average = next(r for r in elsewhere.rooms() if "average" in r.words)
    assert all(bare.pue.value < r.pue.value < average.pue.value for r in fleets)
