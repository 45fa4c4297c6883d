# SPDX-License-Identifier: Apache-2.0
"""Runs to compare, built by hand."""

from typing import Any

import msgspec

from submeter.accounting.boundaries import footprint
from submeter.comparing.runs import Column
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.runs import DeviceEnergy, Host, MetricPoint, PhaseEnergy, Run, Series

PUE = Factor("pue-prior", 1.4, 1.1, 2.0, "ratio", source="a survey")


def metered(energy_j: float, key: str = "rapl-package", sd_ratio: float = 0.03) -> Quantity:
    return Quantity.of(
        energy_j,
        basis=Basis.MEASURED,
        terms=(ErrorTerm(key, sd_ratio),) if sd_ratio else (),
        source="energy counter",
    )


def part(
    kind: DeviceKind, energy: Quantity | Missing, *, host: str = "box", name: str = ""
) -> DeviceEnergy:
    device = Device(f"{kind}:0", kind, name or f"{kind} of {host}", host)
    return DeviceEnergy(device, energy, energy, method="energy counter")


def a_run(
    energy_j: float = 1000.0,
    *,
    host: str = "box",
    number: int = 0,
    sd_ratio: float = 0.03,
    **changes: Any,
) -> Run:
    """A run of one processor and the rest of its machine."""
    run = Run(
        id=f"20261123-1600{number:02}-{number:04x}",
        origin="measured",
        status="finished",
        exit_code=0,
        started_utc=f"2026-11-23T16:00:{number:02}Z",
        duration_s=60.0,
        name=f"run{number}",
        command=("python", "train.py", "--lr", "0.1"),
        tags={"data": "digits"},
        hosts=(Host(host, {"cpu_model": "a processor", "vcpus": "8"}),),
        devices=(
            part(DeviceKind.CPU, metered(0.8 * energy_j, sd_ratio=sd_ratio), host=host),
            part(DeviceKind.REST, metered(0.2 * energy_j, "rest-model", sd_ratio), host=host),
        ),
        phases=(
            PhaseEnergy("train", 1, 50.0, metered(0.9 * energy_j)),
            PhaseEnergy("train/forward", 9, 20.0, metered(0.05 * energy_j)),
        ),
        metrics={"accuracy": 0.9},
        work={"samples": 1000.0},
        interval_s=0.1,
    )
    return msgspec.structs.replace(run, **changes)


def learning(
    run: Run, values: list[float], *, metric: str = "accuracy", powers: list[float] | None = None
) -> Run:
    """*run* with a learning curve of equal steps in time, and its power over time."""
    step_s = run.duration_s / len(values)
    points = tuple(
        MetricPoint((i + 1) * step_s, {metric: value}, i) for i, value in enumerate(values)
    )
    series = None
    if powers is not None:
        series = Series(run.duration_s / len(powers), {"cpu:0": powers})
    return msgspec.structs.replace(
        run, metrics={metric: values[-1]}, metric_history=points, series=series
    )


def column(*runs: Run, label: str = "") -> Column:
    return Column(label or runs[0].name, runs, tuple(footprint(run, PUE) for run in runs))
