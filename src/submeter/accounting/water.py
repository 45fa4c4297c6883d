# SPDX-License-Identifier: Apache-2.0
"""Water of a run: on the site and at the generators, consumed, withdrawn, let off again.

Every litre has a type. What is *consumed* evaporates and is gone; what is *withdrawn* is taken in;
the difference is *discharged*. On-site water follows the energy of IT, because a WUE is per kWh of
IT; water at the generators follows the energy of the facility.
"""

from typing import Final

import msgspec

from submeter.accounting.cooling import blown_down
from submeter.accounting.facility import Facility
from submeter.accounting.ratios import lost_per_used, per_kwh
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import Factor
from submeter.records.figures import Missing
from submeter.records.footprints import Water

NO_WUE: Final = Missing("no WUE of this place is known")
NO_COUNTRY: Final = Missing("no country is known")
NO_INTENSITY: Final = Missing("no water intensity of generation is known here")
NO_CYCLES: Final = Missing("not known: what the site blows down is not stated")
ONSITE_IS: Final = "on-site water is WUE x IT energy, consumed; potable is of what is withdrawn"
OFFSITE_APART: Final = "off-site with and without the evaporation of reservoirs: never to be mixed"
NO_RECYCLED: Final = Missing("not known: what part of the water is recycled is not stated")


class Generation(msgspec.Struct, frozen=True):
    """Water of one kWh of electricity [L/kWh].

    ``consumption`` is with the evaporation of reservoirs, ``dry`` without; ``withdrawal`` what
    the generators take in. With ``at_generator`` they are per kWh generated, so that what the
    lines lose adds to them.
    """

    consumption: Factor | None = None
    dry: Factor | None = None
    withdrawal: Factor | None = None
    at_generator: bool = True


def water(
    it: Amount,
    drawn: Amount,
    facility: Facility,
    *,
    generation: Generation | None = None,
    loss: Factor | None = None,
    recycled_ratio: float | None = None,
    stress: str | Missing = NO_COUNTRY,
) -> Water:
    """Water of a run, by place and type [L].

    Parameters
    ----------
    it
        Energy of IT [J].
    drawn
        Energy of the facility, IT included [J].
    facility
        Its WUE, and how it is counted.
    generation
        Water of the electricity that it draws.
    loss
        Part of what is generated that the lines lose [ratio].
    recycled_ratio
        Part of the water taken in on site that is no drinking water.
    stress
        Baseline water stress of the country, in words.

    Notes
    -----
    ``onsite = WUE * it``, not times PUE; ``offsite = intensity * facility / (1 - loss)``;
    ``withdrawal = consumption + discharge``; ``potable = withdrawal * (1 - recycled)``. Recycled
    water evaporates like any other: it lowers the potable, never the consumed litres.

    References
    ----------
    .. [1] ISO/IEC 30134-9:2022, Water usage effectiveness (WUE).
    .. [2] P. Reig et al. 2020, Guidance for calculating water use embedded in purchased
       electricity, World Resources Institute.
    """
    consumed, discharged = onsite(it, facility)
    taken = (
        sum_amounts((consumed, discharged))
        if isinstance(consumed, Amount) and isinstance(discharged, Amount)
        else (consumed if isinstance(consumed, Missing) else discharged)
    )
    source = generation or Generation()
    return Water(
        onsite=consumed,
        offsite=offsite(drawn, source.consumption, loss, at_generator=source.at_generator),
        offsite_dry=offsite(drawn, source.dry, loss, at_generator=source.at_generator),
        onsite_withdrawal=taken,
        offsite_withdrawal=offsite(
            drawn, source.withdrawal, loss, at_generator=source.at_generator
        ),
        potable=_potable(taken, recycled_ratio),
        discharge=discharged,
        stress=stress,
        notes=_notes(facility, source, loss, recycled_ratio),
    )


def onsite(it: Amount, facility: Facility) -> tuple[Amount | Missing, Amount | Missing]:
    """Water consumed and water discharged on the site for the energy *it* of IT [L].

    Notes
    -----
    A WUE that counts consumption ``w`` with ``c`` cycles of concentration discharges
    ``w / (c - 1)``; one that counts withdrawal consumes ``w (c - 1) / c``. Without cycles the
    first leaves the discharge unknown, and the second is taken as consumed (nothing let off).
    """
    wue = facility.wue
    if wue is None:
        return NO_WUE, NO_WUE
    counted = per_kwh(it, wue)
    if wue.high <= 0:
        return counted, counted  # no water comes in, so none goes out
    cycles = facility.cycles
    if facility.wue_is == "withdrawal":
        if cycles is None:
            return counted, counted.scaled(0.0)
        consumed = counted.times(_consumed_of_withdrawn(cycles))
        return consumed, blown_down(consumed, cycles)
    return counted, NO_CYCLES if cycles is None else blown_down(counted, cycles)


def offsite(
    drawn: Amount, intensity: Factor | None, loss: Factor | None, *, at_generator: bool
) -> Amount | Missing:
    """Water of the electricity *drawn* [J] at an *intensity* [L/kWh], losses included [L]."""
    if intensity is None:
        return NO_INTENSITY
    arrived = per_kwh(drawn, intensity)
    if loss is None or not at_generator:
        return arrived
    return sum_amounts((arrived, arrived.times(lost_per_used(loss))))


def _potable(taken: Amount | Missing, recycled_ratio: float | None) -> Amount | Missing:
    """Part of the water taken in that is drinking water [L]."""
    if isinstance(taken, Missing):
        return taken
    if taken.value <= 0 and not any(t.zeros for t in taken.terms):
        return taken
    if recycled_ratio is None:
        return NO_RECYCLED
    if not 0 <= recycled_ratio <= 1:
        raise UsageError(f"a part of the water is recycled from 0 to 1, not {recycled_ratio}")
    return taken.scaled(1 - recycled_ratio)


def _consumed_of_withdrawn(cycles: Factor) -> Factor:
    """``(c - 1) / c``: part of the make-up water that evaporates."""
    if not 1 < cycles.low <= cycles.value <= cycles.high:
        raise UsageError(f"cycles of concentration are above 1, not {cycles.value:g}")
    low, value, high = (1 - 1 / c for c in (cycles.low, cycles.value, cycles.high))
    return msgspec.structs.replace(cycles, low=low, value=value, high=high, unit="ratio")


def _notes(
    facility: Facility,
    source: Generation,
    loss: Factor | None,
    recycled_ratio: float | None,
) -> tuple[str, ...]:
    """What a reader should know about the litres."""
    notes = [ONSITE_IS]
    if facility.wue is not None and facility.wue.high > 0:
        if facility.wue_is == "withdrawal" and facility.cycles is None:
            notes.append("all water taken in is taken as consumed: nothing is said to be let off")
        if facility.cycles is not None:
            notes.append("withdrawn = consumed + blown down; drift is not counted")
    if source.consumption is not None and source.dry is not None:
        notes.append(OFFSITE_APART)
    if loss is None and source.at_generator and source.consumption is not None:
        notes.append("what the lines lose is not counted in off-site water")
    if recycled_ratio:
        notes.append(f"{100 * recycled_ratio:.0f} % recycled: less drinking water, as much gone")
    return tuple(notes)
