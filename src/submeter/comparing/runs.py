# SPDX-License-Identifier: Apache-2.0
"""Runs beside runs: what is different about them, and what that did.

A column is one run, or several that were repeated alike. The first column is what the others are
compared with.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from submeter.accounting.boundaries import within_facility
from submeter.accounting.phases import PhaseNode, phase_tree
from submeter.comparing.changes import Differences, differences
from submeter.comparing.differences import Change, Known, change, renamed
from submeter.comparing.hours import hour_log_sds
from submeter.comparing.quality import Quality, qualities
from submeter.comparing.sharing import machine, naming
from submeter.comparing.spreads import repeated
from submeter.records.amounts import Amount, Term, sum_amounts
from submeter.records.devices import DeviceKind
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run

CLOCK_S: Final = 0.005  # begin and end of a run are known to about this
WALL: Final = "at the wall"
NOT_TOLD: Final = Missing("not told")
# How far the ratio of powers at two loads of one machine is from that of the model, over the
# logarithm of the latter: root mean square over eight machines whose packages were metered at up
# to 20 loads (benchmarks/data/cpu_package_power.csv; benchmarks/comparing.py makes it anew).
MODEL_SLOPE: Final = 0.53
_WEAK: Final = frozenset({Basis.MODELLED, Basis.ASSUMED})
_MODELLED: Final = 0.2  # share of a figure from which on it is said


class Column(msgspec.Struct, frozen=True):
    """A run, or repetitions of one, with what each amounts to."""

    label: str
    runs: tuple[Run, ...]
    prints: tuple[Footprint, ...]


class Row(msgspec.Struct, frozen=True):
    """One quantity in each column, and its change to the first."""

    key: str
    name: str
    unit: str
    values: tuple[Known, ...]
    changes: tuple[Change | Missing, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Columns beside each other.

    Attributes
    ----------
    columns
        The first is what the others are compared with.
    differences
        What is different about the runs.
    rows
        Energy (at the outermost boundary that all runs know whole), time, carbon, water, cost.
    quality
        Metrics that were logged.
    parts
        Rows of phases or of devices, where they were asked for.
    notes
        What a reader should know of it.
    """

    columns: tuple[Column, ...]
    differences: Differences
    rows: tuple[Row, ...]
    quality: tuple[Quality, ...] = ()
    parts: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()


def compare_columns(columns: Sequence[Column], *, by: Sequence[str] = ()) -> Comparison:
    """Put *columns* beside each other.

    Parameters
    ----------
    columns
        Two or more.
    by
        ``phase`` or ``device``, or both: how their energy is split beside the whole.
    """
    known = [_Named(column) for column in columns]
    boundary, sds = common_boundary(columns), load_log_sds(columns)
    rows = [*_energies(known, boundary, sds), _time(known), *_impacts(known, sds)]
    parts = [row for way in by for row in _PARTS[way](known, sds)]
    several = any(len(column.runs) > 1 for column in columns)
    notes = _boundary_notes(columns, boundary)
    if any(run.origin == "measured" for column in columns for run in column.runs):
        notes += _basis_notes(rows, several=several)
    return Comparison(
        columns=tuple(columns),
        differences=differences([column.runs for column in columns]),
        rows=tuple(row for row in rows if any(isinstance(v.amount, Amount) for v in row.values)),
        quality=qualities([column.runs for column in columns]),
        parts=tuple(parts),
        notes=tuple(notes),
    )


def row_of(
    key: str, name: str, unit: str, values: Sequence[Known], log_sds: Sequence[float] = ()
) -> Row:
    """Row of *values*, each beside the first; *log_sds* are doubts of these ratios alone."""
    changes = tuple(
        change(values[0], value, log_sd=log_sds[i] if log_sds else 0.0)
        for i, value in enumerate(values)
    )
    return Row(key, name, unit, tuple(values), changes)


