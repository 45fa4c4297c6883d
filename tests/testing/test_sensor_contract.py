# SPDX-License-Identifier: Apache-2.0
"""The conformance suite passes a good sensor and catches every bad one."""

import contextlib
import inspect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from submeter.records.devices import Channel, Device, DeviceKind, Measures, Sensor
from submeter.records.figures import Basis, ErrorTerm, Missing
from submeter.testing import FakeMachine, SensorContract, constant


class GoodSensor:
    """The smallest sensor that is right: the counter of one powercap zone."""

    measures = Measures.ENERGY
    basis = Basis.MEASURED
    terms: tuple[ErrorTerm, ...] = ()

    def __init__(self, zone: Path) -> None:
        self.zone = zone
        counts = self.measures is Measures.ENERGY
        modulus = int((zone / "max_energy_range_uj").read_text()) + 1 if counts else 0
        self._channel = Channel(
            self.device.id, self.measures, 1e-6, modulus=modulus, update_s=0.001,
            basis=self.basis, terms=self.terms, source="here",
        )  # fmt: skip

    @property
    def device(self) -> Device:
        return Device(id="cpu:0", kind=DeviceKind.CPU, name="a processor", host="fake")

    @property
    def channels(self) -> Sequence[Channel]:
        return [self._channel]

    def read(self) -> Sequence[int | Missing]:
        try:
            return [int((self.zone / "energy_uj").read_text())]
        except (OSError, ValueError) as error:
            return [Missing(f"{error}")]

    def close(self) -> None:
        pass


class ZoneContract(SensorContract):
    """The suite, over a zone of a fake machine."""

    machine: FakeMachine

    def start(self, path: Path, make: Callable[[Path], Sensor] = GoodSensor) -> Sensor:
        """Begin so near to the end of the counter that it wraps at the third step."""
        self.machine = FakeMachine(path / "machine")
        package = self.machine.add_package(constant(100), start_uj=262_143_328_850 - 250_000_000)
        return make(package.folder)

    @pytest.fixture
    def sensor(self, tmp_path: Path) -> Iterator[Sensor]:
        yield self.start(tmp_path)
        self.machine.close()

    def let_pass(self, sensor: Sensor) -> None:  # noqa: ARG002
        self.machine.at(self.machine.t_s + 1)

    def lose(self, sensor: Sensor) -> None:  # noqa: ARG002
        self.machine.zones[0].vanish(self.machine.t_s)
        self.machine.update()

    def tree(self, sensor: Sensor) -> Path | None:  # noqa: ARG002
        return self.machine.sys


class TestGoodSensor(ZoneContract):
    """The good sensor passes, over a wrap as well."""


