# SPDX-License-Identifier: Apache-2.0
"""What the detectors of waste look at: a run, what was seen of it, other runs of its project."""

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from submeter.catalog.accelerators import accelerator_fact, match_accelerator
from submeter.catalog.factors import listed
from submeter.errors import SubmeterError
from submeter.explaining.states import state_of
from submeter.explaining.waste_book import Cells, cells_of, filled, slot_lengths_s
from submeter.records.devices import DeviceKind
from submeter.records.explanations import State
from submeter.records.factors import Factor
from submeter.records.figures import Quantity
from submeter.records.observations import DeviceCourse, Observations, PhaseCourse
from submeter.records.runs import DeviceEnergy, PhaseEnergy, Run

_SHOWS = 0.05  # of a slot: a wait that readings of power can fall into
_FILLED = 0.98  # of a slot by work and waits alone
_APART = 0.9  # of the power at work, above which a wait is not told from it
_FEW = 5
_FLAG = re.compile(r"--?([A-Za-z][\w.-]*)(?:=(.*))?")


def rule(key: str) -> Factor:
    """Row *key* of the rules of waste."""
    return listed("waste_rules", key)


class Case:
    """A run before the detectors.

    Parameters
    ----------
    run, seen
        The run, and what was seen of it over time.
    whole_j
        Its energy at the wall [J].
    others
        Other runs of its project.
    """

    def __init__(
        self, run: Run, seen: Observations, whole_j: float, others: Iterable[Run] = ()
    ) -> None:
        self.run, self.seen, self.whole_j = run, seen, whole_j
        self.others = tuple(o for o in others if o.id != run.id)
        self.cells: Cells = cells_of(run, seen, whole_j)
        self.lengths_s = slot_lengths_s(run, seen)

    # -- time ------------------------------------------------------------------------------------

    @property
    def slots(self) -> range:
        """Places of the slots."""
        return range(len(self.lengths_s))

    def within(self, start_s: float, end_s: float) -> list[float]:
        """Part of each slot that lies between two instants [1]."""
        slot_s = self.seen.slot_s or self.run.duration_s
        return [
            max(0.0, min(end_s, i * slot_s + n) - max(start_s, i * slot_s)) / n
            for i, n in enumerate(self.lengths_s)
        ]

    def part(self, ratios: Sequence[float], devices: Iterable[str] | None = None) -> Cells:
        """These parts of each slot, of all devices or of some."""
        chosen = self.cells if devices is None else [d for d in devices if d in self.cells]
        return {
            d: [e * min(1.0, max(0.0, r)) for e, r in zip(self.cells[d], ratios, strict=True)]
            for d in chosen
        }

    # -- devices ---------------------------------------------------------------------------------

    @cached_property
    def boards(self) -> tuple[DeviceEnergy, ...]:
        """Boards whose energy is the run's, in part at least."""
        return tuple(
            d for d in self.run.devices
            if d.device.kind is DeviceKind.GPU and d.device.id in self.cells
        )  # fmt: skip

    def course(self, device_id: str) -> DeviceCourse | None:
        """What was seen of a device over time."""
        return self.seen.device(device_id)

    def idle_ratio(self, device_id: str) -> float:
        """Part of the time in which a device did nothing."""
        rows = [m for m in self.seen.meetings if m.device_id == device_id]
        whole_s = math.fsum(m.duration_s for m in rows)
        return math.fsum(m.idle_s for m in rows) / whole_s if whole_s > 0 else 0.0

    def idle_w(self, board: DeviceEnergy) -> float | None:
        """Power of a board at rest [W]: as it says, as the catalog says, or the lowest seen."""
        if board.device.idle_w is not None:
            return board.device.idle_w
        course = self.course(board.device.id)
        low = [w for w in (course.low_w if course else ()) if w is not None and w > 0]
        least_w = min(low, default=None)
        try:
            known = accelerator_fact(match_accelerator(board.device.name), "idle_w")
        except SubmeterError:
            return None
        return known.value if least_w is None else min(known.value, least_w)

    # -- phases ----------------------------------------------------------------------------------

    def courses(self, state: State) -> list[PhaseCourse]:
        """Phases that are for *state*."""
        return [p for p in self.seen.phases if p.path and state_of(p.path) == state]

    def phases(self, state: State) -> list[PhaseEnergy]:
        """Energies of the phases that are for *state*."""
        return [p for p in self.run.phases if state_of(p.path) == state]

    @cached_property
    def processes(self) -> int:
        """Processes that work side by side."""
        return len({p.pid for p in self.courses("busy")}) or 1

    def wall_s(self, state: State) -> list[float]:
        """Time in *state* by slot, a mean over processes [s]."""
        out = [0.0 for _ in self.slots]
        for course in self.courses(state):
            for i, seconds in enumerate(course.wall_s[: len(out)]):
                out[i] += seconds / self.processes
        return [min(t, n) for t, n in zip(out, self.lengths_s, strict=True)]

    def seconds(self, state: State) -> float:
        """Time in *state*, a mean over processes [s]."""
        told = math.fsum(p.duration_s for p in self.phases(state)) / self.processes
        return told or math.fsum(self.wall_s(state))

    def entries(self, state: State) -> float:
        """How often *state* was entered by a process."""
        return sum(p.count for p in self.phases(state)) / self.processes

    def joules(self, state: State) -> dict[str, float]:
        """Energy at the wall in *state* by device [J].

        By the regression of `Run.phases`; by time where that could not tell a phase from others.
        """
        rows = self.phases(state)
        scale = self.to_wall
        out = dict.fromkeys(self.cells, 0.0)
        if rows and not any(p.joint_with for p in rows) and self.processes == 1:
            for row in rows:
                for device, energy_j in row.devices.items():
                    if device in out:
                        out[device] += energy_j * scale
            return out
        parts = [t / n for t, n in zip(self.wall_s(state), self.lengths_s, strict=True)]
        return {d: math.fsum(row) for d, row in self.part(parts).items()}

    def state_cells(
        self, state: State, ratio: float = 1.0, joules: Mapping[str, float] | None = None
    ) -> Cells:
        """*ratio* of the energy of *state*, laid out where it was entered."""
        joules = self.joules(state) if joules is None else joules
        weights = self.wall_s(state)
        return {
            d: filled(ratio * j, [w * c for w, c in zip(weights, self.cells[d], strict=True)],
                      self.cells[d])
            for d, j in joules.items()
        }  # fmt: skip

    @cached_property
    def to_wall(self) -> float:
        """Joules at the wall for one of a device."""
        device_j = math.fsum(
            d.share.value for d in self.run.devices
            if d.device.id in self.cells and isinstance(d.share, Quantity)
        )  # fmt: skip
        return self.whole_j / device_j if device_j > 0 else 0.0

    def run_kind(self, device_id: str) -> DeviceKind | None:
        """Kind of a device of the run."""
        return next((d.device.kind for d in self.run.devices if d.device.id == device_id), None)

    def board_w(self, device_id: str, state: State) -> float:
        """Mean power of a device in *state*, the run's part [W]."""
        seconds = self.seconds(state)
        joules = self.joules(state).get(device_id, 0.0)
        return joules / self.to_wall / seconds if seconds > 0 and self.to_wall > 0 else 0.0

    def waiting_w(self, device_id: str, parts: Sequence[float], state: State) -> float | None:
        """Power of a device while it waits, in slots of which *parts* wait [W]; None if not told.

        Notes
        -----
        A counter moves every tenth of a second, and regressions on waits as short draw their
        power towards the mean. Readings of power look back some 25 ms only: the lowest of each
        slot fall into those taken at work and those while waiting, told apart by Otsu's threshold,
        and the median of the lower ones counts. Slots that hold anything else are left out.
        """
        course = self.course(device_id)
        if course is None:
            return None
        work = [
            (a + b) / n
            for a, b, n in zip(
                self.wall_s("busy"), self.wall_s(state), self.lengths_s, strict=True
            )
        ]
        low = [
            w
            for w, part, whole in zip(course.low_w, parts, work, strict=False)
            if w is not None and part >= _SHOWS and whole >= _FILLED
        ]
        if len(low) < 2 * _FEW:
            return None
        low.sort()
        place = parting(low)
        waiting_w = statistics.median(low[:place])
        working_w = statistics.median(low[place:])
        few = min(place, len(low) - place) < _FEW
        return None if few or waiting_w > _APART * working_w else waiting_w

    def cells_w(self, device_id: str) -> float:
        """Mean power of a device over the whole run, the run's part [W]."""
        whole_j = math.fsum(self.cells.get(device_id, ()))
        if self.to_wall <= 0 or self.run.duration_s <= 0:
            return 0.0
        return whole_j / self.to_wall / self.run.duration_s

    # -- words -----------------------------------------------------------------------------------

    @cached_property
    def words(self) -> dict[str, str]:
        """Parameters of the run by plain name: `words_of`."""
        return words_of(self.run)


