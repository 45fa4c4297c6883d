# SPDX-License-Identifier: Apache-2.0
"""Gaps and stalls of a run, each with the cause that the record names."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from submeter.explaining.states import state_of
from submeter.records.devices import DeviceKind
from submeter.records.explanations import Stall
from submeter.records.observations import DeviceCourse, Observations, PhaseCourse

MOST_STALLS: Final = 200
WAITS: Final = {
    "waiting for data": "loader wait",
    "waiting for peers": "waiting for peers",
    "checkpoint": "checkpoint",
    "evaluation": "evaluation",
    "compile": "compile",
}
THROTTLES: Final = {
    "thermal": "thermal throttle",
    "power": "power throttle",
    "brake": "power brake",
}
_FULL: Final = 0.5  # of a slot in which the clocks were held back
_SHORTEST_S: Final = 1.0
_OFTEN: Final = 0.2  # of a slot that short waits make up together
_EDGE: Final = 0.02  # of the run: idleness this near to an end is start-up, or the tail
_COVERED: Final = 0.5

Span = tuple[float, float]


def stalls_of(seen: Observations) -> tuple[Stall, ...]:
    """What a reader of the time line should see, in order; where there is much, the dearest.

    Notes
    -----
    Phases are told by their names (`state_of`), throttling by the driver's own reasons, gaps and
    pauses by the journal. Idleness that none of these covers is told by where it lies.
    """
    found = [
        *_gaps(seen),
        *_pauses(seen),
        *_phases(seen),
        *_often(seen),
        *_throttles(seen),
    ]
    found += _idle(seen, found)
    found.sort(key=lambda s: -((s.energy_j or 0.0) + (s.end_s - s.start_s) * 1e-9))
    return tuple(sorted(found[:MOST_STALLS], key=lambda s: (s.start_s, s.end_s)))


def drawn_j(seen: Observations, span: Span, device_id: str = "") -> float:
    """Energy that the devices, or one of them, drew in a span [J]."""
    rows = [d for d in seen.devices if not device_id or d.device_id == device_id]
    first = max(0, int(span[0] / seen.slot_s))
    last = min(seen.slots - 1, int(span[1] / seen.slot_s))
    found = []
    for i in range(first, last + 1):
        inside_s = min(span[1], (i + 1) * seen.slot_s) - max(span[0], i * seen.slot_s)
        watts = [d.mean_w[i] for d in rows if i < len(d.mean_w)]
        found += [w * max(0.0, inside_s) for w in watts if w is not None]
    return math.fsum(found)


def _gaps(seen: Observations) -> Iterable[Stall]:
    for gap in seen.gaps:
        yield Stall(gap.start_s, gap.end_s, "not read", gap.device_id)


def _pauses(seen: Observations) -> Iterable[Stall]:
    for pause in seen.pauses:
        span = (pause.start_s, pause.start_s + pause.duration_s)
        yield Stall(*span, "pause", "", drawn_j(seen, span))


def _phases(seen: Observations) -> Iterable[Stall]:
    """Phases that are no work, long enough to fill grains; of several ranks the first's."""
    pids = {i.pid for i in seen.intervals}
    leader = min(pids, default=0, key=lambda pid: (_rank(seen, pid), pid))
    for interval in seen.intervals:
        cause = WAITS.get(state_of(interval.path))
        if cause is not None and (interval.pid == leader or cause == "waiting for peers"):
            span = (interval.start_s, interval.end_s)
            yield Stall(*span, cause, interval.path, drawn_j(seen, span))


def _rank(seen: Observations, pid: int) -> int:
    return next((i.rank for i in seen.intervals if i.pid == pid and i.rank is not None), 1 << 30)


