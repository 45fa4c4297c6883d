# SPDX-License-Identifier: Apache-2.0
"""Energy drawn while nothing ran: boards that were never used, idle tails, idle stretches."""

import math
from collections.abc import Sequence
from typing import Final

from submeter.explaining.states import state_of
from submeter.explaining.waste_book import Cells, Claim, Silence
from submeter.explaining.waste_case import Case, percent, rule
from submeter.records.devices import DeviceKind
from submeter.records.observations import Stretch

_BUSY_CORES: Final = 0.5  # of a processor, by which the run is at work
_QUIET_CORES: Final = 0.1  # processors kept busy by a program that only waits to be ended
_RESTS: Final = 1.3  # times its power at rest: a board whose driver keeps it awake
_HALF: Final = 0.5
_EDGE_S: Final = 2.0  # a stretch that ends so near to the end reaches it
_WAITS: Final = frozenset(
    {"waiting for data", "waiting for peers", "checkpoint", "compile", "evaluation"}
)


def unused_board(case: Case) -> Claim | Silence:
    """Boards that the run held and that did nothing while the processor computed."""
    key = "cpu-fallback"
    if not case.boards:
        return Silence(key, "no board was the run's")
    least = rule("idle-board-ratio").value
    unused = [b.device.id for b in case.boards if case.idle_ratio(b.device.id) >= least]
    if not unused:
        return Silence(key, "its boards were at work")
    cores = [c for c in case.seen.run_cores if c is not None]
    mean_cores = math.fsum(cores) / len(cores) if cores else 0.0
    if mean_cores < _BUSY_CORES and not case.run.work:
        return Silence(key, "the processor did not compute either")
    ratio = min(case.idle_ratio(d) for d in unused)
    return Claim(
        key=key, name="accelerator not used",
        cells=case.part([1.0] * len(case.slots), unused),
        why=f"{_boards(len(unused))} did nothing for {percent(ratio)} of the time while the run "
        f"kept {mean_cores:.1f} processors busy",
        detail={"idle_ratio": ratio, "busy_cores": mean_cores}, places=tuple(unused),
    )  # fmt: skip


def idle_tail(case: Case) -> Claim | Silence:
    """Energy behind the work, until somebody ended the run."""
    key = "idle-tail"
    done_s = _done_by(case)
    start_s = _silent_from(case, done_s)
    if start_s is None:
        still_s = _still_from(case)
        start_s = None if still_s is None else max(still_s, done_s)
    if start_s is None:
        return Silence(key, "it was at work until its end")
    length_s = case.run.duration_s - start_s
    if length_s <= rule("idle-tail-s").value:
        return Silence(key, f"it ended {max(0.0, length_s):.0f} s behind its work")
    cells = _quiet(case, case.within(start_s, case.run.duration_s))
    return Claim(
        key=key, name="idle tail", cells=cells,
        why=f"nothing ran in the last {length_s:.0f} s, from {start_s:.0f} s on",
        detail={"tail_s": length_s, "start_s": start_s}, places=tuple(_ids(case)),
    )  # fmt: skip


def _still_from(case: Case) -> float | None:
    """From when on all devices stood still until the end [s]; None if one did not."""
    found = [s for s in _watched(case) if s.end_s >= case.run.duration_s - _EDGE_S
             and (not s.path or state_of(s.path) not in _WAITS)]  # fmt: skip
    if not found or {s.device_id for s in found} != set(_ids(case)):
        return None
    return max(s.start_s for s in found)


def _done_by(case: Case) -> float:
    """When the program last logged something or was in a phase [s]."""
    logged = max((p.elapsed_s for p in case.run.metric_history), default=0.0)
    last = max(
        (i for p in case.seen.phases if p.path for i, t in enumerate(p.wall_s) if t > 0),
        default=-1,
    )
    return max(logged, min((last + 1) * case.seen.slot_s, case.run.duration_s))


