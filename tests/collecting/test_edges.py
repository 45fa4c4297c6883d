# SPDX-License-Identifier: Apache-2.0
"""Counters that move seldom are read closely where a run begins and ends."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from submeter.records import Channel, Measures, Missing
from submeter.records.figures import Quantity
from submeter.storing.ledger import open_ledger
from submeter.units import NS_PER_MS, NS_PER_S, ns_to_s
from tests.collecting.collector_rig import CounterFile, FileMachine, HandClock, Rig, instants

START_NS = HandClock().now_ns
CLOSE_NS = 3 * NS_PER_MS


class Seldom(CounterFile):
    """A counter of a board at 180 W that moves every 100 ms of the collector's own clock."""

    def __init__(self, path: Path, device_id: str) -> None:
        super().__init__(path, device_id)
        self.channels = (Channel(device_id, Measures.ENERGY, 1e-3, update_s=0.1, peak_w=600.0),)
        self.clock: HandClock | None = None

    def read(self) -> Sequence[int | Missing]:
        now_ns = START_NS if self.clock is None else self.clock.now_ns
        moves = now_ns // (100 * NS_PER_MS)
        return (18_000 * moves,)


class SeldomMachine(FileMachine):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ("cpu:0",))
        self.board = Seldom(folder / "cpu:0", "cpu:0")
        self.sensors = [self.board]


@pytest.mark.parametrize(("patient", "bound"), [(True, 0.012), (False, 0.05)])
def test_where_a_counter_moves_seldom_both_ends_are_read_closely(
    tmp_path: Path, *, patient: bool, bound: float
) -> None:
    machine = SeldomMachine(tmp_path / "machine")
    rig = Rig(tmp_path, machine, patient=patient)
    machine.board.clock = rig.clock
    start_ns = rig.clock.now_ns
    rig.say(f"started {start_ns} 0")
    while rig.clock.now_ns < start_ns + 10 * NS_PER_S:
        rig.ticks(1)
    length_s = ns_to_s(rig.clock.now_ns - start_ns)
    frames = rig.stop()
    steps = [b - a for a, b in itertools.pairwise(instants(frames))]
    assert sum(step <= CLOSE_NS for step in steps[:80]) > 40
    assert all(step <= CLOSE_NS for step in steps[-5:]) is patient
    with open_ledger(tmp_path / "ledger.db") as ledger:
        (device,) = ledger.get("last").devices
    drawn = device.drawn
    assert isinstance(drawn, Quantity)
    assert drawn.value - drawn.bound_low <= 180 * length_s <= drawn.value + drawn.bound_high
    assert max(drawn.bound_low, drawn.bound_high) <= bound * drawn.value
