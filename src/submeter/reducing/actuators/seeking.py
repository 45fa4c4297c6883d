# SPDX-License-Identifier: Apache-2.0
"""Windows of a running job: what each limit makes of the time and the energy of a step.

Time is what the program logs (`submeter.log`), energy what the run's own counters show, so that
whatever the limit does to the work is seen in the work.
"""

from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.records.amounts import Amount
from submeter.reducing.limits import Search, Window, window_s
from submeter.running.progress import Progress
from submeter.running.reckoning import reckoned

__all__ = ["Pace", "Seeker", "candidates", "host_power_w"]

USUAL_JOB_S: Final = 3600.0  # where the program does not say how many steps there will be
STEP_W: Final = 25.0
MOST_LIMITS: Final = 10
_ROUND_W: Final = 5.0


class Pace(msgspec.Struct, frozen=True):
    """How long things take in a search.

    Attributes
    ----------
    window_s
        Length of a window [s]; by the length of the job if None.
    least_window_s
        ... and at least this, since a board's counter moves ten times a second.
    cooldown_s
        Behind a change nothing counts for so long: clocks, and the step that was under way.
    warm_up_s
        ... and behind the start of the job.
    least_steps
        Logged points of a window.
    patience_s
        A job that has logged nothing for so long is left as it was.
    """

    window_s: float | None = None
    least_window_s: float = 5.0
    cooldown_s: float = 2.0
    warm_up_s: float = 10.0
    least_steps: int = 3
    patience_s: float = 120.0


def candidates(least_w: float, now_w: float) -> list[float]:
    """Limits to try, from what is set now downwards, evenly and in round watts.

    Never more than what is set now: whoever set that meant it.
    """
    if least_w >= now_w:
        return [now_w]
    step_w = max(STEP_W, (now_w - least_w) / (MOST_LIMITS - 1))
    step_w = _ROUND_W * -(-step_w // _ROUND_W)
    found, limit_w = [now_w], now_w - step_w
    while limit_w >= least_w:
        found.append(float(round(limit_w)))
        limit_w -= step_w
    return found


def host_power_w(progress: Progress) -> float:
    """Power of the node that is not in the devices which are read, so far [W]; 0 if unknown."""
    try:
        run = progress.so_far()
    except LedgerError:
        return 0.0
    node = reckoned(run).node
    if not isinstance(node, Amount) or run.duration_s <= 0:
        return 0.0
    return max(0.0, (node.value - progress.energy().totals[-1]) / run.duration_s)


class Seeker:
    """Folds the progress of a run into windows, and these into the next limit.

    Parameters
    ----------
    limits_w
        Limits to try; the highest is what is set when it begins.
    max_slowdown_ratio
        How much longer a step may take than under the highest limit [1].
    host_w
        Power of the node beside the devices that are read [W]; reckoned from the run if None.
    """

    def __init__(
        self,
        limits_w: list[float],
        *,
        max_slowdown_ratio: float = 0.0,
        host_w: float | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.pace = Pace() if pace is None else pace
        self.windows: list[Window] = []
        self.search: Search | None = None
        self.host_w = host_w
        self._limits_w = limits_w
        self._slowdown = max_slowdown_ratio
        self._from_s = self.pace.warm_up_s  # of the run; what came before does not count

    @property
    def limit_w(self) -> float:
        """Limit that is to be set now [W]."""
        return self._limits_w[0] if self.search is None else self.search.limit_w

    @property
    def settled(self) -> bool:
        """Whether the best is known."""
        return self.search is not None and self.search.state == "settled"

    def changed(self, at_s: float) -> None:
        """Take note that the limit was changed *at_s* of the run."""
        self._from_s = at_s + self.pace.cooldown_s

    def look(self, progress: Progress) -> bool:
        """See whether a window is full; whether it was."""
        if self.settled:
            return False
        window = self._window(progress)
        if window is None:
            return False
        if self.search is None:
            if self.host_w is None:
                self.host_w = host_power_w(progress)
            self.search = Search(
                self._limits_w, host_w=self.host_w, max_slowdown_ratio=self._slowdown
            )
        self.windows.append(window)
        self.search.measured(window)
        return True

    def _window(self, progress: Progress) -> Window | None:
        energy = progress.energy()
        marks = [m for m in progress.marks() if self._from_s <= m.t_s <= energy.end_s]
        if len(marks) <= self.pace.least_steps:
            return None
        first, last = marks[0], marks[-1]
        length_s, done = last.t_s - first.t_s, last.done - first.done
        if done <= 0 or length_s < self._length_s(progress, length_s / done):
            return None
        used_j = energy.at(last.t_s) - energy.at(first.t_s)
        return Window(self.limit_w, length_s / done, used_j / length_s)

    def _length_s(self, progress: Progress, per_step_s: float) -> float:
        if self.pace.window_s is not None:
            return self.pace.window_s
        total = progress.total
        return max(
            self.pace.least_window_s,
            window_s(USUAL_JOB_S if total is None else total * per_step_s),
        )

    def words(self) -> str:
        """What was found, in a sentence."""
        if self.search is None or not self.windows:
            return "no limit was measured"
        full, best = self.windows[0], self.search.chosen
        host_w = self.host_w or 0.0
        saved = 1 - best.node_energy_j(host_w) / full.node_energy_j(host_w)
        slower = best.time_s / full.time_s - 1
        return (
            f"{best.limit_w:g} W of {len(self.windows)} limits measured: {100 * saved:.1f} % less "
            f"energy of the node for each step than {full.limit_w:g} W, "
            f"{100 * abs(slower):.1f} % {'longer' if slower >= 0 else 'shorter'}; "
            f"{host_w:.0f} W of the node are beside the devices that are read"
        )
