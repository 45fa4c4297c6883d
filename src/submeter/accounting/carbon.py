# SPDX-License-Identifier: Apache-2.0
"""Carbon of the electricity: by location in typed parts, and by the effect of a decision."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from submeter.accounting.ratios import log_interval, lost_per_used, per_kwh
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import NORMAL_95, Factor
from submeter.records.figures import Missing
from submeter.records.traces import Kind

NOT_COVERED: Final = (
    "refrigerants that leak from cooling (Scope 1 of whoever runs the site)",
    "diesel of emergency generators (Scope 1 of whoever runs the site)",
    "other fuel burnt on the site, heat and steam bought for it",
    "staff: commuting, travel, offices",
    "construction of the building, its power and cooling plant",
    "network outside the machine: switches, fabric, transfer of data over the internet",
    "end of life of the hardware, where its source stops at the factory gate",
    "use of the trained model",
)


class Intensity(msgspec.Struct, frozen=True):
    """Grams per kilowatt-hour over the time of a run, with the kind that they are of."""

    factor: Factor  # gCO2e/kWh
    kind: Kind

    def must_be(self, **wanted: str) -> Factor:
        """Give the factor, if its kind has all the *wanted* words.

        Raises
        ------
        UsageError
            If it has not: kinds are never mixed.
        """
        for name, word in wanted.items():
            if (own := getattr(self.kind, name)) != word:
                raise UsageError(
                    f"{self.factor.key} is {own} ({self.kind}) where {word} is asked for: "
                    "the two are never mixed",
                    remedy=f"give a factor that is {word}",
                )
        return self.factor


class Located(msgspec.Struct, frozen=True):
    """Location-based emissions of electricity [gCO2e] in three typed parts.

    ``direct`` left the stacks of the generators; ``upstream`` fuel and plant; ``loss`` is what
    the lines lost on the way, with both. ``grid`` is direct and upstream together, ``total`` all
    three; they are known without their parts where only a lifecycle factor is.
    """

    energy: Amount | Missing
    direct: Amount | Missing
    upstream: Amount | Missing
    loss: Amount | Missing
    grid: Amount | Missing
    total: Amount | Missing
    factors: tuple[Factor, ...] = ()
    notes: tuple[str, ...] = ()


def location_based(
    facility: Amount | Missing,
    lifecycle: Intensity | Missing,
    direct: Intensity | Missing,
    loss: Factor | Missing,
) -> Located:
    """Emissions of the average electricity where it was used [gCO2e].

    Parameters
    ----------
    facility
        Energy at the wall of the facility [J].
    lifecycle
        Average lifecycle intensity [gCO2e/kWh].
    direct
        Average intensity of the stacks alone [gCO2e/kWh], of the same flow.
    loss
        Part of what is generated that the lines lose [ratio].

    Notes
    -----
    ``direct = E * d``, ``upstream = E * (l - d)``, ``loss = E * l * t / (1 - t)`` and
    ``total = E * l / (1 - t)``. Where sources of other years put ``d`` above ``l``, which no
    kilowatt-hour can be, ``d`` is held at ``l`` with an interval over both. A part that is not
    known is `Missing`; the total then leaves the loss out, and says so.

    References
    ----------
    .. [1] GHG Protocol Scope 2 Guidance (2015).
    .. [2] GHG Protocol, Technical Guidance for Calculating Scope 3 Emissions, category 3 (2013).
    """
    whole = _at_least_one_kind(lifecycle, direct)
    notes: list[str] = []
    used: list[Factor] = []
    stacks: Amount | Missing
    upstream: Amount | Missing
    if isinstance(facility, Missing):
        why = facility
        return Located(why, why, why, why, why, why)
    if isinstance(direct, Missing):
        stacks = upstream = direct
    elif isinstance(whole, Missing):
        stacks, upstream = per_kwh(facility, direct.factor), whole
        used.append(direct.factor)
    else:
        own, rest, note = _parted(whole, direct.factor)
        stacks, upstream = per_kwh(facility, own), per_kwh(facility, rest)
        used.append(own)
        notes += [note] if note else []
    if isinstance(whole, Missing):
        return Located(facility, stacks, upstream, whole, whole, whole, tuple(used), tuple(notes))
    grid = per_kwh(facility, whole)
    used.append(whole)
    if isinstance(loss, Missing):
        notes.append(f"transmission loss is not in the total: {loss.why}")
        return Located(facility, stacks, upstream, loss, grid, grid, tuple(used), tuple(notes))
    lost = grid.times(lost_per_used(loss))
    return Located(
        energy=facility,
        direct=stacks,
        upstream=upstream,
        loss=lost,
        grid=grid,
        total=sum_amounts((grid, lost)),
        factors=(*used, loss),
        notes=tuple(notes),
    )


def portion(located: Located, ratio: float) -> Located:
    """*ratio* of all parts, such as those of the machines in a facility."""
    energy, direct, upstream, loss, grid, total = (
        part if isinstance(part, Missing) else part.scaled(ratio)
        for part in (
            located.energy,
            located.direct,
            located.upstream,
            located.loss,
            located.grid,
            located.total,
        )
    )
    return Located(energy, direct, upstream, loss, grid, total, located.factors, located.notes)


def _at_least_one_kind(
    lifecycle: Intensity | Missing, direct: Intensity | Missing
) -> Factor | Missing:
    """Lifecycle factor after both kinds were looked at."""
    fixed = {"signal": "average", "method": "location"}
    if not isinstance(direct, Missing):
        direct.must_be(scope="direct", **fixed)
    if isinstance(lifecycle, Missing):
        return lifecycle
    flow = {} if isinstance(direct, Missing) else {"flow": direct.kind.flow}
    return lifecycle.must_be(scope="lifecycle", **fixed, **flow)


def _parted(lifecycle: Factor, direct: Factor) -> tuple[Factor, Factor, str]:
    """Direct and upstream factor, and a note where the two sources do not fit."""
    if direct.value > lifecycle.value:
        held = msgspec.structs.replace(
            direct,
            value=lifecycle.value,
            low=min(direct.low, lifecycle.low),
            high=max(direct.high, lifecycle.high),
        )
        excess = direct.value - lifecycle.value
        rest = msgspec.structs.replace(lifecycle, value=0.0, low=0.0, high=excess)
        note = (
            f"direct emissions of {direct.value:.4g} g/kWh ({direct.source}) are above the "
            f"{lifecycle.value:.4g} g/kWh of the whole life cycle ({lifecycle.source}): other "
            "years or scopes; held at the latter"
        )
        return held, rest, note
    value = lifecycle.value - direct.value
    ends = [log_interval(f) for f in (lifecycle, direct)]
    rest = msgspec.structs.replace(
        lifecycle,
        value=value,
        low=value * min(low for low, _ in ends),
        high=value * max(high for _, high in ends),
    )
    return direct, rest, ""


# --- effect of a decision -----------------------------------------------------------------------


def marginal(
    facility: Amount | Missing, makers: Sequence[Intensity]
) -> tuple[Amount | Missing, tuple[Amount, ...]]:
    """What using this energy made the grid emit more [gCO2e], by each maker of such figures.

    Returns
    -------
    tuple
        That of the first maker, and those of the others. Makers differ in kind (operating or
        build margin, lifecycle or stack), so that their figures stand side by side and are
        never averaged.
    """
    factors = [maker.must_be(signal="marginal") for maker in makers]
    if isinstance(facility, Missing):
        return facility, ()
    if not factors:
        return Missing("no marginal intensity is known for this place"), ()
    first, *others = (per_kwh(facility, factor) for factor in factors)
    return first, tuple(others)


Sign = Literal["less", "more", "the same", "not certain"]


class Difference(msgspec.Struct, frozen=True):
    """What changes from one amount to another; below zero is less.

    ``sign`` is certain where the ratio of the two has its interval on one side of one: with wide
    doubts the interval of the difference itself, to first order, says less than the ratio does.
    """

    value: float
    low: float
    high: float
    sign: Sign


def difference(before: Amount, after: Amount) -> Difference:
    """``after - before``: a doubt that both share cancels as far as both have it.

    Notes
    -----
    To first order in the logarithms; the doubt ``k`` moves the difference by
    ``sum(a_i * s_ik) - sum(b_i * s_ik)``, doubts are independent, hard bounds add.
    """
    moved: dict[str, float] = {}
    for sign, amount in ((1.0, after), (-1.0, before)):
        for term in amount.terms:
            for key, log_sd in term.log_sds.items():
                moved[key] = moved.get(key, 0.0) + sign * term.value * log_sd
            for key in term.zeros:
                moved[key] = moved.get(key, 0.0) + sign * term.value
    value = after.value - before.value
    reach = NORMAL_95 * math.hypot(*moved.values())
    return Difference(
        value=value,
        low=value - reach - after.bound_low - before.bound_high,
        high=value + reach + after.bound_high + before.bound_low,
        sign=_sign(before, after),
    )


def _sign(before: Amount, after: Amount) -> Sign:
    """Whether *after* is less or more, a doubt that both share left out as far as both have it."""
    if after == before:
        return "the same"
    if before.value <= 0 or after.value <= 0:
        old, new = (a.figure("") for a in (before, after))
        return "less" if new.high < old.low else "more" if new.low > old.high else "not certain"
    moved: dict[str, float] = {}
    for sign, amount in ((1.0, after), (-1.0, before)):
        for term in amount.terms:
            for key, log_sd in term.log_sds.items():
                moved[key] = moved.get(key, 0.0) + sign * log_sd * term.value / amount.value
            for key in term.zeros:
                moved[key] = moved.get(key, 0.0) + sign * term.value / amount.value
    bounds = sum((a.bound_low + a.bound_high) / a.value for a in (before, after))
    reach = NORMAL_95 * math.hypot(*moved.values()) + bounds
    ratio = math.log(after.value / before.value)
    return "less" if ratio + reach < 0 else "more" if ratio - reach > 0 else "not certain"


def sign_differs(average: Difference, marginals: Iterable[Difference]) -> bool:
    """Whether a change saves by one account and costs by another, at best estimate.

    *average* is the difference by average intensity, *marginals* those by each maker of marginal
    ones. A change of exactly nothing has no sign to differ.
    """
    signs = {math.copysign(1.0, d.value) for d in (average, *marginals) if d.value != 0}
    return len(signs) > 1


def saving_words(average: Difference, marginals: Sequence[Difference]) -> str:
    """What may be said of a change: nothing (""), or why its sign is in doubt."""
    if not marginals or all(d.sign == "the same" for d in (average, *marginals)):
        return ""
    if average.sign == "the same":
        return "the same by average intensity, not by marginal"
    if sign_differs(average, marginals):
        word = "less" if average.value < 0 else "more"
        if len({d.value < 0 for d in marginals if d.value != 0}) > 1:
            return "sign not certain: makers of marginal figures disagree"
        return f"sign differs: {word} by average, the other way by marginal intensity"
    if any(d.sign == "not certain" for d in (average, *marginals)):
        return "sign not certain: no change is inside an interval"
    return ""
