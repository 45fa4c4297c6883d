# SPDX-License-Identifier: Apache-2.0
"""Signals of this process while it waits for the time of a command."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any, Protocol

from submeter.running.launcher import WAITED_FOR

__all__ = ["SignalSource", "Signals", "ignored", "signals_held"]


@contextlib.contextmanager
def signals_held() -> Iterator[set[int | signal.Signals]]:
    """Hold the signals that a launch waits for, so that threads begun within hold them for good.

    A library's threads that do not hold them would take them from us. They are let in again at
    the end of the block, for this thread alone: all but those of the set that is given.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield set()
        return
    mask: set[int | signal.Signals] = set(signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR))
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Signals:
    """Signals of this process, held while it waits."""

    def hold(self) -> Any:
        return signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)

    def let_in(self, mask: Any) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def take(self, most_s: float) -> int:
        """Number of the next signal, 0 if none came within *most_s*."""
        info = signal.sigtimedwait(WAITED_FOR, max(0.0, most_s))
        return 0 if info is None or ignored(info.si_signo) else info.si_signo


class SignalSource(Protocol):
    """Where the signals that end a waiting come from."""

    def hold(self) -> Any:
        """Have signals wait from now on; what `let_in` takes to undo it."""
        ...

    def let_in(self, mask: Any) -> None:
        """Take signals as before."""
        ...

    def take(self, most_s: float) -> int:
        """Wait for a signal, *most_s* at the most; its number or 0."""
        ...


def ignored(number: int) -> bool:
    """Whether we were told to ignore a signal (nohup); held back, it comes all the same."""
    return signal.getsignal(number) is signal.SIG_IGN
