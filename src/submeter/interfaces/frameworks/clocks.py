# SPDX-License-Identifier: Apache-2.0
"""Clocks for parts of a training step: of the processor at once, of an accelerator afterwards.

A reading is opaque; two of them make a span. The processor's clock tells elapsed and CPU time when
it is asked. An accelerator works behind the program's back, so there a reading is an event on its
stream, and the time between two is asked for when both are long past: nothing waits for it.
"""

import time
from typing import Any, Final, Literal, Protocol

__all__ = ["BoardClock", "Clock", "ProcessorClock"]

_POOL: Final = 8192  # events that are kept to be used again


class Clock(Protocol):
    """What a window times by."""

    @property
    def kind(self) -> Literal["processor", "accelerator"]:
        """What busy time is time of."""
        ...

    def now(self) -> Any:
        """Give a reading."""
        ...

    def again(self, reading: Any) -> Any:
        """Reading after work of ours that began at *reading*: what lies between is not counted."""
        ...

    def ready(self, reading: Any) -> bool:
        """Whether the time of *reading* can be told without waiting."""
        ...

    def span_s(self, begin: Any, end: Any) -> tuple[float, float]:
        """Elapsed and busy time between two readings [s]."""
        ...

    def free(self, readings: list[Any]) -> None:
        """Take *readings* back, which are not needed any more."""
        ...


class ProcessorClock:
    """Elapsed time, and CPU time of all threads of this process."""

    kind: Final = "processor"

    def now(self) -> tuple[int, int]:
        """Instants of both clocks [ns]."""
        return time.perf_counter_ns(), time.process_time_ns()

    def again(self, reading: tuple[int, int]) -> tuple[int, int]:
        """Instants after our own work."""
        del reading
        return time.perf_counter_ns(), time.process_time_ns()

    def ready(self, reading: tuple[int, int]) -> bool:
        """Always."""
        del reading
        return True

    def span_s(self, begin: tuple[int, int], end: tuple[int, int]) -> tuple[float, float]:
        """Elapsed and CPU time [s]."""
        return (end[0] - begin[0]) * 1e-9, (end[1] - begin[1]) * 1e-9

    def free(self, readings: list[Any]) -> None:
        """Nothing is held."""


class BoardClock:
    """Time on the current stream of a CUDA board.

    Parameters
    ----------
    cuda
        ``torch.cuda``.

    Notes
    -----
    What a hook does on the processor is not seen by the stream unless it runs dry, so one event
    ends a span and begins the next. Where the program cannot keep the board busy, the time that it
    waits belongs to the layer that was being launched.
    """

    kind: Final = "accelerator"

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._pool: list[Any] = []
        self.lost = 0  # spans between two boards

    def now(self) -> Any:
        """Record an event.

        Raises
        ------
        RuntimeError
            If the stream is being captured into a graph, where no event may be timed.
        """
        if self._cuda.is_current_stream_capturing():
            msg = "the program captures CUDA graphs"
            raise RuntimeError(msg)
        event = self._pool.pop() if self._pool else self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def again(self, reading: Any) -> Any:
        """Give the same event: the board does not wait for us."""
        return reading

    def ready(self, reading: Any) -> bool:
        """Whether the board has passed the event."""
        return bool(reading.query())

    def span_s(self, begin: Any, end: Any) -> tuple[float, float]:
        """Time on the stream [s], for both; none where the events are on different boards."""
        try:
            took_s = max(0.0, begin.elapsed_time(end) / 1000.0)
        except (RuntimeError, ValueError):
            self.lost += 1
            return 0.0, 0.0
        return took_s, took_s

    def free(self, readings: list[Any]) -> None:
        """Keep events to be used again."""
        self._pool.extend(readings[: max(0, _POOL - len(self._pool))])
