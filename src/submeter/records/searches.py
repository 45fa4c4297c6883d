# SPDX-License-Identifier: Apache-2.0
"""Searches: settings that were tried, what each used and reached, and which are worth having."""

from typing import Literal

import msgspec

from submeter.records.figures import Figure, Missing

TrialState = Literal["finished", "stopped", "failed", "interrupted"]
Value = str | int | float


class SearchTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that was tried.

    ``energy_j`` is what the trial used, finished or not, at the facility boundary [J];
    ``kept`` whether it finished with the quality that was asked for.
    """

    number: int
    settings: dict[str, Value]
    state: TrialState
    energy: Figure | Missing
    duration_s: float
    metrics: dict[str, float] = {}
    run: str = ""
    why: str = ""
    kept: bool = False
    pareto: bool = False
    default: bool = False

    @property
    def energy_j(self) -> float:
        """Energy as a number; 0 where it is missing, which only sums use."""
        return self.energy.value if isinstance(self.energy, Figure) else 0.0


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found, and what it cost.

    Attributes
    ----------
    best
        Number of the trial that is recommended; None if none kept the quality.
    saving_ratio
        Energy saved by a run of it against one of the default [1], without an interval: one run
        of each has none. None, and ``saving_why``, where there is nothing to compare.
    payback_uses
        Runs of the recommended setting after which the search has paid itself back.
    free
        Whether it saves at no more time and no less quality than the default.
    """

    id: str
    name: str
    made_utc: str
    command: tuple[str, ...]
    space: tuple[str, ...]
    minimise: str
    conditions: tuple[str, ...] = ()
    trials: tuple[SearchTrial, ...] = ()
    best: int | None = None
    best_command: tuple[str, ...] = ()
    energy: Figure | Missing = Missing("no trial")
    stopped_energy_j: float = 0.0
    duration_s: float = 0.0
    saving_ratio: float | None = None
    saving_why: str = ""
    payback_uses: float | None = None
    free: bool | None = None
    bought_with: str = ""
    budget_j: float | None = None
    ended: str = ""
    notes: tuple[str, ...] = ()
