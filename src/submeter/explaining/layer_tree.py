# SPDX-License-Identifier: Apache-2.0
"""Shares of layers as parts of a tree of joules: modules within modules, and what each is."""

import math
from collections.abc import Sequence

import msgspec

from submeter.explaining.layers import LayerShare, LayerShares
from submeter.records.explanations import Part as Piece

__all__ = ["pieces"]


class _Node:
    """A module with what it did itself and the modules inside it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.own: list[LayerShare] = []
        self.inside: dict[str, _Node] = {}

    def at(self, path: str) -> "_Node":
        """Node of *path* below this one, made if need be."""
        node = self
        for part in path.split(".") if path else ():
            node = node.inside.setdefault(part, _Node(part))
        return node

    def ratio(self) -> float:
        """Share of all that is in it."""
        return math.fsum(
            (*(s.ratio for s in self.own), *(n.ratio() for n in self.inside.values()))
        )


def pieces(found: LayerShares) -> tuple[Piece, ...]:
    """Parts of a tree of joules: modules within modules, what they do themselves by class."""
    root = _Node("")
    brackets: dict[str, _Node] = {}
    for share in found.shares:
        if share.module.startswith("("):
            brackets.setdefault(share.module, _Node(share.module)).own.append(share)
        else:
            root.at(share.module).own.append(share)
    made = []
    if root.own or root.inside:
        root.name = found.model or "model"
        made.append(_piece(root))
    made += [_piece(node) for node in brackets.values()]
    return tuple(sorted(made, key=lambda p: -p.share_ratio))


def _piece(node: _Node) -> Piece:
    whole = node.ratio()
    kind = next((s.kind for s in node.own if s.kind), "")
    detail: dict[str, str | float] = {"class": kind} if kind else {}
    if node.own and not node.inside:
        detail |= _numbers(node.own)
    children = _own_pieces(node, whole)
    for inside in node.inside.values():
        children.append(_within(_piece(inside), whole))
    sd_ratio = math.hypot(*(s.ratio * s.sd_ratio for s in node.own)) / whole if whole > 0 else 0.0
    return Piece(node.name, "layer", whole, sd_ratio, tuple(children), detail)


def _own_pieces(node: _Node, whole: float) -> list[Piece]:
    """What a module does itself: by class where it holds others, or is of several classes."""
    names = list(dict.fromkeys(s.operators for s in node.own))
    if not node.inside and len(names) <= 1:
        return []
    made = []
    for name in names:
        own = [s for s in node.own if s.operators == name]
        ratio = math.fsum(s.ratio for s in own)
        sd = math.hypot(*(s.ratio * s.sd_ratio for s in own)) / ratio if ratio > 0 else 0.0
        words = f"{name}-bound" if name in ("compute", "memory") else name
        title = f"itself, {words}" if node.inside else words
        made.append(_within(Piece(title, "class", ratio, sd, (), _numbers(own)), whole))
    return made


def _within(piece: Piece, whole: float) -> Piece:
    """*piece* as a share of what holds it."""
    ratio = piece.share_ratio / whole if whole > 0 else 0.0
    return msgspec.structs.replace(piece, share_ratio=min(1.0, ratio))


def _numbers(shares: Sequence[LayerShare]) -> dict[str, str | float]:
    """What a reader sees of these shares, per step."""
    found: dict[str, str | float] = {
        "operators": " + ".join(dict.fromkeys(s.operators for s in shares)),
        "busy_s": math.fsum(s.busy_s for s in shares),
        "count": max(s.calls for s in shares),
    }
    flop = math.fsum(s.flop for s in shares)
    moved = math.fsum(s.bytes_moved for s in shares)
    if flop > 0:
        found["operations"] = flop
    if moved > 0:
        found["bytes"] = moved
    for part in ("forward", "backward", "recomputation"):
        ratio = math.fsum(s.ratio for s in shares if s.part == part)
        whole = math.fsum(s.ratio for s in shares)
        if ratio > 0 and whole > 0:
            found[f"{part}_ratio"] = ratio / whole
    return found
