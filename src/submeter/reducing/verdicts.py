# SPDX-License-Identifier: Apache-2.0
"""When a saving counts as shown.

Shown is: the whole interval lies on the side of less energy, the quality asked for was kept, and
what is compared are finished runs on one machine. Anything else is not shown, and says why.

Which option of measurement and verification applies (IPMVP Core Concepts 2022, chapter 6): all
parameters of the device metered is B, some of them stipulated (a modelled processor, an assumed
rest of the node) is A, a meter of the whole node is C; a predicted run on either side is D.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from submeter.records.devices import DeviceKind
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.proofs import Proof, Quality, Side
from submeter.records.runs import Run
from submeter.reducing import evidence, student
from submeter.reducing.evidence import Evidence, Mode

SAME_WORK_RATIO: Final = 0.005  # work that differs by more is compared per unit of it
ONE_SIGMA: Final = 0.68
MOST_UNCERTAIN: Final = 0.5  # share of a saving at ONE_SIGMA; ASHRAE Guideline 14-2014, 4.2.11
WORK_ORDER: Final = ("samples", "tokens", "steps", "epochs")
EnergyOf = Callable[[Run], Figure | Missing]

OPTIONS: Final = {
    "A": "A: parts of the energy are modelled or assumed, the rest is metered",
    "B": "B: all of the devices' energy is metered",
    "C": "C: the energy of the whole node is metered",
    "D": "D: a simulated run stands on one side",
}


class Measured(msgspec.Struct, frozen=True):
    """A run on one side, and what is compared of it."""

    run: Run
    energy: Figure  # at the facility boundary [J]
    metrics: dict[str, float] = {}


def amounts(a: Sequence[Measured], b: Sequence[Measured]) -> tuple[list[float], list[float], str]:
    """Energies to compare [J, or J per unit], and by what: by the run if both did equal work."""
    unit = common_work(a, b)
    if unit is not None and _differs(a, b, unit):
        return (
            [m.energy.value / m.run.work[unit] for m in a],
            [m.energy.value / m.run.work[unit] for m in b],
            unit.removesuffix("s"),
        )
    return [m.energy.value for m in a], [m.energy.value for m in b], "run"


def common_work(a: Sequence[Measured], b: Sequence[Measured]) -> str | None:
    """Unit of work that every run logged, the one that says most first."""
    logged = [{k for k, v in m.run.work.items() if v > 0} for m in (*a, *b)]
    shared = set.intersection(*logged) if logged else set()
    known = [unit for unit in WORK_ORDER if unit in shared]
    return known[0] if known else min(shared, default=None)


def _differs(a: Sequence[Measured], b: Sequence[Measured], unit: str) -> bool:
    amounts_done = [m.run.work[unit] for m in (*a, *b)]
    return max(amounts_done) > min(amounts_done) * (1 + SAME_WORK_RATIO)


def saving_figures(
    found: Evidence, baseline: Figure | Missing
) -> tuple[Figure | Missing, Figure | Missing]:
    """Saving as a ratio, and in joules a run.

    The joules are the ratio times the baseline's energy, with the ends that both intervals allow
    together: the gain of the sensors cancels in the ratio, and does not in the joules.
    """
    if not math.isfinite(found.saving_low_ratio) or not math.isfinite(found.low):
        why = f"{found.pairs} pairs are too few for an interval"
        return Missing(why), Missing(why)
    ratio = Figure(
        found.saving_ratio, found.saving_low_ratio, found.saving_high_ratio, "1",
        level=found.level, kind="calibrated", source=f"{found.pairs} pairs",
        basis_shares={} if isinstance(baseline, Missing) else baseline.basis_shares,
    )  # fmt: skip
    if isinstance(baseline, Missing):
        return ratio, baseline
    low = ratio.low * (baseline.low if ratio.low > 0 else baseline.high)
    high = ratio.high * (baseline.high if ratio.high > 0 else baseline.low)
    joules = Figure(
        ratio.value * baseline.value, low, high, "J", level=found.level, kind="calibrated",
        source=f"{found.pairs} pairs × {baseline.source}", basis_shares=baseline.basis_shares,
    )  # fmt: skip
    return ratio, joules


def mean_energy(runs: Sequence[Measured]) -> Figure | Missing:
    """Mean of the runs' energies; what they have in common in doubt does not average away."""
    if not runs:
        return Missing("no run")
    shares: dict[Basis, float] = {}
    total = math.fsum(m.energy.value for m in runs)
    for m in runs:
        for basis, share in m.energy.basis_shares.items():
            weight = m.energy.value / total if total else 1 / len(runs)
            shares[basis] = shares.get(basis, 0.0) + share * weight
    return Figure(
        statistics.fmean(m.energy.value for m in runs),
        statistics.fmean(m.energy.low for m in runs),
        statistics.fmean(m.energy.high for m in runs),
        "J", source=f"mean of {len(runs)} runs, at the wall", basis_shares=shares,
    )  # fmt: skip


def side(label: str, runs: Sequence[Measured], command: Sequence[str] = ()) -> Side:
    """What one side was, on average; work that some of its runs did not log is left out."""
    logged = set.intersection(*(set(m.run.work) for m in runs)) if runs else set()
    work = {unit: statistics.fmean(m.run.work[unit] for m in runs) for unit in sorted(logged)}
    first = tuple(command) or (runs[0].run.command if runs else ())
    return Side(
        label=label,
        runs=tuple(m.run.id for m in runs),
        command=first,
        energy=mean_energy(runs),
        duration_s=statistics.fmean(m.run.duration_s for m in runs) if runs else 0.0,
        work=work,
    )


