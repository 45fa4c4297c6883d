# SPDX-License-Identifier: Apache-2.0
"""Many what-ifs: what a point is, when two differ, which nothing beats, and what it costs."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import budgets
from submeter.errors import UsageError
from submeter.estimating.asking import Question
from submeter.estimating.predicting import Product
from submeter.estimating.varying import MOST_EXACT, Point, axes_of, change, pareto, vary
from submeter.records.figures import Figure, Missing

ASKED = Question(
    "h100-sxm:512",
    {"params": "7B", "tokens": "2T"},
    place={"zone": "SE", "zone_from": "argument", "pue": "1.2"},
)
SDS = st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 1.0), max_size=3)


@given(st.floats(0.1, 10), st.floats(0.1, 10), SDS, SDS)
def test_a_change_and_its_reverse_agree(
    a: float, b: float, some: dict[str, float], others: dict[str, float]
) -> None:
    there, back = (
        change(Product(a, some), Product(b, others)),
        change(Product(b, others), Product(a, some)),
    )
    assert (1 + there.value) * (1 + back.value) == pytest.approx(1)
    assert (1 + there.low) * (1 + back.high) == pytest.approx(1)
    assert there.low <= there.value <= there.high
    assert there.distinguishable == back.distinguishable


@given(st.floats(0.1, 10), SDS)
def test_shared_doubt_is_no_difference(more: float, sds: dict[str, float]) -> None:
    found = change(Product(1.0, sds), Product(more, sds))
    assert found.low == pytest.approx(found.high)
    apart = {f"{key}'": sd for key, sd in sds.items()}
    wider = change(Product(1.0, sds), Product(more, apart))
    assert wider.high - wider.low >= found.high - found.low


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)), min_size=1))
def test_pareto_points_are_those_that_nothing_beats(rows: list[tuple[int, int, int]]) -> None:
    names = ("duration", "energy", "cost")
    points = [
        Point({}, {n: Product(float(v), {}) for n, v in zip(names, row, strict=True)})
        for row in rows
    ]
    beaten = [
        any(o != row and all(x <= y for x, y in zip(o, row, strict=True)) for o in rows)
        for row in rows
    ]
    assert pareto(points, names) == [not is_beaten for is_beaten in beaten]


def test_a_long_curve_is_near_the_counted_one() -> None:
    long = vary(ASKED, axes_of([f"params=1e8..1e11:{MOST_EXACT * 4 + 1}"])).points
    exact = vary(ASKED, axes_of(["params=1e8..1e11:11"])).points
    assert len(long) == MOST_EXACT * 4 + 1
    for i, point in enumerate(exact):
        near = long[i * MOST_EXACT * 4 // 10]
        for measure in ("duration", "energy", "carbon", "cost"):
            wanted, found = point.amounts[measure], near.amounts[measure]
            assert isinstance(wanted, Product)
            assert isinstance(found, Product)
            assert found.value == pytest.approx(wanted.value, rel=0.05), measure


def test_hardware_without_a_count_keeps_that_of_the_question() -> None:
    points = vary(ASKED, axes_of(["hardware=a100-sxm4-80gb,h100-sxm:64"])).points
    durations = [p.amounts["duration"] for p in points]
    (plain,) = vary(ASKED, axes_of(["hardware=a100-sxm4-80gb:512"])).points
    assert durations[0] == plain.amounts["duration"]
    (few,) = vary(ASKED, axes_of(["hardware=h100-sxm:64"])).points
    assert durations[1] == few.amounts["duration"]


def test_a_cleaner_grid_changes_carbon_and_no_energy() -> None:
    se, pl = vary(ASKED, axes_of(["zone=SE,PL"])).points
    assert se.amounts["energy"] == pl.amounts["energy"]
    clean, dirty = se.amounts["carbon"], pl.amounts["carbon"]
    assert isinstance(clean, Product)
    assert isinstance(dirty, Product)
    found = change(clean, dirty)
    assert found.distinguishable
    assert found.low > 0


@given(st.floats(1.5, 1e4), st.integers(2, 40))
def test_a_span_is_logarithmic_and_has_its_ends(wide: float, count: int) -> None:
    (axis,) = axes_of([f"params=1e8..{1e8 * wide:.6e}:{count}"])
    assert len(axis.values) == len(axis.numbers) == count
    assert axis.numbers[0] == pytest.approx(1e8)
    assert axis.numbers[-1] == pytest.approx(1e8 * wide, rel=1e-5)
    steps = {round(math.log(b / a), 9) for a, b in zip(axis.numbers, axis.numbers[1:])}  # noqa: B905
    assert max(steps) - min(steps) < 1e-6


def test_ten_thousand_points_take_a_second() -> None:
    hardware = "hardware=v100:64,a100-sxm4-80gb:64,h100-sxm:64,tpu-v4:64,b200:64"
    others = "zone=SE,DE,FR,PL,US precision=fp32,bf16 tokens=1T,2T,3T,4T,5T"
    product = f"{hardware} {others} params=1e9..1e11:40"
    for words in ("params=1e8..1e11:10000", product):
        begun_s = time.process_time()
        points = vary(ASKED, axes_of([words])).points
        assert len(points) == 10_000
        assert time.process_time() - begun_s < 2.0  # 0.5 s alone; a busy machine is slower


def test_a_point_that_makes_no_training_is_missing_and_says_why() -> None:
    words = "tokens=2T,2000T hardware=h100-sxm:512,cpu:1"
    points = vary(ASKED, axes_of([words])).points
    fine, never = points[0], points[-1]
    assert isinstance(fine.amounts["energy"], Product)
    why = never.amounts["energy"]
    assert isinstance(why, Missing)
    assert "no time for a training" in why.why
    assert pareto(points)[0]
    assert not pareto(points)[-1]
    with pytest.raises(UsageError, match="no time for a training"):
        vary(ASKED, axes_of(["tokens=2000T hardware=cpu:1"]))


@pytest.mark.parametrize(
    "axis", ["mfu=0.1..0.6:300", "device_hours=1e5..1e7:300", "params=1e9..1e10:300"]
)
def test_any_long_axis_is_a_curve_between_its_ends(axis: str) -> None:
    points = vary(ASKED, axes_of([axis])).points
    values = [p.amounts["duration"] for p in points]
    assert all(isinstance(v, Product) for v in values)
    times = [v.value for v in values if isinstance(v, Product)]
    name, _, _ = axis.partition("=")
    if name != "params":  # whose inferred shape goes from one published model to the next
        assert times == sorted(times, reverse=name == "mfu")
    (one,) = vary(ASKED, axes_of([f"{name}={points[150].words[name]}"])).points
    exact = one.amounts["duration"]
    assert isinstance(exact, Product)
    assert times[150] == pytest.approx(exact.value, rel=0.01)


GPU_CPU_TPU = "hardware=v100,a100,h100,tpu-v4,cpu"


def test_gpus_tpus_and_processors_stand_in_one_table() -> None:
    points = vary(ASKED, axes_of([GPU_CPU_TPU])).points
    made = {p.words["hardware"]: p for p in points}
    for point in points:
        for measure in ("duration", "energy", "carbon", "cost"):
            figure = point.figure(measure)
            assert isinstance(figure, Figure), (point.words, measure)
            assert 0 < figure.low < figure.value < figure.high

    def value(name: str, measure: str) -> float:
        figure = made[name].figure(measure)
        assert isinstance(figure, Figure)
        return figure.value

    assert value("cpu", "duration") > 20 * value("h100", "duration")
    assert value("v100", "duration") > value("a100", "duration") > value("h100", "duration")
    assert not pareto(points)[-1]


def test_too_many_points_are_refused() -> None:
    with pytest.raises(UsageError, match="too many"):
        axes_of(["params=1e8..1e11:1000 tokens=1e8..1e11:1000"])


def test_an_estimate_loads_nothing_heavy() -> None:
    code = (
        "import submeter\n"
        "submeter.estimate(params='7B', tokens='2T', hardware='h100-sxm:512', zone='SE')"
    )
    loaded = budgets.modules_after(code)
    assert not loaded & {"numpy", "torch", "sqlite3", "asyncio", "urllib.request", "rich"}
