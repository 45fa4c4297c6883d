# SPDX-License-Identifier: Apache-2.0
"""Boundaries are nested, sums are exact, and no interval reaches below a PUE of 1."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.boundaries import declared_pue, footprint, with_overhead
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Host, Run

amounts = st.floats(1e-3, 1e9)
doubts = st.floats(0.0, 0.8)
KINDS = [DeviceKind.GPU, DeviceKind.CPU, DeviceKind.DRAM]


def prior(value: float = 1.4, low: float = 1.1, high: float = 2.0) -> Factor:
    return Factor("pue-prior", value, low, high, "ratio", source="a survey")


def part(
    kind: DeviceKind, share: Quantity | Missing, host: str = "box", n: int = 0
) -> DeviceEnergy:
    return DeviceEnergy(Device(f"{kind}:{host}:{n}", kind, "", host), share, share)


def measured(energy_j: float, relative_sd: float = 0.03, key: str = "gain") -> Quantity:
    return Quantity.of(energy_j, basis=Basis.MEASURED, terms=(ErrorTerm(key, relative_sd),))


def run(*parts: DeviceEnergy, hosts: tuple[str, ...] = ("box",)) -> Run:
    return Run(
        id="r",
        origin="measured",
        status="finished",
        started_utc="2026-11-23T16:00:00Z",
        duration_s=1.0,
        hosts=tuple(Host(h) for h in hosts),
        devices=parts,
    )


def known(amount: Amount | Missing) -> Amount:
    assert isinstance(amount, Amount)
    return amount


def at_the_wall(it: Quantity, pue: Factor) -> Amount:
    energy = Amount.of(it)
    return sum_amounts((energy, *with_overhead(energy, pue).values()))


@given(
    shares=st.lists(st.tuples(st.sampled_from(KINDS), amounts, doubts), min_size=1, max_size=9),
    rest_j=amounts,
    overhead=st.floats(0.01, 3.0),
    spread=st.floats(1.01, 5.0),
)
def test_boundaries_are_nested_and_sum_exactly(
    shares: list[tuple[DeviceKind, float, float]], rest_j: float, overhead: float, spread: float
) -> None:
    parts = [part(k, measured(j, sd, f"k{i}"), n=i) for i, (k, j, sd) in enumerate(shares)]
    pue = prior(1 + overhead, 1 + overhead / spread, 1 + overhead * spread)
    made = footprint(run(*parts, part(DeviceKind.REST, measured(rest_j))), pue)
    devices, node, it, facility = map(known, (made.devices, made.node, made.it, made.facility))
    assert devices.value == pytest.approx(math.fsum(j for _k, j, _sd in shares), rel=1e-12)
    assert node.value == pytest.approx(devices.value + rest_j, rel=1e-12)
    assert it == node
    assert facility.value == pytest.approx(node.value * pue.value, rel=1e-12)
    assert devices.value < node.value < facility.value
    assert facility == sum_amounts((node, *made.parts.values()))
    assert sum(facility.basis.values()) == pytest.approx(facility.value, rel=1e-12)
    assert made.unknown == ()


@given(
    energy_j=amounts,
    relative_sd=doubts,
    overhead=st.floats(0.0, 4.0),
    down=st.floats(1.0, 1e3),
    up=st.floats(1.0, 1e3),
)
def test_no_interval_reaches_below_a_pue_of_one(
    energy_j: float, relative_sd: float, overhead: float, down: float, up: float
) -> None:
    it = measured(energy_j, relative_sd)
    pue = prior(1 + overhead, 1 + overhead / down, 1 + overhead * up)
    wall, node = at_the_wall(it, pue).figure("J"), it.figure("J")
    assert wall.low >= node.low * (1 - 1e-9)
    assert wall.high >= node.high * (1 - 1e-9)
    assert wall.low <= wall.value <= wall.high


@given(energy_j=amounts, overhead=st.floats(0.01, 2.0), ratio=st.floats(1.05, 4.0))
def test_exact_energy_gives_the_interval_of_the_pue_itself(
    energy_j: float, overhead: float, ratio: float
) -> None:
    exact = Quantity.of(energy_j, basis=Basis.MEASURED)
    pue = prior(1 + overhead, 1 + overhead / ratio, 1 + overhead * ratio)
    wall = at_the_wall(exact, pue).figure("J")
    assert wall.low == pytest.approx(energy_j * pue.low, rel=1e-4)
    assert wall.high == pytest.approx(energy_j * pue.high, rel=1e-4)


@given(energy_j=amounts, top=st.floats(1.01, 2.0))
def test_exact_energy_at_a_pue_of_one_or_more_is_never_below_itself(
    energy_j: float, top: float
) -> None:
    exact = Quantity.of(energy_j, basis=Basis.MEASURED)
    wall = at_the_wall(exact, prior(1.0, 1.0, top)).figure("J")
    assert wall.low == wall.value == energy_j
    assert wall.high == pytest.approx(energy_j * top, rel=1e-4)


def test_the_wider_side_of_a_prior_serves_for_both() -> None:
    exact = Quantity.of(100.0, basis=Basis.MEASURED)
    wall = at_the_wall(exact, prior(1.2, 1.1, 2.0)).figure("J")
    assert wall.high == pytest.approx(200, rel=1e-3)
    assert wall.low == pytest.approx(104, rel=1e-3)  # 1.2 - 1 over 5, as 2.0 - 1 is 5 times it


def test_overhead_of_a_prior_is_assumed_and_of_a_declared_pue_derived() -> None:
    it = measured(1000.0)
    by_prior = at_the_wall(it, prior(1.5))
    assert by_prior.basis == {Basis.MEASURED: 1000.0, Basis.ASSUMED: 500.0}
    assert "a survey" in by_prior.sources
    declared = at_the_wall(it, declared_pue(1.25))
    assert declared.basis == {Basis.MEASURED: 1000.0, Basis.DERIVED: 250.0}
    assert any("1.25" in source for source in declared.sources)


def test_a_declared_pue_of_one_adds_nothing() -> None:
    assert with_overhead(Amount.of(measured(1000.0)), declared_pue(1.0)) == {}
    made = footprint(run(part(DeviceKind.CPU, measured(1000.0))), 1.0)
    assert made.facility == made.node
    assert made.parts == {}


def test_nothing_known_has_no_overhead() -> None:
    assert with_overhead(Missing("refused"), prior()) == {}


@given(pue=st.floats(1.0001, 5.0))
def test_a_declared_pue_never_doubts_more_than_half_its_overhead(pue: float) -> None:
    row = declared_pue(pue)
    above = (row.value - 1, row.low - 1, row.high - 1)
    log_sd = math.log(above[2] / above[0]) / 1.959964
    assert math.sqrt(math.expm1(log_sd**2)) <= 0.5 * (1 + 1e-6)
    assert above[0] / above[1] == pytest.approx(above[2] / above[0], rel=1e-6)


@pytest.mark.parametrize("pue", [0.99, 0.0, -1.0, math.nan, math.inf])
def test_e02_a_pue_below_one_is_refused(pue: float) -> None:
    with pytest.raises(UsageError, match="PUE"):
        footprint(run(part(DeviceKind.CPU, measured(1.0))), pue)


@pytest.mark.parametrize("row", [prior(0.9), prior(1.4, 1.5, 2.0), prior(1.4, 1.1, 1.3)])
def test_e02_a_factor_row_that_contradicts_itself_is_refused(row: Factor) -> None:
    with pytest.raises(UsageError):
        with_overhead(Amount.of(measured(1.0)), row)


def test_a_lost_device_makes_every_total_a_lower_bound_and_is_named() -> None:
    parts = (
        part(DeviceKind.GPU, measured(100.0), n=0),
        part(DeviceKind.GPU, Missing("lost before its first reading"), n=1),
        part(DeviceKind.REST, measured(20.0)),
    )
    made = footprint(run(*parts), 1.5)
    assert known(made.devices).value == 100
    assert known(made.facility).value == pytest.approx(180)
    assert made.unknown == ("gpu:box:1: lost before its first reading",)


def test_a_node_whose_rest_nobody_knows_is_a_lower_bound() -> None:
    made = footprint(run(part(DeviceKind.CPU, measured(100.0))), 1.0)
    assert known(made.node).value == 100
    assert made.unknown == ("rest of box: neither measured nor modelled",)


def test_nothing_known_is_missing_with_every_reason_and_never_zero() -> None:
    parts = (
        part(DeviceKind.GPU, Missing("refused"), n=0),
        part(DeviceKind.CPU, Missing("no counter"), n=1),
    )
    made = footprint(run(*parts), 1.5)
    for amount in (made.devices, made.node, made.it, made.facility):
        assert amount == Missing("refused; no counter")
    assert isinstance(footprint(run(), 1.5).facility, Missing)


def test_meters_of_the_whole_node_are_never_added() -> None:
    parts = (part(DeviceKind.CPU, measured(100.0)), part(DeviceKind.REST, measured(10.0)))
    alone = footprint(run(*parts), 1.3)
    beside = footprint(run(*parts, part(DeviceKind.NODE, measured(115.0))), 1.3)
    assert beside == alone


def test_one_machine_says_so_and_several_name_what_lies_between_them() -> None:
    one = footprint(run(part(DeviceKind.REST, measured(1.0))), 1.0)
    assert one.notes == ("IT = node here: one machine, no fabric or storage counted",)
    two = footprint(run(part(DeviceKind.REST, measured(1.0)), hosts=("a", "b")), 1.0)
    assert any("fabric" in u for u in two.unknown)


def test_doubt_on_the_overhead_survives_scaling_and_summing() -> None:
    facility = at_the_wall(measured(100.0), prior())
    double = facility.scaled(2).figure("J")
    summed = sum_amounts([facility, facility]).figure("J")
    once = facility.figure("J")
    for other in (double, summed):
        assert other.low == pytest.approx(2 * once.low)
        assert other.high == pytest.approx(2 * once.high)


def test_a_part_that_may_vanish_leaves_the_whole_standing() -> None:
    unsure = Amount.of(Quantity.of(2.0, basis=Basis.ASSUMED, terms=[ErrorTerm("x", 25.0)]))
    figure = sum_amounts((Amount.exact(8.0, Basis.MEASURED), unsure)).figure("J")
    assert 8.0 <= figure.low < 10.0 < figure.high


def test_a_predicted_run_has_the_footprint_of_a_measured_one() -> None:
    seen = run(part(DeviceKind.CPU, measured(10.0)), part(DeviceKind.REST, measured(1.0)))
    predicted = structs.replace(seen, origin="predicted")
    assert footprint(predicted, prior()) == footprint(seen, prior())
