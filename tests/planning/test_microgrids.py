# SPDX-License-Identifier: Apache-2.0
"""Microgrids: every joule is booked once, the optimum beats the rule of thumb, limits hold."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from submeter.errors import InfeasibleError, UsageError
from submeter.grid.microgrid import Microgrid, clear_sky_w_per_m2, supplied
from submeter.planning.microgrids import (
    Battery,
    Flows,
    Objective,
    Shed,
    Supply,
    account,
    at_once_kw,
    dispatch,
    rule_of_thumb,
    sized,
)
from submeter.records.plans import Job
from submeter.records.traces import Load

H = 3600.0
CARBON = np.array([300.0, 280, 260, 250, 240, 260, 320, 380, 300, 200, 150, 120])


def supply_of(solar: Any, **other: Any) -> Supply:
    n = len(solar)
    series: dict[str, Any] = {
        "carbon_g_per_kwh": np.resize(CARBON, n),
        "buy_per_kwh": np.full(n, 0.3),
        "sell_per_kwh": np.full(n, 0.08),
        "load_kw": np.full(n, 0.5),
    }
    return Supply(0.0, H, np.array(solar, float), **{**series, **other})


def obvious(supply: Supply, battery: Battery, flows: Flows) -> list[str]:
    """What is wrong with *flows*, by booking each slot's energy step by step."""
    wrong = []
    held = battery.capacity_kwh * battery.charged_ratio
    one_way = math.sqrt(battery.efficiency_ratio)
    for t in range(supply.slots):
        came = flows.solar_kw[t] + flows.out_kw[t] + flows.bought_kw[t]
        went = flows.load_kw[t] + flows.into_kw[t] + flows.sold_kw[t] + flows.curtailed_kw[t]
        if abs(came - went) > 1e-6:
            wrong.append(f"slot {t}: {came} kW came, {went} kW went")
        held *= (1 - battery.self_discharge_ratio_per_day) ** (1 / 24)
        held += flows.into_kw[t] * one_way - flows.out_kw[t] / one_way
        if abs(held - flows.stored_kwh[t]) > 1e-5:
            wrong.append(f"slot {t}: {held} kWh are held, {flows.stored_kwh[t]} are booked")
        if not -1e-6 <= held <= battery.capacity_kwh + 1e-6:
            wrong.append(f"slot {t}: {held} kWh do not go into the battery")
        if max(flows.into_kw[t], flows.out_kw[t]) > battery.power_kw + 1e-6:
            wrong.append(f"slot {t}: more than the battery's power")
        if flows.bought_kw[t] > supply.import_kw + 1e-6:
            wrong.append(f"slot {t}: more than the connection carries")
        if flows.sold_kw[t] > supply.export_kw + 1e-6:
            wrong.append(f"slot {t}: more is sold than the connection carries")
    return wrong


powers = st.lists(st.floats(0, 6), min_size=6, max_size=14)
batteries = st.builds(
    Battery,
    capacity_kwh=st.floats(0, 12),
    power_kw=st.floats(0.1, 5),
    efficiency_ratio=st.floats(0.6, 1),
    self_discharge_ratio_per_day=st.floats(0, 0.2),
    charged_ratio=st.floats(0, 1),
    from_grid=st.booleans(),
)


