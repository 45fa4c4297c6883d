# SPDX-License-Identifier: Apache-2.0
"""Whose energy it is: a run's share of a device that others may use too."""

from typing import Final

import msgspec

SHARE_RELATIVE_SD: Final = 0.30  # equal CPU time may differ so much in power (science of splits)


class Use(msgspec.Struct, frozen=True):
    """What was used in one stretch of time; None: could not be seen."""

    length_s: float
    busy_s: float | None = None  # CPU time of the whole machine
    run_s: float | None = None  # CPU time of the run's processes


def use_ratio(use: Use) -> float | None:
    """The run's part of the machine's busy CPU time, 0 to 1; None: not known.

    A machine on which nothing was busy was the run's alone.
    """
    if use.busy_s is None or use.run_s is None:
        return None
    if use.busy_s <= 0:
        return 1.0
    return min(1.0, max(0.0, use.run_s / use.busy_s))


def processor_share_j(
    drawn_j: float, use: Use, *, idle_w: float, allocation_ratio: float
) -> tuple[float, float]:
    """The run's share of a processor's energy, and the standard deviation of that split [J].

    Parameters
    ----------
    drawn_j
        Energy drawn by the processor [J].
    use
        CPU time in the same stretch.
    idle_w
        Power that it draws when nothing runs [W].
    allocation_ratio
        Part of the machine allotted to the run, 0 to 1 (1 where nothing is declared).

    Notes
    -----
    Idle energy goes by allocation, the rest by CPU time:
    ``share = min(drawn, idle_w t) a + (drawn - idle_w t)+ r``. CPU time is a rough guide to
    power (vector units, memory stalls), hence 30 % doubt on what is divided between the run and
    others, none where the run was alone.
    """
    idle_j = min(drawn_j, idle_w * use.length_s)
    ratio = use_ratio(use)
    if ratio is None:
        return drawn_j * allocation_ratio, drawn_j * (1 - allocation_ratio) * SHARE_RELATIVE_SD
    dynamic_j = drawn_j - idle_j
    share_j = idle_j * allocation_ratio + dynamic_j * ratio
    return share_j, SHARE_RELATIVE_SD * dynamic_j * ratio * (1 - ratio)