def _often(seen: Observations) -> Iterable[Stall]:
    """Stretches in which waits, each too short to be seen, make up much of the time."""
    for state in ("waiting for data", "waiting for peers"):
        courses = [p for p in seen.phases if state_of(p.path) == state]
        if not courses:
            continue
        processes = len({p.pid for p in seen.phases}) or 1
        long = [(i.start_s, i.end_s) for i in seen.intervals if state_of(i.path) == state]
        marked = [
            _ratio(seen, courses, i, processes) >= _OFTEN and not _covers(seen, i, long)
            for i in range(seen.slots)
        ]
        for a, b in _runs(marked):
            span = (a * seen.slot_s, min(b * seen.slot_s, seen.duration_s))
            if span[1] - span[0] < _SHORTEST_S:
                continue  # the edge of a wait that is told already
            ratio = math.fsum(_ratio(seen, courses, i, processes) for i in range(a, b)) / (b - a)
            where = f"{courses[0].path}, {100 * ratio:.0f} % of the time"
            yield Stall(*span, WAITS[state], where, drawn_j(seen, span) * ratio)


def _ratio(seen: Observations, courses: Sequence[PhaseCourse], i: int, processes: int) -> float:
    length_s = min(seen.slot_s, seen.duration_s - i * seen.slot_s)
    if length_s <= 0:
        return 0.0
    return math.fsum(c.wall_s[i] for c in courses if i < len(c.wall_s)) / length_s / processes


def _covers(seen: Observations, i: int, spans: Iterable[Span]) -> bool:
    """Whether *spans* fill most of a slot."""
    begin_s, end_s = i * seen.slot_s, min((i + 1) * seen.slot_s, seen.duration_s)
    inside = math.fsum(max(0.0, min(b, end_s) - max(a, begin_s)) for a, b in spans)
    return inside >= _COVERED * max(end_s - begin_s, 1e-9)


def _throttles(seen: Observations) -> Iterable[Stall]:
    for device in seen.devices:
        for cause, words in THROTTLES.items():
            row = device.throttled_ratio.get(cause, ())
            for a, b in _runs([r is not None and r >= _FULL for r in row]):
                span = (a * seen.slot_s, min(b * seen.slot_s, seen.duration_s))
                yield Stall(*span, words, device.device_id, drawn_j(seen, span, device.device_id))


def _idle(seen: Observations, told: Sequence[Stall]) -> list[Stall]:
    """Stretches in which boards, or processors where there are none, did nothing."""
    boards = {d.device_id for d in seen.devices if d.kind is DeviceKind.GPU}
    watched = boards or {d.device_id for d in seen.devices if d.kind is DeviceKind.CPU}
    found = []
    for stretch in seen.stretches:
        span = (stretch.start_s, stretch.end_s)
        if stretch.device_id not in watched or _told(span, stretch.device_id, told):
            continue
        cause = "idle"
        if stretch.path == "" and stretch.start_s <= _EDGE * seen.duration_s:
            cause = "start-up"
        elif stretch.end_s >= (1 - _EDGE) * seen.duration_s and stretch.path == "":
            cause = "idle tail"
        found.append(Stall(*span, cause, stretch.device_id, stretch.energy_j))
    return found


def _told(span: Span, device_id: str, told: Iterable[Stall]) -> bool:
    inside = math.fsum(
        max(0.0, min(s.end_s, span[1]) - max(s.start_s, span[0]))
        for s in told
        if s.where == device_id or not s.where.startswith(("gpu:", "cpu:", "dram:"))
    )
    return inside >= _COVERED * (span[1] - span[0])


def _runs(marked: Sequence[bool]) -> Iterable[tuple[int, int]]:
    """Stretches of True: first place, and that behind the last."""
    begin: int | None = None
    for i, here in enumerate((*marked, False)):
        if here and begin is None:
            begin = i
        elif not here and begin is not None:
            yield begin, i
            begin = None


def shown_devices(seen: Observations) -> list[DeviceCourse]:
    """Devices in the order of a drawing: boards, processors, memory."""
    order = (DeviceKind.GPU, DeviceKind.CPU, DeviceKind.DRAM)
    return [d for kind in order for d in seen.devices if d.kind is kind]
