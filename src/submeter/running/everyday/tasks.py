# SPDX-License-Identifier: Apache-2.0
"""What a reference task is, and the list of all of them."""

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Final


class Task:
    """Work of one kind, done by one or several workers: `Batched` or `Joint`.

    One object leads: it prepares the folder, and starts and ends what serves the workers. Each
    worker has an object of its own over the same folder.

    Parameters
    ----------
    folder
        For what it keeps; empty at first, gone afterwards.
    workers
        How many there are at most.
    """

    key: ClassVar[str]
    unit: ClassVar[str]
    ways: ClassVar[tuple[str, ...]] = ("work",)
    paced: ClassVar[bool] = False  # served at a part of full load, too
    quick: ClassVar[bool] = True  # short enough to prepare for a quick look

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.workers = workers

    @classmethod
    def why_not(cls) -> str:
        """Why it cannot run here; "" if it can."""
        return ""

    def prepare(self) -> dict[str, object]:
        """Make what all workers need; what is to be told of it, such as versions."""
        return {}

    def finish(self) -> None:
        """End what was started."""

    def open(self, worker: int) -> None:
        """Make ready in worker number *worker*."""

    def close(self) -> None:
        """End what `open` made."""


class Batched(Task, ABC):
    """Work in batches that each worker does by itself."""

    @abstractmethod
    def batch(self, way: str) -> float:
        """Do some of the work, a tenth of a second at most where that is possible; units done."""


class Joint(Task, ABC):
    """One job that all workers do together: each its `part`, then one of them the rest."""

    @abstractmethod
    def part(self, way: str, worker: int, active: int) -> None:
        """Do this worker's part."""

    @abstractmethod
    def merge(self, way: str, active: int) -> float:
        """Bring the parts together; units done."""


# In the order in which they run; each module below this package, and the class in it.
_PLACES: Final = {
    "sql-transactions": "sqlite:Transactions",
    "sql-query": "sqlite:Query",
    "postgres-transactions": "postgres:Transactions",
    "postgres-query": "postgres:Query",
    "http": "web:Requests",
    "sort": "sorting:Sorting",
    "text": "texts:Texts",
    "page": "pages:Pages",
    "prediction": "sqlite:Prediction",
    "report": "sqlite:Report",
}
IDLE: Final = "idle"
KEYS: Final = (IDLE, *_PLACES)


def task_class(key: str) -> type[Task]:
    """Class of the task *key*; `IDLE` has none.

    Raises
    ------
    KeyError
        If there is no such task.
    """
    module, _, name = _PLACES[key].partition(":")
    found: type[Task] = getattr(import_module(f"{__package__}.{module}"), name)
    return found
