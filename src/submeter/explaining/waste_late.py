# SPDX-License-Identifier: Apache-2.0
"""One rank late: the others wait for it at each exchange, and draw on."""

import math
import statistics
from collections.abc import Sequence

from submeter.explaining.states import state_of
from submeter.explaining.waste_book import Cells, Claim, Silence
from submeter.explaining.waste_case import Case, percent, rule


def late_rank(case: Case) -> Claim | Silence:
    """What ranks wait longer than the one that waits least, priced at their power meanwhile."""
    key = "late-rank"
    waits = _waits(case)
    if len(waits) < 2:  # noqa: PLR2004  # one alone waits for nobody
        return Silence(key, "no two ranks say when they wait for peers")
    totals = {rank: math.fsum(row) for rank, row in waits.items()}
    late = min(totals, key=lambda r: totals[r])
    more = {
        rank: [max(0.0, a - b) for a, b in zip(row, waits[late], strict=True)]
        for rank, row in waits.items() if rank != late
    }  # fmt: skip
    mean_s = math.fsum(totals[r] - totals[late] for r in more) / len(more)
    ratio = mean_s / max(case.run.duration_s, 1e-9)
    if ratio < rule("peers-ratio").value:
        return Silence(key, f"its ranks wait equally long, to {percent(max(0.0, ratio))}")
    cells = _priced(case, more)
    return Claim(
        key=key, name="one rank late", cells=cells,
        why=f"rank {late} comes last: the others wait {percent(ratio)} of the time longer for "
        "their peers than it does",
        detail={"late_rank": float(late), "waiting_s": mean_s, "waiting_ratio": ratio},
        places=tuple(d for r in sorted(more) for d in _held(case, r)),
    )  # fmt: skip


def _waits(case: Case) -> dict[int, list[float]]:
    """Time that each rank waited for its peers, by slot [s]; ranks without a wait count too."""
    found: dict[int, list[float]] = {}
    for course in case.seen.phases:
        if course.rank is None:
            continue
        row = found.setdefault(course.rank, [0.0 for _ in case.slots])
        if state_of(course.path) == "waiting for peers":
            for i, seconds in enumerate(course.wall_s[: len(row)]):
                row[i] += seconds
    return found if any(any(row) for row in found.values()) else {}


def _held(case: Case, rank: int) -> tuple[str, ...]:
    rows = [r for r in case.seen.ranks if r.rank == rank]
    return rows[0].devices if rows else ()


def _priced(case: Case, more: dict[int, list[float]]) -> Cells:
    """Boards at their power while waiting, the rest of the node for as long as all others wait."""
    cells: Cells = {}
    for rank, seconds in more.items():
        parts = [t / n for t, n in zip(seconds, case.lengths_s, strict=True)]
        for device in _held(case, rank):
            if device in case.cells:
                ratio = _part_of_energy(case, device, parts)
                cells[device] = [r * p for r, p in zip(ratio, case.cells[device], strict=True)]
    together = [statistics.fmean(rows) for rows in zip(*more.values(), strict=True)]
    parts = [t / n for t, n in zip(together, case.lengths_s, strict=True)]
    boards = {b.device.id for b in case.boards}
    return case.part(parts, [d for d in case.cells if d not in boards]) | cells


def _part_of_energy(case: Case, device: str, parts: Sequence[float]) -> list[float]:
    """Part of each slot's energy of a board that was drawn while it waited."""
    course, waiting_w = case.course(device), case.waiting_w(device, parts, "waiting for peers")
    if course is None or waiting_w is None:
        return list(parts)
    return [
        min(x, waiting_w * x / mean_w) if mean_w else x
        for x, mean_w in zip(parts, _padded(course.mean_w, len(parts)), strict=True)
    ]


def _padded(row: Sequence[float | None], n: int) -> list[float | None]:
    return [*row[:n], *[None] * (n - len(row))]
