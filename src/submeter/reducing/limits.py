# SPDX-License-Identifier: Apache-2.0
"""Which power limit a job should run under: least energy of the *node* at a slow-down allowed.

A limit that is best for the board alone can cost energy: while the board takes longer, the rest
of the node goes on drawing. So energy per unit of work is ``(board_w + host_w) * time_s``.

The search goes down from the highest limit in windows of real work, so that nothing is wasted but
the difference between a window and the best one, and it stops where lower limits cannot help:
time only grows as the limit falls.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from submeter.errors import UsageError

HOPELESS_SLOWDOWN_RATIO: Final = 0.15  # beyond what is allowed: noise does not explain it
LEAST_WINDOW_S: Final = 1.0  # a board's counter moves about ten times in it
MOST_WINDOW_S: Final = 30.0
WINDOW_RATIO: Final = 0.001  # of the expected job

State = Literal["profiling", "settled"]


class Window(msgspec.Struct, frozen=True):
    """What was measured under one limit, per unit of work (a step, an epoch).

    ``board_w`` is the mean power of all boards of the job together.
    """

    limit_w: float
    time_s: float
    board_w: float

    def node_energy_j(self, host_w: float) -> float:
        """Energy of the node per unit of work, *host_w* being all that is not a board."""
        return (self.board_w + host_w) * self.time_s


def best(windows: Sequence[Window], *, host_w: float, max_slowdown_ratio: float = 0.0) -> Window:
    """The window of least node energy among those that are not too slow.

    The highest limit is what slow-down is told against; it is always allowed.
    """
    if not windows:
        raise UsageError("no power limit was measured", remedy="measure at least the highest")
    full = max(windows, key=lambda w: w.limit_w)
    allowed_s = full.time_s * (1 + max_slowdown_ratio)
    fitting = [w for w in windows if w.time_s <= allowed_s]
    return min(fitting, key=lambda w: (w.node_energy_j(host_w), -w.limit_w), default=full)


def window_s(expected_s: float) -> float:
    """How long each limit is measured in a job of *expected_s* [s]."""
    return min(MOST_WINDOW_S, max(LEAST_WINDOW_S, WINDOW_RATIO * expected_s))


class Search:
    """Goes down the limits, window by window, and says which comes next.

    ``limit_w`` is the limit to work under now; `measured` takes what came out of it.

    Parameters
    ----------
    limits_w
        Limits that the board allows.
    host_w
        Power of the node without its boards [W].
    max_slowdown_ratio
        How much longer a unit of work may take than under the highest limit [1].
    """

    def __init__(
        self, limits_w: Iterable[float], *, host_w: float, max_slowdown_ratio: float = 0.0
    ) -> None:
        self._left = sorted(set(limits_w), reverse=True)
        if not self._left or self._left[-1] <= 0:
            raise UsageError("there is no power limit to try", remedy="give limits in watts")
        if host_w < 0 or max_slowdown_ratio < 0:
            raise UsageError("host power and slow-down cannot be negative", remedy="give 0")
        self._host_w, self._slowdown = host_w, max_slowdown_ratio
        self._windows: list[Window] = []
        self.limit_w = self._left.pop(0)
        self.state: State = "profiling"

    def measured(self, window: Window) -> float:
        """Take what was measured under `limit_w`; give the limit to work under next [W]."""
        self._windows.append(window)
        if self._left and not self._hopeless():
            self.limit_w = self._left.pop(0)
        else:
            self.limit_w = self.chosen.limit_w
            self.state = "settled"
        return self.limit_w

    @property
    def chosen(self) -> Window:
        """The best of what was measured so far."""
        return best(self._windows, host_w=self._host_w, max_slowdown_ratio=self._slowdown)

    def _hopeless(self) -> bool:
        """Whether no lower limit can be better."""
        full, last = self._windows[0], self._windows[-1]
        return last.time_s > full.time_s * (1 + self._slowdown + HOPELESS_SLOWDOWN_RATIO)
