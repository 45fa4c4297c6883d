# SPDX-License-Identifier: Apache-2.0
"""The next batch is fetched while this one is worked on."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from submeter.errors import UsageError
from submeter.reducing.techniques.protocol import Applied, Method

_END: Final = object()
_AHEAD: Final = 2


class Ahead:
    """Iterates over *batches*, the next of which a thread fetches beside.

    ``waited_s`` is what the consumer still waited, ``fetched_s`` what fetching took in all: the
    difference is idle time that is gone.
    """

    def __init__(self, batches: Any, ahead: int) -> None:
        self._batches, self._ahead = batches, ahead
        self.waited_s = self.fetched_s = 0.0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        ready: queue.Queue[Any] = queue.Queue(self._ahead)
        enough = threading.Event()
        worker = threading.Thread(target=self._fetch, args=(ready, enough), daemon=True)
        worker.start()
        try:
            while True:
                started_s = time.perf_counter()
                item = ready.get()
                self.waited_s += time.perf_counter() - started_s
                if item is _END:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            enough.set()
            while worker.is_alive():  # it may stand before a full queue
                try:
                    ready.get_nowait()
                except queue.Empty:
                    worker.join(0.01)

    def _fetch(self, ready: "queue.Queue[Any]", enough: threading.Event) -> None:
        try:
            source = iter(self._batches)
            while not enough.is_set():
                started_s = time.perf_counter()
                item = next(source, _END)
                self.fetched_s += time.perf_counter() - started_s
                ready.put(item)
                if item is _END:
                    return
        except BaseException as exc:  # noqa: BLE001  # it is raised where the batch is wanted
            ready.put(exc)


class RemoveIdle(Method):
    """Fetching beside computing, by a thread, for any iterable."""

    name = "remove_idle"
    group = "better use of the machine"
    what = "Fetches the next batches beside the work on this one, and counts what is still waited."
    why = "A machine that waits draws much of its power for nothing."
    price = "Memory of the batches ahead; CPU time is the same, so it is time that falls."
    when_it_does_not_help = (
        "Fetching that holds Python's lock, a processor that is full anyway, data in memory."
    )
    needs = ()
    takes = "loader"

    def apply(self, target: Any, *, ahead: int = _AHEAD, **options: Any) -> Applied:
        """Iterate over *target* with *ahead* batches fetched before they are wanted."""
        self.no_more(options)
        if ahead < 1 or not hasattr(target, "__iter__"):
            raise UsageError("that cannot be fetched ahead", remedy="give an iterable, ahead=2")
        return Applied(
            self.name, Ahead(target, ahead), back=lambda: target, notes=(f"{ahead} batches ahead",)
        )


TECHNIQUE = RemoveIdle()
