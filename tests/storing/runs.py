# SPDX-License-Identifier: Apache-2.0
"""Runs to store."""

from collections.abc import Callable
from typing import Any

import msgspec

from submeter.records import Basis, Device, DeviceKind, ErrorTerm, Missing, Quantity, Run
from submeter.records.runs import DeviceEnergy, MetricPoint, PhaseEnergy

MakeRun = Callable[..., Run]


def make_run(number: int = 0, **changes: Any) -> Run:
    """Run number *number*, started so many seconds into a day, with four devices."""

    def device(kind: DeviceKind, energy: Quantity | Missing) -> DeviceEnergy:
        name = f"{kind}:0"
        return DeviceEnergy(Device(name, kind, name, "here"), drawn=energy, share=energy)

    def measured(energy_j: float) -> Quantity:
        terms = [ErrorTerm("rapl-package", 0.03)]
        return Quantity.of(energy_j, basis=Basis.MEASURED, terms=terms, source="counter")

    at = f"{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
    run = Run(
        id=f"20261123-{at.replace(':', '')}-{number % 65536:04x}",
        origin="measured",
        status="finished",
        started_utc=f"2026-11-23T{at}Z",
        duration_s=12.5,
        name="digits",
        exit_code=0,
        command=("python", "train.py"),
        user="ada",
        project="demo",
        tags={"lr": "0.1"},
        devices=(
            device(DeviceKind.CPU, measured(100.0 + number)),
            device(DeviceKind.DRAM, measured(20.0)),
            device(DeviceKind.REST, Quantity.of(30.0, basis=Basis.ASSUMED)),
            device(DeviceKind.NODE, measured(500.0)),
        ),
        phases=(PhaseEnergy("train", 3, 10.0, measured(90.0)),),
        metrics={"accuracy": 0.97},
        metric_history=(MetricPoint(1.0, {"loss": 0.5}, 1),),
    )
    return msgspec.structs.replace(run, **changes)