def load_log_sds(columns: Sequence[Column]) -> list[float]:
    """Doubt of each column's energy over the first's that models of devices leave [log].

    Notes
    -----
    On one machine a model's error cancels as far as the load is alike. Between two loads at which
    it gives powers whose logarithms differ by ``d``, the ratio of the measured powers was off by
    `MODEL_SLOPE` times ``d`` (root mean square). It counts for the modelled part of the energy.
    """
    sides = [_modelled(column) for column in columns]
    first = sides[0]
    return [
        MODEL_SLOPE * abs(math.log(side.power_w / first.power_w)) * (side.share + first.share) / 2
        if side.machine and side.machine == first.machine and min(side.share, first.share) > 0
        else 0.0
        for side in sides
    ]


class _Modelled(NamedTuple):
    """What of a column's energy at its nodes is modelled."""

    machine: str  # "" where its runs were on several
    power_w: float
    share: float


def _modelled(column: Column) -> _Modelled:
    energy_j = whole_j = duration_s = 0.0
    for run, made in zip(column.runs, column.prints, strict=True):
        if isinstance(made.node, Amount):
            energy_j += math.fsum(v for b, v in made.node.basis.items() if b in _WEAK)
            whole_j += made.node.value
            duration_s += run.duration_s
    names = {machine(run) for run in column.runs if run.origin in {"measured", "replayed"}}
    if energy_j <= 0 or duration_s <= 0 or len(names) != 1:
        return _Modelled("", 1.0, 0.0)
    return _Modelled(names.pop(), energy_j / duration_s, energy_j / whole_j)


def amounts_of(
    columns: Sequence[Column],
    pick: Callable[[Run, Footprint], Amount | Missing],
    *,
    facility: bool = True,
) -> list[Known]:
    """What *pick* finds in each of *columns*, doubts named so that they are true side by side.

    Without *facility* it is whole even where parts of the node are not known.
    """
    return [_Named(column).known(pick, facility=facility) for column in columns]


def duration_of(run: Run, _made: Footprint) -> Amount | Missing:
    """How long *run* took [s]."""
    if run.duration_s <= 0:
        return NOT_TOLD
    basis = Basis.MODELLED if run.origin == "predicted" else Basis.MEASURED
    doubt_s = min(CLOCK_S, run.duration_s) if run.origin == "measured" else 0.0
    return Amount((Term(run.duration_s, basis),), bound_low=doubt_s, bound_high=doubt_s)


# --- boundaries ---------------------------------------------------------------------------------


class Boundary(NamedTuple):
    """What an energy holds."""

    key: str
    name: str
    whole: Callable[[Run, Footprint], bool]
    amount: Callable[[Run, Footprint], Amount | Missing]


def common_boundary(columns: Sequence[Column]) -> Boundary:
    """The outermost boundary at which the energy of every run is known whole; else the wall."""
    pairs = [pair for c in columns for pair in zip(c.runs, c.prints, strict=True)]
    for boundary in BOUNDARIES:
        if all(boundary.whole(*pair) for pair in pairs):
            kinds = {frozenset(_kinds(run)) for run, _ in pairs}
            if boundary.key != "devices" or len(kinds) == 1:
                return boundary
    return BOUNDARIES[0]


def _kinds(run: Run) -> Iterable[DeviceKind]:
    return (row.device.kind for row in _parts(run))


def _parts(run: Run) -> list[DeviceEnergy]:
    """Rows of *run* that sensors or models of devices stand for: no rest, no node meter."""
    apart = {DeviceKind.NODE, DeviceKind.REST}
    return [row for row in run.devices if row.device.kind not in apart]


def _whole_node(run: Run, made: Footprint) -> bool:
    if isinstance(made.node, Missing) or within_facility(run):
        return False
    if any(isinstance(r.share, Missing) for r in run.devices if r.device.kind is not _NODE):
        return False
    rest = {row.device.host for row in run.devices if row.device.kind is DeviceKind.REST}
    return {row.device.host for row in _parts(run)} <= rest


def _whole_devices(run: Run, made: Footprint) -> bool:
    told = isinstance(made.devices, Amount) and not within_facility(run)
    return told and not any(isinstance(row.share, Missing) for row in _parts(run))


