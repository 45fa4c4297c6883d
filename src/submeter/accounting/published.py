# SPDX-License-Identifier: Apache-2.0
"""Runs of others, from what they published, at the boundary that they published.

A publication tells one energy: of the devices, of the nodes, of all IT, or of the whole facility.
Here it becomes a `Run` that knows which, so that no PUE is applied to what already holds one, and
what stops at the devices is never taken for a node.
"""

import math
import re
import zlib
from collections.abc import Mapping
from typing import Final, Literal, get_args

import msgspec

from submeter.accounting.boundaries import SCOPE, within_facility
from submeter.accounting.carbon import Intensity
from submeter.accounting.facility import Facility
from submeter.accounting.footprints import Circumstances, amounts_to
from submeter.accounting.ratios import exactly
from submeter.accounting.water import Generation
from submeter.errors import UsageError
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.footprints import NOT_RECKONED, Footprint
from submeter.records.places import Zone
from submeter.records.runs import DeviceEnergy, Host, Run
from submeter.records.traces import Kind
from submeter.units import G_PER_T, J_PER_KWH, S_PER_H

Scope = Literal["device", "device x pue", "node", "it", "facility"]
PUE_TOLD: Final = "published_pue"  # key of a run's place
ACCELERATORS: Final = "accelerators"  # keys of the machine of a published run's one host
BOARD: Final = "accelerator"
HOST: Final = "published"
_DATE: Final = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?)?")
_HELD: Final = frozenset({"hours", "devices"})
_DIVIDED: Final = {"device x pue": "device", "facility": "it"}
UNDIVIDED: Final = (
    "the published energy holds the facility already: PUE 1 here, and on-site water, being per "
    "kWh of IT, is an upper bound"
)
NOT_TOLD: Final = Missing("not in the publication")
AS_PRINTED: Final = "as published: its own factors, taken as exact"


def published_run(
    *,
    name: str,
    energy_kwh: float,
    scope: Scope,
    low_kwh: float | None = None,
    high_kwh: float | None = None,
    pue: float | None = None,
    wue_l_per_kwh: float | None = None,
    started: str = "",
    hours: float = 0.0,
    device: str = "",
    devices: float = 0.0,
    zone: str = "",
    basis: Basis | str = Basis.MODELLED,
    source: str = "",
) -> Run:
    """Take a run that somebody published.

    Parameters
    ----------
    energy_kwh, scope
        Its energy, and what that holds: ``device`` (accelerators alone), ``device x pue``
        (accelerators times PUE, no host), ``node``, ``it``, or ``facility`` (PUE included).
    low_kwh, high_kwh
        Between which the energy lies: what a printed figure may have been rounded from, or what
        else is known of it. The wider side serves for both.
    pue
        PUE that the energy holds, or that was published beside it.
    wue_l_per_kwh
        Water on the site per kWh of IT, if it was published.
    started
        ``2022``, ``2022-03`` or ``2022-03-11``.
    hours, device, devices
        How long how many accelerators were held; without all three the hardware's share is
        missing.
    zone
        Where: any word for a place.
    basis
        ``measured``, or ``modelled`` for TDP times hours and the like.
    source
        The publication.

    Returns
    -------
    Run
        Of origin ``published``. Its rows never hold more than IT where *pue* tells how to divide
        it out. Where an energy holds an unknown PUE the run says so, and any PUE but 1 is refused
        (`submeter.accounting.boundaries.within_facility`).

    Raises
    ------
    UsageError
        For figures and words that make no sense.
    """
    _check_numbers(
        {"energy_kwh": energy_kwh, "hours": hours, "devices": devices},
        {"low_kwh": low_kwh, "high_kwh": high_kwh, "pue": pue, "wue_l_per_kwh": wue_l_per_kwh},
    )
    low, high = (energy_kwh if e is None else e for e in (low_kwh, high_kwh))
    _check(name, scope, (low, energy_kwh, high), pue, wue_l_per_kwh, str(basis))
    holds_pue = scope in _DIVIDED
    divisor = pue if holds_pue and pue is not None else 1.0
    energy = Quantity.of(
        energy_kwh * J_PER_KWH / divisor,
        basis=Basis(basis),
        terms=(_tolerance(name, low, energy_kwh, high),),
        source=source or f"{name}, published",
    )
    place = {SCOPE: _DIVIDED[scope] if holds_pue and pue is not None else scope}
    if pue is not None:
        place |= {"pue": repr(pue), PUE_TOLD: repr(pue)}
    if wue_l_per_kwh is not None:
        place["wue_l_per_kwh"] = repr(float(wue_l_per_kwh))
    if zone:
        place |= {"zone": zone, "zone_from": "argument"}
    began = _began(started)
    held = hours > 0 and devices > 0 and device
    return Run(
        id=f"{began[:10].replace('-', '')}-000000-{zlib.crc32(name.encode()) & 0xFFFF:04x}",
        name=name,
        origin="published",
        status="finished",
        started_utc=began,
        duration_s=hours * S_PER_H,
        hosts=(Host(HOST, {BOARD: device, ACCELERATORS: repr(devices)}),) if held else (),
        devices=_rows(scope, energy, device),
        place=place,
        notes=(source,) if source else (),
    )


