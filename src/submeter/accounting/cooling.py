# SPDX-License-Identifier: Apache-2.0
"""Cooling as a component model: what each technology draws, evaporates, and saves inside IT.

A `Plant` says per kilowatt-hour of IT what its cooling, pumps, power distribution and lights draw
and what water it evaporates. Server fans are inside IT: a tank without fans lowers the energy of
IT itself, which no PUE shows. `switch` exchanges the cooling of a run and keeps the rest of the
site; `claim` says how far "88 % less cooling energy" moves the whole.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.accounting.ratios import per_kwh
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import Factor

COOLING: Final = "cooling"
PUMPS: Final = "pumps"
DISTRIBUTION: Final = "distribution"
OTHER: Final = "other"


class Plant(msgspec.Struct, frozen=True):
    """What keeps machines cool and fed, per energy of IT [ratio] and per kWh of IT [L/kWh].

    ``fans`` is the part of IT that its own fans draw, inside IT. ``cooling`` (compressors, air
    handlers, towers and dry coolers), ``pumps``, ``distribution`` (UPS, transformers, lines) and
    ``other`` (lights, offices) come on top. ``evaporation`` is water consumed; ``cycles`` the
    cycles of concentration of what is blown down, None where nothing is.
    """

    key: str
    name: str
    fans: Factor
    cooling: Factor
    pumps: Factor
    distribution: Factor
    other: Factor
    evaporation: Factor
    cycles: Factor | None = None
    notes: tuple[str, ...] = ()

    @property
    def pue(self) -> float:
        """Power usage effectiveness at best estimate [ratio]."""
        return 1 + sum(factor.value for factor in self.overhead.values())

    @property
    def overhead(self) -> Mapping[str, Factor]:
        """What comes on top of IT, by part [ratio]."""
        return {
            COOLING: self.cooling,
            PUMPS: self.pumps,
            DISTRIBUTION: self.distribution,
            OTHER: self.other,
        }


class Side(msgspec.Struct, frozen=True):
    """Energies [J] and water [L] of a run under one plant; ``fans`` are inside ``it``."""

    plant: str
    it: Amount
    fans: Amount
    parts: dict[str, Amount]
    evaporated: Amount
    blown_down: Amount

    @property
    def facility(self) -> Amount:
        """IT and all that comes on top [J]."""
        return sum_amounts((self.it, *self.parts.values()))

    @property
    def chilling(self) -> Amount:
        """What a maker of cooling calls cooling energy: cooling and pumps, without fans [J]."""
        return sum_amounts((self.parts[COOLING], self.parts[PUMPS]))

    @property
    def withdrawn(self) -> Amount:
        """Water taken in: evaporated and blown down [L]."""
        return sum_amounts((self.evaporated, self.blown_down))


class Claim(msgspec.Struct, frozen=True):
    """How far less cooling energy moves the whole facility, at best estimate [ratio]."""

    cut_ratio: float
    share_ratio: float
    facility_cut_ratio: float

    def __str__(self) -> str:
        return (
            f"{_percent(self.cut_ratio)} of the cooling is "
            f"{_percent(self.facility_cut_ratio)} of the facility"
        )


class Change(msgspec.Struct, frozen=True):
    """The same work under two plants."""

    before: Side
    after: Side
    notes: tuple[str, ...] = ()

    @property
    def claim(self) -> Claim:
        """What the change cuts off cooling energy alone, and what that is of the facility."""
        return claim(self.before, _cut(self.before.chilling, self.after.chilling))

    @property
    def it_cut_ratio(self) -> float:
        """What the change cuts off IT: its fans [ratio]."""
        return _cut(self.before.it, self.after.it)

    @property
    def facility_cut_ratio(self) -> float:
        """What the change cuts off the facility, fans included; below 0 it draws more [ratio]."""
        return _cut(self.before.facility, self.after.facility)

    @property
    def water_cut_ratio(self) -> float:
        """What the change cuts off the water evaporated on site [ratio]."""
        return _cut(self.before.evaporated, self.after.evaporated)


def plant(
    key: str,
    name: str,
    *,
    pue: Factor,
    cooling_share: Factor,
    fans: Factor,
    pumps: Factor,
    distribution: Factor,
    other: Factor,
    evaporation: Factor,
    cycles: Factor | None = None,
    notes: tuple[str, ...] = (),
) -> Plant:
    """Plant of a technology from its published PUE and the share of cooling in it.

    Notes
    -----
    Cooling and pumps together draw ``PUE * share`` per energy of IT, with the doubt of
    ``PUE - 1``. Distribution and other are those of the site, whatever cools it: older sites
    have both old chillers and old UPS, which is no effect of the chillers.

    Raises
    ------
    UsageError
        If the pumps alone draw more than the cooling of which they are part.
    """
    whole = pue.value * cooling_share.value
    cooling = whole - pumps.value
    if cooling < 0 or pue.value <= 1:
        raise UsageError(
            f"{name}: pumps of {pumps.value:g} in cooling of {whole:g} per IT",
            remedy="mend the row: a PUE above 1, pumps within the cooling",
        )
    above = pue.value - 1
    high = cooling * (pue.high - 1) / above
    # An overhead that may be next to nothing: its upper end tells how wide the doubt is.
    low = max(cooling * (pue.low - 1) / above, cooling**2 / high) if cooling > 0 else 0.0
    return Plant(
        key=key,
        name=name,
        fans=fans,
        cooling=msgspec.structs.replace(
            pue,
            value=cooling,
            low=min(low, cooling),
            high=high,
            unit="ratio",
            note=f"PUE {pue.value:g} x share {cooling_share.value:g}, without pumps",
        ),
        pumps=pumps,
        distribution=distribution,
        other=other,
        evaporation=evaporation,
        cycles=cycles,
        notes=notes,
    )


def unknown_plant(
    pue: Factor,
    *,
    shares: Mapping[str, Factor],
    fans: Factor,
    evaporation: Factor,
    cycles: Factor | None = None,
) -> Plant:
    """Split the overhead of a site of which only the PUE is known by a rule of thumb.

    Parameters
    ----------
    pue
        Power usage effectiveness of the site.
    shares
        Parts of ``PUE - 1`` by name (cooling with its pumps, distribution, other); they are
        scaled to sum to 1 and taken as exact, so that the whole keeps the doubt of the PUE.
    fans, evaporation, cycles
        As in `Plant`.
    """
    whole = sum(share.value for share in shares.values())

    def part(name: str) -> Factor:
        ratio = shares[name].value / whole
        return msgspec.structs.replace(
            pue,
            value=(pue.value - 1) * ratio,
            low=max(0.0, pue.low - 1) * ratio,
            high=(pue.high - 1) * ratio,
            unit="ratio",
            verified="assumed",
            note=f"{_percent(ratio)} of the overhead by rule of thumb",
        )

    nothing = Factor("cooling/pumps-inside-cooling", 0.0, 0.0, 0.0, "ratio", verified="derived")
    return Plant(
        key="unknown",
        name="cooling not known",
        fans=fans,
        cooling=part(COOLING),
        pumps=nothing,
        distribution=part(DISTRIBUTION),
        other=part(OTHER),
        evaporation=evaporation,
        cycles=cycles,
        notes=(f"overhead split by rule of thumb ({shares[COOLING].source})",),
    )


def under(it: Amount, plant: Plant) -> Side:
    """Everything that energy *it* [J] brings with it under *plant*.

    Notes
    -----
    Parts are ``it * coefficient``; evaporated water is ``it * evaporation``; with ``c`` cycles
    of concentration ``evaporated / (c - 1)`` is blown down. Drift (below 0.5 % of what
    circulates) is not counted.
    """
    evaporated = per_kwh(it, plant.evaporation)
    return Side(
        plant=plant.name,
        it=it,
        fans=it.times(plant.fans),
        parts={name: it.times(factor) for name, factor in plant.overhead.items()},
        evaporated=evaporated,
        blown_down=blown_down(evaporated, plant.cycles),
    )


def blown_down(evaporated: Amount, cycles: Factor | None) -> Amount:
    """Water let off to the sewer so that salts stay below *cycles* of concentration [L].

    Raises
    ------
    UsageError
        If the cycles are not above one: then everything would be let off.
    """
    if cycles is None:
        return evaporated.scaled(0.0)
    if not 1 < cycles.low <= cycles.value <= cycles.high:
        raise UsageError(
            f"cycles of concentration are above 1, not {cycles.value:g} "
            f"({cycles.low:g} – {cycles.high:g})",
            remedy="give the cycles of the water treatment, usually 3 to 8",
        )
    ratio = msgspec.structs.replace(
        cycles,
        value=1 / (cycles.value - 1),
        low=1 / (cycles.high - 1),
        high=1 / (cycles.low - 1),
        unit="ratio",
    )
    return evaporated.times(ratio)


def switch(it: Amount, before: Plant, to: Plant) -> Change:
    """Do the same work under another cooling.

    Parameters
    ----------
    it
        Energy of IT as it was, with the fans that it had [J].
    before, to
        Plant that it had, and the one whose cooling, pumps, fans and water it gets.
        Distribution and other stay those of the site.

    Notes
    -----
    The work stays: ``it_after = it * (1 - f_before) / (1 - f_after)`` with ``f`` the part of
    fans in IT. Clocks and leakage, which follow temperature, are taken as unchanged.
    """
    after = at_site_of(before, to)
    ratio = without_fans(before, to)
    fewer = it if ratio is None else it.times(ratio)
    notes = (
        "server fans are inside IT: a PUE does not show what is saved there",
        "distribution and lights stay those of the site; clocks and leakage taken as unchanged",
    )
    return Change(under(it, before), under(fewer, after), (*notes, *before.notes, *to.notes))


def claim(side: Side, cut_ratio: float) -> Claim:
    """How far a cut of cooling energy by *cut_ratio* moves the facility of *side*.

    Raises
    ------
    UsageError
        If more than all is to be cut.
    """
    if not cut_ratio <= 1:
        raise UsageError(
            f"cooling cannot fall by {_percent(cut_ratio)}", remedy="give a cut of at most 100 %"
        )
    whole = side.facility.value
    share = side.chilling.value / whole if whole > 0 else 0.0
    return Claim(cut_ratio, share, cut_ratio * share)


def at_site_of(before: Plant, to: Plant) -> Plant:
    """Give plant *to* the distribution and the lights of the site where *before* stands."""
    return msgspec.structs.replace(to, distribution=before.distribution, other=before.other)


def without_fans(before: Plant, to: Plant) -> Factor | None:
    """Energy of IT after a change of its fans, per energy before; None where they stay.

    Raises
    ------
    UsageError
        If fans are all of IT.
    """
    old, new = before.fans, to.fans
    if old.key == new.key:
        return None
    if not old.high < 1 or not new.high < 1:
        raise UsageError(
            f"fans cannot be all of IT ({old.key}, {new.key})",
            remedy="give a share of fans below 1",
        )
    return msgspec.structs.replace(
        old,
        value=(1 - old.value) / (1 - new.value),
        low=(1 - old.high) / (1 - new.low),
        high=(1 - old.low) / (1 - new.high),
        unit="ratio",
        note=f"IT with the fans of {to.name} per IT with those of {before.name}",
    )


def _cut(before: Amount, after: Amount) -> float:
    return 1 - after.value / before.value if before.value > 0 else 0.0


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.2g} %" if abs(ratio) < 1 else f"{100 * ratio:.0f} %"
