# SPDX-License-Identifier: Apache-2.0
"""What trainings use of their hardware when nothing of this one was measured.

Three log-linear models, fitted by ``benchmarks/fit_training.py`` on published and measured
trainings, with their coefficients in ``catalog/data/training_priors.csv``:

- *utilisation*: useful FLOP rate over the peak (MFU), over the whole run; of networks on images
  by a roofline, products at the peak and traffic at full bandwidth one after the other;
- *power ratio*: mean device power over TDP; a network on images that waits draws less;
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
from submeter.estimating.spreads import Spread, together
from submeter.records.factors import NORMAL_95, Factor
from submeter.workloads.workloads import Workload

TABLE: Final = "training_priors"
# Of the TDP: median of the devices whose power at rest is in gpu_measured.csv.
IDLE_RATIO: Final = 0.12
SMALL_PARAMS: Final = 1e9  # below, a transformer no longer fills its device
TINY_PARAMS: Final = 1e8  # below, a model no longer draws full power
USUAL_BATCH: Final = 256.0  # per device, where none is given, as descriptions assume
BALANCE: Final = (
    150.0  # FLOP per byte of a device between those seen; keeps the intercept readable
)
MOST_BALANCE: Final = 4.0  # times as much or as little: about the range that was seen
BYTES: Final = {"fp64": 8, "fp32": 4, "tf32": 4}  # of an activation; 2 in all others
LEAST_TINY: Final = -math.log(10.0)  # the smallest that was metered is about there
SQRT_3: Final = math.sqrt(3.0)  # of a reach to its deviation, where all in it is alike likely
LEAST_UTILISATION: Final = 1e-4
MOST_UTILISATION: Final = 0.95
MOST_POWER_RATIO: Final = 1.15  # boards exceed their limit by little, and shortly
NODE_DEVICES: Final = 8


class Traits(msgspec.Struct, frozen=True):
    """What the priors look at; zero means that it is not known.

    Attributes
    ----------
    kind
        ``transformer``, ``cnn``, ``recurrent``, ``other``; ``unknown`` if nothing is said of it.
    device_class
        ``datacentre``, ``card``, ``tpu``, ``cpu``.
    precision
        Whose peak counts.
    count
        Devices.
    active_params, moe
        Of the model; whether only a part of it meets each token.
    traffic_ratio
        Memory traffic at full bandwidth over products at the peak rate, both in seconds, of
        networks on images.
    balance
        Peak rate over memory bandwidth of the device [FLOP/byte].
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
    traffic_ratio: float = 0.0
    balance: float = 0.0
    moe: bool = False
    cap_ratio: float = 1.0
    steady: bool = False


def traits_of(
    workload: Workload, machine: Machine, *, cap_ratio: float = 1.0, steady: bool = False
) -> Traits:
    """Traits of a *workload* on a *machine*."""
    precision = machine.runs_in(workload.precision)
    operations = workload.operations
    return Traits(
        kind=workload.kind,
        device_class=machine.device_class,
        precision=precision,
        count=machine.count,
        active_params=workload.active_params,
        traffic_ratio=(
            traffic_ratio(
                machine, precision, operations.useful_flop, operations.bytes_moved,
                operations.elementwise_flop,
            )
            if workload.kind == "cnn"
            else 0.0
        ),
        balance=balance(machine, precision),
        moe=workload.active_params < 0.9 * workload.params,
        cap_ratio=cap_ratio,
        steady=steady,
    )  # fmt: skip


def balance(machine: Machine, precision: str) -> float:
    """Peak rate over memory bandwidth [FLOP/byte]."""
    return machine.peak_flop_per_s(precision).value / machine.memory_bandwidth.value


def traffic_ratio(
    machine: Machine, precision: str, useful_flop: float, moved_bytes: float, element_flop: float
) -> float:
    """Seconds of memory traffic over seconds of products, of a network on images.

    Norms, activation functions and sums are kernels of their own that read or write an
    activation per operation, about.
    """
    if not useful_flop:
        return 0.0
    touched = moved_bytes + element_flop * BYTES.get(machine.runs_in(precision), 2)
    return touched / useful_flop * balance(machine, precision)


