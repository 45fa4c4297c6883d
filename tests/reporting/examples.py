# SPDX-License-Identifier: Apache-2.0
"""Runs to write about, built by hand: the reporting tests need no meter."""

from submeter.accounting.boundaries import footprint
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Host, PhaseEnergy, Run

MODELLED = (ErrorTerm("cpu-model", 0.19),)
ASSUMED = (ErrorTerm("rest-model", 0.25),)


def prior() -> Factor:
    return Factor("pue-prior", 1.4, 1.1, 2.0, "ratio", source="a survey of facilities, 2024")


def modelled(energy_j: float) -> Quantity:
    return Quantity.of(energy_j, basis=Basis.MODELLED, terms=MODELLED, source="CPU model")


def assumed(energy_j: float) -> Quantity:
    return Quantity.of(energy_j, basis=Basis.ASSUMED, terms=ASSUMED, source="rest of node prior")


def measured(energy_j: float, key: str = "rapl-package") -> Quantity:
    return Quantity.of(
        energy_j,
        basis=Basis.MEASURED,
        terms=(ErrorTerm(key, 0.03),),
        bound_low=0.1,
        bound_high=0.1,
        source="energy counter",
    )


def device(
    ident: str, kind: DeviceKind, share: Quantity | Missing, *, name: str = ""
) -> DeviceEnergy:
    drawn = share if isinstance(share, Missing) else share.scaled(1.25)
    return DeviceEnergy(Device(ident, kind, name or ident, "box"), drawn, share, method="…")


def phase(path: str, energy: Quantity | Missing, **more: object) -> PhaseEnergy:
    return PhaseEnergy(path, 1, 1.0, energy, **more)  # type: ignore[arg-type]


def digits() -> Run:
    """The example of the tour: nothing measured."""
    return Run(
        id="20261123-160000-ab12",
        name="digits",
        origin="measured",
        status="finished",
        exit_code=0,
        started_utc="2026-11-23T16:00:00Z",
        duration_s=72.0,
        command=("python", "examples/digits.py"),
        hosts=(Host("box"),),
        devices=(
            device("cpu:0", DeviceKind.CPU, modelled(576)),
            device("dram:0", DeviceKind.DRAM, modelled(504)),
            device("rest:box", DeviceKind.REST, assumed(468)),
        ),
        phases=(
            phase("load", modelled(186)),
            phase(
                "augment", Quantity.of(0.05, basis=Basis.MODELLED, bound_low=0.1, bound_high=0.2)
            ),
            phase("train", modelled(1254)),
            phase("evaluate", modelled(77)),
        ),
        outside_phases=modelled(31),
        unattributed=modelled(120),
        metrics={"loss": 0.00152, "accuracy": 0.9778},
        work={"samples": 17970.0, "steps": 140.0},
    )


def eight_boards(*, lost: bool = False) -> Run:
    """Eight boards with counters in one machine, one of them lost before its first reading."""
    boards = [
        device(f"gpu:GPU-{i}", DeviceKind.GPU, measured(1.2e6 + 1e4 * i, f"gain:{i}"))
        for i in range(8)
    ]
    if lost:
        boards[7] = device("gpu:GPU-7", DeviceKind.GPU, Missing("lost before its first reading"))
    return Run(
        id="20261123-170000-cd34",
        name="llm",
        origin="measured",
        status="finished",
        started_utc="2026-11-23T17:00:00Z",
        duration_s=3600.0,
        hosts=(Host("box"),),
        devices=(
            *boards,
            device("cpu:0", DeviceKind.CPU, measured(3e5)),
            device("cpu:1", DeviceKind.CPU, measured(3e5)),
            device("rest:box", DeviceKind.REST, assumed(2e6)),
            device("node:psys", DeviceKind.NODE, measured(1.3e7)),
        ),
        phases=tuple(phase(f"step{i:02}", measured(1e4 * (i + 1))) for i in range(40)),
        outside_phases=measured(4e6),
        work={"tokens": 5e7},
    )


def nothing(status: str = "killed") -> Run:
    """Killed before anything was known."""
    return Run(
        id="20261123-180000-ef56",
        origin="measured",
        status=status,  # type: ignore[arg-type]
        started_utc="2026-11-23T18:00:00Z",
        duration_s=0.0,
    )


def amount(run: Run) -> Footprint:
    return footprint(run, prior())
