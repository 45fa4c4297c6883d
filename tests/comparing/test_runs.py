# SPDX-License-Identifier: Apache-2.0
"""Runs beside runs: which doubts they share, at which boundary they can be compared, and laws."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing import model_slope
from submeter.accounting.published import published_run
from submeter.comparing.differences import Change
from submeter.comparing.runs import MODEL_SLOPE, Comparison, Row, compare_columns
from submeter.comparing.sharing import naming
from submeter.records.devices import DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.runs import Host, PhaseEnergy, Run
from tests.comparing.runs import a_run, column, metered, part

WALL = "energy"
MODEL = (ErrorTerm("cpu-model", 0.35),)


def compared(*runs: Run, by: tuple[str, ...] = ()) -> Comparison:
    return compare_columns([column(run, label=run.id) for run in runs], by=by)


def row(made: Comparison, key: str) -> Row:
    return next(row for row in (*made.rows, *made.parts) if row.key == key)


def change(made: Comparison, key: str) -> Change:
    found = row(made, key).changes[1]
    assert isinstance(found, Change)
    return found


@given(st.floats(1, 1e6), st.sampled_from([(), ("phase",), ("phase", "device")]))
def test_a_run_beside_itself_changed_nothing(energy_j: float, by: tuple[str, ...]) -> None:
    made = compared(a_run(energy_j), a_run(energy_j), by=by)
    for found in (*made.rows, *made.parts):
        for one in found.changes:
            if isinstance(one, Change):
                assert one.same
                assert not one.distinguishable
    assert not made.differences.changed
    for metric in made.quality:
        assert metric.changes[1] is not None
        assert metric.changes[1][0] == 0


@given(st.floats(10, 1e5), st.floats(10, 1e5), st.sampled_from(["box", "other"]))
def test_the_reversed_order_gives_inverse_ratios(a_j: float, b_j: float, host: str) -> None:
    a, b = a_run(a_j), a_run(b_j, number=1, host=host)
    there, back = compared(a, b), compared(b, a)
    for key in (WALL, "time"):
        one, other = change(there, key), change(back, key)
        assert one.ratio * other.ratio == pytest.approx(1)
        assert one.ratio_low * other.ratio_high == pytest.approx(1)


def test_the_gain_of_one_sensor_cancels_and_of_two_machines_does_not() -> None:
    here = change(compared(a_run(1000), a_run(1020, number=1)), WALL)
    assert here.ratio_low == pytest.approx(here.ratio_high)
    assert here.distinguishable
    there = change(compared(a_run(1000), a_run(1020, number=1, host="other")), WALL)
    assert not there.distinguishable
    assert there.ratio_low < 1 < there.ratio_high


def test_the_pue_of_one_room_cancels_and_of_two_does_not() -> None:
    exact = [a_run(1000, sd_ratio=0.0), a_run(1100, number=1, sd_ratio=0.0)]
    assert change(compared(*exact), WALL).ratio_low == pytest.approx(1.1)
    apart = a_run(1100, number=1, sd_ratio=0.0, host="other")
    assert not change(compared(exact[0], apart), WALL).distinguishable


def test_machines_of_one_name_and_other_processors_are_two() -> None:
    other = msgspec.structs.replace(
        a_run(1020, number=1), hosts=(Host("box", {"cpu_model": "another", "vcpus": "8"}),)
    )
    assert not change(compared(a_run(1000), other), WALL).distinguishable


def test_what_a_single_run_missed_never_cancels() -> None:
    one, other = naming(a_run()), naming(a_run(number=1))
    assert one("unseen:cpu:0") != other("unseen:cpu:0")
    assert one("rapl-package") == other("rapl-package")
    assert one("grid/DE/x") == other("grid/DE/x") == "grid/DE/x"
    replayed = a_run(number=2, origin="replayed", parent=a_run().id)
    assert naming(replayed)("unseen:cpu:0") == one("unseen:cpu:0")


def test_time_is_known_to_milliseconds() -> None:
    made = change(compared(a_run(), a_run(number=1, duration_s=60.5)), "time")
    assert made.distinguishable
    close = change(compared(a_run(), a_run(number=1, duration_s=60.004)), "time")
    assert not close.distinguishable


def test_the_interval_of_a_predicted_time_is_not_made_up() -> None:
    predicted = a_run(number=1, origin="predicted", duration_s=600.0)
    made = change(compared(a_run(), predicted), "time")
    assert made.ratio == pytest.approx(10)
    assert not made.distinguishable
    assert math.isinf(made.ratio_high)


def test_where_the_rest_of_the_node_is_missing_accelerators_are_compared() -> None:
    board = part(DeviceKind.GPU, metered(500.0, "nvml-gain:GPU-1"))
    whole = msgspec.structs.replace(a_run(), devices=(*a_run().devices, board))
    told = published_run(name="told", energy_kwh=1, scope="device", device="A100")
    made = compared(whole, told)
    assert made.rows[0].key == "energy_accelerators"
    assert change(made, "energy_accelerators").ratio == pytest.approx(3.6e6 / 500)
    wall = change(made, WALL)
    assert math.isinf(wall.ratio_high)
    assert wall.distinguishable
    assert any("accelerators" in note for note in made.notes)


def test_a_run_without_boards_beside_boards_alone_has_only_a_lower_bound() -> None:
    told = published_run(name="told", energy_kwh=1, scope="device", device="A100")
    made = compared(a_run(), told)
    assert [found.key for found in made.rows][:1] == [WALL]
    assert math.isinf(change(made, WALL).ratio_high)
    assert any("not counted: rest of the node" in note for note in made.notes)


def test_devices_of_other_kinds_are_no_common_boundary() -> None:
    bare = msgspec.structs.replace(a_run(), devices=a_run().devices[:1])
    more = msgspec.structs.replace(
        a_run(number=1), devices=(a_run().devices[0], part(DeviceKind.DRAM, metered(50.0)))
    )
    assert compared(bare, more).rows[0].key == WALL
    assert compared(bare, msgspec.structs.replace(bare, id="other")).rows[0].key == (
        "energy_devices"
    )


def test_phases_are_compared_with_what_is_inside_them() -> None:
    made = compared(a_run(1000), a_run(2000, number=1), by=("phase",))
    assert [found.name for found in made.parts] == ["train", "train/forward"]
    assert change(made, "phase/train").ratio == pytest.approx(2)


def test_a_phase_that_one_has_not_is_missing_with_the_reason() -> None:
    other = a_run(number=1, phases=(PhaseEnergy("load", 1, 1.0, metered(10.0)),))
    made = compared(a_run(), other, by=("phase",))
    assert isinstance(row(made, "phase/train").changes[1], Missing)
    assert "no such phase" in str(row(made, "phase/load").changes[1])


def test_devices_are_compared_by_kind() -> None:
    made = compared(a_run(1000), a_run(500, number=1, host="other"), by=("device",))
    assert change(made, "device/cpu").ratio == pytest.approx(0.5)


def test_repetitions_give_each_side_a_spread() -> None:
    lows = [a_run(1000 + d, number=i) for i, d in enumerate((-30, 0, 30))]
    highs = [a_run(1400 + d, number=i + 5) for i, d in enumerate((-30, 0, 30))]
    made = compare_columns([column(*lows, label="low"), column(*highs, label="high")])
    found = change(made, WALL)
    assert found.ratio == pytest.approx(1.4)
    assert found.ratio_low < 1.35
    assert found.distinguishable
    assert not any("submeter prove" in note for note in made.notes)


def test_metrics_of_one_run_each_have_no_interval_and_of_repetitions_do() -> None:
    single = compared(a_run(), a_run(number=1, metrics={"accuracy": 0.92}))
    (metric,) = single.quality
    assert metric.changes[1] is not None
    assert isinstance(metric.changes[1][1], Missing)
    sides = [
        column(*(a_run(number=i + 9 * n, metrics={"accuracy": 0.9 + n * 0.05 + d})
                 for i, d in enumerate((-0.01, 0.0, 0.01))), label=str(n))
        for n in range(2)
    ]  # fmt: skip
    (metric,) = compare_columns(sides).quality
    assert metric.changes[1] is not None
    value, reach = metric.changes[1]
    assert value == pytest.approx(0.05)
    assert isinstance(reach, float)
    assert reach < 0.05


def modelled_run(energy_j: float, number: int, *, duration_s: float = 60.0) -> Run:
    """A run whose processor and rest are modelled, with one gain."""
    parts = tuple(
        part(kind, Quantity.of(share * energy_j, basis=Basis.MODELLED, terms=MODEL))
        for kind, share in ((DeviceKind.CPU, 0.8), (DeviceKind.REST, 0.2))
    )
    return a_run(number=number, devices=parts, duration_s=duration_s)


def test_a_models_gain_cancels_at_one_load_and_not_between_two() -> None:
    """Same power, other time: known well. Other power: the model may err otherwise there."""
    longer = modelled_run(1500, 1, duration_s=90.0)
    hotter = modelled_run(1500, 2)
    first = modelled_run(1000, 0)
    same_load = change(compared(first, longer), WALL)
    other_load = change(compared(first, hotter), WALL)
    assert same_load.ratio == pytest.approx(1.5)
    assert same_load.ratio_high == pytest.approx(same_load.ratio_low, rel=1e-6)
    reach = 1.959964 * MODEL_SLOPE * math.log(1.5)
    assert math.log(other_load.ratio_high / 1.5) == pytest.approx(reach, rel=1e-6)
    assert not other_load.distinguishable
    back = change(compared(hotter, first), WALL)
    assert back.ratio_low * other_load.ratio_high == pytest.approx(1)
    assert other_load.difference_low < 0 < other_load.difference_high


def test_the_slope_of_models_is_that_of_the_metered_machines() -> None:
    assert model_slope() == pytest.approx(MODEL_SLOPE, abs=0.01)
