# SPDX-License-Identifier: Apache-2.0
"""Proofs: two ways of doing the same work, what each used, and whether one was shown to save."""

from typing import Literal

import msgspec

from submeter.records.figures import Figure, Missing

QualityVerdict = Literal["kept", "not kept", "not shown", "not asked"]


class Side(msgspec.Struct, frozen=True):
    """One of the two ways: ``a`` is the baseline, ``b`` the change."""

    label: str
    runs: tuple[str, ...] = ()  # ids
    command: tuple[str, ...] = ()
    energy: Figure | Missing = Missing("no run")  # mean of a run, at the facility boundary [J]
    duration_s: float = 0.0  # mean of a run
    work: dict[str, float] = {}  # mean of a run


class Quality(msgspec.Struct, frozen=True):
    """A logged metric on both sides, and whether the change kept it.

    ``difference`` is b - a in the metric's own unit; ``margin`` how much worse was allowed.
    """

    metric: str
    baseline: float | None
    changed: float | None
    difference: Figure | Missing
    verdict: QualityVerdict
    asked: str = ""  # the condition as it was read
    margin: float | None = None
    why: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what it takes to find it again.

    Attributes
    ----------
    shown
        Whether b was shown to use less than a at no loss of the quality that was asked for.
    saving, saving_ratio
        Avoided energy of a run [J], and as a share of a's; negative where b uses more.
    time_ratio
        Time that b takes over that of a [1].
    minimum_detectable_ratio
        Saving that as many pairs as were run show four times in five, at the noise found [1].
    uncertainty_ratio
        Half-width of the saving at 68 % over the saving; a saving counts below 0.5 (ASHRAE 14).
    option
        Of the International Performance Measurement and Verification Protocol, A to D.
    """

    id: str
    made_utc: str
    a: Side
    b: Side
    mode: Literal["fixed", "always", "stored"]
    pairs: int
    shown: bool
    saving: Figure | Missing
    saving_ratio: Figure | Missing
    time_ratio: Figure | Missing
    quality: tuple[Quality, ...] = ()
    minimum_detectable_ratio: float | None = None
    pairs_for_it: int | None = None  # pairs that would show the saving found, were it the true one
    sd_ratio: float | None = None  # of one pair's ratio
    uncertainty_ratio: float | None = None
    option: str = ""
    per: str = "run"  # what the energies were compared by: a run, or a unit of work
    baseline: dict[str, str] = {}  # machine, versions, code, place, order of the runs
    fit: dict[str, float] = {}  # of the adjustment: cv_rmse_ratio, nmbe_ratio, terms
    why: str = ""  # one sentence: why it was shown, or was not
    notes: tuple[str, ...] = ()
