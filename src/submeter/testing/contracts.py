# SPDX-License-Identifier: Apache-2.0
"""What every sensor has to hold, as tests to inherit from; needs pytest only when it runs."""

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from submeter.records.devices import Channel, DeviceKind, Measures, Sensor
from submeter.records.figures import Basis, Missing

COUNTERS: Final = frozenset(
    {Measures.ENERGY, Measures.BUSY_TIME, Measures.RUN_TIME, Measures.STEAL_TIME}
)
USED: Final = COUNTERS | {Measures.POWER, Measures.MEAN_POWER, Measures.REST_RATIO}
_READS: Final = 5


class SensorContract:
    """Conformance suite of a `submeter.records.Sensor`.

    Inherit from it in a test module, define a pytest fixture ``sensor`` that returns the sensor on
    a device that works, and say how the device is moved::

        class TestMySensor(SensorContract):
            @pytest.fixture
            def sensor(self, machine):
                return MySensor(machine.sys)

            def let_pass(self, sensor):
                ...  # let time pass, so that the device uses energy

            def lose(self, sensor):
                ...  # make the device go away

            def tree(self, sensor):
                return ...  # folder that reading must not change, or None

    A test that a device cannot go through (a model cannot be lost) is overridden with a reason, so
    that it stands in the source.
    """

    def let_pass(self, sensor: Sensor) -> None:
        """Let time pass in which the device uses energy, well short of a wrap of its counter."""
        raise NotImplementedError(f"say how time passes for {type(sensor).__name__}")

    def lose(self, sensor: Sensor) -> None:
        """Make the device go away: unplugged, driver dead, file gone."""
        raise NotImplementedError(f"say how the device of {type(sensor).__name__} is lost")

    def tree(self, sensor: Sensor) -> Path | None:  # noqa: ARG002 - for those who override it
        """Folder that the sensor reads from and must not change; None if there is none."""
        return None

    # ---- what it is ----

    def test_its_device_has_a_stable_name(self, sensor: Sensor) -> None:
        """The id begins with the kind of device, or says where a use sensor stands."""
        device = sensor.device
        prefix, _, rest = device.id.partition(":")
        kinds = {kind.value for kind in DeviceKind} | {"use"}
        _require(prefix in kinds, f"{device.id} does not begin with one of {sorted(kinds)}")
        _require(rest, f"{device.id} names no device")
        _require(prefix in (device.kind, "use"), f"{device.id} is of kind {device.kind}")
        _require(device.name, "a device needs a name for people")
        _require(sensor.device == device, "the device changed from one look to the next")

    def test_it_has_channels_of_its_device(self, sensor: Sensor) -> None:
        """There are channels, they stay the same, and no quantity comes twice."""
        channels = list(sensor.channels)
        _require(channels, "a sensor without channels reads nothing")
        _require(
            all(c.device_id == sensor.device.id for c in channels), "a channel of another device"
        )
        measures = [c.measures for c in channels]
        _require(len(set(measures)) == len(measures), f"a quantity comes twice: {measures}")
        sensor.read()
        _require(list(sensor.channels) == channels, "the channels changed with a read")

    def test_its_channels_can_be_computed_with(self, sensor: Sensor) -> None:
        """Scales and moduli are positive and finite, windows and duties possible."""
        for c in sensor.channels:
            _require(math.isfinite(c.scale), f"{c.measures}: scale {c.scale}")
            _require(c.scale > 0, f"{c.measures}: scale {c.scale}")
            _require(c.modulus >= 0, f"{c.measures}: modulus {c.modulus}")
            _require(c.modulus == 0 or c.measures in COUNTERS, f"{c.measures} does not count")
            _require(0 <= c.update_s < math.inf, f"{c.measures}: update_s {c.update_s}")
            _require(0 <= c.window_s < math.inf, f"{c.measures}: window_s {c.window_s}")
            _require(0 < c.duty <= 1, f"{c.measures}: duty {c.duty}")
            _require(c.peak_w is None or 0 < c.peak_w < math.inf, f"{c.measures}: peak {c.peak_w}")

    def test_a_model_says_how_wrong_it_may_be(self, sensor: Sensor) -> None:
        """What is not measured carries error terms and a source."""
        for c in sensor.channels:
            spread = [t for t in c.terms if t.relative_sd > 0 or t.absolute_sd > 0]
            if c.measures in USED - COUNTERS and c.basis in (Basis.MODELLED, Basis.ASSUMED):
                _require(spread, f"{c.measures} is {c.basis} and has no error term")
                _require(c.source, f"{c.measures} is {c.basis} and names no source")

    # ---- what it reads ----

    def test_it_reads_one_value_per_channel(self, sensor: Sensor) -> None:
        """Values are whole counts, or missing with a reason."""
        for _ in range(_READS):
            _checked(sensor)
            self.let_pass(sensor)

    def test_a_working_device_gives_values(self, sensor: Sensor) -> None:
        """Within some readings, not everything that energy is made of is missing."""
        seen: list[int | Missing] = []
        for _ in range(_READS):
            values = _checked(sensor)
            seen += [v for c, v in zip(sensor.channels, values, strict=True) if c.measures in USED]
            self.let_pass(sensor)
        _require(any(isinstance(v, int) for v in seen), f"a good device gives nothing: {seen}")

    def test_a_counter_goes_forward(self, sensor: Sensor) -> None:
        """It never goes back but for a wrap, stays below its modulus, and does count."""
        before = first = _checked(sensor)
        for _ in range(_READS):
            self.let_pass(sensor)
            after = _checked(sensor)
            for c, old, new in zip(sensor.channels, before, after, strict=True):
                _check_step(c, old, new)
            before = after
        for c, old, new in zip(sensor.channels, first, before, strict=True):
            if c.measures is Measures.ENERGY and isinstance(old, int) and isinstance(new, int):
                _require(new != old, "the device used energy and its counter did not move")

    def test_reading_changes_nothing(self, sensor: Sensor) -> None:
        """No file of the device is written, made or removed by reading."""
        tree = self.tree(sensor)
        if tree is None:
            return
        before = _picture(tree)
        _require(before, f"there is nothing in {tree} to look at")
        for _ in range(_READS):
            sensor.read()
        _require(_picture(tree) == before, "reading changed the device's files")

    # ---- how it ends ----

    def test_a_lost_device_is_missing(self, sensor: Sensor) -> None:
        """It does not raise, it does not invent, it says why."""
        _checked(sensor)
        self.lose(sensor)
        for _ in range(_READS):
            values = _checked(sensor)
            for c, value in zip(sensor.channels, values, strict=True):
                if c.measures in USED:
                    lost = isinstance(value, Missing)
                    _require(lost, f"{c.measures} of a lost device is still {value}")

    def test_it_closes_twice(self, sensor: Sensor) -> None:
        """Closing is harmless, before and after the first time."""
        sensor.read()
        sensor.close()
        sensor.close()

    def test_a_lost_device_closes(self, sensor: Sensor) -> None:
        """Closing does not need the device."""
        sensor.read()
        self.lose(sensor)
        sensor.read()
        sensor.close()

    def test_it_leaves_no_file_open(self, sensor: Sensor) -> None:
        """Reading and losing the device does not eat file descriptors."""
        sensor.read()
        held = _descriptors()
        for _ in range(_READS):
            sensor.read()
        self.lose(sensor)
        for _ in range(_READS):
            sensor.read()
        sensor.close()
        _require(_descriptors() <= held, "file descriptors were left open")


