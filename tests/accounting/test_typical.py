# SPDX-License-Identifier: Apache-2.0
"""The width that the doctor tells is the width that a run would have."""

import math

import pytest

from submeter.accounting.boundaries import footprint
from submeter.accounting.typical import counted, typical_loads, typical_run
from submeter.records.amounts import Amount
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Basis, ErrorTerm, Missing

CPU = Device("cpu:0", DeviceKind.CPU, "", "box", peak_w=200.0)
DRAM = Device("dram:0", DeviceKind.DRAM, "", "box")
REST = Device("rest:box", DeviceKind.REST, "", "box")
PSYS = Device("node:psys", DeviceKind.NODE, "", "box", peak_w=500.0)
MODEL = Channel(
    CPU.id, Measures.MEAN_POWER, 1e-3, basis=Basis.MODELLED, terms=(ErrorTerm("cpu", 0.3),)
)
MEMORY = Channel(
    DRAM.id, Measures.MEAN_POWER, 1e-3, basis=Basis.MODELLED, terms=(ErrorTerm("dram", 0.2),)
)
RATIO = Channel(
    REST.id, Measures.REST_RATIO, 1e-6, basis=Basis.ASSUMED, terms=(ErrorTerm("rest", 0.4),)
)


def test_a_load_is_half_the_peak_or_what_is_drawn_now() -> None:
    psys = Channel(PSYS.id, Measures.ENERGY, 1e-6)
    loads = typical_loads(
        [(CPU, MODEL), (DRAM, MEMORY), (REST, RATIO), (PSYS, psys)],
        {"cpu:0": 30.0, "dram:0": 9.0, "node:psys": 300.0},
    )
    assert [(x.device.id, x.power_w) for x in loads] == [("cpu:0", 100.0), ("dram:0", 9.0)]


def test_a_device_of_unknown_power_is_left_out_not_made_up() -> None:
    assert typical_loads([(DRAM, MEMORY)], {}) == []


def test_only_the_first_channel_of_a_device_tells_its_energy() -> None:
    power = Channel(CPU.id, Measures.POWER, 1.0)
    (load,) = typical_loads([(CPU, MODEL), (CPU, power)], {})
    assert load.channel is MODEL


def test_an_hour_carries_the_doubt_of_its_channels() -> None:
    loads = typical_loads([(CPU, MODEL), (DRAM, MEMORY)], {"dram:0": 10.0})
    run = typical_run(loads, (REST, RATIO), 0.2)
    node = footprint(run, 1.0).node
    assert isinstance(node, Amount)
    assert node.value == pytest.approx(3600 * 110 * 1.2)
    variances = {
        key: (power_w * sd) ** 2
        for key, power_w, relative_sd in (("cpu", 100, 0.3), ("dram", 10, 0.2), ("rest", 22, 0.4))
        for sd in [math.sqrt(math.log1p(relative_sd**2))]
    }
    whole = sum(variances.values())
    assert node.shares_of_variance() == pytest.approx({k: v / whole for k, v in variances.items()})
    figure = node.figure("J")
    half_j = 1.96 * 3600 * ((100 * 0.3) ** 2 + 2**2 + (22 * 0.4) ** 2) ** 0.5
    assert (figure.high - figure.low) / 2 == pytest.approx(half_j, rel=0.05)
    assert run.origin == "predicted"


def test_a_counter_narrows_the_total() -> None:
    loads = typical_loads([(CPU, MODEL)], {})
    before = footprint(typical_run(loads, (REST, RATIO), 0.2), 1.0).node
    after = footprint(typical_run(counted(loads, DeviceKind.CPU), (REST, RATIO), 0.2), 1.0).node
    assert isinstance(before, Amount)
    assert isinstance(after, Amount)
    assert after.value == before.value
    wide, narrow = before.figure("J"), after.figure("J")
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2


def test_a_rest_that_cannot_be_read_stays_missing() -> None:
    run = typical_run(typical_loads([(CPU, MODEL)], {}), (REST, RATIO), Missing("no model"))
    assert run.devices[-1].share == Missing("no model")
