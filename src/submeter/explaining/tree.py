# SPDX-License-Identifier: Apache-2.0
"""One tree from the wall to the work.

Facility overhead, node, devices, phases, what each was kept for, and, where a profile was taken,
operators and layers. Every level sums exactly to the one above it (`dividing`).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from submeter.explaining.dividing import LEFT, Draft, divided, doubted
from submeter.explaining.states import state_of
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.devices import DeviceKind
from submeter.records.explanations import Branch, Part, State
from submeter.records.figures import ErrorTerm, Missing, Quantity, total
from submeter.records.footprints import Footprint
from submeter.records.observations import OUTSIDE, Observations
from submeter.records.runs import DeviceEnergy, PhaseEnergy, Run

Profiles = Mapping[str, Sequence[Part]]  # by the path of the phase that they divide

OUTSIDE_NAME: Final = "outside phases"
NODE: Final = "node"
REST: Final = "rest of the node"
UNTOLD: Final = "not told apart"  # of a published run that says no more
_WORDS: Final = {DeviceKind.GPU: "GPU", DeviceKind.CPU: "CPU", DeviceKind.DRAM: "memory"}
_ORDER: Final = (DeviceKind.GPU, DeviceKind.CPU, DeviceKind.DRAM)
_OVERHEADS: Final = {"overhead": "facility overhead", "other": "other overhead"}
_SHOWN_IDLE: Final = 0.01  # of a phase: below, idleness is jitter
_WORKING: Final[frozenset[State]] = frozenset({"busy", "evaluation", "compile"})
_SPLIT: Final = "phase-split:"
_EDGES: Final = "board-edges:"
BOARD_MOVES_S: Final = 0.1  # how often a board's counter moves; some do so more often


def explained(
    run: Run,
    footprint: Footprint,
    observations: Observations | None = None,
    profiles: Profiles | None = None,
    *,
    profiled: Collection[DeviceKind] | None = None,
) -> Branch:
    """Where the joules of *run* went, from the wall on.

    Parameters
    ----------
    run
        A settled run.
    footprint
        Its energy at the boundaries.
    observations
        What was seen over time; it tells idle from busy within a phase.
    profiles
        Parts of phases by path: classes of operators, layers.
    profiled
        Kinds of devices that the profiles are of; all if None.

    Returns
    -------
    Branch
        The root is the energy at the wall. Its energy is `Missing` where nothing is known.

    Notes
    -----
    The energy of a phase on a device is the run's share of that device, scaled; the doubt of
    telling phases apart comes on top. Idle and paused time within a phase is what `observations`
    saw of the device meanwhile, as a share of it.
    """
    name = "at the wall"
    if isinstance(footprint.facility, Missing):
        return Branch(name, "wall", footprint.facility)
    drafts = [
        Draft(_OVERHEADS.get(part, part), "overhead", energy)
        for part, energy in footprint.parts.items()
    ]
    view = _View(run, observations, profiles or {}, profiled)
    drafts += view.nodes()
    whole = footprint.facility
    return Branch(name, "wall", whole, divided(whole, drafts), {"duration_s": run.duration_s})


class _Group(msgspec.Struct, frozen=True):
    """Rows of phases that no meter tells apart: most often one alone."""

    paths: tuple[str, ...]
    rows: tuple[PhaseEnergy, ...]

    @property
    def joint(self) -> bool:
        """Whether it is more than one."""
        return len(self.paths) > 1


class _View:
    """A run with what was seen of it."""

    def __init__(
        self,
        run: Run,
        seen: Observations | None,
        profiles: Profiles,
        profiled: Collection[DeviceKind] | None = None,
    ) -> None:
        self._run = run
        self._seen = seen
        self._profiles = profiles
        self._profiled = {
            d.device.id for d in run.devices if profiled is None or d.device.kind in profiled
        }
        self._boards = {
            d.device.id: d.share.value
            for d in run.devices
            if d.device.kind is DeviceKind.GPU and isinstance(d.share, Quantity)
        }
        self._groups = _grouped(run.phases)
        meetings = () if seen is None else seen.meetings
        self._meetings = {(m.device_id, m.path): m for m in meetings}
        self._paused = _paused(seen)

    # -- nodes and devices -----------------------------------------------------------------------

    def nodes(self) -> list[Draft]:
        """Each machine, and what lies between them."""
        rows = [d for d in self._run.devices if d.device.kind is not DeviceKind.NODE]
        hosts = list(dict.fromkeys(d.device.host for d in rows))
        drafts = []
        for host in hosts:
            own = [d for d in rows if d.device.host == host]
            known = [Amount.of(d.share) for d in own if isinstance(d.share, Quantity)]
            energy = sum_amounts(known) if known else Missing(_why(own))
            drafts.append(
                Draft(
                    host if len(hosts) > 1 and host else NODE,
                    "node",
                    energy,
                    lambda whole, own=own: divided(whole, self._devices(own)),  # type: ignore[misc]
                    {"host": host},
                )
            )
        return drafts

    def _devices(self, rows: Sequence[DeviceEnergy]) -> list[Draft]:
        kinds = [k for k in _ORDER if any(d.device.kind is k for d in rows)]
        kinds += [
            k for k in DeviceKind if k not in kinds and any(d.device.kind is k for d in rows)
        ]
        drafts = []
        for kind in kinds:
            alike = [d for d in rows if d.device.kind is kind]
            if kind is DeviceKind.REST:
                drafts += [_flat(d, REST if len(rows) > 1 else UNTOLD) for d in alike]
            elif len(alike) == 1:
                drafts.append(self._device(alike[0], _WORDS.get(kind, str(kind))))
            else:
                drafts.append(self._several(alike, _WORDS.get(kind, str(kind))))
        return drafts

    def _several(self, rows: Sequence[DeviceEnergy], word: str) -> Draft:
        known = [Amount.of(d.share) for d in rows if isinstance(d.share, Quantity)]
        energy = sum_amounts(known) if known else Missing(_why(rows))
        inner = [self._device(d, f"{word} {i}") for i, d in enumerate(rows)]
        return Draft(
            f"{word} 0–{len(rows) - 1}", "devices", energy, lambda whole: divided(whole, inner)
        )

    def _device(self, row: DeviceEnergy, name: str) -> Draft:
        detail: dict[str, str | float] = {"device": row.device.id, "name": row.device.name}
        ratio = row.means.get("utilisation_ratio")
        if ratio is not None:
            detail["utilisation_ratio"] = ratio
        if isinstance(row.share, Missing):
            return Draft(name, "device", row.share, None, detail)
        share = row.share
        return Draft(
            name,
            "device",
            Amount.of(share),
            lambda whole: self._work_on(row.device.id, share, whole),
            detail,
        )

    # -- phases ----------------------------------------------------------------------------------

    def _work_on(self, device_id: str, share: Quantity, whole: Amount) -> tuple[Branch, ...]:
        """Phases of a device; without any, what it was kept for."""
        if not self._groups:
            return self._states(device_id, (OUTSIDE,), "busy", whole)
        outside = Draft(
            OUTSIDE_NAME,
            "phase",
            Missing("what the phases leave"),
            lambda rest: self._states(device_id, (OUTSIDE,), "busy", rest),
            {"path": OUTSIDE, "device": device_id},
        )
        drafts = self._level(device_id, share, self._groups, 1)
        return divided(whole, drafts, outside, left_sd_j=_edges_j(drafts))

    def _level(
        self, device_id: str, share: Quantity, groups: Sequence[_Group], depth: int
    ) -> list[Draft]:
        """Drafts of the branches that the first *depth* parts of the paths name."""
        drafts = []
        for names, inside in _together(groups, depth):
            parts = [self._on(device_id, share, group) for group in inside]
            known = [p for p in parts if isinstance(p, Quantity)]
            rows = [row for group in inside for row in group.rows]
            energy: Amount | Missing = Missing(_whys(inside))
            if known:
                energy = Amount.of(self._edged(device_id, total(known), names, rows))
            drafts.append(self._phase(device_id, share, names, inside, energy, depth))
        return drafts

    def _phase(
        self,
        device_id: str,
        share: Quantity,
        names: tuple[str, ...],
        inside: Sequence[_Group],
        energy: Amount | Missing,
        depth: int,
    ) -> Draft:
        paths = tuple(dict.fromkeys(p for g in inside for p in g.paths))
        rows = {row.path: row for g in inside for row in g.rows}
        detail: dict[str, str | float] = {
            "path": " + ".join(names),
            "device": device_id,
            "duration_s": math.fsum(row.duration_s for row in rows.values()),
            "count": float(sum(rows[n].count for n in names if n in rows)),
        }
        parents = {p.rpartition("/")[0] for p in names}
        name = " + ".join(
            n.rpartition("/")[2] + (" itself" if len(names) > 1 and n in parents else "")
            for n in names
        )
        note = "not separable" if len(names) > 1 else ""
        leaf = all(p in names for p in paths)
        if leaf:
            state = _state(names)
            detail["state"] = state

            def inner(whole: Amount) -> tuple[Branch, ...]:
                return self._states(device_id, paths, state, whole)

            return Draft(name, "phase", energy, inner, detail, note)

        def parts(whole: Amount) -> tuple[Branch, ...]:
            own = [g for g in inside if g.paths == names]
            below = [g for g in inside if g.paths != names]
            deeper = depth + 1 if len(names) == 1 else _deepest(below)
            drafts = self._level(device_id, share, below, deeper)
            drafts += [self._itself(device_id, share, name, group) for group in own]
            return divided(whole, [d for d in drafts if not _nothing(d)])

        return Draft(name, "phase", energy, parts, detail, note)

    def _itself(self, device_id: str, share: Quantity, name: str, group: _Group) -> Draft:
        """What a phase used in none of those inside it."""
        part, state = self._on(device_id, share, group), _state(group.paths)
        detail: dict[str, str | float] = {
            "path": group.paths[0],
            "device": device_id,
            "duration_s": group.rows[0].duration_s,
            "state": state,
        }

        def inner(whole: Amount) -> tuple[Branch, ...]:
            return self._states(device_id, group.paths, state, whole)

        if isinstance(part, Missing):
            return Draft(f"{name} itself", "phase", part, None, detail)
        energy = Amount.of(self._edged(device_id, part, group.paths, group.rows))
        return Draft(f"{name} itself", "phase", energy, inner, detail)

    def _on(self, device_id: str, share: Quantity, group: _Group) -> Quantity | Missing:
        """What a group of phases used of a device, with the doubt of telling it from others."""
        first = group.rows[0]
        if isinstance(first.energy, Missing):
            return first.energy
        used_j = first.devices.get(device_id, 0.0)
        whole_j = first.energy.value
        if share.value <= 0 or used_j <= 0:
            return share.scaled(0.0)
        part = share.scaled(used_j / share.value)
        ratio = used_j / whole_j if whole_j > 0 else 0.0
        split = [s for s in first.energy.spreads if s.source_key.startswith(_SPLIT)]
        part = part.with_terms(
            ErrorTerm(s.source_key, absolute_sd=s.sd * ratio, shape=s.shape) for s in split
        )
        if first.energy.bound_low >= whole_j:  # below resolution: only the upper end says anything
            high_j = (whole_j + first.energy.bound_high) * ratio
            part = msgspec.structs.replace(
                part, bound_low=part.value, bound_high=max(0.0, high_j - part.value)
            )
        return part

    def _edged(
        self, device_id: str, energy: Quantity, names: Sequence[str], rows: Sequence[PhaseEnergy]
    ) -> Quantity:
        """*energy* of a phase with the doubt that a board's counter leaves at its edges.

        Notes
        -----
        A counter that moves every *U* seconds tells what was drawn up to *U* ago, so that at each
        entry up to *U* times the difference in power goes to the wrong side of the edge. How late
        it is stays the same for long, so that the entries add up: the standard deviation is
        ``n U |p - P| / sqrt(3)`` of *n* entries, *p* being the power of the phase and *P* that of
        the device, and at most all of the energy. Where a phase is no longer than *U*, the
        difference that is seen is half the true one at most, and the doubt up to twice as large.
        """
        run_j = self._boards.get(device_id, 0.0)
        seconds = math.fsum(row.duration_s for row in rows)
        if run_j <= 0 or seconds <= 0 or self._run.duration_s <= 0:
            return energy
        entered = [row.count for row in rows if row.path in names] or [r.count for r in rows]
        apart_w = abs(energy.value / seconds - run_j / self._run.duration_s)
        edges_s = max(entered) * BOARD_MOVES_S
        blurred = 1 + min(1.0, edges_s / seconds)
        sd_j = min(energy.value, edges_s * apart_w * blurred / math.sqrt(3))
        key = f"{_EDGES}{device_id}:{'+'.join(names)}"
        return energy.with_terms((ErrorTerm(key, absolute_sd=sd_j),))

    # -- states and profiles ---------------------------------------------------------------------

    def _states(
        self, device_id: str, paths: Sequence[str], state: State, whole: Amount
    ) -> tuple[Branch, ...]:
        """What the device was kept for within *paths*; nothing if all of it was of one kind."""
        shares = self._idle(device_id, paths, state)
        detail: dict[str, str | float] = {"device": device_id, "path": paths[0]}
        drafts = [
            Draft(str(name), "state", whole.scaled(ratio), None, {**detail, "state": name})
            for name, ratio in shares
        ]
        profile: Sequence[Part] = ()
        if device_id in self._profiled:
            profile = next((self._profiles[p] for p in paths if p in self._profiles), ())
        if not drafts and profile:
            return parts_of(whole, profile)
        if not drafts:
            return ()
        rest = 1.0 - math.fsum(ratio for _, ratio in shares)
        if rest > 0:
            drafts.insert(
                0,
                Draft(
                    state, "state", whole.scaled(rest),
                    (lambda part: parts_of(part, profile)) if profile else None,
                    {**detail, "state": state},
                ),
            )  # fmt: skip
        return divided(whole, drafts)

    def _idle(
        self, device_id: str, paths: Sequence[str], state: State
    ) -> list[tuple[State, float]]:
        """Shares of the energy of *paths* on a device in which it stood still, or did nothing.

        What waits anyhow is not told apart from idleness.
        """
        rows = [self._meetings[device_id, p] for p in paths if (device_id, p) in self._meetings]
        energy_j = math.fsum(row.energy_j for row in rows)
        if energy_j <= 0:
            return []
        paused_j = math.fsum(self._paused.get((device_id, p), 0.0) for p in paths)
        idle_j = math.fsum(row.idle_j for row in rows)
        paused = min(1.0, paused_j / energy_j)
        idle = min(1.0 - paused, max(0.0, idle_j - paused_j) / energy_j)
        found: list[tuple[State, float]] = []
        if paused >= _SHOWN_IDLE:
            found.append(("paused", paused))
        if idle >= _SHOWN_IDLE and state in _WORKING:
            found.append(("idle", idle))
        return found


def parts_of(whole: Amount, parts: Sequence[Part]) -> tuple[Branch, ...]:
    """Branches of a profile: shares of *whole*, each with the doubt of its share."""
    drafts = []
    for i, part in enumerate(parts):
        energy = whole.scaled(part.share_ratio)
        if part.sd_ratio > 0:
            energy = doubted(energy, f"profile:{part.kind}:{part.name}:{i}", part.sd_ratio)
        inner = (lambda w, p=part: parts_of(w, p.children)) if part.children else None
        drafts.append(Draft(part.name, part.kind, energy, inner, dict(part.detail)))
    return divided(whole, drafts, LEFT)


def _nothing(draft: Draft) -> bool:
    """Whether it is a phase all of whose time was in what is inside it."""
    known = isinstance(draft.energy, Amount) and draft.energy.value <= 0
    return known and draft.name.endswith(" itself")


def _edges_j(drafts: Iterable[Draft]) -> float:
    """Standard deviation that the edges of *drafts* give to what they leave [J]."""
    sds = [
        math.fsum(
            term.value * sd for term in draft.energy.terms
            for key, sd in term.log_sds.items() if key.startswith(_EDGES)
        )
        for draft in drafts if isinstance(draft.energy, Amount)
    ]  # fmt: skip
    return math.hypot(*sds)


def _flat(row: DeviceEnergy, name: str) -> Draft:
    energy = Amount.of(row.share) if isinstance(row.share, Quantity) else row.share
    detail: dict[str, str | float] = {"device": row.device.id, "how": row.method}
    return Draft(name, "overhead", energy, None, detail)


def _grouped(phases: Iterable[PhaseEnergy]) -> list[_Group]:
    """Phases by who cannot be told from whom, each once."""
    rows = {row.path: row for row in phases}
    groups: dict[tuple[str, ...], _Group] = {}
    for row in rows.values():
        paths = tuple(p for p in rows if p == row.path or p in row.joint_with)
        groups.setdefault(paths, _Group(paths, tuple(rows[p] for p in paths)))
    return list(groups.values())


def _together(groups: Sequence[_Group], depth: int) -> list[tuple[tuple[str, ...], list[_Group]]]:
    """Groups by the first *depth* parts of their paths; those that share a joint one together."""
    heads: dict[str, int] = {}
    found: dict[int, tuple[list[str], list[_Group]]] = {}
    for i, group in enumerate(groups):
        names = list(dict.fromkeys("/".join(p.split("/")[:depth]) for p in group.paths))
        places = {heads[n] for n in names if n in heads}
        into = min(places, default=i)
        merged_names, merged = found.setdefault(into, ([], []))
        for other in places - {into}:
            more_names, more = found.pop(other)
            merged_names += more_names
            merged += more
        merged_names += [n for n in names if n not in merged_names]
        merged.append(group)
        heads.update(dict.fromkeys(merged_names, into))
    return [(tuple(names), inside) for names, inside in found.values()]


def _deepest(groups: Iterable[_Group]) -> int:
    """Depth at which every path of *groups* stands for itself."""
    return max((len(p.split("/")) for g in groups for p in g.paths), default=1)


def _state(names: Sequence[str]) -> State:
    """State of phases together: what most harms is not guessed, unlike ones are busy."""
    states = {state_of(name) for name in names}
    return states.pop() if len(states) == 1 else "busy"


def _paused(seen: Observations | None) -> dict[tuple[str, str], float]:
    """Energy of the pauses [J], by device and by the path that stood open."""
    found: dict[tuple[str, str], float] = {}
    if seen is None:
        return found
    for stretch in seen.stretches:
        length_s = stretch.end_s - stretch.start_s
        inside_s = math.fsum(
            max(
                0.0, min(stretch.end_s, p.start_s + p.duration_s) - max(stretch.start_s, p.start_s)
            )
            for p in seen.pauses
        )
        if length_s > 0 and inside_s > 0:
            key = stretch.device_id, stretch.path
            found[key] = found.get(key, 0.0) + stretch.energy_j * min(1.0, inside_s / length_s)
    return found


def _why(rows: Iterable[DeviceEnergy]) -> str:
    reasons = dict.fromkeys(d.share.why for d in rows if isinstance(d.share, Missing))
    return "; ".join(reasons) or "not known"


def _whys(groups: Iterable[_Group]) -> str:
    rows = (row for g in groups for row in g.rows)
    reasons = dict.fromkeys(r.energy.why for r in rows if isinstance(r.energy, Missing))
    return "; ".join(reasons) or "not known"
