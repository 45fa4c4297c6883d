# SPDX-License-Identifier: Apache-2.0
"""Parts sum to the whole, kinds are never mixed, and more never becomes less."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.accounting.carbon import (
    Intensity,
    difference,
    location_based,
    marginal,
    portion,
    saving_words,
    sign_differs,
)
from submeter.accounting.ratios import (
    inverse,
    lost_per_used,
    per_kwh,
    spanning,
)
from submeter.errors import UsageError
from submeter.records.amounts import Amount, Term
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Missing
from submeter.records.traces import Kind
from tests.accounting.figures import (
    DIRECT,
    LIFECYCLE,
    MARGINAL,
    energies_j,
    factor,
    intensities,
    intensity,
    joules,
    known,
    kwh,
    located,
    losses,
)

NOT_KNOWN = Missing("nobody knows")


def test_a_kilowatt_hour_in_its_parts() -> None:
    found = located(kwh(1.0), lifecycle=400.0, direct=350.0, loss=0.05)
    assert known(found.direct).value == pytest.approx(350.0)
    assert known(found.upstream).value == pytest.approx(50.0)
    assert known(found.loss).value == pytest.approx(400.0 * 0.05 / 0.95)
    assert known(found.total).value == pytest.approx(400.0 / 0.95)
    assert known(found.total).basis == {Basis.DERIVED: pytest.approx(400.0 / 0.95)}
    assert not found.notes


@given(energies_j, intensities, intensities, losses)
def test_the_parts_sum_to_the_whole(
    energy_j: float, lifecycle: float, direct: float, loss: float
) -> None:
    found = located(joules(energy_j), lifecycle, direct, loss)
    parts = [p for p in (found.direct, found.upstream, found.loss) if not isinstance(p, Missing)]
    assert known(found.total).value == pytest.approx(math.fsum(p.value for p in parts), rel=1e-12)
    assert all(part.value >= 0 for part in parts)
    assert known(found.direct).value <= known(found.grid).value * (1 + 1e-12)


@given(energies_j, intensities, intensities, losses, st.floats(0.0, 100.0))
def test_carbon_is_linear_in_energy(
    energy_j: float, lifecycle: float, direct: float, loss: float, times: float
) -> None:
    one = located(joules(energy_j), lifecycle, direct, loss)
    many = located(joules(energy_j).scaled(times), lifecycle, direct, loss)
    for name in ("direct", "upstream", "total"):
        expected = times * known(getattr(one, name)).value
        assert known(getattr(many, name)).value == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(energies_j, intensities, intensities, losses, st.floats(1.0, 5.0))
def test_the_total_is_monotone_in_each_factor(
    energy_j: float, lifecycle: float, direct: float, loss: float, more: float
) -> None:
    def total_g(lifecycle: float, direct: float, loss: float) -> float:
        return known(located(joules(energy_j), lifecycle, direct, loss).total).value

    base = total_g(lifecycle, direct, loss) * (1 - 1e-12)
    assert total_g(lifecycle * more, direct, loss) >= base
    assert total_g(lifecycle, direct * more, loss) >= base
    assert total_g(lifecycle, direct, min(0.5, loss * more)) >= base


def test_the_total_has_the_doubt_of_the_lifecycle_factor_once() -> None:
    found = located(kwh(1.0), loss=0.0)
    expected = per_kwh(kwh(1.0), factor("lifecycle-location", 400.0)).figure("g")
    shown = known(found.total).figure("g")
    assert (shown.low, shown.high) == pytest.approx((expected.low, expected.high))


def test_direct_above_lifecycle_is_held_and_said_with_both_in_its_interval() -> None:
    found = located(kwh(1.0), lifecycle=300.0, direct=360.0, loss=0.0)
    assert known(found.direct).value == pytest.approx(300.0)
    assert known(found.upstream).value == 0.0
    assert known(found.upstream).figure("g").high > 0
    shown = known(found.direct).figure("g")
    assert shown.low < 300.0
    assert shown.high > 360.0
    assert "other years or scopes" in found.notes[0]


@pytest.mark.parametrize(
    ("lifecycle", "direct", "what"),
    [
        (intensity(400, DIRECT), intensity(300, DIRECT), "direct .* where lifecycle"),
        (intensity(400), intensity(300), "lifecycle .* where direct"),
        (intensity(400, MARGINAL), intensity(300, DIRECT), "marginal .* where average"),
        (
            intensity(400, Kind(flow="consumption")),
            intensity(300, DIRECT),
            "consumption .* where production",
        ),
        (intensity(400), intensity(300, Kind(scope="direct", method="market")), "market"),
        (NOT_KNOWN, intensity(300), "lifecycle .* where direct"),
    ],
)
def test_g09_kinds_are_never_mixed(
    lifecycle: Intensity | Missing, direct: Intensity, what: str
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        location_based(kwh(1), lifecycle, direct, NOT_KNOWN)
    assert "never mixed" in str(caught.value)
    assert caught.value.remedy


def test_what_is_not_known_is_missing_and_never_zero() -> None:
    life, stack, loss = intensity(400), intensity(300, DIRECT), factor("t", 0.05, unit="ratio")
    no_direct = location_based(kwh(1), life, NOT_KNOWN, loss)
    assert no_direct.direct == no_direct.upstream == NOT_KNOWN
    assert known(no_direct.total).value == pytest.approx(400 / 0.95)
    no_life = location_based(kwh(1), NOT_KNOWN, stack, loss)
    assert known(no_life.direct).value == pytest.approx(300)
    assert no_life.total == no_life.upstream == NOT_KNOWN
    no_loss = location_based(kwh(1), life, stack, NOT_KNOWN)
    assert known(no_loss.total).value == pytest.approx(400)
    assert no_loss.loss == NOT_KNOWN
    assert "nobody knows" in no_loss.notes[0]
    assert location_based(NOT_KNOWN, life, stack, loss).total == NOT_KNOWN


def test_zero_intensity_is_zero_with_the_doubt_that_it_has() -> None:
    nothing = Intensity(Factor("hydro", 0.0, 0.0, 5.0, "gCO2e/kWh"), LIFECYCLE)
    found = location_based(kwh(1.0), nothing, NOT_KNOWN, NOT_KNOWN)
    assert known(found.total).value == 0.0
    assert 0 < known(found.total).figure("g").high <= 7


def test_a_portion_and_its_rest_are_the_whole() -> None:
    found = located(kwh(3.0))
    for name in ("energy", "direct", "upstream", "loss", "grid", "total"):
        whole = known(getattr(found, name)).value
        parts = [known(getattr(portion(found, r), name)).value for r in (0.8, 0.2)]
        assert sum(parts) == pytest.approx(whole)


# --- effect of a decision -----------------------------------------------------------------------


def test_makers_of_marginal_figures_stand_side_by_side() -> None:
    makers = [intensity(v, MARGINAL) for v in (68.0, 791.0)]
    first, others = marginal(kwh(2.0), makers)
    assert known(first).value == pytest.approx(136.0)
    assert [o.value for o in others] == [pytest.approx(1582.0)]
    assert isinstance(marginal(kwh(1), [])[0], Missing)
    assert marginal(NOT_KNOWN, makers) == (NOT_KNOWN, ())
    with pytest.raises(UsageError, match="never mixed"):
        marginal(kwh(1), [intensity(400)])


def test_a_doubt_that_both_sides_share_cancels() -> None:
    grid = factor("grid", 400.0, spread=2.0)
    before, after = (per_kwh(kwh(e), grid) for e in (1.0, 0.9))
    found = difference(before, after)
    assert found.value == pytest.approx(-40.0)
    assert found.sign == "less"
    apart = difference(before, per_kwh(kwh(0.9), factor("other grid", 400.0, spread=2.0)))
    assert apart.sign == "not certain"
    assert apart.low < found.low
    assert difference(after, before).sign == "more"


@pytest.mark.parametrize("shared", [True, False])
def test_the_interval_of_a_difference_is_that_of_draws(shared: bool) -> None:  # noqa: FBT001
    """To first order in the logarithms: 1e5 draws of 10 % doubts agree within 6 % of the width."""
    random = np.random.default_rng(7)
    grid = factor("grid", 400.0)
    other = grid if shared else factor("other", 360.0)
    before, after = per_kwh(kwh(1.0), grid), per_kwh(joules(0.8 * 3.6e6, "other gain"), other)
    doubts = {key for a in (before, after) for t in a.terms for key in t.log_sds}
    draws = {key: random.standard_normal(100_000) for key in sorted(doubts)}

    def drawn(amount: Amount) -> Any:
        return np.sum(
            [
                t.value * np.exp(sum(sd * draws[key] for key, sd in t.log_sds.items()))
                for t in amount.terms
            ],
            axis=0,
        )

    low, high = np.quantile(drawn(after) - drawn(before), [0.025, 0.975])
    found = difference(before, after)
    assert found.low == pytest.approx(low, abs=0.06 * (high - low))
    assert found.high == pytest.approx(high, abs=0.06 * (high - low))


def test_a_saving_whose_sign_differs_is_flagged() -> None:
    """Less by average (400 to 40 g/kWh), more by one of two marginal makers (500 to 700)."""
    energy = joules(3.6e6, "gain")
    average = difference(*(per_kwh(energy, factor(f"a{v}", v)) for v in (400.0, 40.0)))
    agrees = difference(*(per_kwh(energy, factor(f"m{v}", v)) for v in (700.0, 100.0)))
    against = difference(*(per_kwh(energy, factor(f"n{v}", v)) for v in (500.0, 700.0)))
    assert not sign_differs(average, [agrees])
    assert sign_differs(average, [against])
    assert sign_differs(average, [agrees, against])
    assert "makers" in saving_words(average, [agrees, against])
    assert saving_words(average, [against]).startswith("sign differs: less by average")
    assert saving_words(average, [agrees]) == ""
    assert saving_words(average, []) == ""
    same = difference(per_kwh(energy, factor("a", 400.0)), per_kwh(energy, factor("a", 400.0)))
    assert not sign_differs(same, [against])
    assert "same by average" in saving_words(same, [against])


# --- factors from factors -----------------------------------------------------------------------


@given(st.floats(1e-6, 1e6), st.floats(1.0, 10.0))
def test_an_inverse_turned_round_is_the_factor(value: float, spread: float) -> None:
    one = factor("f", value, spread=spread)
    there = inverse(one, "1/x")
    assert there.log_sd == pytest.approx(one.log_sd, abs=1e-9)
    back = inverse(there, one.unit)
    assert (back.low, back.value, back.high) == pytest.approx((one.low, one.value, one.high))


def test_an_inverse_of_what_may_be_zero() -> None:
    found = inverse(Factor("f", 2.0, 0.0, 8.0, "h"), "1/h")
    assert (found.low, found.value, found.high) == pytest.approx((0.125, 0.5, 2.0))
    with pytest.raises(UsageError, match="nothing divides"):
        inverse(Factor("f", 0.0, 0.0, 8.0, "h"), "1/h")


def test_a_span_holds_all_of_its_sources() -> None:
    one, two = factor("a", 12.0, spread=1.0), factor("b", 19.0, spread=1.0)
    both = spanning("charge", [one, two])
    assert (both.low, both.high) == (12.0, 19.0)
    assert both.value == pytest.approx(math.sqrt(12 * 19))
    assert both.source == "source of a; source of b"
    assert both.verified == "copy"
    wide = spanning("family", [one, two], wider=2.0)
    assert (wide.low, wide.high, wide.verified) == (6.0, 38.0, "assumed")
    with pytest.raises(UsageError, match="no common span"):
        spanning("x", [one, factor("c", 1.0, unit="L")])
    with pytest.raises(UsageError, match="above zero"):
        spanning("x", [])


@given(st.floats(0.0, 0.9))
def test_what_is_lost_comes_on_top(loss: float) -> None:
    found = lost_per_used(Factor("t", loss, loss, loss, "ratio"))
    assert (1 + found.value) * (1 - loss) == pytest.approx(1.0)


def test_a_loss_of_everything_is_refused() -> None:
    with pytest.raises(UsageError, match="no ratio"):
        lost_per_used(Factor("t", 0.5, 0.1, 1.0, "ratio"))


@given(log_sd=st.floats(0.0, 1.5), own_sd=st.floats(0.0, 0.2), ratio=st.floats(0.01, 0.5))
def test_a_doubt_that_both_share_never_hides_a_sign(
    log_sd: float, own_sd: float, ratio: float
) -> None:
    def grams(value: float, key: str) -> Amount:
        sds = {"energy": log_sd, key: own_sd}
        return Amount((Term(value, Basis.MEASURED, {k: s for k, s in sds.items() if s > 0}),))

    before, after = grams(100.0, "here"), grams(100.0 * ratio, "there")
    assert difference(before, after).sign == "less"
    assert difference(after, before).sign == "more"
    assert difference(before, before).sign == "the same"
    assert difference(before, before.scaled(0.0)).sign == "less"
