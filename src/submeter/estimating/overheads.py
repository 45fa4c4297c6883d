# SPDX-License-Identifier: Apache-2.0
"""What a training spends beside its steps: checkpoints, evaluation, restarts, failed trials.

And what the machines spend beside the nodes: the fabric between them and the storage behind.
Each is a factor that can be set; those that nobody sets are priors, wide and named.
"""

import math
from functools import lru_cache
from typing import Final

import msgspec

from submeter.errors import UsageError
from submeter.records.factors import Factor

CHECKPOINTS: Final = "checkpoints"
EVALUATION: Final = "evaluation"
RESTARTS: Final = "restarts"
TRIALS: Final = "failed trials"
TRAIN: Final = "train"
# Power of the devices in each, over that of a training step. Writing a checkpoint: 105 W of the
# 700 W of an H100 (gpu_measured/olmo-family-7b-on-h100-checkpoint-w), steps being at 0.8 of it.
POWER_RATIOS: Final = {CHECKPOINTS: 0.19, EVALUATION: 1.0, RESTARTS: 1.0, TRIALS: 1.0}
# 419 unexpected interruptions in 54 days of 16 384 accelerators; more than 90 % of the time was
# effective (Llama Team 2024, arXiv:2407.21783, section 3.3.4).
HOURS_BETWEEN_FAILURES_H: Final = 54 * 24 * 16_384 / 419
LOST_PER_FAILURE_H: Final = 0.3
_FAILURES: Final = "Llama Team 2024, arXiv:2407.21783: 419 interruptions in 54 days of 16 384 H100"
_WIDE: Final = 5.0  # between well and badly kept clusters; each way
_LEAST_RATIO: Final = 1e-3
_ASSUMED: Final = "an assumption: no published run tells it apart"


class Overheads(msgspec.Struct, frozen=True):
    """Time beside the steps, over the time of the steps [ratio]."""

    checkpoints: Factor
    evaluation: Factor
    restarts: Factor
    failed_trials: Factor

    def ratios(self) -> dict[str, Factor]:
        """Each by its name, in the order in which they are told."""
        return {
            CHECKPOINTS: self.checkpoints,
            EVALUATION: self.evaluation,
            RESTARTS: self.restarts,
            TRIALS: self.failed_trials,
        }


@lru_cache(maxsize=256)
def overheads_of(
    accelerators: float,
    *,
    checkpoints: float | None = None,
    evaluation: float | None = None,
    restarts: float | None = None,
    failed_trials: float | None = None,
) -> Overheads:
    """Overheads of a training on so many *accelerators*; what is None is a prior.

    Parameters
    ----------
    checkpoints, evaluation, restarts
        Time over that of the steps [ratio].
    failed_trials
        Time of the runs before the one that counts, over that of its steps [ratio]. None is
        nothing: what others needed spans from a tenth to five times, so no prior would help.

    Raises
    ------
    UsageError
        For what is no ratio.

    Notes
    -----
    Restarts: failures are as frequent as accelerators are many, and each loses what was done
    since the last checkpoint and the time to start again.
    """
    failing = max(_LEAST_RATIO, accelerators * LOST_PER_FAILURE_H / HOURS_BETWEEN_FAILURES_H)
    return Overheads(
        checkpoints=_ratio(CHECKPOINTS, checkpoints, 0.01, _WIDE, _ASSUMED),
        evaluation=_ratio(EVALUATION, evaluation, 0.01, _WIDE, _ASSUMED),
        restarts=_ratio(RESTARTS, restarts, min(1.0, failing), _WIDE, _FAILURES),
        failed_trials=_ratio(TRIALS, failed_trials or 0.0, 0.0, 1.0, ""),
    )


@lru_cache(maxsize=256)
def fabric_ratio(nodes: int) -> Factor:
    """Energy of the network between *nodes* over that of their accelerators.

    Notes
    -----
    Two or three switch ports of 0.4 Tb/s for each accelerator at 12.5 W per Tb/s
    (gpu_measured/infiniband-quantum-2-qm9790-switch-switch-w-per-tbps), and their optics: some
    20 W beside 560 W. Nothing where there is one node.
    """
    source = "switch ports at 12.5 W per Tb/s with optics, 0.4 Tb/s an accelerator"
    return _prior("fabric", 0.035 if nodes > 1 else 0.0, 2.5 if nodes > 1 else 1.0, source)


@lru_cache(maxsize=256)
def storage_ratio(nodes: int) -> Factor:
    """Energy of the storage behind several *nodes* over that of their accelerators."""
    return _prior("storage", 0.01 if nodes > 1 else 0.0, 3.0 if nodes > 1 else 1.0, _ASSUMED)


def _ratio(name: str, given: float | None, prior: float, wide: float, source: str) -> Factor:
    key = name.replace(" ", "-")
    if given is None:
        return _prior(key, prior, wide, source)
    if not (math.isfinite(given) and given >= 0):
        raise UsageError(
            f"{name}: {given:g} is no part of the time", remedy="give 0.02 for two per cent"
        )
    return Factor(
        f"estimate/overhead/{key}", given, given, given, "ratio", source="as given",
        verified="declared",
    )  # fmt: skip


def _prior(key: str, value: float, wide: float, source: str) -> Factor:
    return Factor(
        f"estimate/overhead/{key}", value, value / wide, value * wide, "ratio", source=source
    )
