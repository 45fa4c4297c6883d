# SPDX-License-Identifier: Apache-2.0
"""What trainings use of their hardware when nothing of this one was measured.

Three log-linear models, fitted by ``benchmarks/fit_training.py`` on published and measured
trainings, with their coefficients in ``catalog/data/training_priors.csv``:

- *utilisation*: useful FLOP rate over the peak (MFU), over the whole run;
- *power ratio*: mean device power over TDP, which rises with the utilisation;
- *node ratio*: power of the whole node over that of its devices.

Low utilisation comes with low power, so the two errors cancel in part: ``energy_ratio`` is their
quotient with an interval of its own, and the one to use for energy. Each interval is calibrated
on residuals of trainings whose laboratory or whose hardware the fit had not seen.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from submeter.catalog.tables import rows
from submeter.errors import CoverageError
from submeter.estimating.machines import Machine
from submeter.records.factors import NORMAL_95, Factor
from submeter.workloads.workloads import Workload

TABLE: Final = "training_priors"
# Centre that keeps the intercept readable: it changes no prediction.
BUSY_CENTRE: Final = 0.35
SMALL_PARAMS: Final = 1e9  # below, a transformer no longer fills its device
TINY_PARAMS: Final = 1e8  # below, a model no longer draws full power
USUAL_BATCH: Final = 256.0  # per device, where none is given, as descriptions assume
LEAST_UTILISATION: Final = 1e-4
MOST_UTILISATION: Final = 0.95
MOST_POWER_RATIO: Final = 1.15  # boards exceed their limit by little, and shortly
NODE_DEVICES: Final = 8


class Traits(msgspec.Struct, frozen=True):
    """What the priors look at; zero means that it is not known.

    Attributes
    ----------
    kind
        ``transformer``, ``cnn``, ``recurrent``, ``other``.
    device_class
        ``datacentre``, ``card``, ``tpu``, ``cpu``.
    precision
        Whose peak counts.
    count
        Devices.
    active_params, moe
        Of the model; whether only a part of it meets each token.
    step_s
        What one step would take at the peak rate, of networks on images [s].
    cap_ratio
        Power limit over TDP.
    steady
        Whether steps alone are meant, without the starts, checkpoints and failures of a run.
    """

    kind: str
    device_class: str
    precision: str
    count: int = 1
    active_params: float = 0.0
    step_s: float = 0.0
    moe: bool = False
    cap_ratio: float = 1.0
    steady: bool = False


def traits_of(
    workload: Workload, machine: Machine, *, cap_ratio: float = 1.0, steady: bool = False
) -> Traits:
    """Traits of a *workload* on a *machine*."""
    precision = machine.runs_in(workload.precision)
    peak = machine.peak_flop_per_s(workload.precision).value
    images = next((n for unit, n in workload.work.items() if unit != "tokens"), 0.0)
    assumed = any("a step assumed" in note for note in workload.notes)
    given = 0.0 if assumed else workload.details.get("batch_samples", 0.0)
    batch = given / machine.count or USUAL_BATCH
    step_flop = workload.operations.useful_flop / images * max(1.0, batch) if images else 0.0
    return Traits(
        kind=workload.kind,
        device_class=machine.device_class,
        precision=precision,
        count=machine.count,
        active_params=workload.active_params,
        step_s=step_flop / peak,
        moe=workload.active_params < 0.9 * workload.params,
        cap_ratio=cap_ratio,
        steady=steady,
    )


def utilisation_features(traits: Traits, knee_s: float) -> dict[str, float]:
    """What log utilisation is linear in; steps shorter than *knee_s* do not fill the device."""
    transformer, cnn = traits.kind == "transformer", traits.kind == "cnn"
    sized = transformer and traits.active_params > 0
    return {
        "intercept": 1.0,
        "small": min(0.0, math.log10(traits.active_params / SMALL_PARAMS)) if sized else 0.0,
        "short": -math.log1p(knee_s / traits.step_s) if cnn and traits.step_s > 0 else 0.0,
        "devices": math.log10(max(1.0, traits.count / NODE_DEVICES)),
        "moe": float(traits.moe),
        "tpu": float(traits.device_class == "tpu"),
        "cap": math.log(traits.cap_ratio),
        "steady": float(traits.steady),
    }


def power_features(traits: Traits, utilisation: float) -> dict[str, float]:
    """What log power ratio is linear in, at this *utilisation*."""
    busy = min(max(utilisation, LEAST_UTILISATION), 1.0)
    return {
        "intercept": 1.0,
        "busy": math.log(busy / BUSY_CENTRE),
        "cnn": float(traits.kind == "cnn"),
        "tiny": (
            min(0.0, math.log10(traits.active_params / TINY_PARAMS))
            if traits.active_params > 0
            else 0.0
        ),
        "tpu": float(traits.device_class == "tpu"),
    }


def node_features(traits: Traits) -> dict[str, float]:
    """What log node ratio is linear in."""
    return {
        "intercept": 1.0,
        "tpu": float(traits.device_class == "tpu"),
    }


class Priors:
    """The three models with one set of coefficients.

    Parameters
    ----------
    table
        Factors by key: ``utilisation/intercept``, ``power/busy``, ``node/log-sd``, ….
    """

    def __init__(self, table: Mapping[str, Factor]) -> None:
        self._table = table

    def utilisation(self, traits: Traits) -> Factor:
        """Useful FLOP rate over the peak, over the whole run [ratio]."""
        knee_s = self._of("utilisation/knee-s").value
        logged = self._sum("utilisation", utilisation_features(traits, knee_s))
        value = min(max(math.exp(logged), LEAST_UTILISATION), MOST_UTILISATION)
        return self._factor("utilisation", traits, value, self._sd("utilisation", traits), 1.0)

    def power_ratio(self, traits: Traits, *, utilisation: float | None = None) -> Factor:
        """Mean device power over TDP [ratio], at a *utilisation* that is known or the prior."""
        at = self.utilisation(traits).value if utilisation is None else utilisation
        value = self._power_ratio(traits, at)
        sd = self._sd("power", traits)
        if utilisation is None:
            sd = math.hypot(sd, self._elasticity * self._sd("utilisation", traits))
        return self._factor("power", traits, value, sd, MOST_POWER_RATIO)

    def energy_ratio(self, traits: Traits) -> Factor:
        """Device energy over that of its useful operations at peak rate and TDP [ratio].

        Power ratio over utilisation. A doubt of the utilisation counts by 1 - e, where e is how
        much power follows it.
        """
        at = self.utilisation(traits).value
        value = self._power_ratio(traits, at) / at
        sd = math.hypot(
            self._sd("power", traits), (1 - self._elasticity) * self._sd("utilisation", traits)
        )
        return self._factor("energy", traits, value, sd, math.inf)

    def node_ratio(self, traits: Traits) -> Factor:
        """Power of the whole node over that of its devices [ratio], at least one."""
        value = max(1.0, math.exp(self._sum("node", node_features(traits))))
        tpu = "-tpu" if traits.device_class == "tpu" else ""
        sd = self._of(f"node/log-sd{tpu}").value
        found = self._factor("node", traits, value, sd, math.inf)
        return msgspec.structs.replace(found, low=max(1.0, found.low))

    @property
    def _elasticity(self) -> float:
        return min(1.0, max(0.0, self._of("power/busy").value))

    def _power_ratio(self, traits: Traits, utilisation: float) -> float:
        logged = self._sum("power", power_features(traits, utilisation))
        return min(math.exp(logged), MOST_POWER_RATIO, traits.cap_ratio * MOST_POWER_RATIO)

    def _sum(self, model: str, features: Mapping[str, float]) -> float:
        return sum(self._of(f"{model}/{name}").value * x for name, x in features.items() if x)

    def _sd(self, model: str, traits: Traits) -> float:
        """Log standard deviation by kind; by none where the kind was not in the data."""
        group = traits.kind if traits.kind in ("transformer", "cnn") else "other"
        if model == "power" and traits.device_class == "tpu":  # rated by other rules
            group = "tpu"
        sd = self._of(f"{model}/log-sd-{group}").value
        if traits.kind == "cnn" and not traits.step_s and model == "utilisation":
            sd = self._of(f"{model}/log-sd-other").value
        if traits.device_class == "cpu":  # none is in the data: twice as wide as the widest
            sd = 2 * max(sd, self._of(f"{model}/log-sd-other").value)
        return sd

    def _of(self, key: str) -> Factor:
        found = self._table.get(key)
        if found is None:
            raise CoverageError(
                f"the catalog has no row {key!r} in {TABLE}.csv",
                remedy="reinstall submeter: its data do not fit its code",
            )
        return found

    def _factor(self, model: str, traits: Traits, value: float, sd: float, most: float) -> Factor:
        """Factor of a *model* whose 95 % interval is log-normal; at *most* so much."""
        origin = self._of(f"{'power' if model == 'energy' else model}/intercept")
        notes = ["a prior: the training itself was not measured"]
        if traits.kind not in ("transformer", "cnn"):
            notes.append("few trainings of this kind are in the data")
        if traits.device_class == "cpu":
            notes.append("no training on processors is in the data")
        return Factor(
            key=f"{TABLE}/{model}/{traits.kind}/{traits.device_class}",
            value=value,
            low=value * math.exp(-NORMAL_95 * sd),
            high=max(value, min(most, value * math.exp(NORMAL_95 * sd))),
            unit="ratio",
            source=origin.source,
            year=origin.year,
            licence=origin.licence,
            verified="assumed",
            note="; ".join(notes),
        )


@cache
def shipped() -> Priors:
    """The priors of the catalog."""
    found = (msgspec.convert(row, Factor, strict=False) for row in rows(TABLE))
    return Priors({row.key: row for row in found})


def utilisation(workload: Workload, machine: Machine) -> Factor:
    """Useful FLOP rate over the peak of the precision, over the whole run (MFU) [ratio]."""
    return shipped().utilisation(traits_of(workload, machine))


def power_ratio(
    workload: Workload, machine: Machine, *, utilisation: float | None = None
) -> Factor:
    """Mean device power over TDP [ratio]; narrower where the *utilisation* is known."""
    return shipped().power_ratio(traits_of(workload, machine), utilisation=utilisation)


def energy_ratio(workload: Workload, machine: Machine) -> Factor:
    """Device energy over useful FLOP / peak × TDP [ratio].

    The quotient of `power_ratio` and `utilisation` with the interval of the quotient: narrower
    than that of two independent factors, for the two are off together.
    """
    return shipped().energy_ratio(traits_of(workload, machine))


def node_ratio(machine: Machine) -> Factor:
    """Power of the node over that of its devices [ratio]."""
    return shipped().node_ratio(
        Traits(kind="transformer", device_class=machine.device_class, precision="fp32")
    )
