# SPDX-License-Identifier: Apache-2.0
"""Stalls and their causes, as the record names them."""

from submeter.explaining.timeline import MOST_STALLS, drawn_j, stalls_of
from submeter.records.devices import DeviceKind
from submeter.records.observations import (
    DeviceCourse,
    Gap,
    Interval,
    Observations,
    PhaseCourse,
    Stretch,
)
from submeter.records.runs import Pause

N = 100


def seen_of(**more: object) -> Observations:
    board = DeviceCourse(
        device_id="gpu:0",
        kind=DeviceKind.GPU,
        mean_w=(100.0,) * N,
        throttled_ratio=more.pop("throttled", {}),  # type: ignore[arg-type]
    )
    fields: dict[str, object] = {"duration_s": 100.0, "slot_s": 1.0, "slots": N}
    return Observations(**(fields | {"devices": (board,)} | more))  # type: ignore[arg-type]


def told(seen: Observations) -> list[tuple[str, float, float]]:
    return [(s.cause, s.start_s, s.end_s) for s in stalls_of(seen)]


def test_phases_that_are_no_work_are_stalls() -> None:
    spans = (("train/data", 0, 5), ("train", 5, 40), ("evaluate", 40, 50), ("compile", 50, 60),
             ("save checkpoint", 60, 61), ("train/sync", 61, 63))  # fmt: skip
    seen = seen_of(intervals=tuple(Interval(1, p, float(a), float(b)) for p, a, b in spans))
    assert told(seen) == [
        ("loader wait", 0, 5),
        ("evaluation", 40, 50),
        ("compile", 50, 60),
        ("checkpoint", 60, 61),
        ("waiting for peers", 61, 63),
    ]
    assert [s.energy_j for s in stalls_of(seen)] == [500, 1000, 1000, 100, 200]


def test_short_waits_that_add_up_are_a_stall() -> None:
    waits = PhaseCourse(path="data", pid=1, wall_s=(0.0,) * 30 + (0.4,) * 20 + (0.05,) * 50)
    (stall,) = stalls_of(seen_of(phases=(waits,)))
    assert (stall.cause, stall.start_s, stall.end_s) == ("loader wait", 30, 50)
    assert "40 % of the time" in stall.where
    assert stall.energy_j is not None
    assert abs(stall.energy_j - 800) < 1e-6


def test_throttling_is_told_by_the_drivers_reason() -> None:
    hot = (0.0,) * 20 + (1.0,) * 10 + (None,) + (0.6,) * 9 + (0.2,) * 60
    seen = seen_of(throttled={"thermal": hot, "power": (0.0,) * N})
    assert told(seen) == [("thermal throttle", 20, 30), ("thermal throttle", 31, 40)]


def test_idleness_is_told_by_where_it_lies_and_once() -> None:
    seen = seen_of(
        stretches=(
            Stretch("gpu:0", 0.0, 4.0, 400.0),
            Stretch("gpu:0", 30.0, 34.0, 400.0, "train"),
            Stretch("gpu:0", 50.0, 60.0, 1000.0, "evaluate"),
            Stretch("gpu:0", 90.0, 100.0, 1000.0),
        ),
        intervals=(Interval(1, "evaluate", 49.0, 61.0),),
    )
    assert told(seen) == [
        ("start-up", 0, 4),
        ("idle", 30, 34),
        ("evaluation", 49, 61),
        ("idle tail", 90, 100),
    ]


def test_pauses_and_gaps_are_told() -> None:
    seen = seen_of(pauses=(Pause(10.0, 20.0),), gaps=(Gap("gpu:0", 50.0, 55.0),))
    assert told(seen) == [("pause", 10, 30), ("not read", 50, 55)]


def test_of_many_stalls_the_dearest_are_told_in_order() -> None:
    spans = tuple(Interval(1, "data", i / 10, i / 10 + 0.01 + (i % 7) / 1000) for i in range(900))
    found = stalls_of(seen_of(intervals=spans))
    assert len(found) == MOST_STALLS
    assert list(found) == sorted(found, key=lambda s: s.start_s)
    assert min(s.end_s - s.start_s for s in found) > 0.015


def test_energy_of_a_span_is_of_its_parts_of_slots() -> None:
    assert drawn_j(seen_of(), (1.5, 3.25)) == 175.0
    assert drawn_j(seen_of(), (99.5, 120.0), "gpu:0") == 50.0
    assert drawn_j(seen_of(), (0.0, 1.0), "cpu:0") == 0.0


def test_a_run_without_a_journal_has_no_stalls() -> None:
    assert stalls_of(Observations(duration_s=1.0, slot_s=1.0, slots=0, complete=False)) == ()
