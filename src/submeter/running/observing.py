# SPDX-License-Identifier: Apache-2.0
"""What a finished run's journal tells over time, read once and kept in bounds."""

from pathlib import Path

from submeter.records.observations import Observations
from submeter.records.runs import Run


def observed(run: Run, folder: Path) -> Observations:
    """Read the journal in *folder* once: *run* over time, as pure data.

    Parameters
    ----------
    run
        The settled run.
    folder
        Its folder; where it holds no journal any more, only the run's own series is told.

    Returns
    -------
    Observations
        Bounded whatever the length of the run; ``complete`` is False without a journal.
    """
    raise NotImplementedError
