# SPDX-License-Identifier: Apache-2.0
"""From a training and a machine to a predicted Run: how long, and what draws how much.

``time = operations / (peak x utilisation)``, never less than the memory traffic takes; ``device
energy = device-hours x power ratio x TDP``; the rest of the node, the fabric, the storage and the
overheads are named parts. Communication between accelerators has no term of its own: it is what
keeps the utilisation of real runs below that of one device, and stays in that prior.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from submeter.accounting.boundaries import FABRIC
from submeter.accounting.doubts import doubts
from submeter.accounting.published import ACCELERATORS, BOARD, PER_HOST
from submeter.circumstances.reckoning import reckon
from submeter.errors import UsageError
from submeter.estimating.overheads import (
    POWER_RATIOS,
    TRAIN,
    TRIALS,
    Overheads,
    fabric_ratio,
    overheads_of,
    storage_ratio,
)
from submeter.estimating.rates import Rates
from submeter.records.amounts import Amount, Term
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.figures import Basis, Quantity, Spread, total
from submeter.records.footprints import Doubt, Footprint
from submeter.records.runs import DeviceEnergy, Host, PhaseEnergy, Run
from submeter.units import S_PER_H
from submeter.workloads.workloads import Workload

HOST: Final = "predicted"
ALL: Final = "all"  # devices of a kind, told together
SHAPE: Final = "estimate/shape"
BANDWIDTH: Final = "estimate/bandwidth"
COMPUTE: Final = "compute"
MEMORY: Final = "memory"
AS_GIVEN: Final = "as given"
BANDWIDTH_RATIO: Final = 0.8  # of a memory's peak that streaming kernels reach
MOST_UTILISATION: Final = 1.0
_NOWHERE_S: Final = 1e10  # three centuries: nobody waits that long
_NOTHING_S: Final = 1e-12  # less than a tick of any clock: not one operation


class Product(NamedTuple):
    """A value and the deviation of its logarithm by source of doubt."""

    value: float
    log_sds: Mapping[str, float]

    def times(self, value: float, *factors: Factor) -> "Product":
        """Multiply by an exact *value* and uncertain *factors*."""
        sds = dict(self.log_sds)
        for factor in factors:
            value *= factor.value
            if factor.log_sd > 0:
                sds[factor.key] = sds.get(factor.key, 0.0) + factor.log_sd
        return Product(self.value * value, sds)

    @property
    def log_sd(self) -> float:
        """Deviation of the logarithm, all sources together."""
        return math.hypot(*self.log_sds.values())

    def amount(self, basis: Basis = Basis.MODELLED) -> Amount:
        """The same as an `Amount`."""
        return Amount((Term(self.value, basis, dict(self.log_sds)),))

    def quantity(self, basis: Basis, source: str) -> Quantity:
        """The same as a `Quantity`, whose spreads are deviations of the value."""
        spreads = tuple(
            Spread(key, self.value * math.sqrt(math.expm1(sd * sd)))
            for key, sd in self.log_sds.items()
        )
        return Quantity(self.value, spreads=spreads, basis={basis: self.value}, sources=(source,))


class Course(NamedTuple):
    """How a training goes: its time, what each part draws, how both split over its phases."""

    duration: Product  # [s]
    devices: Product  # [J], as are those that follow
    rest: Product
    fabric: Product
    storage: Product
    time_ratios: dict[str, float]  # by phase; they sum to 1, as those of energy do
    energy_ratios: dict[str, float]
    bound: str  # what the time hangs on: "compute", "memory" or "as given"

    @property
    def it(self) -> Product:
        """All of IT, its doubts to first order."""
        return plus((self.devices, self.rest, self.fabric, self.storage))


class Prediction(msgspec.Struct, frozen=True):
    """What a training will use: a predicted run, what it amounts to, what the interval hangs on.

    ``drivers`` are shares of the variance of the energy at the wall; ``taken`` are the factors
    that the prediction took, by name.
    """

    run: Run
    duration: Amount  # [s]
    footprint: Footprint
    drivers: tuple[Doubt, ...]
    taken: dict[str, Factor]
    bound: str
    notes: tuple[str, ...] = ()


def plus(parts: tuple[Product, ...]) -> Product:
    """Sum of *parts*, doubts weighted by what they are of: first order."""
    value = math.fsum(p.value for p in parts)
    if value <= 0:
        return Product(0.0, {})
    sds: dict[str, float] = {}
    for part in parts:
        for key, sd in part.log_sds.items():
            sds[key] = sds.get(key, 0.0) + sd * part.value / value
    return Product(value, sds)


def course(
    workload: Workload | None,
    rates: Rates,
    *,
    device_hours: float | None = None,
    overheads: Overheads | None = None,
) -> Course:
    """How long *workload* takes at these *rates*, and what draws how much meanwhile.

    Parameters
    ----------
    workload
        None if *device_hours* say all.
    device_hours
        Hours of all accelerators together, if they are known: no operations are needed then.
    overheads
        Priors by the number of accelerators where not given.

    Raises
    ------
    UsageError
        If the hours are less than the chips need at their peak, or the training never ends.

    Notes
    -----
    Utilisation and power of whole runs hold the overheads; they are split off then, and where
    somebody states one, the whole is as much longer as that exceeds the prior, which stands for
    what those runs spent. Those of steps do not hold them, and the overheads are added. Hours
    hold all but failed trials, which are always added: they are other runs.
    """
    overheads = overheads_of(rates.count) if overheads is None else overheads
    within = rates.whole_run or device_hours is not None
    duration, bound = _duration(workload, rates, device_hours)
    ratios = overheads.ratios()
    time = {TRAIN: 1.0} | {name: factor.value for name, factor in ratios.items()}
    energy = {TRAIN: 1.0} | {name: f.value * POWER_RATIOS[name] for name, f in ratios.items()}
    added = [n for n in ratios if not within or n == TRIALS]
    usual = _usual(ratios, rates) if within and device_hours is None else {}
    longer = _grown(time, added) * _grown(time, list(usual)) / _grown(usual, list(usual))
    usual_energy = {name: ratio * POWER_RATIOS[name] for name, ratio in usual.items()}
    more = _grown(energy, added) * _grown(energy, list(usual))
    more /= _grown(usual_energy, list(usual))
    devices = _followed(duration, rates).times(
        rates.count * more, rates.power_ratio, rates.tdp_w, *_doubts(ratios, energy, added)
    )
    duration = duration.times(longer, *_doubts(ratios, time, added))
    if not _NOTHING_S < duration.value < _NOWHERE_S:
        long = duration.value > 1
        raise UsageError(
            f"{duration.value:.3g} s is no time for a training",
            remedy="check the counts" + (", or take more accelerators" if long else ""),
        )
    return Course(
        duration,
        devices,
        rest=devices.times(1.0, rates.node_ratio),
        fabric=devices.times(1.0, fabric_ratio(rates.nodes)),
        storage=devices.times(1.0, storage_ratio(rates.nodes)),
        time_ratios=_shares(time),
        energy_ratios=_shares(energy),
        bound=bound,
    )


def predict(
    workload: Workload | None,
    rates: Rates,
    *,
    device_hours: float | None = None,
    overheads: Overheads | None = None,
    place: Mapping[str, str] | None = None,
    started_utc: str = "2026-01-01T00:00:00.000Z",
    run_id: str = "20260101-000000-0000",
    name: str = "",
    reckoned: Callable[[Run], Footprint] = reckon,
) -> Prediction:
    """Predict a run of *workload* at these *rates*.

    Parameters
    ----------
    workload, rates, device_hours, overheads
        See `course`.
    place
        Where and on whose account, in the words that a run records.
    started_utc, run_id, name
        When it would begin, and what it is called.
    reckoned
        What makes the footprint of a run.
    """
    made = course(workload, rates, device_hours=device_hours, overheads=overheads)
    taken = taken_of(
        workload, rates, overheads_of(rates.count) if overheads is None else overheads
    )
    run = Run(
        id=run_id,
        name=name or (workload.name if workload else f"{rates.count} {rates.name}"),
        origin="predicted",
        status="finished",
        started_utc=started_utc,
        duration_s=made.duration.value,
        hosts=(host_of(rates),),
        devices=_rows(made, rates),
        phases=_phases(made, rates),
        outside_phases=Quantity(0.0),
        work=dict(workload.work) if workload else {},
        place=dict(place or {}),
        parameters=_parameters(workload, rates, device_hours),
        notes=workload.notes if workload else (),
    )
    footprint = reckoned(run)
    wall = footprint.facility
    return Prediction(
        run=run,
        duration=made.duration.amount(),
        footprint=footprint,
        drivers=doubts(wall, zone=footprint.zone, factors=footprint.factors)
        if isinstance(wall, Amount)
        else (),
        taken=taken,
        bound=made.bound,
        notes=run.notes,
    )


def host_of(rates: Rates) -> Host:
    """Stand for all nodes: which accelerators they hold, as hardware that was told."""
    if rates.kind is not DeviceKind.GPU:
        return Host(HOST)
    told = {BOARD: rates.key, ACCELERATORS: str(rates.count), PER_HOST: str(rates.per_node)}
    return Host(HOST, told)


def taken_of(workload: Workload | None, rates: Rates, overheads: Overheads) -> dict[str, Factor]:
    """Every factor that a prediction takes, by its name in words."""
    found = {
        "model FLOP utilisation": rates.utilisation,
        "mean power over TDP": rates.power_ratio,
        "rest of node over devices": rates.node_ratio,
        "peak": rates.peak_flop_per_s,
        "TDP": rates.tdp_w,
        "fabric over devices": fabric_ratio(rates.nodes),
        "storage over devices": storage_ratio(rates.nodes),
        **overheads.ratios(),
    }
    if workload is not None and workload.spread_ratio > 1:
        found["operations, by an inferred shape"] = _shape(workload)
    return found


# --- inside -------------------------------------------------------------------------------------


def _duration(
    workload: Workload | None, rates: Rates, device_hours: float | None
) -> tuple[Product, str]:
    """Time of the steps [s], or of the whole where the hours are given; and what it hangs on."""
    if device_hours is not None:
        if not (math.isfinite(device_hours) and device_hours > 0):
            raise UsageError(
                f"{device_hours:g} device-hours are none", remedy="give the hours of all devices"
            )
        whole_s = device_hours * S_PER_H / rates.count
        _check_peak(workload, rates, device_hours)
        return Product(whole_s, {}), AS_GIVEN
    if workload is None:
        raise UsageError(
            "neither a model nor device-hours are given", remedy="--params 7B --tokens 2T"
        )
    rate = rates.peak_flop_per_s.value * rates.utilisation.value * rates.count
    compute_s = workload.operations.useful_flop / rate
    shape = (_shape(workload),) if workload.spread_ratio > 1 else ()
    doubtful = (rates.utilisation, rates.peak_flop_per_s)
    compute = Product(compute_s, {}).times(1.0, *shape, *map(_unit, doubtful))
    memory = rates.memory_bytes_per_s
    if memory is None or workload.operations.bytes_moved <= 0:
        return compute, COMPUTE
    streamed_s = workload.operations.bytes_moved / (memory.value * BANDWIDTH_RATIO * rates.count)
    if streamed_s <= compute_s:
        return compute, COMPUTE
    # What keeps runs below the peak keeps them below the memory's, too, and fused kernels move
    # less than is counted: it is in as much doubt as the utilisation, though not by it.
    reached = msgspec.structs.replace(_unit(rates.utilisation), key=f"{BANDWIDTH}/{rates.key}")
    doubts = (_unit(memory), reached, *shape)
    return Product(streamed_s, {}).times(1.0, *doubts), MEMORY


def _followed(duration: Product, rates: Rates) -> Product:
    """Time as the energy takes it: where power follows the utilisation, less in its doubt."""
    key = rates.utilisation.key
    if rates.with_utilisation_sd is None or key not in duration.log_sds:
        return duration
    return Product(duration.value, {**duration.log_sds, key: rates.with_utilisation_sd})


def _unit(factor: Factor) -> Factor:
    """Doubt of *factor* without its value, which is in already."""
    return factor.scaled(1 / factor.value)


def _shape(workload: Workload) -> Factor:
    ratio = workload.spread_ratio
    return Factor(
        f"{SHAPE}/{workload.kind}", 1.0, 1 / ratio, ratio, "ratio",
        source="shape inferred from the number of parameters",
    )  # fmt: skip


def _check_peak(workload: Workload | None, rates: Rates, device_hours: float) -> None:
    """Raise `UsageError` if the operations do not fit into the hours at the best of peaks."""
    if workload is None:
        return
    best = rates.peak_flop_per_s.high * device_hours * S_PER_H
    asked = workload.operations.useful_flop * (1 / workload.spread_ratio)
    if asked > MOST_UTILISATION * best:
        raise UsageError(
            f"{device_hours:g} device-hours of {rates.name} are too few: its peak would need "
            f"{asked / rates.peak_flop_per_s.high / S_PER_H:.3g}",
            remedy="check the hours, the counts and the precision",
        )


def _grown(weights: Mapping[str, float], added: list[str]) -> float:
    """By what the steps, or the whole run, grow with what is *added*."""
    return 1.0 + math.fsum(weights[name] for name in added)


def _usual(ratios: Mapping[str, Factor], rates: Rates) -> dict[str, float]:
    """Priors of the overheads that whole runs hold, if one of them is stated otherwise."""
    names = [name for name in ratios if name != TRIALS]
    if not any(ratios[name].verified == "declared" for name in names):
        return {}
    priors = overheads_of(rates.count).ratios()
    return {name: priors[name].value for name in names}


def _doubts(
    ratios: Mapping[str, Factor], weights: Mapping[str, float], added: list[str]
) -> list[Factor]:
    """Doubt that each overhead that is *added* gives to the whole, to first order."""
    whole = _grown(weights, added)
    found = []
    for name in added:
        sd = ratios[name].log_sd * weights[name] / whole
        if sd > 0:
            end = math.exp(NORMAL_95 * sd)
            found.append(Factor(ratios[name].key, 1.0, 1 / end, end, "ratio"))
    return found


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    whole = math.fsum(weights.values())
    return {name: weight / whole for name, weight in weights.items() if weight > 0}


def _rows(made: Course, rates: Rates) -> tuple[DeviceEnergy, ...]:
    """What each part draws, as rows of a run."""
    boards = Device(f"{rates.kind}:{ALL}", rates.kind, rates.name, HOST, peak_w=None)
    busy = {"accelerators": float(rates.count)}
    found = [
        _row(boards, made.devices, Basis.MODELLED, f"model: {rates.power_ratio.source}", busy),
        _row(
            Device(f"rest:{ALL}", DeviceKind.REST, "rest of the nodes", HOST),
            made.rest,
            _basis(rates.node_ratio),
            f"model: {rates.node_ratio.source}",
        ),
    ]
    for name, part in (("fabric", made.fabric), ("storage", made.storage)):
        device = Device(f"rest:{name}", DeviceKind.REST, name, FABRIC)
        if part.value > 0:
            found.append(_row(device, part, Basis.ASSUMED, f"model: {name} beside the devices"))
    return tuple(found)


def _row(
    device: Device, part: Product, basis: Basis, method: str, means: dict[str, float] | None = None
) -> DeviceEnergy:
    energy = part.quantity(basis, method.removeprefix("model: "))
    return DeviceEnergy(
        device, energy, energy, method=method, share_how="predicted", means=means or {}
    )


def _basis(factor: Factor) -> Basis:
    return Basis.ASSUMED if factor.verified == "assumed" else Basis.MODELLED


def _phases(made: Course, rates: Rates) -> tuple[PhaseEnergy, ...]:
    """Steps and overheads: what the nodes draw in each; they sum to the energy of the nodes."""
    node = total(
        (
            made.devices.quantity(Basis.MODELLED, "devices"),
            made.rest.quantity(_basis(rates.node_ratio), "rest of the nodes"),
        )
    )
    return tuple(
        PhaseEnergy(
            path=name,
            count=1,
            duration_s=made.duration.value * made.time_ratios[name],
            energy=node.scaled(ratio),
            devices={
                f"{rates.kind}:{ALL}": made.devices.value * ratio,
                f"rest:{ALL}": made.rest.value * ratio,
            },
        )
        for name, ratio in made.energy_ratios.items()
    )


def _parameters(
    workload: Workload | None, rates: Rates, device_hours: float | None
) -> dict[str, str]:
    """What was predicted from, in words: enough to predict it again."""
    said = {
        "hardware": f"{rates.key}:{rates.count}",
        "utilisation": f"{rates.utilisation.value:.4g}",
        "power_ratio": f"{rates.power_ratio.value:.4g}",
    }
    if workload is not None:
        said |= {
            "model": workload.name,
            "params": f"{workload.params:.6g}",
            "precision": workload.precision,
            "useful_flop": f"{workload.operations.useful_flop:.6g}",
        }
    if device_hours is not None:
        said["device_hours"] = f"{device_hours:.6g}"
    return said
