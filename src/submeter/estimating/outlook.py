# SPDX-License-Identifier: Apache-2.0
"""Technology outlook: what a spiking version of a training would ask of neuromorphic chips.

No prediction: no such chip trains such a model today, so it stands in no table and no ranking.
"""

import math
from typing import Final

import msgspec

from submeter.catalog.facts import fact, has, keys
from submeter.errors import UsageError
from submeter.records.factors import Factor
from submeter.workloads.workloads import Workload

TABLE: Final = "energy_per_op"
QUANTITY: Final = "energy_pj_per_sop"
# Spiking vision transformers reach the accuracy of others on ImageNet with 1 to 4 time steps
# (Spikformer V2, arXiv:2401.02020, table of results); networks that were converted take more.
TIME_STEPS: Final = (1.0, 4.0)
# Below 6.4 % a spiking network needs less than a quantised one on chips as they are
# (arXiv:2409.08290, abstract); at most every neuron fires in every step.
SPIKE_RATES: Final = (0.064, 1.0)
_J_PER_PJ: Final = 1e-12
_RATES: Final = (
    f"spike rates {SPIKE_RATES[0]:.1%} (arXiv:2409.08290) – {SPIKE_RATES[1]:.0%}, "
    f"{TIME_STEPS[0]:g} – {TIME_STEPS[1]:g} time steps (arXiv:2401.02020)"
)
BESIDE: Final = (
    "host, memory beside the chips and links between them are not counted; on the same silicon "
    "most rate-coded spiking networks need no less than the original (Davidson and Furber 2021, "
    "doi:10.3389/fnins.2021.651141)"
)
UNKNOWN: Final = (
    "whether such a version learns as well is not known; it is in no table and no ranking"
)


class Outlook(msgspec.Struct, frozen=True):
    """What a spiking version would need, as ranges that nothing narrows.

    Attributes
    ----------
    products
        Multiplications with addition of forward and backward, as they are now.
    operations_low, operations_high
        Synaptic operations of a version whose neurons spike.
    energy_per_operation_low_j, energy_per_operation_high_j
        Between chips, and between ways of counting an operation [J].
    energy_low_j, energy_high_j
        Of the operations alone: no host, no memory beside, no links between chips [J].
    chips
        Which gave the ends.
    notes
        What it rests on.
    """

    products: float
    operations_low: float
    operations_high: float
    energy_per_operation_low_j: float
    energy_per_operation_high_j: float
    energy_low_j: float
    energy_high_j: float
    chips: tuple[str, str]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


def spiking(workload: Workload | None) -> Outlook:
    """Outlook for *workload*.

    Raises
    ------
    UsageError
        If no operations are known.

    Notes
    -----
    ``operations = products x spike rate x time steps``. Gradients pass back through every time
    step; they are taken to be as sparse as spikes at the low end, and dense at the high end.
    """
    if workload is None:
        raise UsageError(
            "an outlook needs operations, and only hours are given",
            remedy="--params 7B --tokens 2T, or a model",
        )
    products = workload.operations.useful_flop / 2
    chips = energies()
    least = min(chips, key=lambda f: f.low)
    largest = max(chips, key=lambda f: f.high)
    low = products * SPIKE_RATES[0] * TIME_STEPS[0]
    high = products * SPIKE_RATES[1] * TIME_STEPS[1]
    ends = (least.low * _J_PER_PJ, largest.high * _J_PER_PJ)
    return Outlook(
        products=products,
        operations_low=low,
        operations_high=high,
        energy_per_operation_low_j=ends[0],
        energy_per_operation_high_j=ends[1],
        energy_low_j=low * ends[0],
        energy_high_j=high * ends[1],
        chips=(_chip(least), _chip(largest)),
        sources=tuple(dict.fromkeys(f.source for f in chips)),
        notes=(_RATES, _spread(least, largest), BESIDE, UNKNOWN),
    )


def energies() -> tuple[Factor, ...]:
    """Energy of a synaptic operation, chip by chip [pJ], where the source was read."""
    found = [
        fact(TABLE, key, QUANTITY)
        for key in keys(TABLE)
        if key.startswith("syn-") and has(TABLE, key, QUANTITY)
    ]
    read = [f for f in found if f.verified == "copy" and math.isfinite(f.high)]
    return tuple(read)


def _spread(least: Factor, largest: Factor) -> str:
    ends = f"from {_chip(least)} to {_chip(largest)}"
    return f"{ends}, whose operations others count otherwise ({least.source})"


def _chip(factor: Factor) -> str:
    return factor.note.partition(" synaptic")[0] or factor.key
