# SPDX-License-Identifier: Apache-2.0
"""Indicators of ISO/IEC 30134 for the slice of a data centre that a run is.

The standards ask for a whole data centre over a whole year. A run is neither: its figures are
interim and do not conform, and say so. REF counts certificates and owned generation only, ERF
metered reuse only; neither is ever read off the grid's mix.
"""

from typing import Final

import msgspec

from submeter.accounting.cooling import COOLING
from submeter.accounting.facility import Facility, facility_energy, facility_total
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing
from submeter.units import G_PER_KG, J_PER_KWH

# Parts of ISO/IEC 30134: 2 power, 8 carbon and 9 water usage effectiveness, 3 renewable energy
# factor, 6 energy reuse factor, 7 cooling efficiency ratio.
UNITS: Final[dict[str, str]] = {
    "pue": "1",
    "cue": "kg/kWh",
    "wue": "L/kWh",
    "ref": "1",
    "erf": "1",
    "cer": "1",
}
INTERIM: Final = (
    "interim and non-conformant: ISO/IEC 30134 asks for a whole data centre over twelve months, "
    "this is the slice of one run"
)
NO_CERTIFICATES: Final = Missing(
    "no certificates and no owned renewable generation stated for this run; the grid's mix is "
    "not counted"
)
NO_REUSE: Final = Missing("no metered reuse of heat stated")
NO_COOLING: Final = Missing("energy of cooling is not known apart from the rest of the overhead")
NO_INTENSITY: Final = Missing("no carbon intensity is known")
NO_WUE: Final = Missing("no WUE is known")
HOME: Final = Missing("a workstation at home or in an office is no data centre")


class Indicators(msgspec.Struct, frozen=True):
    """Indicators by key (`UNITS` has their units), and what to know of them."""

    values: dict[str, Amount | Missing]
    notes: tuple[str, ...] = (INTERIM,)


def indicators(
    it: Amount | Missing,
    facility: Facility,
    *,
    intensity: Factor | None = None,
    renewable_kwh: float | None = None,
    reused_kwh: float | None = None,
) -> Indicators:
    """Interim indicators of the slice of *facility* that a run is.

    Parameters
    ----------
    it
        Energy of IT [J].
    facility
        What stands around it.
    intensity
        Location-based carbon of the electricity [gCO2e/kWh].
    renewable_kwh
        Energy for which certificates were retired for this run, or of owned renewable plant that
        it used [kWh].
    reused_kwh
        Heat of this run that was metered when it was used outside of the data centre [kWh].

    Notes
    -----
    ``PUE = E_facility / E_it``, ``CUE = PUE * intensity``, ``WUE`` of the site, ``REF = E_ren /
    E_facility`` (at most 1), ``ERF = E_reused / E_facility``, ``CER = heat removed / E_cooling``
    with the energy of IT as the heat. The first three are ratios to IT, so that the doubt of the
    energy of IT itself is not in them.

    Raises
    ------
    UsageError
        For energies below zero, or more heat reused than the facility drew.
    """
    if facility.kind == "home":
        return Indicators(dict.fromkeys(UNITS, HOME))
    unit = Amount.exact(1.0, Basis.DERIVED)
    pue = facility_total(unit, facility)
    values: dict[str, Amount | Missing] = {
        "pue": pue,
        "cue": pue.times(intensity.scaled(1 / G_PER_KG)) if intensity else NO_INTENSITY,
        "wue": unit.times(facility.wue) if facility.wue is not None else NO_WUE,
        "ref": _of_facility(it, facility, renewable_kwh, NO_CERTIFICATES),
        "erf": _of_facility(it, facility, reused_kwh, NO_REUSE),
        "cer": _cooling_efficiency(unit, facility),
    }
    if reused_kwh and isinstance(erf := values["erf"], Amount) and erf.value > 1:
        raise UsageError(
            "more heat is said to be reused than the facility drew",
            remedy="give less reused energy, or that of the same time",
        )
    if isinstance(ref := values["ref"], Amount) and ref.value > 1:
        values["ref"] = Amount.exact(1.0, Basis.DERIVED, "certificates cover more than was drawn")
    return Indicators(values)


def _of_facility(
    it: Amount | Missing, facility: Facility, energy_kwh: float | None, otherwise: Missing
) -> Amount | Missing:
    """Part that an exact energy is of what the facility drew."""
    if energy_kwh is None:
        return otherwise
    if not 0 <= energy_kwh < float("inf"):
        raise UsageError(
            f"an energy is 0 kWh or more, not {energy_kwh}", remedy="give kWh, 0 or more"
        )
    if isinstance(it, Missing) or it.value <= 0:
        return it if isinstance(it, Missing) else Missing("the run drew no energy")
    whole = facility_total(it, facility)
    part = Amount.exact(energy_kwh * J_PER_KWH, Basis.DERIVED)
    return part.times(_inverse(whole, "1/facility"))


def _cooling_efficiency(unit: Amount, facility: Facility) -> Amount | Missing:
    """Heat removed per energy of cooling."""
    if facility.plant is None:
        return NO_COOLING
    cooling = sum_amounts((facility_energy(unit, facility)[COOLING],))
    if cooling.value <= 0:
        return Missing("this cooling draws no energy")
    return unit.times(_inverse(cooling, "1/cooling"))


def _inverse(amount: Amount, key: str) -> Factor:
    """One over *amount*, with its interval."""
    figure = amount.figure("")
    low = figure.low if figure.low > 0 else figure.value**2 / figure.high
    return Factor(
        key=key,
        value=1 / figure.value,
        low=1 / max(figure.high, figure.value),
        high=1 / min(low, figure.value),
        unit="",
        source=figure.source,
        verified="assumed" if figure.basis is Basis.ASSUMED else "derived",
    )