def _boards(run: Run) -> list[DeviceEnergy]:
    return [row for row in run.devices if row.device.kind is DeviceKind.GPU]


def _whole_boards(run: Run, _made: Footprint) -> bool:
    boards = _boards(run)
    known = all(isinstance(row.share, Quantity) for row in boards)
    return bool(boards) and known and not within_facility(run)


def _of_boards(run: Run, _made: Footprint) -> Amount | Missing:
    shares = [row.share for row in _boards(run) if isinstance(row.share, Quantity)]
    return sum_amounts(map(Amount.of, shares)) if shares else Missing("no accelerator is known")


_NODE: Final = DeviceKind.NODE
BOUNDARIES: Final = (
    Boundary("facility", WALL, lambda _, made: not made.unknown, lambda _, made: made.facility),
    Boundary("node", "of the nodes", _whole_node, lambda _, made: made.node),
    Boundary("devices", "of the devices", _whole_devices, lambda _, made: made.devices),
    Boundary("accelerators", "of the accelerators", _whole_boards, _of_boards),
)


def _boundary_notes(columns: Sequence[Column], boundary: Boundary) -> list[str]:
    notes: list[str] = []
    if boundary.key != "facility":
        notes.append(
            f"energy is compared {boundary.name}, the most that all of them know whole; what is "
            "shown at the wall is a lower bound (≥) where parts are missing"
        )
    for column in columns:
        left_out = dict.fromkeys(what for made in column.prints for what in made.unknown)
        if left_out:
            notes.append(f"{column.label}: not counted: {'; '.join(left_out)}")
        for run in column.runs:
            notes += run.notes if run.origin == "published" else ()
    return notes


# --- inside -------------------------------------------------------------------------------------


