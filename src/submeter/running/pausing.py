# SPDX-License-Identifier: Apache-2.0
"""How a program is paused and resumed, and how it is kept from staying frozen for ever.

Two ways. *By signal*: the program is asked, and writes its checkpoint; then it either ends with
`PAUSED_EXIT` and is started again with the same command, or stops itself (``SIGSTOP``) and is
continued. *By stop*: all its processes are stopped where they are, which needs no help of theirs
and keeps what they hold of memory and devices.

Linux only: processes are looked up in ``/proc``.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = [
    "PAUSED_EXIT",
    "PAUSE_VARIABLE",
    "Guard",
    "catching",
    "freeze",
    "is_stopped",
    "stop_like",
    "thaw",
]

PAUSED_EXIT: Final = 75  # sysexits.h, EX_TEMPFAIL: try again later
PAUSE_VARIABLE: Final = "SUBMETER_PAUSE_SIGNAL"  # tells a program how it will be asked
_PROC: Final = Path("/proc")
_ROUNDS: Final = 20  # of looking for processes that were started meanwhile

# Run by a process of its own: it outlives whoever carries the plan out, and then sets the frozen
# processes free. Its child stays in their process group, so that the kernel does not take them
# for stopped jobs of a shell that is gone, which it would end by SIGHUP.
_GUARD: Final = """
import os, signal, sys
folder, group = sys.argv[1], int(sys.argv[2])
for n in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP,
          signal.SIGTTIN, signal.SIGTTOU):
    signal.signal(n, signal.SIG_IGN)
os.setpgid(0, 0)
life, held = os.pipe()
if os.fork() == 0:
    os.close(held)
    try:
        os.setpgid(0, group)
    except OSError:
        pass
    os.write(1, b"ready\\n")
    os.close(0)
    os.close(1)
    os.read(life, 1)
    os._exit(0)
os.close(1)
word = b""
while True:
    more = os.read(0, 65536)
    if not more:
        break
    word += more
if not word.endswith(b"done\\n"):
    for line in word.decode().splitlines():
        pid, _, start = line.partition(":")
        try:
            with open(f"{folder}/{pid}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[19] == start.encode():
                    os.kill(int(pid), signal.SIGCONT)
        except (OSError, IndexError):
            pass
os._exit(0)
"""


class Guard:
    """A process that continues the frozen ones should this one die.

    It is told of each process before that is stopped, so that there is no moment in which a
    frozen one has nobody.

    Raises
    ------
    OSError
        If no process can be started.
    """

    def __init__(self) -> None:
        read, self._write = os.pipe()
        said, say = os.pipe()
        argv = [sys.executable, "-I", "-S", "-c", _GUARD, str(_PROC), str(os.getpgrp())]
        actions = [(os.POSIX_SPAWN_DUP2, read, 0), (os.POSIX_SPAWN_DUP2, say, 1)]
        try:
            self.pid = os.posix_spawn(
                sys.executable, argv, dict(os.environ), file_actions=actions, setsigmask=()
            )
        except BaseException:
            os.close(self._write)
            os.close(said)
            raise
        finally:
            os.close(read)
            os.close(say)
        with contextlib.suppress(OSError):
            os.read(said, 16)  # from now on nothing can go wrong
        os.close(said)

    def tell(self, pid: int) -> None:
        """Let it know that *pid* is about to be stopped."""
        with contextlib.suppress(OSError):
            os.write(self._write, b"%d:%d\n" % (pid, start_tick(pid)))

    def dismiss(self) -> None:
        """Let it go: the processes are continued, or ended, by us."""
        with contextlib.suppress(OSError):
            os.write(self._write, b"done\n")
        with contextlib.suppress(OSError):
            os.close(self._write)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def start_tick(pid: int) -> int:
    """When *pid* began, in ticks since boot: tells it from a later one; 0 if it is not there."""
    fields = _stat(pid)
    return int(fields[19]) if fields is not None else 0


def state_of(pid: int) -> str:
    """State of *pid* as in proc(5), "" if there is none."""
    fields = _stat(pid)
    return fields[0].decode() if fields is not None else ""


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped *pid*."""
    return state_of(pid) in {"T", "t"}


def lives(pid: int, start: int) -> bool:
    """Whether *pid* is still the process that began at tick *start*, and no zombie."""
    fields = _stat(pid)
    return fields is not None and int(fields[19]) == start and fields[0] not in {b"Z", b"X"}


def tree(root: int, *, spared: Iterable[int] = ()) -> list[int]:
    """*root* and the processes below it, parents first; not those of *spared*."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found, ahead, left_out = [], [root], set(spared)
    while ahead:
        pid = ahead.pop(0)
        if pid in left_out:
            continue
        left_out.add(pid)
        found.append(pid)
        ahead += sorted(children.get(pid, []))
    return [pid for pid in found if pid != os.getpid() and state_of(pid) not in {"", "Z", "X"}]


def program_of(root: int, *, spared: Iterable[int] = ()) -> list[int]:
    """Processes of the program *root*: its tree, and what it left to us when it was orphaned."""
    mine = tree(os.getpid(), spared=spared) if root else []
    return [root, *(p for p in mine if p != root)] if root in mine else tree(root, spared=spared)


def freeze(root: int, guard: Guard, *, spared: Iterable[int] = ()) -> list[int]:
    """Stop all processes of the program *root*; who they are.

    Parents are stopped before their children, and it is looked again until nobody is new: a
    process that is stopped starts no other.
    """
    spared = {*spared, guard.pid}
    stopped: list[int] = []
    for _ in range(_ROUNDS):
        new = [p for p in program_of(root, spared=spared) if p not in stopped]
        if not new:
            break
        for pid in new:
            guard.tell(pid)
            _kill(pid, signal.SIGSTOP)
        stopped += new
    return stopped


def thaw(root: int, also: Iterable[int] = (), *, spared: Iterable[int] = ()) -> None:
    """Continue the program *root*, children before their parents."""
    pids = dict.fromkeys([*also, *program_of(root, spared=spared)])
    for pid in reversed(list(pids)):
        _kill(pid, signal.SIGCONT)


def catching(pids: Iterable[int], number: int) -> list[int]:
    """Those of *pids* that have a handler for the signal *number*: others would die of it."""
    return [pid for pid in pids if _catches(pid, number)]


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to each of *pids* that is still there."""
    for pid in pids:
        _kill(pid, number)


def stop_like(number: int) -> None:
    """Stop as the command did, so that the shell takes over, until we are continued."""
    was = signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])  # here we stand still
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    signal.signal(number, was)


def boot_id() -> str:
    """Tells this life of the machine from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _catches(pid: int, number: int) -> bool:
    try:
        rows = (_PROC / str(pid) / "status").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    masks = {key: value.strip() for key, _, value in (row.partition(":") for row in rows)}
    try:
        return bool(int(masks["SigCgt"], 16) >> (number - 1) & 1)
    except (KeyError, ValueError):
        return False


def _stat(pid: int) -> list[bytes] | None:
    try:
        # behind the name in brackets, which may hold anything
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > 19 else None  # noqa: PLR2004  # proc(5): the tick of its start


def _parents() -> dict[int, int]:
    found = {}
    try:
        names = os.listdir(_PROC)  # noqa: PTH208  # names are all that is needed, and there are many
    except OSError:
        return {}
    for name in names:
        if name.isdecimal():
            fields = _stat(int(name))
            if fields is not None:
                found[int(name)] = int(fields[1])
    return found