def time_ratio(a: Sequence[Measured], b: Sequence[Measured], mode: Mode) -> Figure | Missing:
    """Time of b over that of a, pair by pair."""
    times = [[m.run.duration_s for m in runs] for runs in (a, b)]
    if len(a) < evidence.FEWEST_PAIRS or not all(t > 0 for t in (*times[0], *times[1])):
        return Missing("too few pairs")
    found = evidence.of_pairs(evidence.log_ratios(*times), mode)
    if not math.isfinite(found.high):
        return Missing(f"{found.pairs} pairs are too few for an interval")
    return Figure(
        found.ratio, math.exp(found.low), math.exp(found.high), "1", level=found.level,
        kind="calibrated", source=f"{found.pairs} pairs",
    )  # fmt: skip


def uncertainty_ratio(found: Evidence, freedom: int) -> float | None:
    """Half-width of the saving at 68 % over the saving, for one look."""
    if not found.mean or not math.isfinite(found.sd) or found.pairs < evidence.FEWEST_PAIRS:
        return None
    error = found.sd / math.sqrt(found.pairs)
    half = student.quantile((1 + ONE_SIGMA) / 2, freedom) * error
    return half * math.exp(found.mean) / abs(found.saving_ratio)


def verdict(found: Evidence, quality: Sequence[Quality]) -> tuple[bool, str]:
    """Whether a saving was shown, and why or why not, in a sentence."""
    if found.pairs < evidence.FEWEST_PAIRS or not math.isfinite(found.high):
        return False, f"{found.pairs} pairs say nothing yet"
    lost = [q for q in quality if q.verdict in {"not kept", "not shown"}]
    if found.low > 0:
        return False, "it uses more, beyond the noise"
    if found.high >= 0:
        return False, "the difference is inside the noise"
    if lost:
        return False, f"it uses less, but {lost[0].metric} was not kept: {lost[0].why}"
    return True, "it uses less, beyond the noise"


def option(runs: Sequence[Measured]) -> str:
    """IPMVP option that holds for these runs."""
    if any(m.run.origin == "predicted" for m in runs):
        return OPTIONS["D"]
    devices = [d for m in runs for d in m.run.devices]
    if any(d.device.kind is DeviceKind.NODE and not isinstance(d.drawn, Missing) for d in devices):
        return OPTIONS["C"]
    own = [
        d.share.basis for d in devices
        if d.device.kind is not DeviceKind.REST and not isinstance(d.share, Missing)
    ]  # fmt: skip
    weak = {Basis.MODELLED, Basis.ASSUMED}
    return OPTIONS["A"] if any(weak & set(basis) for basis in own) else OPTIONS["B"]


def baseline_words(a: Sequence[Measured], b: Sequence[Measured]) -> dict[str, str]:
    """Where and on what it was compared, as far as the runs tell."""
    if not a:
        return {}
    run = a[0].run
    words = {"machine": ", ".join(dict.fromkeys(h.name for h in run.hosts))}
    words["devices"] = ", ".join(dict.fromkeys(d.device.name or d.device.id for d in run.devices))
    words |= {f"code {k}": v for k, v in run.code.items() if v}
    words |= {k: v for k, v in run.place.items() if v}
    words["reporting period"] = f"{run.started_utc} – {b[-1].run.started_utc if b else ''}"
    return {k: v for k, v in words.items() if v}


def same_machine(a: Sequence[Measured], b: Sequence[Measured]) -> str:
    """What differs between the machines of both sides, or ""."""

    def of(runs: Sequence[Measured]) -> set[tuple[str, ...]]:
        return {tuple(sorted(d.device.id for d in m.run.devices)) for m in runs}

    if of(a) == of(b):
        return ""
    return "the two sides ran on different devices: what differs between them is in the figure"


def proof(
    proof_id: str,
    made_utc: str,
    a: Side,
    b: Side,
    found: Evidence,
    runs: tuple[Sequence[Measured], Sequence[Measured]],
    quality: Sequence[Quality],
    time: Figure | Missing,
    *,
    mode: Mode,
) -> Proof:
    """Put together what the runs of both sides showed."""
    ratio, joules = saving_figures(found, a.energy)
    shown, why = verdict(found, quality)
    enough = math.isfinite(found.sd) and found.pairs >= evidence.FEWEST_PAIRS
    differs = same_machine(*runs)
    return Proof(
        id=proof_id, made_utc=made_utc, a=a, b=b, mode=mode, pairs=found.pairs, shown=shown,
        saving=joules, saving_ratio=ratio, time_ratio=time,
        quality=tuple(quality),
        minimum_detectable_ratio=evidence.minimum_detectable_saving(found.sd, found.pairs, mode)
        if enough else None,
        pairs_for_it=evidence.pairs_needed(abs(found.saving_ratio), found.sd, mode)
        if enough and found.sd > 0 else None,
        sd_ratio=found.sd if enough else None,
        uncertainty_ratio=uncertainty_ratio(found, found.pairs - 1) if enough else None,
        option=option([*runs[0], *runs[1]]), baseline=baseline_words(*runs), why=why,
        notes=(differs,) if differs else (),
    )  # fmt: skip