class _Named:
    """A column whose doubts have names that are true beside the others."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.pairs = list(zip(column.runs, column.prints, strict=True))
        self._names = [naming(run) for run in column.runs]

    def known(
        self, pick: Callable[[Run, Footprint], Amount | Missing], *, facility: bool = True
    ) -> Known:
        """What *pick* finds in the runs of the column, their mean where there are several."""
        found = [
            made if isinstance(made, Missing) else renamed(made, name)
            for name, made in zip(self._names, (pick(*p) for p in self.pairs), strict=True)
        ]
        amount = repeated(found, self.column.label)
        return Known(amount, least=facility and any(made.unknown for made in self.column.prints))


def _energies(columns: Sequence[_Named], boundary: Boundary, sds: Sequence[float]) -> list[Row]:
    wall = BOUNDARIES[0]
    rows = []
    if boundary is not wall:
        values = [c.known(boundary.amount, facility=False) for c in columns]
        rows.append(row_of(f"energy_{boundary.key}", f"energy, {boundary.name}", "J", values, sds))
    values = [c.known(wall.amount) for c in columns]
    rows.append(row_of("energy", f"energy, {WALL}", "J", values, sds))
    return rows


def _time(columns: Sequence[_Named]) -> Row:
    return row_of(
        "time", "time", "s", [_vague(c, c.known(duration_of, facility=False)) for c in columns]
    )


def _vague(named: _Named, time: Known) -> Known:
    """*time*, of which the record keeps no interval where it was predicted."""
    vague = any(run.origin == "predicted" for run in named.column.runs)
    return msgspec.structs.replace(time, vague=vague)


def _impacts(columns: Sequence[_Named], sds: Sequence[float]) -> list[Row]:
    own = {
        "carbon": list(map(math.hypot, sds, hour_log_sds([c.pairs[0] for c in columns]))),
        "embodied": (),
    }
    picks: tuple[tuple[str, str, str, Callable[[Run, Footprint], Amount | Missing]], ...] = (
        ("carbon", "carbon", "gCO2e", lambda _, made: made.carbon.location),
        ("embodied", "embodied", "gCO2e", lambda _, made: made.carbon.embodied),
        ("water", "water", "L", lambda _, made: _water(made)),
    )
    rows = [
        row_of(key, name, unit, [c.known(p) for c in columns], own.get(key, sds))
        for key, name, unit, p in picks
    ]
    currencies = {
        made.money.currency
        for c in columns
        for made in c.column.prints
        if isinstance(made.money.electricity, Amount)
    }
    if len(currencies) == 1:
        values = [c.known(lambda _, made: made.money.electricity) for c in columns]
        rows.append(row_of("cost", "cost", currencies.pop(), values, sds))
    return rows


def _water(made: Footprint) -> Amount | Missing:
    """Consumed on the site and at the generators, as far as either is known."""
    told = [a for a in (made.water.onsite, made.water.offsite) if isinstance(a, Amount)]
    return sum_amounts(told) if told else NOT_TOLD


def _phases(columns: Sequence[_Named], sds: Sequence[float]) -> list[Row]:
    """Each phase with what is inside it, in the order of the first run that has it."""
    trees = [_by_path(run) for c in columns for run in c.column.runs]
    paths = dict.fromkeys(path for tree in trees for path in tree)

    def pick(path: str) -> Callable[[Run, Footprint], Amount | Missing]:
        def found(run: Run, _made: Footprint) -> Amount | Missing:
            node = _by_path(run).get(path)
            if node is None:
                return Missing("no such phase")
            if node.joint_with:
                return Missing(f"not separable from {', '.join(node.joint_with)}")
            return Amount.of(node.energy) if isinstance(node.energy, Quantity) else node.energy

        return found

    return [
        row_of(
            f"phase/{path}",
            path,
            "J",
            [c.known(pick(path), facility=False) for c in columns],
            sds,
        )
        for path in paths
    ]


def _by_path(run: Run) -> Mapping[str, PhaseNode]:
    found: dict[str, PhaseNode] = {}

    def walk(nodes: Iterable[PhaseNode]) -> None:
        for node in nodes:
            found[node.path] = node
            walk(node.children)

    walk(phase_tree(run.phases))
    return found


def _devices(columns: Sequence[_Named], sds: Sequence[float]) -> list[Row]:
    """Devices of a kind together: their ids differ from machine to machine."""
    kinds = dict.fromkeys(
        row.device.kind
        for c in columns
        for run in c.column.runs
        for row in run.devices
        if row.device.kind is not DeviceKind.NODE
    )

    def pick(kind: DeviceKind) -> Callable[[Run, Footprint], Amount | Missing]:
        def found(run: Run, _made: Footprint) -> Amount | Missing:
            shares = [row.share for row in run.devices if row.device.kind is kind]
            why = next((s.why for s in shares if isinstance(s, Missing)), "")
            known = [s for s in shares if isinstance(s, Quantity)]
            if why or not known:
                return Missing(why or "no such device")
            return sum_amounts(map(Amount.of, known))

        return found

    return [
        row_of(
            f"device/{k}",
            str(k),
            "J",
            [c.known(pick(k), facility=False) for c in columns],
            sds,
        )
        for k in kinds
    ]


_PARTS: Final = {"phase": _phases, "device": _devices}
WAYS: Final = tuple(_PARTS)


def _basis_notes(rows: Sequence[Row], *, several: bool) -> list[str]:
    notes: list[str] = []
    energy = rows[0].values
    amounts = [v.amount for v in energy if isinstance(v.amount, Amount)]
    weak = [
        math.fsum(v for b, v in a.basis.items() if b in _WEAK) / a.value
        for a in amounts
        if a.value > 0
    ]
    if weak and statistics.fmean(weak) > _MODELLED:
        notes.append(
            f"{100 * statistics.fmean(weak):.0f} % of this energy is modelled or assumed: that a "
            "model errs otherwise at another load is in the intervals; what it does not see "
            "(clocks, instruction mix) is not"
        )
    if not several:
        notes.append(
            "intervals are of these very runs; what a repetition would differ by is not in them: "
            "submeter prove"
        )
    return notes
