# SPDX-License-Identifier: Apache-2.0
"""``submeter.explain``: why a run used what it used, as data.

Brings together what the journal told, what the run amounts to, and what explains it; the command
line and the Python interface both ask here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from submeter.errors import LedgerError, RunNotFoundError
from submeter.records.explanations import Explanation
from submeter.records.runs import Run

if TYPE_CHECKING:
    from submeter.explaining.use import Work
    from submeter.interfaces.program import MeasuredRun
    from submeter.records.footprints import Footprint
    from submeter.records.observations import Observations

PROJECT_TAG: Final = "project"
MOST_SIBLINGS: Final = 50


class Explained(msgspec.Struct, frozen=True):
    """An explanation, and what was seen of the run over time."""

    explanation: Explanation
    observations: "Observations"


def explain(run: "Run | MeasuredRun | str" = "last") -> Explanation:
    """Why *run* used what it used: its joules as a tree, its waste, what to try.

    Parameters
    ----------
    run
        A `Run`, what `measure` gave once it is over, an id or its beginning, a name, or ``last``.

    Returns
    -------
    Explanation
        ``tree`` is the root, at the wall; each level sums exactly to the one above.

    Raises
    ------
    RunNotFoundError, UsageError
        If there is no such run, or it goes on.

    Examples
    --------
    >>> import submeter
    >>> why = submeter.explain("last")  # doctest: +SKIP
    >>> [(b.name, b.energy.value) for b in why.tree.children]  # doctest: +SKIP
    [('facility overhead', 0.6e6), ('node', 3.0e6)]
    """
    from submeter.interfaces.afterwards import record_of

    return explained_run(record_of(run)).explanation


def explained_run(run: Run, *, home: Path | None = None, work: "Work | None" = None) -> Explained:
    """*run* explained, from its folder below *home* (the usual place if None)."""
    from submeter.explaining.advice import advise
    from submeter.explaining.timeline import stalls_of
    from submeter.explaining.tree import explained
    from submeter.explaining.use import use_of
    from submeter.explaining.waste import find_waste
    from submeter.interfaces.layering import layers_of, parts_by_phase, profiled_devices
    from submeter.reporting.summary import state, title
    from submeter.running.observing import observed
    from submeter.running.reckoning import reckoned
    from submeter.storing.places import home as usual_home
    from submeter.storing.places import run_folder

    home = usual_home() if home is None else home
    folder = run_folder(home, run.id)
    footprint = reckoned(run, home=home)
    seen = observed(run, folder)
    layers = layers_of(run, home)
    parts = parts_by_phase(layers, run)
    wasted = find_waste(run, footprint, seen, _siblings(run, home))
    advice = advise(run, footprint, wasted)
    found = Explanation(
        name=f"{title(run)} · {state(run)}",
        run_id=run.id,
        tree=explained(run, footprint, seen, parts, profiled=profiled_devices(layers)),
        waste=wasted.wastes,
        advice=advice.actions,
        withheld=advice.withheld,
        use=use_of(run, footprint, work),
        stalls=stalls_of(seen),
        notes=(*seen.notes, *layers.notes),
    )
    return Explained(found, seen)


def _siblings(run: Run, home: Path) -> list[Run]:
    """Other runs of its project, the latest first; none where there is no ledger."""
    from submeter.storing.ledger import open_ledger

    path = home / "ledger.db"
    if not run.project or not path.exists():
        return []
    try:
        with open_ledger(path, create=False) as ledger:
            rows = ledger.list(project=run.project, limit=MOST_SIBLINGS)
            return [ledger.get(row.id) for row in rows if row.id != run.id]
    except LedgerError:
        return []


def explained_project(project: str, *, home: Path | None = None) -> Explanation:
    """The life-cycle of all runs of *project* in the ledger below *home*.

    Raises
    ------
    RunNotFoundError
        If the project has no run.
    """
    from submeter.explaining.lifecycle import life_cycle
    from submeter.storing.ledger import open_ledger
    from submeter.storing.places import home as usual_home

    home = usual_home() if home is None else home
    path = home / "ledger.db"
    if not path.exists():
        raise RunNotFoundError("there is no run yet", remedy="submeter run -- python train.py")
    with open_ledger(path) as ledger:
        rows = [*ledger.list(project=project), *ledger.list(tags={PROJECT_TAG: project})]
        runs = [ledger.get(ident) for ident in dict.fromkeys(row.id for row in rows)]
    found = [(run, _amounts(run, home)) for run in runs]
    if not found:
        raise RunNotFoundError(
            f"no run is of project “{project}”", remedy="submeter run --project NAME -- …"
        )
    return life_cycle(project, found)


def _amounts(run: Run, home: Path) -> "Footprint":
    from submeter.running.reckoning import reckoned

    try:
        return reckoned(run, home=home)
    except LedgerError:
        from submeter.records.figures import Missing
        from submeter.records.footprints import Footprint

        why = Missing("its footprint cannot be reckoned")
        return Footprint(why, why, why, why)
