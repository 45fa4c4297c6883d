# SPDX-License-Identifier: Apache-2.0
"""Our own sensors of counters hold what every sensor has to."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.records.devices import Sensor
from submeter.sensors import ProcessTree, UseSensor
from submeter.sensors.boards import discover_boards
from submeter.sensors.powercap import discover_zones
from submeter.testing import FakeMachine, SensorContract, constant


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeMachine]:
    made = FakeMachine(tmp_path)
    made.add_package(constant(100.0))
    made.add_process(10, cores=constant(1.0))
    made.add_board(constant(300.0))
    made.at(0.0)
    yield made
    made.close()


class Contract(SensorContract):
    @pytest.fixture(autouse=True)
    def keep(self, machine: FakeMachine) -> None:
        self.machine = machine

    def let_pass(self, sensor: Sensor) -> None:  # noqa: ARG002
        self.machine.at(self.machine.t_s + 0.5)


class TestRapl(Contract):
    @pytest.fixture
    def sensor(self, machine: FakeMachine) -> Sensor:
        _, (made,), _ = discover_zones(machine.sys, machine={}, host="here")
        return made

    def lose(self, sensor: Sensor) -> None:
        self.machine.zones[0].vanish(self.machine.t_s)
        self.let_pass(sensor)

    def tree(self, sensor: Sensor) -> Path:  # noqa: ARG002
        return self.machine.sys


class TestBoard(Contract):
    @pytest.fixture
    def sensor(self, machine: FakeMachine) -> Iterator[Sensor]:
        with machine.installed():
            found = discover_boards(host="here")
            yield found.sensors[0]
            assert found.driver is not None
            found.driver.close()

    def lose(self, sensor: Sensor) -> None:
        self.machine.boards[0].lost_at_s = self.machine.t_s
        self.machine.update()
        self.let_pass(sensor)


class TestUse(Contract):
    @pytest.fixture
    def sensor(self, machine: FakeMachine) -> Sensor:
        tree = ProcessTree([10], machine.proc)
        return UseSensor("here", proc_root=machine.proc, tree=tree, cost_ns=lambda: 0)

    def lose(self, sensor: Sensor) -> None:  # noqa: ARG002
        shutil.rmtree(self.machine.proc)

    def tree(self, sensor: Sensor) -> Path:  # noqa: ARG002
        return self.machine.proc
