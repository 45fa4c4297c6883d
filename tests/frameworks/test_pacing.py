# SPDX-License-Identifier: Apache-2.0
"""What looking costs stays below its share, however dear it is and however short the steps."""

from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.interfaces.frameworks.pacing import LEAST_GAP, Pace


def run(pace: Pace, *, step_s: float, extra_s: float, steps: int) -> tuple[float, float]:
    """Time of a training, and what of it was spent on looking [s]."""
    total_s = spent_s = 0.0
    kind = "plain"
    for _ in range(steps):
        own_s = extra_s if kind == "sampled" else 0.0
        pace.done(kind, step_s + own_s, step_s + own_s, own_s / 2)  # type: ignore[arg-type]
        total_s, spent_s = total_s + step_s + own_s, spent_s + own_s
        kind = "sampled" if pace.due() else "plain"
    return total_s, spent_s


@settings(max_examples=60, deadline=None)
@given(step_s=st.floats(1e-4, 2.0), extra_ratio=st.floats(0.0, 3.0))
def test_looking_stays_within_its_budget(step_s: float, extra_ratio: float) -> None:
    pace = Pace(0.02)
    total_s, spent_s = run(pace, step_s=step_s, extra_s=extra_ratio * step_s, steps=4000)
    first_s = 2 * extra_ratio * step_s  # what the first looks cost nobody knew before
    assert spent_s <= 0.02 * total_s + first_s
    assert pace.sampled >= 3


def test_cheap_looks_are_as_frequent_as_allowed_and_later_rarer() -> None:
    pace = Pace(0.02)
    run(pace, step_s=1.0, extra_s=1e-5, steps=1000)
    assert 1000 / (2 * LEAST_GAP) < pace.sampled < 1000 / (0.7 * LEAST_GAP)
    before = pace.sampled
    run(pace, step_s=1.0, extra_s=1e-5, steps=20_000)
    assert pace.sampled - before < 20_000 / (2 * LEAST_GAP)


def test_it_tells_what_a_look_costs_by_the_steps_beside_it() -> None:
    pace = Pace(0.02)
    run(pace, step_s=0.1, extra_s=0.004, steps=2000)
    assert abs(pace.extra_s - 0.004) < 1e-6
    steps = pace.steps()
    assert abs(steps.overhead_ratio - steps.sampled * 0.004 / steps.total_s) < 1e-3
    assert abs(steps.busy_s - 0.1) < 1e-9


def test_gaps_vary_so_that_steps_in_turn_are_all_met() -> None:
    pace = Pace(0.02)
    met: set[int] = set()
    kind = "plain"
    for number in range(2000):
        pace.done(kind, 1.0, 1.0)  # type: ignore[arg-type]
        kind = "sampled" if pace.due() else "plain"
        if kind == "sampled":
            met.add(number % 4)
    assert met == {0, 1, 2, 3}


def test_counting_waits_until_it_is_affordable() -> None:
    pace = Pace(0.02)
    run(pace, step_s=0.1, extra_s=0.0, steps=10)
    assert not pace.affords(0.1)
    run(pace, step_s=0.1, extra_s=0.0, steps=1000)
    assert pace.affords(0.1)
