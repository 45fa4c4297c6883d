# SPDX-License-Identifier: Apache-2.0
"""A provider's forecast is used when it has told the cheap hours better, and only then."""

import numpy as np
import pytest

from submeter.forecasting.forecaster import Forecast
from submeter.forecasting.providing import LEAST_FORECASTS, chosen, contest
from submeter.forecasting.series import Series
from tests.forecasting.signals import grid

SERIES = grid(60, seed=7)
H = 3600.0
NOW = SERIES.start_utc_s + 50 * 24 * H


def _given(error: float, *, days: int = 12, hours: int = 48) -> list[Forecast]:
    """A provider that knows the truth but for *error*, each day at midnight until now."""
    rng = np.random.default_rng(3)
    made = []
    for day in range(50 - days, 51):
        truth = SERIES.values[day * 24 : day * 24 + hours]
        at = SERIES.start_utc_s + day * 24 * H
        mean = truth + rng.normal(0, error, len(truth)) if error else truth
        made.append(Forecast(at, at, H, mean, source="provider"))
    return made


def test_a_good_provider_is_used() -> None:
    past = SERIES.until(NOW)
    made, result = chosen(past, NOW, 72 * H, given=_given(2.0))
    assert result.provider_wins
    assert made.source == "provider"
    truth = SERIES.values[50 * 24 : 50 * 24 + 72]
    assert np.abs(made.mean[:48] - truth[:48]).mean() < 4
    assert np.isfinite(made.mean[48:]).all()  # where it does not reach, ours goes on
    np.testing.assert_allclose(made.paths.mean(axis=0), made.mean, rtol=0.05)
    assert result.words.startswith("the provider's forecast")


def test_a_poor_provider_is_not() -> None:
    made, result = chosen(SERIES.until(NOW), NOW, 48 * H, given=_given(300.0))
    assert not result.provider_wins
    assert "own forecast" in result.words
    assert made.source != "provider"


@pytest.mark.parametrize("days", [0, 2, LEAST_FORECASTS - 2])
def test_a_provider_has_to_show_some_forecasts_first(days: int) -> None:
    made, result = chosen(SERIES.until(NOW), NOW, 48 * H, given=_given(0.0, days=days))
    assert result.trials < LEAST_FORECASTS
    assert made.source != "provider"


def test_what_a_provider_tells_later_does_not_count() -> None:
    late = [
        Forecast(f.made_utc_s + 30 * 24 * H, f.start_utc_s, H, f.mean, source="provider")
        for f in _given(0.0)
    ]
    made, result = chosen(SERIES.until(NOW), NOW, 48 * H, given=late)
    assert result.trials == 0
    assert made.source != "provider"


def test_forecasts_that_are_not_over_are_judged_on_what_is() -> None:
    whole = contest(SERIES.until(NOW), _given(0.0))
    assert whole.provider_ratio < whole.own_ratio < 1
    none = contest(Series(SERIES.start_utc_s, H, SERIES.values[:24]), _given(0.0))
    assert none.trials == 0