def as_published(
    run: Run,
    *,
    intensity_g_per_kwh: float,
    pue: float | None = None,
    wue_l_per_kwh: float | None = None,
    water_l_per_kwh: float | None = None,
    embodied_t: float | None = None,
    claims: tuple[str, ...] = (),
) -> Footprint:
    """Reckon a published *run* by the publication's own factors, and nothing else.

    Parameters
    ----------
    intensity_g_per_kwh
        Grams per kWh at the wall [gCO2e/kWh].
    pue
        For an energy that does not hold it yet; that of the run if it has one, else 1.
    wue_l_per_kwh, water_l_per_kwh
        Water on the site per kWh of IT (that of the run if it has one), and of the electricity
        per kWh at the wall [L/kWh].
    embodied_t
        The hardware's share [tCO2e].
    claims
        What contracts are said to do, in words: shown, never a factor.

    Raises
    ------
    UsageError
        For a PUE on an energy that holds one.
    """
    told = pue if pue is not None else told_pue(run, _recorded(run, "pue"))
    ratio = 1.0 if told is None else told if isinstance(told, int | float) else told.value
    wue = _recorded(run, "wue_l_per_kwh") if wue_l_per_kwh is None else wue_l_per_kwh
    facility = Facility(
        kind="site",
        name="the site",
        pue=_exact("pue", ratio, "ratio"),
        wue=None if wue is None else _exact("wue", wue, "L/kWh"),
    )
    dry = None if water_l_per_kwh is None else _exact("generation", water_l_per_kwh, "L/kWh")
    around = Circumstances(
        zone=Zone(run.place.get("zone", ""), "as published", "country", "argument"),
        facility=facility,
        lifecycle=Intensity(_exact("intensity", intensity_g_per_kwh, "gCO2e/kWh"), Kind()),
        direct=NOT_TOLD,
        loss=NOT_TOLD,
        matching=claims,
        generation=Generation(consumption=dry, at_generator=False),
        embodied=NOT_TOLD
        if embodied_t is None
        else Amount.exact(embodied_t * G_PER_T, Basis.DERIVED, AS_PRINTED),
        notes=(AS_PRINTED, *scope_notes(run)),
    )
    made = amounts_to(run, around)
    carbon = msgspec.structs.replace(
        made.carbon, market=NOT_RECKONED, market_how="", market_scopes={}
    )
    return msgspec.structs.replace(made, carbon=carbon, doubts=())


def told_pue(run: Run, pue: float | None) -> Factor | float | None:
    """PUE to reckon *run* with: exactly what its energy was divided by, else *pue* as it is.

    An energy that holds an unknown PUE has exactly 1.
    """
    if within_facility(run):
        return _exact("pue", 1.0, "ratio", UNDIVIDED)
    if pue is not None and run.place.get(PUE_TOLD) == repr(pue):
        return _exact("pue", pue, "ratio")
    return pue


