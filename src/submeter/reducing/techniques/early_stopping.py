# SPDX-License-Identifier: Apache-2.0
"""Stop when what the next epochs would bring is not worth their energy."""

import math
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from submeter.errors import UsageError
from submeter.reducing.techniques.curves import LEAST_POINTS, ahead
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.protocol import Applied, Method
from submeter.units import J_PER_KWH

HORIZON: Final = 10  # epochs ahead that are looked at
SURE: Final = 1.2816  # standard deviations: an upper end that nine in ten stay below
Better = Literal["higher", "lower"]


class Look(NamedTuple):
    """What was known after an epoch, and whether to go on."""

    epoch: int
    value: float
    stop: bool
    gain_per_kwh: float  # expected, over the horizon that pays best; nan while unknown
    gain_high_per_kwh: float  # nine in ten lie below
    why: str


class Stopper:
    """Looks at the metric after each epoch; `update` says whether to stop.

    Parameters
    ----------
    least_gain_per_kwh
        Price: an epoch has to be expected to bring so much of the metric for a kilowatt-hour.
    energy_j
        Energy used so far [J]; that of the run under submeter if None.
    better
        Whether more or less of the metric is better.
    patience
        Looks in a row that have to say so.
    epochs
        Where it would end anyway.
    """

    def __init__(
        self,
        least_gain_per_kwh: float,
        energy_j: Callable[[], float],
        *,
        better: Better = "higher",
        patience: int = 2,
        epochs: int | None = None,
    ) -> None:
        self._price, self._energy_j = least_gain_per_kwh, energy_j
        self._sign = 1.0 if better == "higher" else -1.0
        self._patience, self._epochs = patience, epochs
        self._values: list[float] = []
        self._used_j: list[float] = [energy_j()]
        self.looks: list[Look] = []

    @property
    def best_epoch(self) -> int:
        """Epoch, from 1, of the best value so far; its weights are those to keep."""
        return max(range(len(self._values)), key=self._values.__getitem__, default=-1) + 1

    def update(self, value: float) -> bool:
        """Take the metric after an epoch; True if the next ones are not worth their energy."""
        if math.isfinite(value):
            self._values.append(self._sign * float(value))
        self._used_j.append(self._energy_j())
        look = self._looked(value)
        self.looks.append(look)
        last = [one.stop for one in self.looks[-self._patience :]]
        return len(last) >= self._patience and all(last)

    def transformers_callback(self, metric: str) -> Any:
        """A callback of the transformers' `Trainer`: looks at *metric* after each evaluation."""
        transformers = library("transformers")

        def on_evaluate(
            own: Any, args: Any, state: Any, control: Any, metrics: Any = None, **rest: Any
        ) -> Any:
            del own, args, state, rest
            value = (metrics or {}).get(metric, math.nan)
            control.should_training_stop |= self.update(value)
            return control

        kind = type("EnergyPriced", (transformers.TrainerCallback,), {"on_evaluate": on_evaluate})
        return kind()

    def lightning_callback(self, metric: str) -> Any:
        """A callback of Lightning's `Trainer`: looks at *metric* after each validation."""
        callback = library("lightning.pytorch.callbacks").Callback

        def on_validation_end(own: Any, trainer: Any, module: Any) -> None:
            del own, module
            if not trainer.sanity_checking and metric in trainer.callback_metrics:
                trainer.should_stop |= self.update(float(trainer.callback_metrics[metric]))

        return type("EnergyPriced", (callback,), {"on_validation_end": on_validation_end})()

    def _looked(self, value: float) -> Look:
        epoch, nan = len(self.looks) + 1, math.nan
        spent_j = self._used_j[-1] - self._used_j[-min(4, len(self._used_j))]
        each_j = spent_j / min(3, len(self._used_j) - 1)
        if len(self._values) < LEAST_POINTS:
            return Look(epoch, value, False, nan, nan, f"{len(self._values)} epochs are too few")
        if each_j <= 0:
            return Look(epoch, value, False, nan, nan, "no energy was counted yet")
        left = HORIZON if self._epochs is None else min(HORIZON, self._epochs - epoch)
        best = max(self._values)
        offers = [self._offer(h, best, each_j) for h in range(1, left + 1)]
        if not offers:
            return Look(epoch, value, False, nan, nan, "it was the last epoch")
        expected = max(mean for mean, _ in offers)
        high = max(upper for _, upper in offers)
        words = f"at most {high:.3g} a kWh are to be expected, and {self._price:.3g} is the price"
        return Look(epoch, value, high < self._price, expected, high, words)

    def _offer(self, epochs_ahead: int, best: float, each_j: float) -> tuple[float, float]:
        """Expected gain for a kWh, and its upper end, of going on for so many epochs."""
        course = ahead(self._values, epochs_ahead)
        if course is None:
            return math.inf, math.inf
        cost_kwh = epochs_ahead * each_j / J_PER_KWH
        # of the curve, not of its luck: the best so far was lucky, too
        level = min(best, max(self._values[-3:]))
        upper = max(0.0, course.mean + SURE * course.sd - level)
        return max(0.0, course.mean - level) / cost_kwh, upper / cost_kwh


class EarlyStopping(Method):
    """A price for the energy of the next epochs, on a learning curve extrapolated."""

    name = "early_stopping"
    group = "less work"
    what = (
        "Ends a training when the gain expected of the next epochs, for a kilowatt-hour, falls "
        "under a price that you set."
    )
    why = "The last epochs bring least and cost as much as the first."
    price = "Late gains that the curve does not announce are missed."
    when_it_does_not_help = (
        "Curves that jump late (a learning rate that falls at the end, grokking), and trainings "
        "that are short for their metric's noise."
    )
    needs = ()
    takes = "price per kWh"

    def apply(
        self,
        target: Any,
        *,
        energy_j: Callable[[], float] | None = None,
        better: Better = "higher",
        patience: int = 2,
        epochs: int | None = None,
        **options: Any,
    ) -> Applied:
        """Give a `Stopper` for the price *target*: metric a kilowatt-hour.

        Parameters
        ----------
        energy_j
            Energy used so far [J]; that of the run under submeter if None.
        better, patience, epochs
            As of `Stopper`.
        """
        self.no_more(options)
        if not isinstance(target, (int, float)) or target < 0:
            raise UsageError(
                "early stopping wants a price: how much metric a kilowatt-hour has to bring",
                remedy="submeter.reduce.early_stopping(0.5, better='higher')",
            )
        if energy_j is None:
            energy_j = live_energy_j()
        stopper = Stopper(float(target), energy_j, better=better, patience=patience, epochs=epochs)
        notes = (f"stops below {target:g} of the metric a kWh",)
        return Applied(self.name, stopper, notes=notes)


def live_energy_j() -> Callable[[], float]:
    """Energy of the devices in the run that this process is in, as far as it is written [J].

    Raises
    ------
    UsageError
        If there is no run around it.
    """
    from submeter.errors import LedgerError
    from submeter.records.amounts import Amount
    from submeter.running import joined
    from submeter.running.progress import Following
    from submeter.running.reckoning import reckoned

    member = joined.current()
    if member is None:
        raise UsageError(
            "there is no run whose energy could be priced",
            remedy="submeter run -- python …, with submeter.measure(): or energy_j=…",
        )
    progress, last = Following(member.folder), [0.0]

    def energy_j() -> float:
        progress.look()
        try:
            found = reckoned(progress.so_far()).devices
        except LedgerError:  # it has just begun
            return last[0]
        if isinstance(found, Amount):
            last[0] = found.figure("J").value
        return last[0]

    return energy_j


TECHNIQUE = EarlyStopping()