def _require(holds: object, otherwise: str) -> None:  # not `assert`: python -O has to test as well
    if not holds:
        raise AssertionError(otherwise)


def _checked(sensor: Sensor) -> Sequence[int | Missing]:
    """Read, and check the form of what comes."""
    values = sensor.read()
    channels = list(sensor.channels)
    _require(len(values) == len(channels), f"{len(values)} values for {len(channels)} channels")
    for c, value in zip(channels, values, strict=True):
        if isinstance(value, Missing):
            _require(value.why.strip(), f"{c.measures} is missing without a reason")
        else:
            _require(type(value) is int, f"{c.measures}: {value!r} is not a whole count")
    return values


def _check_step(c: Channel, old: int | Missing, new: int | Missing) -> None:
    """Check one step of one channel."""
    if c.measures not in COUNTERS or isinstance(old, Missing) or isinstance(new, Missing):
        return
    _require(new >= 0, f"{c.measures} counts below 0: {new}")
    if not c.modulus:
        _require(new >= old, f"{c.measures} went back from {old} to {new}")
        return
    _require(new < c.modulus, f"{c.measures} is {new}, its modulus {c.modulus}")
    wrapped = old > c.modulus // 2 > new
    _require(new >= old or wrapped, f"{c.measures} went back from {old} to {new}")


def _picture(tree: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything under *tree*: mode, size, time of change, content of what is regular."""
    found = {}
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            path = Path(folder) / name
            about = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
            found[str(path)] = (about.st_mode, about.st_size, about.st_mtime_ns, content)
    return found


def _descriptors() -> int:
    """Count the files that this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))
