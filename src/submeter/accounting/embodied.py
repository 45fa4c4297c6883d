# SPDX-License-Identifier: Apache-2.0
"""Embodied carbon: what making the hardware emitted, for the hours that a run reserved it.

The boundary is fixed: the accelerators that a run reserved, and their share of the host that they
sit in (board, processors, memory, disks, power supply, chassis), from cradle to gate. It is no
reason to run here or there: hardware that exists has been made (sunk), so that planning leaves it
out.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NoReturn

import msgspec

from submeter.accounting.ratios import inverse
from submeter.errors import UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing
from submeter.units import G_PER_KG, H_PER_YEAR, S_PER_H

Idle = Literal["owner", "runs"]
BOUNDARY: Final = "accelerators and their share of the host, from cradle to gate"
NOT_IN_IT: Final = (
    "embodied carbon leaves out the building, its power and cooling plant, network and storage "
    "outside the host, and end of life where a source stops at the factory gate"
)
IDLE_IS_THE_OWNERS: Final = (
    "idle hours are borne by the owner: each hour of the hardware's life weighs alike"
)


class Hardware(msgspec.Struct, frozen=True):
    """What a run reserved of one kind of host.

    ``accelerator`` is one accelerator [kgCO2e], ``host`` a whole host without them [kgCO2e];
    None where the run reserved none. ``host_ratio`` is the share of a host that was reserved, and
    may be above 1 where there were several: by accelerators where there are any
    (`accelerator_share`), else by processors (`cpu_share`). ``lifetime`` is in hours.
    """

    name: str
    lifetime: Factor  # h
    accelerators: float = 0.0
    accelerator: Factor | None = None  # kgCO2e each
    host: Factor | None = None  # kgCO2e
    host_ratio: float = 0.0
    per_h: Factor | None = None  # kgCO2e per accelerator-hour, in place of all of the above
    notes: tuple[str, ...] = ()


class Embodied(msgspec.Struct, frozen=True):
    """Embodied carbon of a run [gCO2e] with its parts, and who bears idle hours."""

    total: Amount | Missing
    accelerators: Amount | Missing
    hosts: Amount | Missing
    notes: tuple[str, ...] = ()


class Purchase(msgspec.Struct, frozen=True):
    """GHG Protocol category 2 in the year of purchase: all of the hardware at once [gCO2e].

    The other way to tell the same grams. It is of another type than an `Amount`, so that the two
    are never summed: whoever tries is refused.
    """

    whole: Amount
    note: str

    @property
    def terms(self) -> NoReturn:
        """Nothing that could be summed."""
        raise UsageError(
            "embodied carbon by hours and the whole purchase (category 2) are two views of the "
            "same grams: they are never summed",
            remedy="show one, or both side by side",
        )


def accelerator_share(reserved: float, in_host: float) -> float:
    """Share of a host that goes with *reserved* of its *in_host* accelerators."""
    return _share(reserved, in_host, "accelerators")


def cpu_share(reserved: float, in_host: float) -> float:
    """Share of a host without accelerators that goes with *reserved* of its *in_host* CPUs."""
    return _share(reserved, in_host, "CPUs")


def _share(reserved: float, in_host: float, what: str) -> float:
    if not (math.isfinite(reserved) and math.isfinite(in_host) and reserved >= 0 < in_host):
        raise UsageError(f"{reserved:g} of {in_host:g} {what} are no share of a host")
    return reserved / in_host


def embodied_by_hours(
    hardware: Iterable[Hardware],
    reserved_s: float,
    *,
    idle: Idle = "owner",
    reserved_ratio: Factor | None = None,
) -> Embodied:
    """Embodied carbon of the hours that a run reserved [gCO2e].

    Parameters
    ----------
    hardware
        What it reserved, one for each kind of host; none is `Missing`.
    reserved_s
        How long it held the hardware, used or not.
    idle
        Who bears the hours in which nobody reserves it: the owner (each hour of the calendar
        weighs alike), or the runs (only reserved hours weigh).
    reserved_ratio
        Part of its life in which the hardware is reserved, with ``idle="runs"`` only.

    Notes
    -----
    ``hours / lifetime * (n * accelerator + host_ratio * host)``. With idle hours borne by the
    runs the lifetime is ``lifetime * reserved_ratio``. How busy the hardware was inside the
    reserved hours never enters: that would count utilisation a second time. Doubts of the
    accelerator, the host and the lifetime each have their own key.

    References
    ----------
    .. [1] ISO/IEC 21031:2024 (SCI): ``M = TE * TiR / EL * RR / ToR``.
    """
    rows = list(hardware)
    if not math.isfinite(reserved_s) or reserved_s < 0:
        raise UsageError(f"{reserved_s} s of reserved hardware make no sense")
    if (idle == "runs") != (reserved_ratio is not None):
        raise UsageError(
            "idle hours that runs bear need the part of its life in which hardware is reserved",
            remedy='idle="runs" with reserved_ratio, or neither',
        )
    if not rows:
        nothing = Missing("what hardware was reserved is not known")
        return Embodied(nothing, nothing, nothing)
    busy = None if reserved_ratio is None else inverse(_as_ratio(reserved_ratio), "ratio")
    hours = reserved_s / S_PER_H
    of_accelerators = _sum(_made(row, hours, busy, "accelerator") for row in rows)
    of_hosts = _sum(_made(row, hours, busy, "host") for row in rows)
    known = [part for part in (of_accelerators, of_hosts) if isinstance(part, Amount)]
    notes = [BOUNDARY, _idle_words(idle, reserved_ratio), NOT_IN_IT]
    notes += [note for row in rows for note in row.notes]
    notes += [f"{row.name}: nothing is known of its host" for row in rows if _lacks_host(row)]
    notes += _bought(rows)
    whole = sum_amounts(known) if known else Missing("no figure is known for this hardware")
    return Embodied(whole, of_accelerators, of_hosts, tuple(dict.fromkeys(notes)))


def factors_of(hardware: Iterable[Hardware]) -> tuple[Factor, ...]:
    """Every factor that the embodied carbon of *hardware* takes, each once."""
    rows = (f for h in hardware for f in (h.accelerator, h.host, h.per_h, h.lifetime))
    return tuple(dict.fromkeys(f for f in rows if f is not None))


def purchase(hardware: Iterable[Hardware], pieces: float = 1.0) -> Purchase:
    """All of the hardware in the year of its purchase [gCO2e]; *pieces* of each host share."""
    parts: list[Amount] = []
    for row in hardware:
        if row.accelerator is not None:
            parts.append(_grams(row.accelerators * pieces, row.accelerator))
        if row.host is not None:
            parts.append(_grams(row.host_ratio * pieces, row.host))
    if not parts:
        raise UsageError("nothing that was bought is known")
    note = "category 2: the whole purchase in its year, whatever it is used for afterwards"
    return Purchase(sum_amounts(parts), note)


def with_lifetime(hardware: Hardware, years: float) -> Hardware:
    """What if it serves *years*: the same hardware over another life, which is stated."""
    lifetime_h = _positive(years, "a life in years") * H_PER_YEAR
    stated = Factor(
        key="embodied/lifetime/stated",
        value=lifetime_h,
        low=lifetime_h,
        high=lifetime_h,
        unit="h",
        source=f"a life of {years:g} years, stated",
        verified="declared",
    )
    return msgspec.structs.replace(hardware, lifetime=stated)


def with_second_use(hardware: Hardware, years: float) -> Hardware:
    """What if somebody else uses it for *years* after its life here: both bear by hours."""
    more_h = _positive(years, "a second use in years") * H_PER_YEAR
    first = hardware.lifetime
    longer = msgspec.structs.replace(
        first, value=first.value + more_h, low=first.low + more_h, high=first.high + more_h
    )
    note = f"what if: a second use of {years:g} years shares what making it emitted"
    return msgspec.structs.replace(hardware, lifetime=longer, notes=(*hardware.notes, note))


# --- inside -------------------------------------------------------------------------------------


def _bought(rows: Sequence[Hardware]) -> list[str]:
    """The other view in words, where all of it is known."""
    if any(row.per_h is not None or row.host is None for row in rows):
        return []
    whole_kg = purchase(rows).whole.value / G_PER_KG
    about = f"{float(f'{whole_kg:.2g}'):,.0f}".replace(",", " ")
    words = f"bought new it all would be {about} kgCO2e in its year (GHG Protocol category 2)"
    return [f"{words}: another view of the same grams, never added"]


def _made(
    row: Hardware, hours: float, busy: Factor | None, part: Literal["accelerator", "host"]
) -> Amount | Missing:
    """Embodied carbon of one part of *row* for *hours*."""
    if row.per_h is not None:
        if part == "host":
            return Missing("inside the figure per accelerator-hour")
        return _borne(_grams(row.accelerators * hours, row.per_h), busy)
    factor, count = (
        (row.accelerator, row.accelerators)
        if part == "accelerator"
        else (row.host, row.host_ratio)
    )
    if factor is None:
        return Missing(f"no figure is known for the {part} of {row.name}")
    amount = _grams(count * hours, factor).times(inverse(row.lifetime, "1/h"))
    return _borne(amount, busy)


def _grams(count: float, factor: Factor) -> Amount:
    """*count* times a *factor* in kilograms."""
    if not math.isfinite(count) or count < 0:
        raise UsageError(f"{count} pieces of hardware make no sense")
    return Amount.exact(count, Basis.DERIVED).times(factor.scaled(G_PER_KG, "gCO2e"))


def _borne(amount: Amount, busy: Factor | None) -> Amount:
    return amount if busy is None else amount.times(busy)


def _sum(parts: Iterable[Amount | Missing]) -> Amount | Missing:
    """Sum of what is known; a reason where nothing is."""
    rows = list(parts)
    known = [row for row in rows if isinstance(row, Amount)]
    lacking = [row for row in rows if isinstance(row, Missing)]
    return sum_amounts(known) if known else lacking[0]


def _lacks_host(row: Hardware) -> bool:
    return row.per_h is None and row.host is None


def _as_ratio(factor: Factor) -> Factor:
    if not 0 < factor.low <= factor.value <= factor.high <= 1:
        raise UsageError(f"{factor.value:g} is no part of a life, which is above 0 and at most 1")
    return factor


def _idle_words(idle: Idle, ratio: Factor | None) -> str:
    if idle == "owner" or ratio is None:
        return IDLE_IS_THE_OWNERS
    return f"idle hours are borne by the runs: reserved {100 * ratio.value:.3g} % of its life"


def _positive(number: float, what: str) -> float:
    if not math.isfinite(number) or number <= 0:
        raise UsageError(f"{number} is no {what}")
    return number
