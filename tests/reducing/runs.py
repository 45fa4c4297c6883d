# SPDX-License-Identifier: Apache-2.0
"""Runs with a known energy, for both sides of a proof."""

from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Figure, Quantity
from submeter.records.runs import DeviceEnergy, Run
from submeter.reducing.verdicts import Measured


def run_of(
    number: int,
    energy_j: float,
    *,
    duration_s: float = 10.0,
    work: dict[str, float] | None = None,
    metrics: dict[str, float] | None = None,
    temperature_c: float | None = None,
    basis: Basis = Basis.MEASURED,
    device: str = "gpu:0",
) -> Run:
    share = Quantity.of(energy_j, basis=basis)
    means = {} if temperature_c is None else {"temperature_c": temperature_c}
    row = DeviceEnergy(
        Device(device, DeviceKind.GPU, "a board", "host"), share, share, means=means
    )
    return Run(
        f"20261123-1200{number // 60:02}-{number % 60:04}",
        "measured",
        "finished",
        "2026-11-23T12:00:00Z",
        duration_s,
        name="train",
        work={} if work is None else work,
        metrics={} if metrics is None else metrics,
        devices=(row,),
    )


def measured_of(number: int, energy_j: float, **given: object) -> Measured:
    run = run_of(number, energy_j, **given)  # type: ignore[arg-type]
    figure = Figure(
        energy_j, 0.9 * energy_j, 1.1 * energy_j, "J", source="meter",
        basis_shares={Basis.MEASURED: 1.0},
    )  # fmt: skip
    return Measured(run, figure, run.metrics)
