# SPDX-License-Identifier: Apache-2.0
"""Where a search is kept while it goes on, and who proposes: a study of Optuna.

A file of ours, or a database that workers on other machines join.
"""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from submeter.errors import UsageError

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from submeter.reducing.tuning import Task

INSTALL: Final = "pip install 'submeter[tune]'"
INSTALL_SHARED: Final = "pip install 'submeter[tune]' 'psycopg[binary]'"
SPACE: Final = "space"  # attribute of a study: what it searches
VIOLATIONS: Final = "violations"  # attribute of a trial: by how much it misses what is asked for


def open_study(name: str, task: "Task", storage: str | Path) -> "Study":
    """Study of that name, a new one or the one that is there.

    Parameters
    ----------
    storage
        A file of ours, or an address that Optuna understands (``postgresql://…``), which workers
        on other machines can join.

    Raises
    ------
    UsageError
        If Optuna is missing, nothing can be kept there, or another space is searched under that
        name.
    """
    try:
        import optuna
    except ImportError as exc:
        raise UsageError("a search needs Optuna", remedy=INSTALL) from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions: list[Literal["minimize", "maximize"]] = ["minimize"]
    directions += ["maximize"] if task.maximise else []
    try:
        study = optuna.create_study(
            study_name=name, storage=_kept(storage), load_if_exists=True,
            directions=directions, sampler=_sampler(task),
        )  # fmt: skip
    except ImportError as exc:
        raise UsageError(f"the search cannot be kept there: {exc}", remedy=INSTALL_SHARED) from exc
    except Exception as exc:
        if isinstance(exc, UsageError) or not _of_storage(exc):
            raise
        said = str(exc).strip().splitlines()[:1]
        raise UsageError(
            f"the search cannot be kept there: {''.join(said) or type(exc).__name__}",
            remedy="a file, or --storage postgresql://user@host/database",
        ) from exc
    _check_space(study, task)
    return study


def _kept(storage: str | Path) -> Any:
    if isinstance(storage, str) and "://" in storage:
        return _address(storage)
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(storage)))


def _address(storage: str) -> str:
    """*storage* with the driver that is installed, if none is named."""
    scheme, _, rest = storage.partition("://")
    if scheme in {"postgres", "postgresql"}:
        old = importlib.util.find_spec("psycopg2") is not None
        scheme = "postgresql+psycopg2" if old else "postgresql+psycopg"
    return f"{scheme}://{rest}"


def _of_storage(exc: Exception) -> bool:
    """Whether *exc* is about the place or the study that is there, and no error of ours."""
    return isinstance(exc, (ValueError, OSError)) or type(exc).__module__.startswith(
        ("sqlalchemy", "optuna", "psycopg")
    )


def _check_space(study: "Study", task: "Task") -> None:
    words = [str(d) for d in task.space]
    known = study.user_attrs.get(SPACE)
    if known is None:
        study.set_user_attr(SPACE, words)
    elif sorted(known) != sorted(words):
        raise UsageError(
            f"{study.study_name} searches something else: {' '.join(known)}",
            remedy="the same --set, or another --name",
        )


def _sampler(task: "Task") -> Any:
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import GridSampler, RandomSampler, TPESampler

    grid = {d.name: list(d.choices) for d in task.space if d.kind == "choice"}
    points = math.prod(len(c) for c in grid.values())
    fits = len(grid) == len(task.space) and points <= task.trials
    if task.sampler == "grid" and len(grid) < len(task.space):
        raise UsageError(
            "a grid needs choices everywhere", remedy="--sampler tpe, or lr=1e-4,1e-3"
        )
    if task.sampler == "grid" or (task.sampler == "auto" and fits):
        return GridSampler(grid, seed=task.seed)
    if task.sampler == "random":
        return RandomSampler(seed=task.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=task.seed, constraints_func=_violations, multivariate=True)


def _violations(trial: "FrozenTrial") -> Sequence[float]:
    """How far a trial is from what was asked for; at most 0 is kept."""
    return tuple(trial.user_attrs.get(VIOLATIONS, (0.0,)))
