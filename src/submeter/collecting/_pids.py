# SPDX-License-Identifier: Apache-2.0
"""Notices that a process has ended, also one that is nobody's child of ours."""

import os
from pathlib import Path

from submeter.collecting.clock import Clock


class Watched:
    """One process, by a descriptor that becomes readable at its death where the kernel has it.

    Elsewhere the process table is looked at; the start time tells a process from a later one of
    the same number.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = -1
        self.died_ns: int | None = None
        self._start = b""
        try:
            self.fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._start = b"?"  # gone already
        except (OSError, AttributeError):  # old kernel, or forbidden
            self._start = _start_time(pid) or b"?"

    def look(self, clock: Clock, readable: list[int]) -> bool:
        """Whether the process is dead; *readable* are descriptors found so at this tick."""
        if self.died_ns is None:
            dead = self.fd in readable if self.fd >= 0 else _start_time(self.pid) != self._start
            if dead:
                self.died_ns = clock.monotonic_ns()
                self.close()
        return self.died_ns is not None

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _start_time(pid: int) -> bytes | None:
    """When the process began, in the kernel's words; None if it is dead (or not yet reaped)."""
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[0] in {b"Z", b"X"} else words[19]
