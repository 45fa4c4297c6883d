# SPDX-License-Identifier: Apache-2.0
"""What is shown, what is not, and when one may stop."""

import random

import pytest
from msgspec import structs

from submeter.errors import UsageError
from submeter.records.figures import Basis, Figure
from submeter.records.proofs import Proof
from submeter.reducing import verdicts
from submeter.reducing.proving import Experiment, Which, carry_out, of_stored, order
from submeter.reducing.quality import parse_condition
from submeter.reducing.verdicts import Measured
from tests.reducing.runs import measured_of

PAIRS = Experiment(
    id="20261123-120000-abcd",
    made_utc="2026-11-23T12:00:00Z",
    commands={"a": ("a",), "b": ("b",)},
    labels={"a": "as it was", "b": "bf16"},
    pairs=12,
    seed=1,
)


class Bench:
    """Two ways of working whose energies are known, on a machine that drifts."""

    def __init__(self, ratio: float, *, noise: float = 0.01, accuracy: float = 0.97) -> None:
        self.chance = random.Random(7)  # noqa: S311
        self.ratio, self.noise, self.accuracy = ratio, noise, accuracy
        self.started: list[tuple[str, int]] = []

    def __call__(self, which: Which, pair: int) -> Measured:
        self.started.append((which, pair))
        n = len(self.started)
        energy = 1000 * (1 + 0.02 * n) * self.chance.lognormvariate(0, self.noise)
        energy *= self.ratio if which == "b" else 1
        accuracy = self.accuracy if which == "b" else 0.97
        accuracy += self.chance.gauss(0, 0.0005)
        return measured_of(n, energy, metrics={"accuracy": accuracy}, work={"samples": 100.0})


def test_a_real_saving_is_shown_and_the_rest_of_the_pairs_are_spared() -> None:
    bench = Bench(0.75)
    looks: list[Proof] = []
    found = carry_out(PAIRS, bench, looks.append)
    assert found.shown
    assert isinstance(found.saving_ratio, Figure)
    assert found.saving_ratio.low < 0.25 < found.saving_ratio.high
    assert 3 <= found.pairs < 12
    assert len(looks) == found.pairs
    assert len(bench.started) == 1 + 2 * found.pairs  # one to warm up
    assert found.per == "run"


def test_the_same_twice_is_not_shown_and_says_what_could_have_been() -> None:
    found = carry_out(PAIRS, Bench(1.0))
    assert not found.shown
    assert found.pairs == 12
    assert "inside the noise" in found.why
    assert found.minimum_detectable_ratio is not None
    assert 0.005 < found.minimum_detectable_ratio < 0.05


def test_what_uses_more_is_said_to_and_stops_early() -> None:
    found = carry_out(PAIRS, Bench(1.3))
    assert not found.shown
    assert "uses more" in found.why
    assert found.pairs < 12


def test_a_saving_that_costs_quality_is_not_shown() -> None:
    asked = structs.replace(PAIRS, conditions=(parse_condition("accuracy >= 0.9 ± 0.005"),))
    found = carry_out(asked, Bench(0.75, accuracy=0.95))
    assert not found.shown
    assert found.quality[0].verdict == "not kept"
    kept = carry_out(asked, Bench(0.75, accuracy=0.97))
    assert kept.shown
    assert kept.quality[0].verdict == "kept"


def test_fixed_runs_all_pairs_and_is_narrower() -> None:
    fixed = carry_out(structs.replace(PAIRS, mode="fixed"), Bench(0.98))
    always = carry_out(PAIRS, Bench(0.98))
    assert fixed.pairs == 12
    assert isinstance(fixed.saving_ratio, Figure)
    assert isinstance(always.saving_ratio, Figure)
    assert _width(fixed) < _width(always)


def _width(proof: Proof) -> float:
    assert isinstance(proof.saving_ratio, Figure)
    return proof.saving_ratio.high - proof.saving_ratio.low


def test_the_order_is_a_coin_that_can_be_thrown_again() -> None:
    firsts = [pair[0] for pair in order(structs.replace(PAIRS, pairs=400))]
    assert firsts == [pair[0] for pair in order(structs.replace(PAIRS, pairs=400))]
    assert 160 < firsts.count("a") < 240


def test_an_interrupt_keeps_the_pairs_that_are_complete() -> None:
    bench = Bench(0.99, noise=0.05)

    def interrupted(which: Which, pair: int) -> Measured:
        if pair == 5:
            raise KeyboardInterrupt
        return bench(which, pair)

    found = carry_out(PAIRS, interrupted)
    assert found.pairs == 4
    assert "interrupted" in found.notes[-1]

    def at_once(_which: Which, _pair: int) -> Measured:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(PAIRS, at_once)


def test_joules_carry_the_doubt_of_the_meter_and_the_ratio_does_not() -> None:
    found = carry_out(PAIRS, Bench(0.75))
    assert isinstance(found.saving, Figure)
    assert isinstance(found.saving_ratio, Figure)
    relative = found.saving.high / found.saving.value
    assert relative > 1.05 * found.saving_ratio.high / found.saving_ratio.value


def test_unequal_work_is_compared_by_the_unit_of_it() -> None:
    a = [measured_of(i, 100.0 + i, work={"samples": 100.0, "steps": 10.0}) for i in range(4)]
    b = [measured_of(9 + i, 160.0 + i, work={"samples": 200.0, "steps": 10.0}) for i in range(4)]
    of_a, of_b, per = verdicts.amounts(a, b)
    assert per == "sample"
    assert of_a[0] == pytest.approx(1.0)
    assert of_b[0] == pytest.approx(0.8)


def test_stored_runs_are_compared_with_all_that_is_known_of_them() -> None:
    chance = random.Random(5)  # noqa: S311
    a = [measured_of(i, 100 * chance.lognormvariate(0, 0.01), temperature_c=60.0 + i,
                     work={"tokens": 1e6}) for i in range(6)]  # fmt: skip
    b = [measured_of(20 + i, 80 * chance.lognormvariate(0, 0.01), temperature_c=60.5 + i,
                     work={"tokens": 1e6}) for i in range(7)]  # fmt: skip
    found = of_stored("x", "2026-11-23T12:00:00Z", a, b)
    assert found.shown
    assert found.mode == "stored"
    assert isinstance(found.saving_ratio, Figure)
    assert found.saving_ratio.value == pytest.approx(0.2, abs=0.02)
    assert "slope of temperature_c" in found.fit
    assert any("not interleaved" in note for note in found.notes)
    with pytest.raises(UsageError):
        of_stored("x", "2026-11-23T12:00:00Z", a, [])


@pytest.mark.parametrize(("basis", "letter"), [(Basis.MEASURED, "B"), (Basis.MODELLED, "A")])
def test_the_option_of_measurement_and_verification_is_named(basis: Basis, letter: str) -> None:
    runs = [measured_of(i, 10.0, basis=basis) for i in range(2)]
    assert verdicts.option(runs).startswith(f"{letter}:")


def test_other_devices_on_the_other_side_are_said() -> None:
    a = [measured_of(0, 10.0)]
    b = [measured_of(1, 10.0, device="gpu:1")]
    assert "different devices" in verdicts.same_machine(a, b)
    assert verdicts.same_machine(a, a) == ""


def test_work_that_some_runs_did_not_log_is_no_zero() -> None:
    logged = measured_of(1, 100.0, work={"samples": 50.0, "tokens": 8.0})
    silent = measured_of(2, 100.0, work={"samples": 70.0})
    assert verdicts.side("a", [logged, silent]).work == {"samples": 60.0}
    assert verdicts.side("a", []).work == {}