def refuse_another(run: Run, pue: float | None, cooling: str | None) -> None:
    """Raise `UsageError` if another facility is asked for around an energy that holds its own."""
    if within_facility(run) and (pue is not None or cooling is not None):
        raise UsageError(
            f"the energy of {run.name} holds a PUE that was not published: it cannot be put into "
            "another facility",
            remedy="ask for another place alone, or give the PUE that it was published with",
        )


def scope_notes(run: Run) -> tuple[str, ...]:
    """What a reader should know of the boundary of a published energy."""
    scope = run.place.get(SCOPE, "")
    if not scope:
        return ()
    notes = [f"published energy of: {scope}"]
    if within_facility(run):
        notes.append(UNDIVIDED)
    return tuple(notes)


# --- inside -------------------------------------------------------------------------------------


def _check(
    name: str,
    scope: str,
    ends: tuple[float, float, float],
    pue: float | None,
    wue: float | None,
    basis: str,
) -> None:
    """Raise `UsageError` for words and figures that make no sense."""
    if scope not in get_args(Scope):
        raise UsageError(f"an energy is of {', '.join(get_args(Scope))}, not of {scope!r}")
    if basis not in set(Basis):
        raise UsageError(f"an energy is {', '.join(Basis)}, not {basis!r}")
    low, value, high = ends
    if not 0 < low <= value <= high < math.inf:
        raise UsageError(f"{name}: {low:g} – {value:g} – {high:g} kWh is no energy")
    if pue is not None and not 1 <= pue < math.inf:
        raise UsageError(f"a PUE is 1 or more, not {pue}")
    if wue is not None and not 0 <= wue < math.inf:
        raise UsageError(f"a WUE is 0 L/kWh or more, not {wue}")


def _check_numbers(needed: Mapping[str, object], optional: Mapping[str, object]) -> None:
    """Raise `UsageError` for what is no number, such as a word from a table that was not read."""
    for name, given in (*needed.items(), *optional.items()):
        if given is None and name in optional:
            continue
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise UsageError(
                f"{name} is a number, not {type(given).__name__} {str(given)[:40]!r}",
                remedy=f"{name}=5.0",
            )
        if name in _HELD and not 0 <= given < math.inf:
            raise UsageError(f"{name} is 0 or more, not {given}", remedy=f"{name}=5.0")


def _rows(scope: Scope, energy: Quantity, device: str) -> tuple[DeviceEnergy, ...]:
    """Rows of a run: all of it the accelerators', or of the node with them in it."""
    board = Device(f"gpu:{HOST}", DeviceKind.GPU, device or "accelerators", HOST)
    if scope in ("device", "device x pue"):
        return (DeviceEnergy(board, energy, energy, method="published", share_how="published"),)
    node = Device(f"rest:{HOST}", DeviceKind.REST, "the whole node", HOST)
    return (DeviceEnergy(node, energy, energy, method="published", share_how="published"),)


def _tolerance(name: str, low: float, value: float, high: float) -> ErrorTerm:
    """Doubt of an energy that lies anywhere in an interval: uniform, so ``half / sqrt(3)``."""
    half = max(value - low, high - value)
    return ErrorTerm(f"published/{name}", half / value / math.sqrt(3), shape="uniform")


def _began(started: str) -> str:
    """Instant of a date, its first where only the year is told."""
    found = _DATE.fullmatch(started or "2020")
    if found is None:
        raise UsageError(f"{started[:40]!r} is no date", remedy="give 2022, 2022-03 or 2022-03-11")
    year, month, day = found.groups(default="01")
    return f"{year}-{month}-{day}T00:00:00.000Z"


def _recorded(run: Run, key: str) -> float | None:
    word = run.place.get(key)
    return None if word is None else float(word)


def _exact(key: str, value: float, unit: str, source: str = "published with the run") -> Factor:
    """Factor without doubt: a publication's own."""
    return exactly(f"published/{key}", value, unit, source)