def _silent_from(case: Case, done_s: float) -> float | None:
    """The same where stillness is seen in pieces only: no phase, no log, hardly any CPU time."""
    cores = [
        c for c, part in zip(
            case.seen.run_cores, case.within(done_s, case.run.duration_s), strict=False
        ) if c is not None and part > _HALF
    ]  # fmt: skip
    if done_s <= 0 or not cores or math.fsum(cores) / len(cores) > _QUIET_CORES:
        return None
    for board in case.boards:
        course, rest_w = case.course(board.device.id), case.idle_w(board)
        begin = int(done_s / max(case.seen.slot_s, 1e-9)) + 1
        power_w = [w for w in (course.mean_w[begin:] if course else ()) if w is not None]
        if rest_w is None or not power_w or math.fsum(power_w) / len(power_w) > _RESTS * rest_w:
            return None
    return done_s


def idle(case: Case) -> Claim | Silence:
    """Stretches amid the run in which a board, or the processor alone, did nothing."""
    key = "idle"
    start_up_s = rule("start-up-s").value
    spans: dict[str, list[Stretch]] = {}
    for s in _watched(case):
        begun_s = max(s.start_s, start_up_s)
        tail = s.end_s >= case.run.duration_s - _EDGE_S
        paused = any(p.start_s < s.end_s and s.start_s < p.start_s + p.duration_s
                     for p in case.run.pauses)  # fmt: skip
        if s.end_s > begun_s and not tail and not paused and state_of(s.path) not in _WAITS:
            spans.setdefault(s.device_id, []).append(s)
    if not spans:
        return Silence(key, "no device stood still amid the run")
    parts = {
        d: [min(1.0, math.fsum(ps)) for ps in zip(
            *(case.within(max(s.start_s, start_up_s), s.end_s) for s in rows), strict=True)]
        for d, rows in spans.items()
    }  # fmt: skip
    cells: Cells = {}
    for device, ratios in parts.items():
        cells |= case.part(ratios, [device])
    if len(spans) == len(_ids(case)):  # all of them: then the node stood still too
        together = [min(rs) for rs in zip(*parts.values(), strict=True)]
        cells = _quiet(case, together) | cells
    seconds = math.fsum(s.end_s - max(s.start_s, start_up_s) for r in spans.values() for s in r)
    mean_s = seconds / len(_ids(case))
    return Claim(
        key=key, name="idle and stalled", cells=cells,
        why=f"devices did nothing for {mean_s:.0f} s amid the run, in "
        f"{sum(map(len, spans.values()))} stretches that no phase explains",
        detail={"idle_s": mean_s, "idle_ratio": mean_s / max(case.run.duration_s, 1e-9)},
        places=tuple(sorted(spans)),
    )  # fmt: skip


def _ids(case: Case) -> list[str]:
    """Devices whose standing still counts: boards that are used at all, else processors."""
    least = rule("idle-board-ratio").value
    boards = [b.device.id for b in case.boards if case.idle_ratio(b.device.id) < least]
    if boards or case.boards:
        return boards
    return [d.device.id for d in case.run.devices
            if d.device.kind is DeviceKind.CPU and d.device.id in case.cells]  # fmt: skip


def _watched(case: Case) -> list[Stretch]:
    ids = set(_ids(case))
    return [s for s in case.seen.stretches if s.device_id in ids]


def _quiet(case: Case, ratios: Sequence[float]) -> Cells:
    """These parts of all devices; of processors only where the run kept none busy."""
    cores = case.seen.run_cores
    still = [
        r if i >= len(cores) or (cores[i] or 0.0) < _BUSY_CORES else 0.0
        for i, r in enumerate(ratios)
    ]
    boards = [b.device.id for b in case.boards]
    return case.part(still, [d for d in case.cells if d not in boards]) | case.part(ratios, boards)


def _boards(n: int) -> str:
    return "the board" if n == 1 else f"{n} boards"