class Raising(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [int((self.zone / "energy_uj").read_text())]


class Zeroing(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [0 if isinstance(value, Missing) else value for value in super().read()]


class Remembering(GoodSensor):
    last: int | Missing = Missing("not read yet")

    def read(self) -> Sequence[int | Missing]:
        (value,) = super().read()
        if not isinstance(value, Missing):
            self.last = value
        return [self.last]


class Converting(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [v if isinstance(v, Missing) else v / 1e6 for v in super().read()]  # type: ignore[misc]


class Doubling(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [*super().read(), *super().read()]


class Silent(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [Missing("") if isinstance(v, Missing) else v for v in super().read()]


class Blind(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [Missing("I never look")]


class Standing(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [v if isinstance(v, Missing) else 1000 for v in super().read()]


class Backwards(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        return [v if isinstance(v, Missing) else 10**12 - v for v in super().read()]

    @property
    def channels(self) -> Sequence[Channel]:
        return [msgspec.structs.replace(c, modulus=0) for c in super().channels]


class Overflowing(GoodSensor):
    @property
    def channels(self) -> Sequence[Channel]:
        return [msgspec.structs.replace(c, modulus=1000) for c in super().channels]


class Scaleless(GoodSensor):
    @property
    def channels(self) -> Sequence[Channel]:
        return [msgspec.structs.replace(c, scale=0.0) for c in super().channels]


class Endless(GoodSensor):
    @property
    def channels(self) -> Sequence[Channel]:
        return [msgspec.structs.replace(c, scale=math.inf) for c in super().channels]


class Foreign(GoodSensor):
    @property
    def channels(self) -> Sequence[Channel]:
        return [msgspec.structs.replace(c, device_id="cpu:1") for c in super().channels]


class Empty(GoodSensor):
    @property
    def channels(self) -> Sequence[Channel]:
        return []

    def read(self) -> Sequence[int | Missing]:
        return []


class Repeating(GoodSensor):
    @property
    def channels(self) -> Sequence[Channel]:
        return [*super().channels, *super().channels]

    def read(self) -> Sequence[int | Missing]:
        return [*super().read(), *super().read()]


class Nameless(GoodSensor):
    @property
    def device(self) -> Device:
        return Device(id="thing", kind=DeviceKind.CPU, name="x", host="fake")


class Mistaken(GoodSensor):
    @property
    def device(self) -> Device:
        return Device(id="dram:0", kind=DeviceKind.CPU, name="x", host="fake")


class Writing(GoodSensor):
    def read(self) -> Sequence[int | Missing]:
        with contextlib.suppress(OSError):
            (self.zone / "enabled").write_text("0\n")
        return super().read()


class Leaking(GoodSensor):
    held: ClassVar[list[int]] = []

    def read(self) -> Sequence[int | Missing]:
        with contextlib.suppress(OSError):
            self.held.append(os.open(self.zone / "name", os.O_RDONLY))
        return super().read()


class ClosingOnce(GoodSensor):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("closed already")
        self.closed = True


class ClosingTheDevice(GoodSensor):
    def close(self) -> None:
        (self.zone / "name").read_text()


class Certain(GoodSensor):
    measures = Measures.MEAN_POWER
    basis = Basis.MODELLED


BAD: list[tuple[type[GoodSensor], str]] = [
    (Raising, "test_a_lost_device_is_missing"),
    (Raising, "test_a_lost_device_closes"),
    (Zeroing, "test_a_lost_device_is_missing"),
    (Remembering, "test_a_lost_device_is_missing"),
    (Converting, "test_it_reads_one_value_per_channel"),
    (Doubling, "test_it_reads_one_value_per_channel"),
    (Silent, "test_a_lost_device_is_missing"),
    (Blind, "test_a_working_device_gives_values"),
    (Standing, "test_a_counter_goes_forward"),
    (Backwards, "test_a_counter_goes_forward"),
    (Overflowing, "test_a_counter_goes_forward"),
    (Scaleless, "test_its_channels_can_be_computed_with"),
    (Endless, "test_its_channels_can_be_computed_with"),
    (Foreign, "test_it_has_channels_of_its_device"),
    (Empty, "test_it_has_channels_of_its_device"),
    (Repeating, "test_it_has_channels_of_its_device"),
    (Nameless, "test_its_device_has_a_stable_name"),
    (Mistaken, "test_its_device_has_a_stable_name"),
    (Writing, "test_reading_changes_nothing"),
    (Leaking, "test_it_leaves_no_file_open"),
    (ClosingOnce, "test_it_closes_twice"),
    (ClosingTheDevice, "test_a_lost_device_closes"),
    (Certain, "test_a_model_says_how_wrong_it_may_be"),
]


@pytest.mark.parametrize(("make", "test"), BAD, ids=[f"{b.__name__}-{t}" for b, t in BAD])
def test_a_bad_sensor_is_caught(make: type[GoodSensor], test: str, tmp_path: Path) -> None:
    suite = ZoneContract()
    sensor = suite.start(tmp_path, make)
    with pytest.raises((AssertionError, OSError, ValueError)):
        getattr(suite, test)(sensor)
    suite.machine.close()
    while Leaking.held:
        os.close(Leaking.held.pop())


def test_no_test_of_the_suite_is_idle() -> None:
    tests = {name for name, _ in inspect.getmembers(SensorContract) if name.startswith("test_")}
    assert tests == {test for _, test in BAD}


@pytest.mark.parametrize("name", ["let_pass", "lose"])
def test_what_was_not_said_is_asked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="GoodSensor"):
        getattr(SensorContract(), name)(ZoneContract().start(tmp_path))


def test_a_sensor_without_files_needs_no_tree(tmp_path: Path) -> None:
    sensor = ZoneContract().start(tmp_path)
    assert SensorContract().tree(sensor) is None
    SensorContract().test_reading_changes_nothing(sensor)
