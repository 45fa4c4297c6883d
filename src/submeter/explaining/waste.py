# SPDX-License-Identifier: Apache-2.0
"""What a run wasted, priced at the boundary of the facility, each joule once.

Small detectors, a family a file, claim joules in the order of `DETECTORS`: first what was in vain
as a whole, then what lies at a place in time, then what is a part of all the rest. What the rules
call too much stands in the catalog (``waste_rules``).
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from submeter.explaining import waste_whole
from submeter.explaining.waste_book import Book, Claim, Silence
from submeter.explaining.waste_case import Case, rule
from submeter.explaining.waste_curve import after_best
from submeter.explaining.waste_idle import idle, idle_tail, unused_board
from submeter.explaining.waste_late import late_rank
from submeter.explaining.waste_phases import checkpoints, evaluations, loader
from submeter.explaining.waste_throttle import throttled
from submeter.explaining.waste_width import precision, tiny_batch
from submeter.records.amounts import Amount
from submeter.records.explanations import Waste
from submeter.records.factors import Factor
from submeter.records.footprints import Footprint
from submeter.records.observations import Observations
from submeter.records.runs import Run

Detector = Callable[[Case], Claim | Silence]
DETECTORS: Final[tuple[Detector, ...]] = (
    waste_whole.repeated,
    waste_whole.failed,
    unused_board,
    idle_tail,
    waste_whole.redone,
    after_best,
    checkpoints,
    evaluations,
    loader,
    late_rank,
    idle,
    throttled,
    tiny_batch,
    precision,
    waste_whole.oversized,
)
_LEAST: Final = 1e-3  # a price that may be nothing, on a scale that knows no zero
KEYS: Final = (
    "repeated", "failed", "cpu-fallback", "idle-tail", "redone", "after-best", "checkpoints",
    "evaluation", "loader", "late-rank", "idle", "throttle", "tiny-batch", "precision",
    "oversized",
)  # fmt: skip


class Found(msgspec.Struct, frozen=True):
    """What was wasted, the dearest first, and why the other detectors are silent.

    ``doubts`` are the rules' own, by key: what the price may be, low and high, over its value [1].
    """

    wastes: tuple[Waste, ...] = ()
    silent: dict[str, str] = {}
    doubts: dict[str, tuple[float, float]] = {}


def find_waste(
    run: Run, footprint: Footprint, seen: Observations, others: Iterable[Run] = ()
) -> Found:
    """What *run* used for nothing.

    Parameters
    ----------
    run
        A settled run.
    footprint
        Its energy at the boundaries; what is wasted is priced at the facility's.
    seen
        What was observed of it over time (`running.observing.observed`).
    others
        Other runs of its project, for what only a comparison tells.

    Returns
    -------
    Found
        Wastes sum to no more than the run's energy at the wall: a joule is wasted once.

    Notes
    -----
    A waste below ``least-ratio`` of the run, or of a run that is shorter than ``shortest-s``, is
    inside the noise and not told. Intervals are those of the meter, and of the rule where that
    has a doubt of its own.
    """
    whole = footprint.facility
    if not isinstance(whole, Amount) or whole.value <= 0:
        return Found((), dict.fromkeys(KEYS, "the run's energy is not known"))
    if run.duration_s < rule("shortest-s").value:
        return Found((), dict.fromkeys(KEYS, "the run was too short to tell"))
    case = Case(run, seen, whole.value, others)
    if not case.cells:
        return Found((), dict.fromkeys(KEYS, "no device of it was metered"))
    book, wastes, silent = Book(case.cells), list[Waste](), dict[str, str]()
    doubts: dict[str, tuple[float, float]] = {}
    least_j = rule("least-ratio").value * whole.value
    for detector in DETECTORS:
        found = detector(case)
        if isinstance(found, Silence):
            silent[found.key] = found.why
            continue
        granted_j = book.grant(found)
        if granted_j < least_j:
            silent[found.key] = "less than a fiftieth of the run, or told by another waste"
            continue
        doubts[found.key] = _doubts(found)
        wastes.append(_waste(found, granted_j, whole))
    wastes.sort(key=lambda w: -(w.energy.value if isinstance(w.energy, Amount) else 0.0))
    return Found(tuple(wastes), silent, doubts)


def _waste(claim: Claim, granted_j: float, whole: Amount) -> Waste:
    ratio = min(1.0, granted_j / whole.value)
    energy = whole.scaled(ratio)
    low, high = _doubts(claim)
    if low < 1 or high > 1:
        energy = energy.times(
            Factor(
                f"waste/{claim.key}", 1.0, low, high, "1", source=claim.source, verified="derived"
            )
        )
    return Waste(
        key=claim.key, name=claim.name, energy=energy, share_ratio=ratio, why=claim.why,
        detail=claim.detail, places=claim.places, source=claim.source,
    )  # fmt: skip


def _doubts(claim: Claim) -> tuple[float, float]:
    return min(1.0, max(claim.low_ratio, _LEAST)), max(1.0, claim.high_ratio)
