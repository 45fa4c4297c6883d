# SPDX-License-Identifier: Apache-2.0
"""Alike devices told as one: their phases, states and layers by name."""

from collections.abc import Sequence

import msgspec

from submeter.explaining.dividing import Draft, divided
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.explanations import Branch
from submeter.records.figures import Missing


def gathered(branch: Branch) -> Branch:
    """*branch* with devices of a kind as one: their phases, states and layers summed by name."""
    if isinstance(branch.energy, Missing):
        return branch
    children = branch.children
    if branch.kind == "devices":
        children = tuple(c for device in branch.children for c in device.children)
    if branch.kind != "devices":
        return msgspec.structs.replace(branch, children=tuple(gathered(c) for c in children))
    return msgspec.structs.replace(branch, children=_merged(branch.energy, children))


def _merged(whole: Amount, branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """Branches of several devices as one level of *whole*, those of one name together."""
    groups: dict[tuple[str, str], list[Branch]] = {}
    for branch in branches:
        groups.setdefault((branch.name, branch.kind), []).append(branch)
    drafts = []
    for rows in groups.values():
        known = [b.energy for b in rows if isinstance(b.energy, Amount)]
        below = [c for b in rows for c in b.children]
        first = rows[0]
        detail = {k: v for k, v in first.detail.items() if k != "device"}
        drafts.append(
            Draft(
                first.name,
                first.kind,
                sum_amounts(known) if known else first.energy,
                (lambda energy, below=below: _merged(energy, below)) if below else None,  # type: ignore[misc]
                detail,
                first.note,
            )
        )
    return divided(whole, drafts)