def utilisation_features(traits: Traits) -> dict[str, float]:
    """What the logarithm of the utilisation is linear in, of all but networks on images."""
    sized = traits.kind == "transformer" and traits.active_params > 0
    ratio = traits.balance / BALANCE if traits.balance > 0 else 1.0
    return {
        "intercept": 1.0,
        "small": min(0.0, math.log(traits.active_params / SMALL_PARAMS)) if sized else 0.0,
        "devices": math.log(max(1.0, traits.count / NODE_DEVICES)),
        "moe": float(traits.moe),
        "tpu": float(traits.device_class == "tpu"),
        "balance": math.log(min(MOST_BALANCE, max(1 / MOST_BALANCE, ratio))),
        "steady": float(traits.steady),
    }


def power_features(traits: Traits, duty: float) -> dict[str, float]:
    """What log power ratio is linear in, where kernels run for *duty* of the time."""
    cnn = traits.kind == "cnn"
    return {
        "intercept": 1.0,
        "busy": math.log(IDLE_RATIO + (1 - IDLE_RATIO) * min(1.0, max(0.0, duty))) if cnn else 0.0,
        "cnn": float(cnn),
        "tiny": (
            max(LEAST_TINY, min(0.0, math.log(traits.active_params / TINY_PARAMS)))
            if traits.active_params > 0 and traits.kind == "transformer"
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


def utilisation_group(traits: Traits) -> str:
    """Whose residuals calibrate the interval of the utilisation."""
    if traits.kind == "cnn":
        return "cnn" if traits.traffic_ratio > 0 else "other"
    return "transformer" if traits.kind == "transformer" else "other"


def unlike(traits: Traits) -> bool:
    """Whether nothing tells how such a training loads its device: neither layers nor size."""
    sized = traits.kind == "transformer" and traits.active_params > 0
    return not sized and traits.kind != "cnn"


def power_group(traits: Traits) -> str:
    """Whose residuals calibrate the interval of the power ratio."""
    if traits.kind == "unknown":
        return "unknown"
    if traits.device_class == "tpu":  # rated by other rules
        return "tpu"
    if traits.kind == "cnn":
        return "loaded" if traits.traffic_ratio > 0 else "other"
    large = traits.kind == "transformer" and traits.active_params >= TINY_PARAMS
    return "loaded" if large else "other"


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
        value = min(max(self._utilisation(traits), LEAST_UTILISATION), MOST_UTILISATION)
        sd = self._by_group("utilisation", traits).normal_sd
        return self._factor("utilisation", traits, value, sd, 1.0)

    def _utilisation(self, traits: Traits) -> float:
        if traits.kind != "cnn":
            return math.exp(self._sum("utilisation", utilisation_features(traits)))
        limited = math.pow(traits.cap_ratio, self._of("images/cap").value)
        if not traits.traffic_ratio:
            return limited * math.exp(self._of("images/unknown").value)
        products, traffic = self._of("images/products").value, self._of("images/traffic").value
        return limited / (products + traffic * traits.traffic_ratio)

    def power_ratio(self, traits: Traits, *, utilisation: float | None = None) -> Factor:
        """Mean device power over TDP [ratio], at a *utilisation* that is known or the prior.

        How far a known utilisation falls short of the roofline says how long the device idles.
        Whether a transformer that falls short of the prior draws less was not metered: it may,
        by as much as a network on images does, or not at all.
        """
        value = self._power_ratio(traits, utilisation)
        sd = math.hypot(
            self._by_group("power", traits).normal_sd, self._idling(traits, utilisation) / SQRT_3
        )
        if utilisation is None and traits.kind == "cnn":  # nothing says how it fills its device
            sd = max(sd, self._spread("power", "-other").normal_sd)
        return self._factor("power", traits, value, sd, MOST_POWER_RATIO)

    def energy_ratio(self, traits: Traits) -> Factor:
        """Device energy over that of its useful operations at peak rate and TDP [ratio].

        Power ratio over utilisation, with an interval of the quotient: a network on images that
        leaves its device idle for a time also draws less.
        """
        value = self._power_ratio(traits, None) / self.utilisation(traits).value
        return self._factor("energy", traits, value, self._quotient(traits).normal_sd, math.inf)

    def node_ratio(self, traits: Traits) -> Factor:
        """Power of the whole node over that of its devices [ratio], at least one."""
        value = max(1.0, math.exp(self._sum("node", node_features(traits))))
        sd = self._spread("node", _tpu(traits)).normal_sd
        found = self._factor("node", traits, value, sd, math.inf)
        return msgspec.structs.replace(found, low=max(1.0, found.low))

    def node_log_sd(self, traits: Traits) -> float:
        """Deviation of the logarithm of a node's power as a whole.

        Less than of its devices' power and of the rest, each for itself: nodes were metered as
        a whole, and the two errors are one.
        """
        return self._whole(traits).normal_sd

    def described_node_log_sd(self, traits: Traits) -> float:
        """The same of a node's energy from a description alone."""
        return together(self._whole(traits), self._filled(traits)).normal_sd

    def _whole(self, traits: Traits) -> Spread:
        """Of the node's power; of work that no whole node was metered on, of both parts."""
        if traits.kind == "cnn" or power_group(traits) in ("loaded", "tpu"):
            return self._spread("node", f"-whole{_tpu(traits)}")
        return together(self._by_group("power", traits), self._spread("node", _tpu(traits)))

    def _quotient(self, traits: Traits) -> Spread:
        """Both doubts, which are independent: added first, and widened once."""
        return together(self._by_group("power", traits), self._filled(traits))

    def _filled(self, traits: Traits) -> Spread:
        """What the utilisation adds to the doubt of the energy."""
        if utilisation_group(traits) == "cnn" and traits.device_class != "cpu":
            return self._spread("images", "-energy")
        return self._by_group("utilisation", traits)

    def _idling(self, traits: Traits, utilisation: float | None) -> float:
        """By how much the logarithm of the power falls at most, images apart."""
        if utilisation is None or traits.kind == "cnn":
            return 0.0
        duty = min(1.0, utilisation / self._utilisation(traits))
        return -self._of("power/busy").value * math.log(IDLE_RATIO + (1 - IDLE_RATIO) * duty)

    def _power_ratio(self, traits: Traits, utilisation: float | None) -> float:
        duty = 1.0 if utilisation is None else utilisation / self._utilisation(traits)
        features = power_features(traits, duty)
        if traits.kind == "unknown":  # the mean of all, of those on whole machines too
            tpu = self._sum("power", {"tpu": features["tpu"]})
            logged = self._of("power/unknown").value + tpu
        elif unlike(traits):  # the mean of all trainings whose devices were metered
            logged = self._of("power/unlike").value + self._sum("power", {"tpu": features["tpu"]})
        else:
            logged = self._sum("power", features)
        most = MOST_POWER_RATIO if traits.cap_ratio >= 1 else traits.cap_ratio
        return min(math.exp(logged), most)

    def _sum(self, model: str, features: Mapping[str, float]) -> float:
        return sum(self._of(f"{model}/{name}").value * x for name, x in features.items() if x)

    def _by_group(self, model: str, traits: Traits) -> Spread:
        """Spread of the group that the *traits* belong to."""
        groups = {"utilisation": utilisation_group, "power": power_group}
        found = self._spread(model, f"-{groups[model](traits)}")
        if model == "power" and traits.kind == "unknown" and traits.device_class == "tpu":
            found = max(found, self._spread(model, "-tpu"), key=lambda one: one.normal_sd)
        if traits.device_class == "cpu":  # none is in the data: twice as wide as the widest
            widest = max(found.normal_sd, self._spread(model, "-other").normal_sd)
            found = Spread(2 * widest)
        return found

    def _spread(self, model: str, group: str) -> Spread:
        df = self._table.get(f"{model}/df{group}")
        return Spread(self._of(f"{model}/log-sd{group}").value, df.value if df else math.inf)

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


def _tpu(traits: Traits) -> str:
    return "-tpu" if traits.device_class == "tpu" else ""


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