def words_of(run: Run) -> dict[str, str]:
    """What was set for *run*, by plain name: options of its command, parameters, tags, metrics."""
    found: dict[str, str] = {}
    given = list(run.command)
    for i, word in enumerate(given):
        match = _FLAG.fullmatch(word)
        if match is None:
            continue
        follows = given[i + 1] if i + 1 < len(given) else ""
        value = match[2] if match[2] is not None else follows
        found[plain_name(match[1])] = "yes" if value.startswith("-") or not value else value
    for rows in (run.tags, run.parameters):
        found.update({plain_name(k): v for k, v in rows.items()})
    for name, number in run.metrics.items():
        found.setdefault(plain_name(name), f"{number:.12g}")
    return found


def parting(ordered: Sequence[float]) -> int:
    """Place at which *ordered* numbers fall into two groups that differ most.

    References
    ----------
    .. [1] N. Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on
       Systems, Man, and Cybernetics 9 (1979) 62.
    """
    n, whole = len(ordered), math.fsum(ordered)
    best, place, below = -1.0, 1, 0.0
    for i in range(1, n):
        below += ordered[i - 1]
        apart = below / i - (whole - below) / (n - i)
        if i * (n - i) * apart * apart > best:
            best, place = i * (n - i) * apart * apart, i
    return place


def plain_name(name: str) -> str:
    """*name* without case and dashes."""
    return name.lower().replace("-", "_").replace(".", "_").strip("_")


def number(words: Mapping[str, str], names: Iterable[str]) -> float | None:
    """First of *names* that is a number above zero."""
    for name in names:
        try:
            value = float(words.get(name, ""))
        except ValueError:
            continue
        if math.isfinite(value) and value > 0:
            return value
    return None


def node_j(run: Run) -> float:
    """All that *run* drew on its nodes, best estimate [J]."""
    return math.fsum(
        d.share.value for d in run.devices
        if d.device.kind is not DeviceKind.NODE and isinstance(d.share, Quantity)
    )  # fmt: skip


def percent(ratio: float) -> str:
    """``12 %``."""
    return f"{100 * ratio:.0f} %" if ratio >= 0.1 else f"{100 * ratio:.1f} %"  # noqa: PLR2004
