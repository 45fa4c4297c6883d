# SPDX-License-Identifier: Apache-2.0
"""Power of each class of operators on this machine: layers repeated alone, as a metered run.

Each layer is a phase of a run, so its energy comes by the same rules as that of any training, with
the same doubt. Import it late: it needs torch.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import torch

from submeter.errors import CoverageError
from submeter.interfaces.frameworks.repeating import Alone, Job, alone, job_of, scatter, usual_jobs
from submeter.interfaces.program import measure, phase
from submeter.records.devices import DeviceKind
from submeter.records.figures import Missing
from submeter.records.layers import (
    CLASSES,
    ClassPower,
    LayerCalibration,
    LayerSpec,
    OperatorClass,
    Repeated,
)
from submeter.records.runs import PhaseEnergy, Run

__all__ = ["EACH_S", "calibrate", "jobs_for"]

EACH_S: Final = 2.0  # busy time of each layer
MOST_JOBS: Final = 12
LEAST_SD_RATIO: Final = 0.02  # no two layers of a class tell its power better
RUN_NAME: Final = "layers-alone"


def jobs_for(
    specs: Iterable[tuple[LayerSpec, OperatorClass]], *, device: str = "cpu"
) -> list[Job]:
    """Jobs like the layers of *specs*, each shape once; the usual ones for classes they lack."""
    found: dict[tuple[object, ...], Job] = {}
    for spec, operators in specs:
        key = spec.kind, spec.shape, str(sorted(spec.arguments.items()))
        if key not in found and len(found) < MOST_JOBS:
            job = job_of(spec, operators, device=device)
            if job is not None:
                found[key] = job
    jobs = list(found.values())
    known = {job.operators for job in jobs}
    return jobs + [job for job in usual_jobs(device=device) if job.operators not in known]


def calibrate(
    jobs: Sequence[Job],
    *,
    device: str = "cpu",
    each_s: float = EACH_S,
    tell: Callable[[int, int, str], None] | None = None,
) -> LayerCalibration:
    """Repeat *jobs* as a metered run, and fit the power of their classes.

    Parameters
    ----------
    jobs
        What to repeat.
    device
        Where they are.
    each_s
        Busy time of each [s].
    tell
        Told the number done, of how many, and what comes next.

    Raises
    ------
    CoverageError
        If no sensor told the energy.
    """
    times: list[Alone] = []
    with measure(RUN_NAME, tags={"kind": "calibration"}) as measured:
        for number, job in enumerate(jobs):
            if tell is not None:
                tell(number, len(jobs), job.kind)
            with phase(path_of(number, job)):
                times.append(alone(job, least_s=each_s))
    run = measured.run
    if isinstance(run, Missing):
        raise CoverageError(
            f"the layers were repeated, but not metered: {run.why}",
            remedy="submeter doctor says what can be measured here",
        )
    return fitted(run, jobs, times, device=device)


def path_of(number: int, job: Job) -> str:
    """Phase in which *job* is repeated."""
    return f"{number} {job.kind}"


def fitted(
    run: Run, jobs: Sequence[Job], times: Sequence[Alone], *, device: str
) -> LayerCalibration:
    """Power of each class by the energies of the phases of *run*."""
    phases = {p.path: p for p in run.phases}
    accelerator = device.startswith("cuda")
    rows = []
    for number, (job, time_) in enumerate(zip(jobs, times, strict=True)):
        energy_j = phase_j(run, phases.get(path_of(number, job)), accelerator=accelerator)
        rows.append(
            Repeated(
                job.kind, job.shape, job.operators, time_.calls,
                time_.forward[1], time_.backward[1], time_.busy_s, energy_j,
            )
        )  # fmt: skip
    powers = [power for name in CLASSES if (power := class_power(name, rows)) is not None]
    if not powers:
        raise CoverageError(
            "no sensor told the energy of the layers", remedy="submeter doctor says what can"
        )
    kinds = [d for d in run.devices if (d.device.kind is DeviceKind.GPU) == accelerator]
    return LayerCalibration(
        machine=run.hosts[0].name if run.hosts else "",
        device=device,
        made_utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        clock="accelerator" if accelerator else "processor",
        threads=torch.get_num_threads(),
        version=str(torch.__version__),
        powers=tuple(powers),
        layers=tuple(rows),
        how="; ".join(dict.fromkeys(d.method for d in kinds if d.method)),
    )


def phase_j(run: Run, row: PhaseEnergy | None, *, accelerator: bool) -> float | None:
    """Energy of a phase on the devices that did its work [J]; None where nobody can tell."""
    if row is None or isinstance(row.energy, Missing) or row.joint_with:
        return None
    wanted = {DeviceKind.GPU} if accelerator else {DeviceKind.CPU, DeviceKind.DRAM}
    ids = {d.device.id for d in run.devices if d.device.kind in wanted}
    energy_j = math.fsum(joules for name, joules in row.devices.items() if name in ids)
    return energy_j if energy_j > 0 else None


def class_power(name: OperatorClass, rows: Iterable[Repeated]) -> ClassPower | None:
    """Mean power of the layers of a class per busy second; None if none was resolved."""
    own = [r for r in rows if r.operators == name and r.energy_j and r.busy_s > 0]
    if not own:
        return None
    busy_s = math.fsum(r.busy_s for r in own)
    energy_j = math.fsum(r.energy_j or 0.0 for r in own)
    sd_ratio = scatter([(r.energy_j or 0.0) / r.busy_s for r in own]) / math.sqrt(len(own))
    return ClassPower(
        name, energy_j / busy_s, max(LEAST_SD_RATIO, sd_ratio), len(own), "layers repeated alone"
    )
