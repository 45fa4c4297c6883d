# SPDX-License-Identifier: Apache-2.0
"""Predictions against published trainings: errors and coverage, by hardware and by scope.

Pure: rows in, report out. Reading the file is the caller's.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from submeter.estimating.machines import Machine
from submeter.estimating.priors import Priors, shipped
from submeter.estimating.published_rows import Published, read
from submeter.records.factors import NORMAL_95, Factor
from submeter.units import J_PER_KWH

Given = Literal["description", "device-hours"]
Quantity = Literal[
    "device-hours", "device energy", "node energy", "facility energy", "carbon"
]  # fmt: skip
LEVEL: Final = 0.9
NORMAL_90: Final = 1.644854
BOOTSTRAPS: Final = 2000
TEST_LEVEL: Final = 0.05
# Unknown overhead of a building: Uptime Institute 2024, average 1.56, as in factors.csv.
PUE_LOG_SD: Final = math.log(2.5 / 1.56) / NORMAL_95
PUE: Final = 1.56


class Scored(msgspec.Struct, frozen=True):
    """One prediction beside what was published; the interval is meant to hold 90 %.

    Attributes
    ----------
    id, hardware, cluster
        Of the row; runs of one laboratory or publication are one cluster.
    quantity, given, unit
        What is predicted, from what, in h, kWh or kg.
    predicted, low, high, published
        In ``unit``.
    """

    id: str
    hardware: str
    cluster: str
    quantity: Quantity
    given: Given
    unit: str
    predicted: float
    low: float
    high: float
    published: float

    @property
    def error_ratio(self) -> float:
        """Predicted over published, less one."""
        return self.predicted / self.published - 1

    @property
    def covered(self) -> bool:
        """Whether the published figure is in the interval."""
        return self.low <= self.published <= self.high

    @property
    def width_ratio(self) -> float:
        """High over low."""
        return self.high / self.low


class Summary(msgspec.Struct, frozen=True):
    """Errors and coverage of a group of predictions.

    ``passes`` says whether a two-sided exact binomial test at 5 % leaves the nominal 90 %
    standing; ``coverage_low`` and ``coverage_high`` are a 95 % interval by resampling clusters.
    """

    group: str
    quantity: Quantity
    given: Given
    count: int
    clusters: int
    median_error_ratio: float
    coverage_ratio: float
    coverage_low: float
    coverage_high: float
    p_value: float
    passes: bool
    median_width_ratio: float


class Excluded(msgspec.Struct, frozen=True):
    """A row that cannot be scored for a *quantity*, and why."""

    id: str
    quantity: str
    given: Given
    reason: str


class Report(msgspec.Struct, frozen=True):
    """All predictions, what was left out, and summaries in all and by hardware."""

    level: float
    scored: tuple[Scored, ...]
    excluded: tuple[Excluded, ...]
    overall: tuple[Summary, ...]
    by_hardware: tuple[Summary, ...]


def validate(
    rows: Iterable[Mapping[str, str]],
    *,
    priors: Callable[[Mapping[str, str]], Priors] | None = None,
    cluster: Callable[[Mapping[str, str]], str] | None = None,
) -> Report:
    """Score the priors on published *rows*.

    Parameters
    ----------
    rows
        In the schema of a table of published trainings (see `published_rows.read`).
    priors
        The priors to use for a row, such as some that were fitted without it; the shipped ones
        if left out.
    cluster
        The cluster of a row; by its column ``lab``, else by its source, if left out.

    Returns
    -------
    Report
        Each row gives a prediction from its description alone and one from its device-hours,
        as far as its columns go.
    """
    choose = priors or (lambda _: shipped())
    group = cluster or cluster_of
    scored: list[Scored] = []
    excluded: list[Excluded] = []
    seen: dict[str, str] = {}
    for row in rows:
        published = read(row)
        same = row.get("dup_group") or ""
        if same and same in seen and seen[same] != published.key:
            excluded += _both(published.key, "energy", f"the same run as {seen[same]}")
            continue
        made, left = _possible(*_score(published, choose(row), group(row)))
        if same and any("energy" in one.quantity for one in made):
            seen[same] = published.key
        scored += made
        excluded += left
    return Report(LEVEL, tuple(scored), tuple(excluded), _overall(scored), _by_hardware(scored))


def cluster_of(row: Mapping[str, str]) -> str:
    """Laboratory or, without one, the publication a row is from."""
    return row.get("lab") or (row.get("source") or "").split(",")[0].split("(")[0].strip()


def _both(key: str, quantity: str, reason: str) -> list[Excluded]:
    return [
        Excluded(key, quantity, "description", reason),
        Excluded(key, quantity, "device-hours", reason),
    ]


def _score(
    published: Published, priors: Priors, cluster: str
) -> tuple[list[Scored], list[Excluded]]:
    machine = published.machine
    if machine is None:
        return [], _both(published.key, "energy", published.why_not)
    scored: list[Scored] = []
    excluded: list[Excluded] = []
    if published.flop and published.device_hours:
        scored.append(_hours(published, priors, cluster))
    elif published.device_hours:
        excluded.append(
            Excluded(published.key, "device-hours", "description", published.why_no_flop)
        )
    for given in ("description", "device-hours"):
        lacking = published.flop if given == "description" else published.device_hours
        reason = published.why_no_flop if given == "description" else "no device-hours are given"
        if not published.measured:
            excluded.append(Excluded(published.key, "energy", given, published.why_not))
        elif not lacking:
            excluded.append(Excluded(published.key, "energy", given, reason))
        else:
            scored += _energy(published, priors, cluster, given)
    return scored, excluded


def _possible(
    made: list[Scored], left: list[Excluded]
) -> tuple[list[Scored], list[Excluded]]:  # fmt: skip
    """Leave out what has no number: figures so large or small that one overflows."""
    fit = [
        one for one in made
        if one.low > 0 and one.published > 0
        and math.isfinite(one.high) and math.isfinite(one.error_ratio)
    ]  # fmt: skip
    odd = [one for one in made if one not in fit]
    return fit, [
        *left, *(Excluded(o.id, o.quantity, o.given, "the figures are beyond reason") for o in odd)
    ]  # fmt: skip


def _one(
    published: Published, cluster: str, quantity: Quantity, given: Given, unit: str,
    value: float, sd: float, known: float,
) -> Scored:  # fmt: skip
    reach = math.exp(NORMAL_90 * sd)
    return Scored(
        published.key, published.hardware, cluster, quantity, given, unit,
        value, value / reach, value * reach, known,
    )  # fmt: skip


def _hours(published: Published, priors: Priors, cluster: str) -> Scored:
    machine = published.machine
    assert machine is not None  # noqa: S101  # _score has looked
    peak = machine.peak_flop_per_s(published.traits.precision)
    mfu = priors.utilisation(published.traits)
    value = published.flop / (peak.value * mfu.value) / 3600
    sd = math.hypot(_sd(mfu), _doubt(machine, peak))
    return _one(
        published, cluster, "device-hours", "description", "h", value, sd, published.device_hours
    )


def _sd(factor: Factor) -> float:
    """Log standard deviation by the lower side, which no physical limit cuts off."""
    return math.log(factor.value / factor.low) / NORMAL_95


def _energy(
    published: Published, priors: Priors, cluster: str, given: Given
) -> list[Scored]:  # fmt: skip
    joules, sd = _device_energy(published, priors, given)
    if published.scope != "device":
        node = priors.node_ratio(published.traits).value
        if published.in_parts:  # anywhere between the devices alone and the whole node
            joules, sd = joules * math.sqrt(node), math.hypot(sd, math.log(node) / math.sqrt(12))
        else:
            joules *= node
    if published.scope == "facility" and not published.pue_given:
        joules, sd = joules * PUE, math.hypot(sd, PUE_LOG_SD)
    else:
        joules *= published.pue
    quantity: Quantity = (
        "device energy" if published.scope == "device"
        else "node energy" if published.scope == "node" else "facility energy"
    )  # fmt: skip
    kwh = joules / J_PER_KWH
    known = published.energy_j / J_PER_KWH
    found = [_one(published, cluster, quantity, given, "kWh", kwh, sd, known)]
    if published.carbon_g and published.intensity_g_per_kwh:
        kg = kwh * published.intensity_g_per_kwh / 1000
        found.append(
            _one(published, cluster, "carbon", given, "kg", kg, sd, published.carbon_g / 1000)
        )
    return found


def _device_energy(published: Published, priors: Priors, given: Given) -> tuple[float, float]:
    """Energy of the devices alone [J] and the standard deviation of its logarithm.

    Where the row's figure holds the node, the deviation is that of the node as a whole.
    """
    machine, traits = published.machine, published.traits
    assert machine is not None  # noqa: S101  # _score has looked
    peak = machine.peak_flop_per_s(traits.precision)
    tdp, whole = machine.tdp_w, published.scope != "device"
    doubt = _doubt(machine, tdp)
    if given == "description":
        ratio = priors.energy_ratio(traits)
        joules = published.flop / peak.value * tdp.value * ratio.value
        sd = priors.described_node_log_sd(traits) if whole else _sd(ratio)
        return joules, math.hypot(sd, doubt, _doubt(machine, peak))
    seconds = published.device_hours * 3600
    busy = published.flop / (seconds * peak.value) if published.flop else None
    ratio = priors.power_ratio(traits, utilisation=busy)
    sd = priors.node_log_sd(traits) if whole else _sd(ratio)
    return seconds * tdp.value * ratio.value, math.hypot(sd, doubt)


def _doubt(machine: Machine, fact: Factor) -> float:
    """Doubt of a data sheet's figure: of a known device it is within the priors' residuals."""
    return 0.0 if machine.known else fact.log_sd


# --- summaries ---------------------------------------------------------------------------------


def _overall(scored: Sequence[Scored]) -> tuple[Summary, ...]:
    kinds = dict.fromkeys((one.quantity, one.given) for one in scored)
    return tuple(
        summary("all", [one for one in scored if (one.quantity, one.given) == kind])
        for kind in sorted(kinds)
    )


def _by_hardware(scored: Sequence[Scored]) -> tuple[Summary, ...]:
    kinds = dict.fromkeys((one.hardware, one.quantity, one.given) for one in scored)
    return tuple(
        summary(
            kind[0], [o for o in scored if (o.hardware, o.quantity, o.given) == kind]
        )
        for kind in sorted(kinds)
    )  # fmt: skip


def summary(group: str, scored: Sequence[Scored]) -> Summary:
    """Errors and coverage of *scored*, which are of one quantity and one given."""
    hits = sum(one.covered for one in scored)
    low, high = _bootstrap(scored)
    p_value = binomial_p(hits, len(scored), LEVEL)
    return Summary(
        group=group,
        quantity=scored[0].quantity,
        given=scored[0].given,
        count=len(scored),
        clusters=len({one.cluster for one in scored}),
        median_error_ratio=statistics.median(abs(one.error_ratio) for one in scored),
        coverage_ratio=hits / len(scored),
        coverage_low=low,
        coverage_high=high,
        p_value=p_value,
        passes=p_value >= TEST_LEVEL,
        median_width_ratio=statistics.median(one.width_ratio for one in scored),
    )


def binomial_p(hits: int, count: int, level: float) -> float:
    """Two-sided exact p-value: all outcomes no likelier than *hits* of *count* at *level*."""
    likelihoods = [
        math.comb(count, k) * level**k * (1 - level) ** (count - k) for k in range(count + 1)
    ]
    observed = likelihoods[hits] * (1 + 1e-9)
    return min(1.0, sum(one for one in likelihoods if one <= observed))


def _bootstrap(scored: Sequence[Scored]) -> tuple[float, float]:
    """95 % interval of the coverage, resampling whole clusters; the seed is fixed."""
    clusters: dict[str, list[bool]] = {}
    for one in scored:
        clusters.setdefault(one.cluster, []).append(one.covered)
    lists = list(clusters.values())
    draw = random.Random(1)  # noqa: S311  # resampling, not secrets
    found = []
    for _ in range(BOOTSTRAPS):
        taken = [hit for group in draw.choices(lists, k=len(lists)) for hit in group]
        found.append(sum(taken) / len(taken))
    found.sort()
    return found[round(0.025 * (BOOTSTRAPS - 1))], found[round(0.975 * (BOOTSTRAPS - 1))]
