# SPDX-License-Identifier: Apache-2.0
"""``sensors``: each one read live, with units, basis and cost, and refusals named."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.interfaces.cli.looking import look_at
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Missing
from submeter.testing import FakeMachine
from tests.cli.stage import Stage, machine, stage

__all__ = ["machine", "stage"]

S = 1_000_000_000
CPU = Device("cpu:0", DeviceKind.CPU, "", "box")


class Scripted:
    """A sensor that says what it is told to."""

    def __init__(self, modulus: int, *values: int | Missing) -> None:
        self.device = CPU
        self.channels: Sequence[Channel] = (Channel(CPU.id, Measures.ENERGY, 1e-6, modulus),)
        self._values = iter(values)

    def read(self) -> Sequence[int | Missing]:
        return (next(self._values),)

    def close(self) -> None:
        """Nothing to close."""


class Clock:
    def __init__(self) -> None:
        self.t_ns = 0

    def now_ns(self) -> int:
        return self.t_ns

    def pause(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * S)


def rate(modulus: int, before: int | Missing, after: int | Missing) -> float | None:
    clock = Clock()
    sensor = Scripted(modulus, before, after)
    (look,) = look_at([sensor], apart_s=0.5, now_ns=clock.now_ns, pause=clock.pause)
    return look.rate


@given(start=st.integers(0, 2**32 - 1), used=st.integers(0, 2**32 - 1))
def test_a_rate_goes_through_a_wrap(start: int, used: int) -> None:
    assert rate(2**32, start, (start + used) % 2**32) == pytest.approx(used * 1e-6 / 0.5)


def test_a_counter_that_fell_or_failed_has_no_rate() -> None:
    assert rate(0, 5, 3) is None
    assert rate(0, Missing("gone"), 3) is None
    assert rate(0, 5, Missing("gone")) is None


def test_each_sensor_is_shown_with_value_and_unit(stage: Stage, machine: FakeMachine) -> None:
    done = stage.call("sensors", "--seconds", "0.01", *stage.roots(machine))
    assert (done.code, done.err) == (0, "")
    assert "cpu:0" in done.out
    assert "dram:0" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    line = next(x for x in done.out.splitlines() if x.startswith("  energy"))
    assert "60" in line  # 60 W for one second is 60 J
    assert "RAPL" in line


def test_json_has_a_row_for_every_channel(stage: Stage, machine: FakeMachine) -> None:
    done = stage.call("sensors", "--seconds", "0.01", "--json", *stage.roots(machine))
    made = done.document
    assert made["schema"] == 1
    energies = {r["device"]: r for r in made["sensors"] if r["measures"] == "energy"}
    assert energies["cpu:0"]["value"] == pytest.approx(60, rel=1e-3)
    assert energies["dram:0"]["value"] == pytest.approx(6, rel=1e-3)
    assert energies["cpu:0"]["basis"] == "measured"
    assert energies["cpu:0"]["unit"] == "J"
    models = [r for r in made["sensors"] if r["measures"] == "rest_ratio"]
    assert all(r["basis"] in {"modelled", "assumed"} for r in models)


def test_a_refused_counter_is_an_error_that_names_what_opens_it(
    stage: Stage, tmp_path: Path
) -> None:
    from submeter.testing import constant

    made = FakeMachine(tmp_path / "shut")
    made.add_package(constant(60.0)).refuse()
    made.at(1.0)
    try:
        done = stage.call("sensors", "--seconds", "0.01", *stage.roots(made))
    finally:
        made.close()
    assert done.code == 3
    what, remedy = done.err.splitlines()
    assert what.startswith("error: ")
    assert "readable by root only" in what
    assert remedy.startswith("try:   ")
    assert "value" in done.out  # what can be read is read all the same


def test_e05_nothing_to_look_at_is_said(stage: Stage, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    args = ["--no-gpu", "--sys-root", str(empty), "--proc-root", str(empty)]
    done = stage.call("sensors", "--seconds", "0.01", *args)
    assert done.code in {0, 3}
    assert "Traceback" not in done.err
