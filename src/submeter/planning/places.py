# SPDX-License-Identifier: Apache-2.0
"""Where to run: the same job in several zones, with what moving its data and queueing take."""

from dataclasses import dataclass
from typing import Final

import msgspec

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.costs import Costs
from submeter.planning.single import Schedule, at_once_slices, best, priced
from submeter.records.plans import Job

# Fixed-line networks took 0.06 kWh/GB in 2015, and half of that each two years later: Aslan et
# al., Electricity Intensity of Internet Data Transmission, J. Industrial Ecology 22(4), 2018,
# doi:10.1111/jiec.12630. The high end is 2015's, the low one its trend carried on to 2025, the
# value their geometric mean: estimates differ by this much, and a bulk transfer is not a web page.
TRANSFER_KWH_PER_GB: Final = (0.0019, 0.011, 0.06)
_BITS_PER_BYTE: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A zone in which a job could run.

    Attributes
    ----------
    zone
        Its code.
    costs
        Of the same objective in all places.
    queue_s
        Time until a job that is handed in there starts [s].
    overhead_ratio
        Facility energy there over that at the place where the job's power was told (quotient of
        PUEs) [1].
    data_gb
        Data to be moved there first [GB]; 0 where they are.
    bandwidth_gbit_per_s
        At which they are moved, without protocol losses.
    """

    zone: str
    costs: Costs
    queue_s: float = 0.0
    overhead_ratio: float = 1.0
    data_gb: float = 0.0
    bandwidth_gbit_per_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Placed:
    """The best time in one place.

    Attributes
    ----------
    schedule
        Its costs are those of running only; ``at_once`` is that of the first place given.
    total, total_low, total_high
        With the transfer of the data: as believed, and at both ends of what it may take.
    transfer_kwh
        Energy of the transfer: low, value, high.
    ready_s
        When the data are there and a queue has passed [s since 1970 UTC].
    """

    zone: str
    schedule: Schedule
    total: float
    total_low: float
    total_high: float
    transfer_kwh: tuple[float, float, float]
    ready_s: float

    @property
    def saving_ratio(self) -> float:
        """Share saved against starting at once in the first place, transfer and all [1]."""
        at_once = self.schedule.at_once
        return (at_once - self.total) / abs(at_once) if at_once else 0.0

    @property
    def sure(self) -> bool:
        """Whether it is better than starting at once even if the transfer takes the most."""
        return self.total_high < self.schedule.at_once


@dataclass(frozen=True, slots=True)
class Ranking:
    """Places that a job fits into, the best first, and why others do not take it."""

    places: tuple[Placed, ...]
    refused: dict[str, str]


def best_place(places: tuple[Place, ...], job: Job, *, home: Costs | None = None) -> Ranking:
    """Best time in each place, the best place first.

    Parameters
    ----------
    places
        The first is where the job is now: starting at once there is what all are held against.
    home
        Costs where the data come from, if that is not the first place.

    Raises
    ------
    InfeasibleError
        If the job fits into no place; says why of each.
    UsageError
        If costs are in different units, or a place has a negative queue, data or bandwidth.

    Notes
    -----
    The data's energy is ``GB x kWh/GB`` with `TRANSFER_KWH_PER_GB`, half of it drawn where they
    come from and half where they go, at the mean cost there while they move; moving takes
    ``8 GB / (Gbit/s)``. A ranking never adds up objectives of different units or methods.
    """
    _check(places)
    home = places[0].costs if home is None else home
    here = _elsewhere(job, places[0])
    at_once = priced(places[0].costs, here, at_once_slices(here)).at_once
    found, refused = [], {}
    for place in places:
        try:
            found.append(_placed(place, job, home, at_once))
        except InfeasibleError as exc:
            refused[place.zone] = str(exc)
    if not found:
        told = "; ".join(f"{zone}: {why}" for zone, why in refused.items())
        raise InfeasibleError(
            f"the job fits into no place: {told}", remedy="give a later deadline, or other places"
        )
    return Ranking(tuple(sorted(found, key=lambda placed: placed.total)), refused)


def _check(places: tuple[Place, ...]) -> None:
    if not places:
        raise UsageError("no place was given", remedy="name one zone or more")
    units = {place.costs.unit for place in places}
    if len(units) > 1:
        raise UsageError(
            f"places cannot be compared in {' and '.join(sorted(units))}",
            remedy="give the same objective for all of them",
        )
    for place in places:
        amounts = (place.queue_s, place.data_gb, place.overhead_ratio)
        if min(amounts) < 0 or place.bandwidth_gbit_per_s <= 0:
            raise UsageError(
                f"{place.zone} has a negative queue, overhead or amount of data, or no bandwidth",
                remedy="give amounts >= 0 and a bandwidth above zero",
            )


def _elsewhere(job: Job, place: Place) -> Job:
    """The job with the facility overhead of *place*."""
    ratio = place.overhead_ratio
    return msgspec.structs.replace(
        job,
        power_w=None if job.power_w is None else job.power_w * ratio,
        power_course_w=tuple(w * ratio for w in job.power_course_w),
        idle_w=job.idle_w * ratio,
    )


def _placed(place: Place, job: Job, home: Costs, at_once: float) -> Placed:
    moving_s = place.data_gb * _BITS_PER_BYTE / place.bandwidth_gbit_per_s
    ready_s = job.earliest_s + moving_s + place.queue_s
    there = msgspec.structs.replace(_elsewhere(job, place), earliest_s=ready_s)
    schedule = best(place.costs, there, zone=place.zone)
    low, value, high = (place.data_gb * kwh for kwh in TRANSFER_KWH_PER_GB)
    per_kwh = 0.0
    if place.data_gb:
        end_s = job.earliest_s + moving_s
        ends = [costs.within(job.earliest_s, end_s).per_kwh for costs in (home, place.costs)]
        per_kwh = sum(float(values.mean()) for values in ends) / 2
    return Placed(
        place.zone,
        _against(schedule, at_once),
        schedule.objective + value * per_kwh,
        schedule.objective + low * per_kwh,
        schedule.objective + high * per_kwh,
        (low, value, high),
        ready_s,
    )


def _against(schedule: Schedule, at_once: float) -> Schedule:
    return Schedule(
        schedule.slices, schedule.objective, at_once, schedule.energy_kwh, schedule.unit
    )
