# SPDX-License-Identifier: Apache-2.0
"""What a plan brought on what the grid did: never what was forecast."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from submeter.errors import UsageError
from submeter.grid.loads import started_at
from submeter.planning.realised import at_work, hours_needed, realised
from submeter.records.figures import Figure, Missing
from submeter.records.plans import Job, Plan, Slice
from submeter.records.runs import Run, Series
from submeter.records.traces import Kind, Load, Trace
from tests.storing.runs import make_run

H = 3600.0
NOW = 1_795_474_800.0


def trace(*values: float | None, **more: object) -> Trace:
    made = Trace("k", "DE", "g/kWh", NOW, H, values, 0.9, 1.1, Kind(), "metered", "the operator")
    return structs.replace(made, **more)


def plan(*hours: tuple[float, float], job: Job | None = None) -> Plan:
    slices = tuple(Slice(NOW + a * H, NOW + b * H, "DE") for a, b in hours)
    work = sum(b - a for a, b in hours) * H
    return Plan(
        id="plan-1", made_s=NOW, job=job or Job(work, NOW, NOW + 12 * H), zone="DE",
        signal="average", objective="carbon", slices=slices,
        expected_saving=Figure(0.99, 0.98, 1.0, "ratio"),
    )  # fmt: skip


def run(start_h: float, energies_j: tuple[float, ...], slot_s: float = H) -> Run:
    series = Series(slot_s=slot_s, devices={"cpu:0": list(energies_j)})
    return make_run(
        started_utc=started_at(NOW + start_h * H), duration_s=slot_s * len(energies_j),
        series=series,
    )  # fmt: skip


def value(found: Figure | Missing) -> float:
    assert isinstance(found, Figure)
    return found.value


def test_it_is_the_ratio_of_what_was_and_what_would_have_been() -> None:
    found = realised(plan((4, 6)), run(4, (1.0, 1.0)), trace(400, 300, 500, 500, 100, 110, 500))
    assert value(found) == pytest.approx(1 - 210 / 700)
    assert isinstance(found, Figure)
    assert found.low < found.value < found.high


def test_a_plan_that_did_worse_says_so() -> None:
    found = realised(plan((2, 4)), run(2, (1.0, 1.0)), trace(100, 100, 200, 200, 100))
    assert value(found) == pytest.approx(-1.0)


def test_power_over_the_course_of_the_work_is_weighed() -> None:
    found = realised(plan((2, 4)), run(2, (1.0, 3.0)), trace(400, 100, 100, 400, 100))
    assert value(found) == pytest.approx(1 - (100 + 1200) / (400 + 300))


def test_started_at_once_it_saved_nothing_and_that_is_certain() -> None:
    found = realised(plan((0, 2)), run(0, (1.0, 1.0)), trace(400, 300, 500))
    assert isinstance(found, Figure)
    assert (found.low, found.value, found.high) == pytest.approx((0.0, 0.0, 0.0))


def test_what_idled_in_a_pause_is_the_plans_and_not_the_others() -> None:
    made = plan((0, 1), (3, 4))
    found = realised(made, run(0, (10.0, 1.0, 1.0, 10.0)), trace(100, 500, 500, 100, 100))
    assert value(found) == pytest.approx(1 - (1000 + 500 + 500 + 1000) / (1000 + 5000))


def test_what_pauses_added_is_not_charged_to_starting_at_once() -> None:
    job = Job(1.5 * H, NOW, NOW + 12 * H, checkpoint_s=900.0, restart_s=900.0, interruptible=True)
    made = plan((0, 1), (3, 4), job=job)
    load = Load(NOW, H, (4.0, 0.0, 0.0, 4.0))
    worked = at_work(load, made.slices, made)
    assert math.fsum(worked.energies_j) == pytest.approx(
        6.0
    )  # of 8, a quarter of each hour is not
    assert worked.start_utc_s == NOW


def test_the_stretches_that_were_carried_out_go_before_the_plan() -> None:
    made = plan((4, 6))
    really = (Slice(NOW + 5 * H, NOW + 7 * H),)
    found = realised(
        made, run(5, (1.0, 1.0)), trace(400, 400, 500, 500, 100, 200, 300, 1), stretches=really
    )
    assert value(found) == pytest.approx(1 - 500 / 800)


def test_another_place_has_a_series_of_its_own() -> None:
    made = plan((0, 2))
    found = realised(
        made, run(0, (1.0, 1.0)), trace(20, 20, zone="SE"), at_home=trace(400, 300, 200)
    )
    assert value(found) == pytest.approx(1 - 40 / 700)


@pytest.mark.parametrize("shape", ["profile", "proxy profile", "flat", "forecast"])
def test_never_a_profile_and_never_a_forecast(shape: str) -> None:
    found = realised(plan((1, 2)), run(1, (1.0,)), trace(1, 2, 3, shape=shape))
    assert isinstance(found, Missing)
    assert "is not known" in found.why


@pytest.mark.parametrize("values", [(400.0, None, 300.0), (400.0, 300.0), (400.0,)])
def test_hours_without_a_value_are_missing_and_no_guess(values: tuple[float | None, ...]) -> None:
    assert isinstance(realised(plan((1, 3)), run(1, (1.0, 1.0)), trace(*values)), Missing)


def test_kinds_are_never_mixed() -> None:
    with pytest.raises(UsageError, match="different kinds"):
        realised(
            plan((0, 1)), run(0, (1.0,)), trace(1, 2),
            at_home=trace(1, 2, kind=Kind(signal="marginal", scope="direct")),
        )  # fmt: skip


def test_a_clean_start_at_once_leaves_nothing_to_save() -> None:
    assert isinstance(realised(plan((1, 2)), run(1, (1.0,)), trace(0.0, 5.0)), Missing)


@given(
    st.lists(st.floats(1, 1000), min_size=12, max_size=12),
    st.lists(st.floats(0.1, 10), min_size=1, max_size=5),
    st.integers(0, 7),
    st.floats(0.01, 100),
    st.floats(0.01, 100),
)
@settings(max_examples=60, deadline=None)
def test_units_of_energy_and_intensity_make_no_difference(
    values: list[float], energies: list[float], start: int, energy: float, level: float
) -> None:
    made = plan((start, start + len(energies)))
    one = realised(made, run(start, tuple(energies)), trace(*values))
    other = realised(
        made, run(start, tuple(e * energy for e in energies)), trace(*(v * level for v in values))
    )
    assert value(other) == pytest.approx(value(one), rel=1e-9, abs=1e-9)
    assert value(one) < 1


def test_the_hours_that_are_needed_reach_over_both() -> None:
    assert hours_needed(plan((4, 6)), run(4, (1.0, 1.0))) == (NOW, NOW + 6 * H)
