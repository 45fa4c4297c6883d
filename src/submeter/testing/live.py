# SPDX-License-Identifier: Apache-2.0
"""The process that keeps the files of a fake machine up to date while its time runs."""

import contextlib
import gc
import os
import pickle
import struct
import subprocess
import sys
import threading
import time
from typing import Final

from submeter.testing.procfs import FakeProc
from submeter.testing.zones import Zone
from submeter.units import NS_PER_S, ns_to_s, s_to_ns

_PROC_PERIOD_S: Final = 0.01  # a tick of /proc/stat
_MAIN: Final = "import sys; sys.path[:] = {path!r}; from submeter.testing.live import main; main()"
_LENGTH: Final = struct.Struct("<Q")

_Script = tuple[int, float, list[Zone], FakeProc]  # epoch, period, what to write


class LiveDrive:
    """The time of a machine, running with CLOCK_MONOTONIC.

    Parameters
    ----------
    t_s
        Time of the machine to go on from [s].
    period_s
        How often its files are written [s].
    """

    def __init__(self, t_s: float, period_s: float) -> None:
        self._period_s = period_s
        self._process: subprocess.Popen[bytes] | None = None
        self.epoch_ns = time.monotonic_ns() - s_to_ns(t_s)

    def t_s(self) -> float:
        """Time of the machine now [s]."""
        return self.t_at_s(time.monotonic_ns())

    def t_at_s(self, t_ns: int) -> float:
        """Time of the machine at a monotonic instant [s]."""
        return ns_to_s(t_ns - self.epoch_ns)

    @property
    def pid(self) -> int:
        """The writing process."""
        return self._running().pid

    def start(self, zones: list[Zone], processes: FakeProc) -> None:
        """Start the writing process and wait for its first values."""
        command = [sys.executable, "-I", "-c", _MAIN.format(path=sys.path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.send(zones, processes)
        if self._process.stdout is None or not self._process.stdout.readline():
            raise RuntimeError("the process that drives the fake machine did not start")

    def send(self, zones: list[Zone], processes: FakeProc) -> None:
        """Give the writing process the script as it is now."""
        pipe = self._running().stdin
        script: _Script = (self.epoch_ns, self._period_s, zones, processes)
        content = pickle.dumps(script)
        if pipe is not None:
            pipe.write(_LENGTH.pack(len(content)) + content)
            pipe.flush()

    def stop(self) -> float:
        """End the writing process; return the time that it has shown last [s]."""
        if self._process is None:
            return self.t_s()
        process, self._process = self._process, None
        out, _ = process.communicate()
        try:
            return float(out)
        except ValueError:  # it was killed; what it was about to show is near to now
            return self.t_s()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the machine's time does not run")
        return self._process


class _Writer:
    """The loop of the writing process, and the thread that listens to its parent."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._arrived = threading.Event()
        self._announced = False
        self._latest: _Script | None = None
        threading.Thread(target=self._listen, daemon=True).start()
        self._arrived.wait()

    def _listen(self) -> None:
        pipe = sys.stdin.buffer
        while head := pipe.read(_LENGTH.size):
            content = pipe.read(_LENGTH.unpack(head)[0])
            self._latest = pickle.loads(content)  # noqa: S301 - from our own parent
            self._arrived.set()
        self._closed.set()
        self._arrived.set()

    def run(self) -> float:
        """Write until the parent closes the pipe; return the last time shown [s]."""
        script: _Script | None = None
        t_s, proc_due_s, next_ns = 0.0, 0.0, time.monotonic_ns()
        while not self._closed.is_set():
            if self._arrived.is_set():
                self._arrived.clear()
                script, before = self._latest, script
                _take_over(before, script)
                proc_due_s = -1.0
            if script is None:
                break  # the parent died before it said anything
            epoch_ns, period_s, zones, processes = script
            t_s = ns_to_s(time.monotonic_ns() - epoch_ns)
            for zone in zones:
                zone.at(t_s)
            if t_s >= proc_due_s:
                processes.at(t_s)
                proc_due_s = t_s + _PROC_PERIOD_S
            self._announce()
            next_ns = max(next_ns + s_to_ns(period_s), time.monotonic_ns())
            self._closed.wait(max(next_ns - time.monotonic_ns(), 0) / NS_PER_S)
        return t_s

    def _announce(self) -> None:
        if not self._announced:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            self._announced = True


def _take_over(before: _Script | None, script: _Script | None) -> None:
    """Let the new objects know what the old ones have put into the tree."""
    if before is None or script is None:
        return
    for old, new in zip(before[2], script[2], strict=False):
        new.shown = old.shown
        old.drop()
    script[3].shown = before[3].shown
    before[3].close()


def main() -> None:
    """Keep a machine's files up to date until standard input ends."""
    writer = _Writer()
    with contextlib.suppress(OSError):
        os.nice(-10)  # where it may: a late write is an error of the machine, not of a meter
    gc.disable()
    sys.stdout.write(f"{writer.run()!r}\n")
