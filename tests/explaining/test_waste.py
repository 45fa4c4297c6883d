# SPDX-License-Identifier: Apache-2.0
"""Planted waste is found and priced, through meter and journal; clean runs are left in peace."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import clean_runs, wasteful, wasteful_runs
from submeter.accounting.boundaries import footprint
from submeter.catalog.tables import rows
from submeter.explaining import waste_book
from submeter.explaining.waste import DETECTORS, KEYS, find_waste
from submeter.explaining.waste_book import Book, Claim, Silence
from submeter.explaining.waste_case import Case, words_of
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.observations import (
    DeviceCourse,
    Meeting,
    Observations,
    PhaseCourse,
    Stretch,
)
from submeter.records.runs import DeviceEnergy, MetricPoint, PhaseEnergy, Run


@pytest.mark.parametrize("name", list(wasteful_runs.PLANTED))
def test_planted_waste_is_found_and_priced(name: str) -> None:
    row = wasteful.priced(name, wasteful_runs.TUNING[0])
    assert row.found_j > 0, f"{row.key} was not found; told: {row.others}"
    assert row.good, f"planted {row.planted_j:.0f} J, found {row.found_j:.0f} J"
    assert not row.others
    assert row.sum_ratio <= 1


@pytest.mark.parametrize("seed", clean_runs.CLEAN_TUNING[::2])
def test_a_clean_training_raises_no_alarm(seed: int) -> None:
    assert wasteful.alarms(seed) == ()


# -- laws -----------------------------------------------------------------------------------------

CELLS = st.lists(st.floats(0, 1e6), min_size=4, max_size=4)
CLAIMS = st.lists(st.dictionaries(st.sampled_from(["gpu:0", "cpu:0", "gpu:9"]), CELLS), max_size=6)


@given(st.dictionaries(st.sampled_from(["gpu:0", "cpu:0"]), CELLS), CLAIMS)
def test_claims_never_get_more_than_there_is(
    cells: dict[str, list[float]], claims: list[dict[str, list[float]]]
) -> None:
    book = Book(cells)
    granted = [book.grant(Claim(key="k", name="n", cells=c, why="")) for c in claims]
    whole = waste_book.summed(cells.values())
    assert math.fsum(granted) <= whole * (1 + 1e-9)
    left = waste_book.summed(book.left.values())
    assert math.fsum(granted) + left == pytest.approx(whole)
    assert all(v >= 0 for row in book.left.values() for v in row)


SLOTS = 40
POWER = st.lists(st.floats(0, 500), min_size=SLOTS, max_size=SLOTS)
PATHS = ("train", "data", "evaluate", "checkpoint", "sync")


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, Observations]:
    """A run of 40 slots whose phases, powers and words are anything."""
    powers = {"gpu:0": draw(POWER), "cpu:0": draw(POWER)}
    walls = {
        path: draw(st.lists(st.floats(0, 2), min_size=SLOTS, max_size=SLOTS)) for path in PATHS
    }
    devices = tuple(
        DeviceEnergy(
            Device(name, DeviceKind.GPU if name < "h" and name[0] == "g" else DeviceKind.CPU,
                   "NVIDIA A100-SXM4-80GB", "h", peak_w=400.0),
            q := Quantity.of(sum(row) * 2, basis=Basis.MEASURED), q,
        )
        for name, row in powers.items()
    )  # fmt: skip
    values = draw(st.lists(st.floats(0, 1), min_size=0, max_size=30))
    phases = tuple(
        PhaseEnergy(
            path, draw(st.integers(0, 500)), sum(wall), Quantity.of(1.0, basis=Basis.MEASURED),
            {d: draw(st.floats(0, 2e4)) for d in powers},
        )
        for path, wall in walls.items()
    )  # fmt: skip
    run = Run(
        "20261124-000000-0000", "measured", draw(st.sampled_from(["finished", "failed"])),
        "2026-11-24T00:00:00Z", 2.0 * SLOTS, devices=devices, phases=phases,
        metric_history=tuple(
            MetricPoint(80.0 * i / len(values), {"val_accuracy": v}, i)
            for i, v in enumerate(values)
        ),
        parameters={"precision": draw(st.sampled_from(["fp32", "bf16", ""]))},
        work={"steps": draw(st.floats(0, 1e5)), "samples": 1e3},
    )  # fmt: skip
    begin = draw(st.floats(0, 79))
    seen = Observations(
        duration_s=2.0 * SLOTS, slot_s=2.0, slots=SLOTS, grain_s=2.0,
        devices=tuple(
            DeviceCourse(
                device_id=name, kind=d.device.kind, mean_w=tuple(powers[name]),
                low_w=tuple(powers[name]), peak_w=tuple(powers[name]),
                throttled_ratio={"thermal": tuple(draw(
                    st.lists(st.floats(0, 1), min_size=SLOTS, max_size=SLOTS)))},
            )
            for name, d in zip(powers, devices, strict=True)
        ),
        phases=tuple(
            PhaseCourse(path=path, pid=1 + i % 2, rank=i % 2, wall_s=tuple(wall),
                        count=(1,) * SLOTS)
            for i, (path, wall) in enumerate(walls.items())
        ),
        meetings=(Meeting("gpu:0", "", 80.0, 1.0, draw(st.floats(0, 80))),),
        stretches=(Stretch("gpu:0", begin, draw(st.floats(begin, 80)), 1.0),),
        run_cores=tuple(draw(st.lists(st.floats(0, 4), min_size=SLOTS, max_size=SLOTS))),
    )  # fmt: skip
    return run, seen


@settings(max_examples=40, deadline=None)
@given(runs())
def test_wastes_of_any_run_sum_to_at_most_its_energy(made: tuple[Run, Observations]) -> None:
    run, seen = made
    whole = footprint_of(run)
    found = find_waste(run, whole, seen)
    assert isinstance(whole.facility, Amount) or not found.wastes
    total = math.fsum(w.energy.value for w in found.wastes if isinstance(w.energy, Amount))
    if isinstance(whole.facility, Amount):
        assert total <= whole.facility.value * (1 + 1e-9)
    assert {w.key for w in found.wastes} | found.silent.keys() == set(KEYS)
    assert not {w.key for w in found.wastes} & found.silent.keys()


def footprint_of(run: Run) -> Footprint:
    return footprint(run, 1.2)


# -- detectors, case by case ----------------------------------------------------------------------


def case_of(run: Run, *others: Run, seen: Observations | None = None) -> Case:
    seen = seen or Observations(duration_s=run.duration_s, slot_s=run.duration_s, slots=1)
    return Case(run, seen, 1000.0, others)


def run_of(ident: str, energy_j: float = 500.0, **about: object) -> Run:
    share = Quantity.of(energy_j, basis=Basis.MEASURED)
    device = Device("gpu:0", DeviceKind.GPU, "NVIDIA A100-SXM4-80GB", "h", peak_w=400.0)
    words: dict[str, object] = {
        "code": {"commit": "abc", "dirty": "no"}, "started_utc": f"2026-11-24T00:00:0{ident}Z",
        "duration_s": 100.0, "status": "finished", "parameters": {"lr": "0.1", "seed": "1"},
        "work": {"samples": 100.0},
    }  # fmt: skip
    return Run(
        id=ident, origin="measured",
        devices=(DeviceEnergy(device, share, share),), **{**words, **about},  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"code": {}}, "code is not known"),
        ({"code": {"commit": "abc", "dirty": "yes"}}, "no commit holds"),
        ({"code": {"commit": "abd", "dirty": "no"}}, "no earlier run"),
        ({"parameters": {"lr": "0.2"}}, "no earlier run"),
        ({"command": ("python", "other.py")}, "no earlier run"),
        ({"work": {"samples": 200.0}}, "no earlier run"),
        ({"status": "killed"}, "did not finish"),
        ({"tags": {"proof": "x"}}, "on purpose"),
        ({"parameters": {"lr": "0.1", "seed": "2"}}, "no earlier run"),
    ],
)
def test_a_run_that_differs_is_no_repetition(changed: dict[str, object], why: str) -> None:
    detect = next(d for d in DETECTORS if d.__name__ == "repeated")
    assert isinstance(detect(case_of(run_of("2"), run_of("1"))), Claim)
    found = detect(case_of(msgspec.structs.replace(run_of("2"), **changed), run_of("1")))
    assert isinstance(found, Silence)
    assert why in found.why


@pytest.mark.parametrize(("last", "found"), [(0.9, True), (0.9001, False)])
def test_without_a_seed_equal_results_tell_a_repetition(last: float, found: bool) -> None:  # noqa: FBT001
    words = {"parameters": {"lr": "0.1"}}
    first = run_of("1", **words, metrics={"val_accuracy": 0.9})  # type: ignore[arg-type]
    again = run_of("2", **words, metrics={"val_accuracy": last})  # type: ignore[arg-type]
    assert isinstance(detected("repeated", case_of(again, first)), Claim) is found


def curve(values: list[float], name: str = "val_accuracy") -> Case:
    points = tuple(MetricPoint(i * 100 / len(values), {name: v}) for i, v in enumerate(values))
    return case_of(run_of("1", metric_history=points))


@pytest.mark.parametrize(
    ("values", "name", "why"),
    [
        ([0.5, 0.6, 0.7], "val_accuracy", "too few"),
        ([i / 20 for i in range(20)], "val_accuracy", "came at"),
        ([0.9, *[0.2 + i / 50 for i in range(20)]], "val_accuracy", "better again"),
        ([*[i / 10 for i in range(8)], *[0.6] * 12], "val_accuracy", ""),
        ([*[1 - i / 10 for i in range(8)], *[0.4] * 12], "val_loss", ""),
        ([*[i / 50 for i in range(40)], *[0.6] * 60], "accuracy", "trained on"),
        ([*[i / 50 for i in range(40)], *[0.6] * 60], "test_accuracy", ""),
    ],
)
def test_energy_after_the_best_epoch(values: list[float], name: str, why: str) -> None:
    found = detected("after_best", curve(values, name))
    assert isinstance(found, Silence if why else Claim), found
    assert why in found.why


def detected(name: str, case: Case) -> Claim | Silence:
    return next(d for d in DETECTORS if d.__name__ == name)(case)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({}, "not known"),
        ({"precision": "bf16"}, "in bf16"),
        ({"amp": "True"}, "in bf16"),
        ({"precision": "fp64"}, "gain nothing"),
        ({"precision": "fp32"}, ""),
        ({"dtype": "torch.float32"}, ""),
    ],
)
def test_precision_that_is_not_known_is_no_waste(words: dict[str, str], why: str) -> None:
    found = detected("precision", case_of(run_of("1", parameters=words)))
    assert isinstance(found, Silence if why else Claim)
    assert why in found.why


def test_a_run_in_bf16_of_the_same_project_prices_the_precision() -> None:
    wide = run_of("2", 500.0, parameters={"precision": "fp32", "lr": "0.1"})
    narrow = run_of("1", 300.0, parameters={"precision": "bf16", "lr": "0.1"})
    found = detected("precision", case_of(wide, narrow))
    assert isinstance(found, Claim)
    assert found.detail["saving_ratio"] == pytest.approx(0.4)
    assert (found.low_ratio, found.high_ratio) == (1.0, 1.0)


def test_a_board_without_fast_bf16_is_no_waste() -> None:
    run = run_of("1", parameters={"precision": "fp32"})
    device = Device("gpu:0", DeviceKind.GPU, "Tesla V100-SXM2-16GB", "h")
    share = Quantity.of(500.0, basis=Basis.MEASURED)
    old = msgspec.structs.replace(run, devices=(DeviceEnergy(device, share, share),))
    assert isinstance(detected("precision", case_of(old)), Silence)


def test_a_failed_run_that_was_resumed_lost_what_came_after_its_last_checkpoint() -> None:
    run = run_of("1", status="killed", name="big")
    seen = Observations(
        duration_s=100.0, slot_s=10.0, slots=10,
        phases=(PhaseCourse(path="save", pid=1, wall_s=(0, 0, 0, 0, 1, 0, 0, 0, 0, 0)),),
    )  # fmt: skip
    alone = detected("failed", case_of(run, seen=seen))
    resumed = detected("failed", case_of(run, run_of("2", name="big", attempt=2), seen=seen))
    assert isinstance(alone, Claim)
    assert isinstance(resumed, Claim)
    assert waste_book.summed(alone.cells.values()) == pytest.approx(1000.0)
    assert waste_book.summed(resumed.cells.values()) == pytest.approx(500.0)


@pytest.mark.parametrize(
    ("steps", "redone_s"),
    [
        (list(range(0, 100, 5)), 0.0),
        ([*range(0, 60, 5), *range(30, 70, 5)], 35.0),  # from step 55 at 55 s to 55 again
        ([*range(0, 10, 2)] * 5, 0.0),  # counted anew each epoch
    ],
)
def test_steps_that_go_back_are_repeated_work(steps: list[int], redone_s: float) -> None:
    points = tuple(MetricPoint(5.0 * i, {"loss": 1.0}, s) for i, s in enumerate(steps))
    run = run_of("1", metric_history=points)
    seen = Observations(duration_s=100.0, slot_s=5.0, slots=20, metrics=points)
    found = detected("redone", case_of(run, seen=seen))
    if redone_s == 0:
        assert isinstance(found, Silence)
    else:
        assert isinstance(found, Claim)
        assert found.detail["redone_s"] == pytest.approx(redone_s, abs=5.0)


def test_options_of_the_command_are_words_of_the_run() -> None:
    run = run_of("1", command=("python", "t.py", "--batch-size", "8", "--amp", "--lr=0.1", "-x"))
    words = words_of(run)
    assert words["batch_size"] == "8"
    assert words["amp"] == "yes"
    assert words["lr"] == "0.1"


@pytest.mark.parametrize("seconds", [5.0, 19.0])
def test_a_short_run_is_left_in_peace(seconds: float) -> None:
    run = run_of("1", duration_s=seconds)
    found = find_waste(run, footprint_of(run), Observations(duration_s=seconds, slot_s=1, slots=5))
    assert not found.wastes
    assert set(found.silent) == set(KEYS)


def test_of_a_run_without_energy_nothing_is_told() -> None:
    why = Missing("nothing was read")
    found = find_waste(
        run_of("1"), Footprint(why, why, why, why), Observations(duration_s=9, slot_s=1, slots=9)
    )
    assert not found.wastes


def test_each_rule_says_where_it_is_from() -> None:
    for row in rows("waste_rules"):
        assert row["source"]
        assert row["note"]
