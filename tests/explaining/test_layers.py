# SPDX-License-Identifier: Apache-2.0
"""Shares of layers: they sum to one, follow time and power, and name what bounds them."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.explaining.layer_tree import pieces
from submeter.explaining.layers import fit_rates, powers_for, shares_of
from submeter.records.explanations import Part
from submeter.records.layers import (
    DATA,
    GRADIENTS,
    OPTIMISER,
    ClassPower,
    LayerCalibration,
    LayerProfile,
    LayerTime,
    LayerWork,
    Steps,
)

FLOP_PER_S, BYTES_PER_S = 5e10, 1e10


def product(module: str, part: str, flop: float, moved: float) -> LayerWork:
    return LayerWork(module, part, "aten.mm", 2, flop, 0.0, moved)  # type: ignore[arg-type]


def copying(module: str, part: str, moved: float) -> LayerWork:
    return LayerWork(module, part, "aten.gelu", 3, 0.0, 0.0, moved)  # type: ignore[arg-type]


def profile(*times: LayerTime, work: tuple[LayerWork, ...] = (), pid: int = 1) -> LayerProfile:
    steps = Steps(seen=1000, sampled=10, total_s=100.0, spent_s=0.5)
    return LayerProfile(pid=pid, model="Net", times=times, work=work, steps=steps, phase="train")


def transformer(blocks: int = 4, seed: int = 1) -> LayerProfile:
    """Times that follow from known rates: mixed work inside the blocks, pure in their layers."""
    chance = random.Random(seed)  # noqa: S311
    times, work = [], []
    for n in range(blocks):
        size = chance.uniform(0.5, 2.0)
        for part, factor in (("forward", 1.0), ("backward", 2.0)):
            for name, flop, moved, kind in (
                (f"blocks.{n}.up", 4e9 * size, 1e7, "Linear"),
                (f"blocks.{n}.norm", 0.0, 4e7 * size, "LayerNorm"),
            ):
                items = product(name, part, flop * factor, moved) if flop else copying(
                    name, part, moved * factor
                )  # fmt: skip
                work.append(items)
                busy = items.flop / FLOP_PER_S + items.bytes_moved / BYTES_PER_S
                times.append(LayerTime(name, part, kind, 10, 10 * busy, 10 * busy))  # type: ignore[arg-type]
            own = (
                product(f"blocks.{n}", part, 1e9 * size * factor, 1e7),
                copying(f"blocks.{n}", part, 2e8 * factor),
            )
            work += own
            busy = sum(i.flop / FLOP_PER_S + i.bytes_moved / BYTES_PER_S for i in own)
            times.append(LayerTime(f"blocks.{n}", part, "Block", 10, 10 * busy, 10 * busy))  # type: ignore[arg-type]
    return profile(*times, work=tuple(work))


def test_rates_are_found_again_from_the_times_that_they_made() -> None:
    made = transformer()
    works: dict[tuple[str, str], list[LayerWork]] = {}
    for item in made.work:
        works.setdefault((item.module, item.part), []).append(item)
    rates = fit_rates(
        [t.busy_s for t in made.times], [works[t.module, t.part] for t in made.times]
    )
    assert rates.seconds["matmul"] * FLOP_PER_S == pytest.approx(10.0, rel=1e-3)
    assert rates.seconds["bytes"] * BYTES_PER_S == pytest.approx(10.0, rel=1e-3)


def test_mixed_modules_are_split_by_class_as_their_operators_took() -> None:
    found = shares_of([transformer()])
    made = transformer()
    compute_s = math.fsum(i.flop / FLOP_PER_S + (i.bytes_moved / BYTES_PER_S if i.flop else 0.0)
                          for i in made.work if i.flop)  # fmt: skip
    whole_s = math.fsum(t.busy_s for t in made.times) / 10
    assert found.classes()["compute"] == pytest.approx(compute_s / whole_s, rel=1e-3)
    assert math.fsum(found.classes().values()) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e3), st.sampled_from(["Linear", "LayerNorm", "Block"])),
             min_size=1, max_size=12),
    st.dictionaries(st.sampled_from(["compute", "memory", "waiting"]), st.floats(0.1, 500.0)),
)  # fmt: skip
def test_shares_sum_to_one_whatever_the_times_and_powers(
    rows: list[tuple[float, str]], powers: dict[str, float]
) -> None:
    made = profile(
        *(LayerTime(f"m{i}", "forward", kind, 1, s, s) for i, (s, kind) in enumerate(rows))
    )
    calibration = LayerCalibration(
        machine="m", device="cpu", made_utc="",
        powers=tuple(ClassPower(k, w, 0.05) for k, w in powers.items()),  # type: ignore[arg-type]
    )  # fmt: skip
    found = shares_of([made], calibration)
    if sum(s for s, _ in rows) > 0:
        assert math.fsum(s.ratio for s in found.shares) == pytest.approx(1.0, abs=1e-9)
        check(pieces(found))
    assert all(s.ratio >= 0 for s in found.shares)


def check(parts: tuple[Part, ...]) -> None:
    """No level of the tree is more than the one above it."""
    assert math.fsum(p.share_ratio for p in parts) <= 1.0 + 1e-9
    for part in parts:
        check(part.children)


def test_a_class_with_half_the_power_has_half_the_joules_of_its_time() -> None:
    made = profile(
        LayerTime("up", "forward", "Linear", 1, 5.0, 5.0),
        LayerTime("norm", "forward", "LayerNorm", 1, 5.0, 5.0),
    )
    powers = (ClassPower("compute", 100.0, 0.05), ClassPower("memory", 50.0, 0.05))
    calibration = LayerCalibration(machine="m", device="cpu", made_utc="", powers=powers)
    assert shares_of([made], calibration).classes() == pytest.approx(
        {"compute": 2 / 3, "memory": 1 / 3}
    )
    assert shares_of([made]).classes() == pytest.approx({"compute": 0.5, "memory": 0.5})


def test_power_of_classes_that_nobody_repeated_is_relative_to_what_was() -> None:
    calibration = LayerCalibration(
        machine="m", device="cuda:0", made_utc="", clock="accelerator",
        powers=(ClassPower("compute", 600.0, 0.02),),
    )  # fmt: skip
    powers = powers_for("accelerator", calibration)
    assert powers["compute"].power_w == 600.0
    assert powers["memory"].power_w == pytest.approx(450.0)
    assert powers_for("processor", calibration)["compute"].power_w == 1.0  # of another clock


def test_waiting_and_exchange_are_classes_of_their_own() -> None:
    times = (
        LayerTime("up", "forward", "Linear", 1, 4.0, 4.0),
        LayerTime(DATA, "step", "", 0, 1.0, 1.0),
        LayerTime(GRADIENTS, "step", "", 0, 2.0, 2.0),
        LayerTime(OPTIMISER, "step", "", 0, 3.0, 3.0),
    )
    alone = shares_of([profile(*times)]).classes()
    assert alone == pytest.approx({"compute": 0.4, "memory": 0.5, "waiting": 0.1})
    ranks = shares_of([profile(*times), profile(*times, pid=2)])
    assert ranks.classes()["communication"] == pytest.approx(0.2)
    assert ranks.processes == 2


def test_the_tree_nests_modules_and_keeps_brackets_beside_the_model() -> None:
    parts = pieces(shares_of([transformer(2)]))
    assert [p.name for p in parts] == ["Net"]
    blocks = next(c for c in parts[0].children if c.name == "blocks")
    assert {c.name for c in blocks.children} == {"0", "1"}
    names = {c.name for c in blocks.children[0].children}
    assert {"up", "norm", "itself, compute-bound", "itself, memory-bound"} == names
    assert parts[0].share_ratio == pytest.approx(1.0)


def test_evaluations_are_not_shares_of_the_training() -> None:
    made = profile(
        LayerTime("up", "forward", "Linear", 1, 5.0, 5.0),
        LayerTime("up", "evaluation", "Linear", 1, 50.0, 50.0),
    )
    found = shares_of([made])
    assert [s.part for s in found.shares] == ["forward"]
    assert [s.part for s in found.evaluations] == ["evaluation"]


def test_nothing_seen_is_no_shares_and_no_error() -> None:
    assert shares_of([]).shares == ()
    assert shares_of([profile()]).shares == ()
    assert pieces(shares_of([])) == ()


def test_two_hundred_layers_take_a_fraction_of_a_second() -> None:
    import time

    made = transformer(70)  # 210 modules, 420 rows, 560 operators
    begin_s = time.process_time()
    pieces(shares_of([made]))
    assert time.process_time() - begin_s < 1.0
