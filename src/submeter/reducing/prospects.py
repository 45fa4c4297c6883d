# SPDX-License-Identifier: Apache-2.0
"""What a search knows, and what that says: of a trial that goes on, and of a setting not tried.

A trial that logs how much of it is done is stopped as soon as it is nearly certain that

- it *would use more*: its energy at the end, at the rate since its first logged step, would be no
  less than the least that was enough;
- it *would not reach* what is asked for: trials that finished tell how a score at that part of the
  way and the score at the end hang together.

The same is asked of a setting before it is begun, by the effects of each thing that is turned
(foreseeing.py); what is nearly certain to be neither is not begun. *Nearly certain* is a
probability of `MORE`, `LESS` or `UNSEEN`, by the scatter of those forecasts among the trials that
are known.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from submeter.reducing.foreseeing import Effects, Foreseen, Value
from submeter.reducing.stopping import Curve, Reason, prospect

MORE: Final = 0.9  # probability that it would use more: then it ends
LESS: Final = 0.9  # that it would not reach what is asked for, by its way so far: at the least
UNSEEN: Final = 0.98  # the same, of a setting that nobody tried
SHARE: Final = (
    0.4  # of the energy without pruning: once it is used, no more certainty is asked for
)
SLOW: Final = 8.0  # power of how much of that was used, by which doubt is let in
WATCHED: Final = 0.3  # part of the way before which no score tells of the end
FEWEST: Final = 4  # finished trials, before a score is foreseen from the way so far
LOOSE: Final = 0.15  # how far the foreseen energy of a trial is trusted before others tell
LEAST_SD: Final = 0.02  # no energy is foreseen nearer than that
SHORT_SD: Final = 0.2  # and no score, in steps of `_Scale`
_FEW: Final = 3  # trials whose energies were foreseen


class Known(NamedTuple):
    """A trial that ended."""

    settings: Mapping[str, Value]
    curve: Curve
    finished: bool
    kept: bool = False
    score: float | None = None  # at its end, higher being better
    dominated: bool = False


class Chance(NamedTuple):
    """What is foreseen of a setting: energy [J]; how probable it is that it is less, enough."""

    energy_j: float | None
    less: float
    enough: float
    doubt: float = 1.0  # as `Prospects.doubt`

    @property
    def reason(self) -> Reason:
        """Why it need not be begun, "" if it should."""
        if self.less < 1 - MORE:
            return "would use more"
        return "would not reach" if self.enough < (1 - UNSEEN) * self.doubt else ""


class Prospects:
    """What the trials that ended say.

    Parameters
    ----------
    known
        They.
    enough
        Score that is asked for; None where nothing is.
    max_time_s
        Longest time that a trial may take.
    trials
        How many there are to be; 0 if that is not known.
    """

    def __init__(
        self,
        known: Sequence[Known],
        *,
        enough: float | None = None,
        max_time_s: float | None = None,
        trials: int = 0,
    ) -> None:
        self._trials = trials
        self._known = [k for k in known if k.curve.points]
        self._curves = [k.curve for k in self._known]
        self._done = [k for k in self._known if k.finished]
        self._enough, self.max_time_s = enough, max_time_s
        self.least_j = min((k.curve.energy_j for k in self._known if k.kept), default=None)
        scores = [k.score for k in self._done if k.score is not None]
        self._scale = None if enough is None or not scores else _Scale.of(scores, enough)
        self._begun_j = self._least_begun_j()
        seen = self._energies_seen()
        self._energies, self._roughly = Effects.of(seen), Effects.roughly(seen)
        self._qualities = Effects.of(self._qualities_seen())
        self._chances: dict[tuple[tuple[str, Value], ...], Chance] = {}

    def reason(self, trial: Curve) -> Reason:
        """Why *trial* should be stopped now, "" if it should not."""
        found = prospect(
            trial, self._curves,
            least_j=self.least_j, enough=self._enough, max_time_s=self.max_time_s,
        )  # fmt: skip
        if found or self.least_j is None or not trial.done_ratio:
            return found
        energy = self._energy_at_end(trial)
        if energy is not None and energy.below(math.log(self.least_j)) < 1 - MORE:
            return "would use more"
        score = self._shortfall_at_end(trial)
        if score is not None and self._passes(score) < (1 - LESS) * self.doubt(trial):
            return "would not reach"
        return ""

    def chance(self, settings: Mapping[str, Value]) -> Chance:
        """What is foreseen of *settings*."""
        key = tuple(settings.items())
        if key not in self._chances:
            self._chances[key] = self._chance(settings)
        return self._chances[key]

    def _chance(self, settings: Mapping[str, Value]) -> Chance:
        if self.least_j is None:
            return Chance(None, 1.0, 1.0)
        energy = None if self._energies is None else self._energies.foreseen(settings)
        quality = None if self._qualities is None else self._qualities.foreseen(settings)
        energy_j, less = None, 1.0
        if energy is not None:
            energy_j = self._begun_j + math.exp(energy.mean)
            spare_j = self.least_j - self._begun_j
            less = energy.below(math.log(spare_j)) if spare_j > 0 else 0.0
        enough = 1.0 if quality is None else self._passes(quality)
        return Chance(energy_j, less, enough, self.doubt())

    def doubt(self, trial: Curve | None = None) -> float:
        """Part of the doubt that is allowed at most: none at first, all when much was used.

        By the energy that was used so far, over what all trials would use without pruning.
        """
        ends_j = [e for _, e in self._ends_j()]
        whole_j = self._trials * statistics.fmean(ends_j) if ends_j else 0.0
        if whole_j <= 0:
            return 1.0
        used_j = math.fsum(c.energy_j for c in self._curves) + (trial.energy_j if trial else 0.0)
        return min(1.0, math.pow(used_j / whole_j / SHARE, SLOW))

    def promise(self, settings: Mapping[str, Value]) -> float:
        """How much *settings* may save for each joule of trying; inf or 0 of what may or may not.

        Before that can be said: then any will do that seems to use less than the best so far.
        """
        found = self.chance(settings)
        if self.least_j is None:
            return math.inf
        if found.energy_j is None:
            return math.inf if self._may_use_less(settings) else 0.0
        saving_j = max(0.0, self.least_j - found.energy_j)
        return found.less * found.enough * (saving_j / found.energy_j)

    def _may_use_less(self, settings: Mapping[str, Value]) -> bool:
        """Whether *settings* may use less than what was enough, as far as few trials tell."""
        found = None if self._roughly is None else self._roughly.foreseen(settings)
        if found is None or self.least_j is None:
            return True
        return self._begun_j + math.exp(found.mean) < self.least_j

    def _energy_at_end(self, trial: Curve) -> Foreseen | None:
        """Logarithm of its energy, as it goes now; by how far that was off with others."""
        done, ahead_j = trial.done_ratio, trial.ahead_j()
        if ahead_j is None:
            return None
        errors = [
            math.log(k.curve.energy_j / foreseen_j)
            for k in self._done
            if (foreseen_j := k.curve.ahead_j(done)) and k.curve.energy_j > 0
        ]
        mean = math.log(max(ahead_j, trial.energy_j))
        if len(errors) < _FEW:
            return Foreseen(mean, LOOSE, _FEW)
        sd = math.sqrt(math.fsum(e * e for e in errors) / len(errors))
        return Foreseen(mean, max(sd, LEAST_SD), len(errors))

    def _shortfall_at_end(self, trial: Curve) -> Foreseen | None:
        """How far short it will be at its end, by others that were as far on the way."""
        scale, score, done = self._scale, trial.score, trial.done_ratio
        if scale is None or score is None or done < WATCHED:
            return None
        pairs = [
            (scale.short(then), scale.short(k.score))
            for k in self._done
            if k.score is not None and (then := k.curve.best_when(done)) is not None
        ]
        return _on_a_line(pairs, scale.short(score))

    def _passes(self, shortfall: Foreseen) -> float:
        """Probability that it is no further short than what is asked for."""
        assert self._scale is not None  # noqa: S101
        return shortfall.below(self._scale.enough)

    def _least_begun_j(self) -> float:
        """Energy that each trial needs before its first step [J]."""
        begun = [b for k in self._known if (b := k.curve.begun_j) is not None]
        ends = [e for _, e in self._ends_j()]
        return min(min(begun, default=0.0), 0.9 * min(ends, default=0.0))

    def _ends_j(self) -> list[tuple[Mapping[str, Value], float]]:
        """Settings, and their energy at the end [J]: known, foreseen, or a bound."""
        found = []
        for k in self._known:
            end_j = k.curve.energy_j if k.finished else k.curve.ahead_j()
            if end_j is None and k.dominated:
                end_j = k.curve.energy_j
            if end_j:
                found.append((k.settings, end_j))
        return found

    def _energies_seen(self) -> list[tuple[Mapping[str, Value], float]]:
        return [(s, math.log(e - self._begun_j)) for s, e in self._ends_j() if e > self._begun_j]

    def _qualities_seen(self) -> list[tuple[Mapping[str, Value], float]]:
        if self._scale is None:
            return []
        found = []
        for k in self._known:
            if k.finished and k.score is not None:
                found.append((k.settings, self._scale.short(k.score)))
            elif not k.finished and (ahead := self._shortfall_at_end(k.curve)) is not None:
                found.append((k.settings, ahead.mean))
        return found


class _Scale(NamedTuple):
    """How far short of the best a score is, by a logarithm: near the best small steps matter.

    ``log(1 + (top - score) / unit)``, the unit being what may be missing.
    """

    top: float
    unit: float
    enough: float

    @classmethod
    def of(cls, scores: Sequence[float], enough: float) -> "_Scale":
        top = max(scores)
        spread = top - statistics.median(scores)
        unit = max(top - enough, spread / 10, 1e-9 * max(1.0, abs(top)))
        return cls(top, unit, math.log1p(max(0.0, top - enough) / unit))

    def short(self, score: float) -> float:
        """How far short *score* is [1]."""
        return math.log1p(max(0.0, self.top - score) / self.unit)


def _on_a_line(pairs: Sequence[tuple[float, float]], at: float) -> Foreseen | None:
    """What goes with *at*, by a line through *pairs* and their scatter around it."""
    n = len(pairs)
    if n < FEWEST:
        return None
    x, y = [p[0] for p in pairs], [p[1] for p in pairs]
    x_mean, y_mean = statistics.fmean(x), statistics.fmean(y)
    spread = math.fsum((v - x_mean) ** 2 for v in x)
    if spread <= 0:
        return None
    slope = math.fsum((a - x_mean) * (b - y_mean) for a, b in pairs) / spread
    slope = max(0.0, slope)  # who is behind now does not therefore end ahead
    rest = math.fsum((b - y_mean - slope * (a - x_mean)) ** 2 for a, b in pairs)
    sd = math.sqrt(rest / (n - 2))
    apart = 1 + 1 / n + (at - x_mean) ** 2 / spread
    return Foreseen(y_mean + slope * (at - x_mean), max(sd, SHORT_SD) * math.sqrt(apart), n - 2)
