# SPDX-License-Identifier: Apache-2.0
"""Where a search is kept while it goes on, and who proposes: a study of Optuna.

A file of ours, or a database that workers on other machines join.
"""

import importlib.util
import math
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from submeter.errors import UsageError

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Asked

    from submeter.reducing.tuning import Task

INSTALL: Final = "pip install 'submeter[tune]'"
INSTALL_SHARED: Final = "pip install 'submeter[tune]' 'psycopg[binary]'"
SPACE: Final = "space"  # attribute of a study: what it searches
WORKER: Final = "worker"  # attribute of a trial: who runs it
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


def close_study(study: "Study") -> None:
    """Close what was opened for *study*, in the thread that used it."""
    storage: Any = study._storage  # noqa: SLF001  # Optuna closes no database by itself
    storage = getattr(storage, "_backend", storage)
    if hasattr(storage, "engine"):
        storage.remove_session()
        storage.engine.dispose()


def this_worker() -> str:
    """Who runs a trial: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_alive(worker: str) -> bool:
    """Whether a worker goes on, as far as can be told: one on another machine is believed to."""
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return bool(host)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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
    from optuna.trial import Trial

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
    # before Optuna 5 a sampler asks for what is violated; since then trials are told
    older: dict[str, Any] = (
        {} if hasattr(Trial, "set_constraint") else {"constraints_func": _violations}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=task.seed, multivariate=True, **older)


def tell_violations(asked: "Asked", broken: Sequence[float]) -> None:
    """Say by how much a trial misses each thing that was asked for; at most 0 is kept."""
    import warnings

    from optuna.exceptions import ExperimentalWarning

    asked.set_user_attr(VIOLATIONS, list(broken))
    if hasattr(asked, "set_constraint"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            for number, value in enumerate(broken):
                asked.set_constraint(str(number), value)


def _violations(trial: "FrozenTrial") -> Sequence[float]:
    """What `tell_violations` was told."""
    return tuple(trial.user_attrs.get(VIOLATIONS, (0.0,)))
