# SPDX-License-Identifier: Apache-2.0
"""A tree of phases loses no joule and counts none twice."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.phases import PhaseNode, phase_tree, sum_phases
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.runs import PhaseEnergy

names = st.sampled_from(["train", "eval", "load", "x"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def row(
    path: str, energy: float | Missing, *, joint: tuple[str, ...] = (), duration_s: float = 1.0
) -> PhaseEnergy:
    amount = energy if isinstance(energy, Missing) else Quantity.of(energy, basis=Basis.MEASURED)
    return PhaseEnergy(path, 1, duration_s, amount, joint_with=joint)


def value(energy: Quantity | Missing) -> float:
    assert isinstance(energy, Quantity)
    return energy.value


def leaves(node: PhaseNode) -> int:
    return (node.count is not None) + sum(leaves(child) for child in node.children)


@given(st.dictionaries(paths, st.floats(0.0, 1e9), min_size=1, max_size=20))
def test_g05_roots_sum_to_all_rows_and_parents_to_their_children(
    energies: dict[str, float],
) -> None:
    rows = [row(path, energy_j) for path, energy_j in energies.items()]
    roots = phase_tree(rows)
    whole = math.fsum(energies.values())
    assert math.fsum(value(r.energy) for r in roots) == pytest.approx(whole, rel=1e-12)
    assert sum(leaves(r) for r in roots) == len(rows)
    stack = list(roots)
    while stack:
        node = stack.pop()
        own = energies.get(node.path, 0.0)
        inside = [value(child.energy) for child in node.children]
        assert value(node.energy) == pytest.approx(math.fsum([own, *inside]), rel=1e-12)
        assert all(child.path.startswith(f"{node.path}/") for child in node.children)
        stack += node.children


def test_a_parent_that_was_never_alone_has_no_count_of_its_own() -> None:
    (train,) = phase_tree([row("train/forward", 1.0), row("train/backward", 2.0)])
    assert (train.path, train.name, train.count, train.duration_s) == ("train", "train", None, 2.0)
    assert [c.name for c in train.children] == ["forward", "backward"]


def test_what_could_not_be_separated_counts_once() -> None:
    rows = [row("train/a", 10.0, joint=("train/b",)), row("train/b", 10.0, joint=("train/a",))]
    (train,) = phase_tree(rows)
    assert value(train.energy) == 10.0
    assert train.joint_with == ()
    assert [c.joint_with for c in train.children] == [("train/b",), ("train/a",)]


def test_a_parent_shares_the_figure_with_a_joint_phase_outside_of_it() -> None:
    rows = [row("a/x", 7.0, joint=("b",)), row("a/y", 1.0), row("b", 7.0, joint=("a/x",))]
    a, b = phase_tree(rows)
    assert (value(a.energy), a.joint_with) == (8.0, ("b",))
    assert (value(b.energy), b.joint_with) == (7.0, ("a/x",))
    assert value(sum_phases(rows)) == 8.0


def test_a_missing_leaf_makes_its_parent_a_lower_bound() -> None:
    (train,) = phase_tree([row("train/a", Missing("no reading")), row("train/b", 3.0)])
    assert value(train.energy) == 3.0
    assert train.unknown == ("train/a",)
    (only,) = phase_tree([row("train/a", Missing("no reading"))])
    assert only.energy == Missing("no reading")


def test_no_phase_is_missing_not_zero() -> None:
    assert phase_tree([]) == ()
    assert sum_phases([]) == Missing("no phase")
