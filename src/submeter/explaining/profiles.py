# SPDX-License-Identifier: Apache-2.0
"""Which phases of a run a profile of layers divides.

A profile is of whole steps. Where forward and backward pass are phases of their own, each gets its
own part of it; else the phase in which the forward pass ran gets all.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from submeter.explaining.layer_tree import pieces
from submeter.explaining.layers import LayerShare, LayerShares
from submeter.records.explanations import Part

_PHASES: Final = (
    ("forward", re.compile(r"forward|\bfwd\b", re.IGNORECASE)),
    ("backward", re.compile(r"backward|\bbwd\b|grad", re.IGNORECASE)),
    ("optimiser", re.compile(r"optimi[sz]er|\bstep\b|update", re.IGNORECASE)),
)
_OF: Final = {"(optimiser)": "optimiser", "(loss)": "backward", "(gradients)": "backward"}
DATA: Final = "(data)"


def by_phase(found: LayerShares, paths: Iterable[str]) -> dict[str, Sequence[Part]]:
    """Parts by the path of the phase that they divide.

    Parameters
    ----------
    found
        Shares of a step by layer.
    paths
        All phases of the run.
    """
    if not found.shares:
        return {}
    known = list(paths)
    parent, _, name = found.phase.rpartition("/")
    if not _PHASES[0][1].search(name):
        within = [p for p in known if p == found.phase or p.startswith(f"{found.phase}/")]
        apart = _apart(found, [p for p in within if p != found.phase])
        return apart or {found.phase: pieces(found)}
    beside = [p for p in known if p.rpartition("/")[0] == parent]
    return _apart(found, beside) or {found.phase: pieces(found)}


def _apart(found: LayerShares, paths: Sequence[str]) -> dict[str, Sequence[Part]]:
    """Parts of phases that are named for a part of the step; none if no backward pass is."""
    named: dict[str, str] = {}
    for path in paths:
        leaf = path.rpartition("/")[2]
        for part, pattern in _PHASES:
            if pattern.search(leaf):
                named.setdefault(part, path)
                break
    if not {"forward", "backward"} <= named.keys():
        return {}
    groups: dict[str, list[LayerShare]] = {}
    for share in found.shares:
        part = _OF.get(share.module, "")
        if not part and share.module != DATA:
            part = "forward" if share.part == "forward" else "backward"
        if part in named:
            groups.setdefault(named[part], []).append(share)
    return {path: pieces(_scaled(found, rows)) for path, rows in groups.items()}


def _scaled(found: LayerShares, rows: Sequence[LayerShare]) -> LayerShares:
    """*found* with these *rows* alone, as shares of their sum."""
    whole = math.fsum(s.ratio for s in rows)
    shares = tuple(
        msgspec.structs.replace(s, ratio=s.ratio / whole if whole > 0 else 0.0) for s in rows
    )
    return msgspec.structs.replace(found, shares=shares)
