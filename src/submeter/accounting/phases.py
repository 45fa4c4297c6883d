# SPDX-License-Identifier: Apache-2.0
"""Phases as a tree: what is above a leaf is the sum of what is below it."""

from collections.abc import Iterable, Sequence

import msgspec

from submeter.records.figures import Missing, Quantity, total
from submeter.records.runs import PhaseEnergy


class PhaseNode(msgspec.Struct, frozen=True):
    """A phase with all that happened inside it.

    ``count`` is how often the phase itself was entered, None for a name that only others contain.
    ``joint_with`` are phases outside of it whose energy could not be told from its own: the
    energy is then that of all of them together.
    """

    path: str
    count: int | None
    duration_s: float
    energy: Quantity | Missing
    joint_with: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()  # leaves whose energy is missing: the sum is a lower bound
    children: tuple["PhaseNode", ...] = ()

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


def phase_tree(phases: Sequence[PhaseEnergy]) -> tuple[PhaseNode, ...]:
    """Roots of the tree that the paths of *phases* span, in the order in which they came.

    Notes
    -----
    Rows are exclusive: time inside a path and in no child of it. A node is the sum of its own row
    and of all rows below; rows that were not separable from each other count once.
    """
    return _level(list(phases), depth=1)


def sum_phases(phases: Iterable[PhaseEnergy]) -> Quantity | Missing:
    """Energy of *phases* together, each joint group once [J]; `Missing` if none is known."""
    known: dict[frozenset[str], Quantity] = {}
    reasons: dict[str, None] = {}
    for row in phases:
        if isinstance(row.energy, Missing):
            reasons[row.energy.why] = None
        else:
            known.setdefault(frozenset((row.path, *row.joint_with)), row.energy)
    if known:
        return total(known.values())
    return Missing("; ".join(reasons) or "no phase")


def _level(rows: list[PhaseEnergy], *, depth: int) -> tuple[PhaseNode, ...]:
    """Nodes that the first *depth* parts of the paths name."""
    groups: dict[str, list[PhaseEnergy]] = {}
    for row in rows:
        parts = row.path.split("/")
        if len(parts) >= depth:
            groups.setdefault("/".join(parts[:depth]), []).append(row)
    return tuple(_node(path, inside, depth) for path, inside in groups.items())


def _node(path: str, inside: list[PhaseEnergy], depth: int) -> PhaseNode:
    own = [row for row in inside if row.path == path]
    paths = {row.path for row in inside}
    outsiders = dict.fromkeys(p for row in inside for p in row.joint_with if p not in paths)
    return PhaseNode(
        path=path,
        count=sum(row.count for row in own) if own else None,
        duration_s=sum(row.duration_s for row in inside),
        energy=sum_phases(inside),
        joint_with=tuple(outsiders),
        unknown=tuple(row.path for row in inside if isinstance(row.energy, Missing)),
        children=_level([row for row in inside if row.path != path], depth=depth + 1),
    )