@given(solar=powers, battery=batteries, selling=st.booleans(), limit=st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_every_joule_is_booked_once(
    solar: list[float], battery: Battery, *, selling: bool, limit: float
) -> None:
    supply = supply_of(solar, export_kw=limit, sell_per_kwh=np.full(len(solar), 0.1 * selling))
    job = Job(2.5 * H, 0.0, len(solar) * H, power_w=1500.0, interruptible=True)
    found = dispatch(supply, battery, (job,))
    assert not obvious(supply, battery, found.flows)
    thumb = rule_of_thumb(supply, battery, at_once_kw(supply, (job,)))
    assert not obvious(supply, battery, thumb)
    for flows, told in ((found.flows, found.account), (thumb, found.at_once)):
        del flows
        gained = told.solar_kwh + told.bought_kwh
        spent = told.load_kwh + told.sold_kwh + told.curtailed_kwh + told.lost_kwh
        held = gained - spent
        assert -battery.capacity_kwh - 1e-6 <= held <= battery.capacity_kwh + 1e-6


@given(solar=powers, battery=batteries, objective=st.sampled_from(["carbon", "cost"]))
@settings(max_examples=30, deadline=None)
def test_the_optimum_is_never_worse_than_the_rule_of_thumb(
    solar: list[float], battery: Battery, objective: Objective
) -> None:
    battery = replace(battery, charged_ratio=0.0)
    supply = supply_of(solar)
    job = Job(3 * H, 0.0, len(solar) * H, power_w=2000.0)
    found = dispatch(supply, battery, (job,), objective=objective)
    best, thumb = found.account, found.at_once
    if objective == "carbon":
        assert best.carbon_g <= thumb.carbon_g + 1e-3 * (1 + thumb.carbon_g)
    else:
        assert best.cost <= thumb.cost + 1e-3 * (1 + abs(thumb.cost))


@given(
    solar_kw=st.floats(0, 8), battery_kwh=st.floats(0, 20), day=st.integers(0, 364),
    load=st.lists(st.floats(0, 5), min_size=24, max_size=24),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_the_rule_of_thumb_agrees_with_the_what_if_of_a_run(
    solar_kw: float, battery_kwh: float, day: int, load: list[float]
) -> None:
    start = day * 86400.0
    system = Microgrid(solar_kw, battery_kwh, 50.0, 10.0)
    sun = [
        solar_kw * 0.81 * 0.8 / 1000 * clear_sky_w_per_m2(start + (k + 0.5) * H, 50.0, 10.0)
        for k in range(24)
    ]
    told = supplied(Load(start, H, tuple(kw * H * 1e3 for kw in load)), system)
    supply = supply_of(sun, sell_per_kwh=np.zeros(24))
    battery = Battery(battery_kwh, self_discharge_ratio_per_day=0.0)
    flows = rule_of_thumb(supply, battery, np.array(load))
    assert flows.bought_kw == pytest.approx([e / H / 1e3 for e in told.grid.energies_j], abs=1e-9)
    assert account(flows, supply, battery).lost_kwh == pytest.approx(told.lost_j / 3.6e6, abs=1e-6)


def brute(supply: Supply, job: Job) -> float:
    """Least carbon of a job at a stretch without a battery, start by start."""
    found = []
    for start in range(supply.slots):
        moved = replace_start(job, start * supply.step_s)
        if moved.earliest_s + job.duration_s > job.deadline_s + 1e-6:
            continue
        load = at_once_kw(supply, (moved,))
        net = np.maximum(load - supply.solar_kw, 0.0)
        found.append(float(net @ supply.carbon_g_per_kwh) * supply.slot_h)
    return min(found)


def replace_start(job: Job, start_s: float) -> Job:
    import msgspec

    return msgspec.structs.replace(job, earliest_s=start_s)


@pytest.mark.parametrize("hours", [1.0, 2.5, 4.0])
def test_a_job_at_a_stretch_starts_where_trying_all_starts_says(hours: float) -> None:
    supply = supply_of([0, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0, 0])
    job = Job(hours * H, 0.0, 12 * H, power_w=3000.0)
    found = dispatch(supply, Battery(0.0), (job,))
    assert found.account.carbon_g == pytest.approx(brute(supply, job), rel=1e-5)
    assert found.work.sum() == pytest.approx(hours)


def test_slices_last_and_a_pause_costs_its_time() -> None:
    carbon = np.array([100.0, 100, 900, 900, 100, 100, 900, 100])
    supply = supply_of(np.zeros(8), carbon_g_per_kwh=carbon)
    job = Job(3 * H, 0.0, 8 * H, power_w=1e3, interruptible=True, min_slice_s=2 * H,
              checkpoint_s=600.0, restart_s=600.0)  # fmt: skip
    found = dispatch(supply, Battery(0.0), (job,))
    on = found.work[0] > 1e-6
    assert on.tolist() == [True, True, False, False, True, True, False, False]
    assert found.work.sum() == pytest.approx(3 + 1 / 3)


def test_shedding_is_a_limit_like_any_other() -> None:
    supply = supply_of(np.zeros(12), load_kw=np.full(12, 3.0))
    battery = Battery(10.0, 5.0)
    found = dispatch(supply, battery, (), sheds=(Shed(6, 8, 2.0),))
    assert (found.flows.bought_kw[6:8] <= 1.0 + 1e-6).all()
    with pytest.raises(InfeasibleError, match=r"shedding 2 kW cannot be met: 2 kW too much"):
        dispatch(supply, Battery(0.0), (), sheds=(Shed(6, 8, 2.0),))


def test_a_job_moves_out_of_the_window_to_shed() -> None:
    supply = supply_of(np.zeros(12), carbon_g_per_kwh=np.full(12, 200.0))
    job = Job(4 * H, 0.0, 12 * H, power_w=4000.0, interruptible=True)
    found = dispatch(supply, Battery(0.0), (job,), sheds=(Shed(1, 3, 4.0),))
    assert found.work[0, 1:3] == pytest.approx([0, 0], abs=1e-6)


def test_a_battery_is_as_large_as_it_pays_for_its_making() -> None:
    day = np.array([0, 0, 0, 0, 0, 0, 1, 2, 4, 5, 6, 6, 6, 5, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0], float)
    supply = supply_of(np.tile(day, 3), load_kw=np.full(72, 1.0))
    battery = Battery(10.0, 5.0)
    found = sized(supply, battery, most_kwh=30.0, sweep=7)
    totals = {size: grid + made for size, grid, made in found.rows}
    nearest = min(totals, key=lambda size: abs(size - found.capacity_kwh))
    assert totals[nearest] <= min(totals.values()) * 1.01
    dear = sized(supply, replace(battery, embodied_g_per_kwh=1e9), most_kwh=30.0, sweep=2)
    assert dear.capacity_kwh == pytest.approx(0.0, abs=1e-6)
    assert found.capacity_kwh > 3.0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sell_per_kwh": np.full(4, 0.5)}, "selling earns more"),
        ({"carbon_g_per_kwh": np.array([1.0, np.nan, 2, 3])}, "gaps"),
        ({"load_kw": np.full(4, -1.0)}, "not below zero"),
    ],
)
def test_nonsense_gets_one_clear_error(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        dispatch(supply_of(np.zeros(4), **changed), Battery(1.0))


def test_a_job_that_does_not_fit_is_told() -> None:
    with pytest.raises(InfeasibleError, match="6 h of work do not fit into the 4 h"):
        dispatch(supply_of(np.zeros(4)), Battery(1.0), (Job(6 * H, 0, 4 * H, power_w=1.0),))


@given(
    solar=st.lists(st.floats(0, 6), min_size=6, max_size=8),
    battery=batteries,
    price=st.lists(st.floats(-0.3, 0.3), min_size=8, max_size=8),
)
@example(solar=[0.0] * 6, battery=Battery(1.0), price=[0.0] * 5 + [1.1e-308, 0.0, 0.0])
@settings(max_examples=25, deadline=None)
def test_negative_prices_do_not_fill_and_empty_a_battery_at_once(
    solar: list[float], battery: Battery, price: list[float]
) -> None:
    buy = np.array(price[: len(solar)])
    supply = supply_of(solar, buy_per_kwh=buy, sell_per_kwh=np.minimum(buy, 0.0))
    found = dispatch(supply, battery, objective="cost").flows
    assert not obvious(supply, battery, found)
    assert float(np.minimum(found.into_kw, found.out_kw).max()) < 1e-6


def test_a_battery_of_any_power_earns_no_endless_sum_at_negative_prices() -> None:
    supply = supply_of(
        np.zeros(2), buy_per_kwh=np.array([-0.1, 0.3]), sell_per_kwh=np.full(2, -0.1)
    )
    found = dispatch(supply, Battery(4.0, efficiency_ratio=0.81), objective="cost")
    # four kilowatt-hours held cost 4 / 0.9 to fill, and the load takes half a one later
    assert found.flows.bought_kw == pytest.approx([0.5 + 4 / 0.9, 0.0], abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_sun_left_over_is_curtailed_and_not_lost_in_the_battery(seed: int) -> None:
    rng = np.random.default_rng(seed)  # prices of cents: far smaller numbers than grams
    supply = supply_of(6 * rng.random(12), buy_per_kwh=0.01 + 0.3 * rng.random(12),
                       sell_per_kwh=np.zeros(12))  # fmt: skip
    found = dispatch(supply, Battery(5.0, 2.5, charged_ratio=0.5), objective="cost").flows
    assert float(np.minimum(found.into_kw, found.out_kw).max()) < 1e-6
