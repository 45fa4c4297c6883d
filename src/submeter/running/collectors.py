# SPDX-License-Identifier: Apache-2.0
"""Start, watch, stop and restart the collector of a run.

The collector is a process of its own, in a session of its own, with nothing of the trained
program in it: no module, no thread, no open file, no place on the import path from which a
user's ``random.py`` could take the place of Python's.
"""

import contextlib
import functools
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from submeter.errors import SubmeterError
from submeter.storing.descriptors import Held
from submeter.units import NS_PER_MS, NS_PER_S, ns_to_s, s_to_ns

if TYPE_CHECKING:
    from submeter.collecting.order import Order
    from submeter.records.frames import End

__all__ = ["CollectorError", "CollectorHandle", "Warm", "start_collector", "write_order"]

ORDER_FILE: Final = "order.json"
LOG_FILE: Final = "collector.log"
# It imports while its order is still being written; the order's path is its first line of input.
_CODE: Final = """
import os, sys
os.closerange(3, 65536)
sys.path.extend({paths!a})
try:
    from submeter.collecting.collector import main
    why = None
except BaseException as exc:
    why = exc
path = b""
while not path.endswith(b"\\n"):
    more = os.read(0, 1)
    if not more:
        os._exit(0)
    path += more
path = os.fsdecode(path[:-1].replace(b"\\0", b"\\n"))
flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
log = os.open(os.path.join(os.path.dirname(path), {log!r}), flags, 0o600)
os.dup2(log, 2)
os.close(log)
if why is not None:
    raise why
main(path)
"""
AGAIN_S: Final = 2.0  # for a collector that is started anew only for a last reading
_HEARD_S: Final = 1.0  # for an answer that usually comes within milliseconds
_LINE_BYTES: Final = 4096
_LAST_WORDS: Final = 300  # characters
_GIVE_UP_NS: Final = 2 * NS_PER_S  # a collector that ended its output must end itself within


class CollectorError(SubmeterError):
    """The collector did not start, or died; the message says what it said last."""


def write_order(order: "Order") -> Path:
    """Keep *order* in the run's folder, whole or not at all.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    import msgspec

    path = Path(order.folder) / ORDER_FILE
    fresh = path.with_suffix(f".{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    content = msgspec.json.encode(order)
    fd = os.open(fresh, flags, 0o600)
    try:
        while content:
            content = content[os.write(fd, content) :]
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return path


@functools.cache
def import_paths() -> tuple[str, ...]:
    """Folders that the collector imports from, behind the standard library.

    Found at first use, so that a collector that is started again imports the same. Where packages
    are installed comes first: what a program has beside it, or puts in front of its path, may
    bear the name of one of ours without being it.
    """
    from importlib.machinery import PathFinder

    ours = str(Path(__file__).absolute().parents[2])
    named = [p for p in sys.path if Path(p).name in {"site-packages", "dist-packages"}]
    installed = [str(Path(p).absolute()) for p in named]
    folders = [ours]
    for name, is_package in (("msgspec", True), ("platformdirs", True), ("pynvml", False)):
        for path in ([ours, *installed], sys.path):
            found = PathFinder.find_spec(name, path)  # without importing it
            if found is None or not found.origin:
                continue
            if is_package == (found.submodule_search_locations is not None):
                folders.append(str(Path(found.origin).absolute().parents[int(is_package)]))
                break
    return tuple(dict.fromkeys([*folders, *installed]))


class Warm:
    """A collector's process that has no order yet and gets ready meanwhile.

    Raises
    ------
    CollectorError, OSError
        If no process can be started.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            msg = f"runs are metered on Linux only, and this is {sys.platform}"
            raise CollectorError(msg, remedy="submeter doctor says what is missing here")
        if not sys.executable:
            msg = "this program does not say where its Python is"
            raise CollectorError(msg)
        code = _CODE.format(paths=import_paths(), log=LOG_FILE)
        child_in, stdin = _pipe()
        stdout, child_out = _pipe()
        self.stdin, self.stdout = Held(stdin), Held(stdout)
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                # -S: no .pth file of the user's runs; the folders it would bring are in the code
                [sys.executable, "-I", "-S", "-c", code],
                {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, child_in, 0),
                    (os.POSIX_SPAWN_DUP2, child_out, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[getattr(signal, name) for name in _SIGNALS],
            )
        except OSError:
            self.stdin.close()
            self.stdout.close()
            raise
        finally:
            os.close(child_in)
            os.close(child_out)

    def drop(self) -> None:
        """It is not needed after all; it ends at the end of its input."""
        self.stdin.close()
        self.stdout.close()
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class CollectorHandle:
    """The owner's end of a collector, which starts with it.

    Every method but `wait_ready` stands the collector's death: it says so and never raises.
    """

    def __init__(self, order: "Order", warm: Warm | None = None) -> None:
        self.order = order
        self.pid = 0
        self.restarts = 0
        self.settled = ""  # what the collector said at its end
        self._stdin = Held()
        self._stdout = Held()
        self._held = b""
        self._heard = False  # it said that it knows of the end
        self._over = True
        self._started: tuple[int, int] | None = None
        self._spawn(warm)

    def wait_ready(self, timeout_s: float = 10) -> int:
        """Wait for the first reading of all fast sensors; its instant [ns].

        Raises
        ------
        CollectorError
            If the collector ends, or says nothing in time.
        """
        line = self._line("ready ", time.monotonic_ns() + s_to_ns(timeout_s))
        if line is None:
            if self.alive():
                msg = f"the collector took no reading within {timeout_s:g} s"
                raise CollectorError(msg, remedy=f"look into {self._log()}")
            msg = f"the collector ended at its start: {self.last_words()}"
            raise CollectorError(msg, remedy=f"look into {self._log()}")
        try:
            return int(line)
        except ValueError:
            return time.monotonic_ns()

    def begin(self, timeout_s: float = 10) -> int:
        """Wait like `wait_ready`, with a second collector should the first die at its start."""
        try:
            return self.wait_ready(timeout_s)
        except CollectorError:
            if self.alive():
                raise
        self.restart()
        return self.wait_ready(timeout_s)

    def started(self, t_ns: int, pid: int) -> None:
        """Tell it that the metered work began at *t_ns* in process *pid*."""
        self._started = (t_ns, pid)
        self._say(f"started {t_ns} {pid}")

    def stop(self, end: "End") -> None:
        """Tell it that the metered work ended, without waiting."""
        import msgspec

        self._say(f"stop {msgspec.json.encode(end).decode()}")

    def wait_settled(self, timeout_s: float) -> str:
        """Status of the run once it is in the ledger, "" if it did not come to that.

        After it `settled` holds the collector's words, also those of a failure.
        """
        end_ns = time.monotonic_ns() + s_to_ns(timeout_s)
        status = self._line("settled ", end_ns)
        if status is not None:
            self.settled = f"settled {status}"
        return status or ""

    def finish(self, end: "End", timeout_s: float) -> str:
        """Stop it and wait until the run is settled; its status, "" if it is not.

        If it is dead, dies of it or does not listen, another one is started, only for a last
        reading: counters tell what was used meanwhile.
        """
        for _ in range(2):
            if not self.alive():
                with contextlib.suppress(SubmeterError, OSError):
                    self.restart()
                    self.wait_ready(AGAIN_S)
            self.stop(end)
            status = self._attended(timeout_s)
            if status or self.settled or self.alive():
                return status
        return ""

    def _attended(self, timeout_s: float) -> str:
        """`wait_settled`, but one that somebody stopped is woken, and one that hangs is killed."""
        end_ns = time.monotonic_ns() + s_to_ns(timeout_s)
        woken = False
        while True:
            left_s = ns_to_s(end_ns - time.monotonic_ns())
            if left_s <= 0:
                return ""
            status = self.wait_settled(min(_HEARD_S, left_s))
            if status or self.settled or not self.alive():
                return status
            if self._heard and not self._is_stopped():
                continue  # at work; a disk may be slow
            if woken:
                self.kill()
                return ""
            woken = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    def _is_stopped(self) -> bool:
        try:
            said = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            return False
        return said.rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])

    def alive(self) -> bool:
        """Whether the collector lives and can be talked to; a dead one is also reaped."""
        if self._over or self._cut_off():
            return False
        if self._closed_its_output() or self._gone():
            self._reap()
        return not self._over

    def restart(self) -> None:
        """Start the next collector of the same run, after the death of the one before.

        Raises
        ------
        OSError
            If no process can be started.
        """
        self.kill()
        self.restarts += 1
        self._spawn(None)
        if self._started is not None:
            self._say("started {} {}".format(*self._started))

    def close(self) -> None:
        """Let go of it; it goes on until the metered process ends."""
        self._stdin.close()
        self._stdout.close()
        if not self._over:
            self._gone()

    def kill(self) -> None:
        """End it at once; what it wrote stays."""
        if not self._over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._reap()
        self.close()

    def reaped(self) -> None:
        """Take note that another part of the program has waited for it."""
        self._over = True

    def forget(self) -> None:
        """In a forked child: let go of the parent's collector without a word to it."""
        self._over = True
        self.close()

    def last_words(self) -> str:
        """Last line of its log, or how little is known."""
        try:
            lines = self._log().read_text("utf-8", "replace").split("\n")
        except OSError:
            return "it left no log"
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:_LAST_WORDS] if said else "it said nothing"

    def _log(self) -> Path:
        return Path(self.order.folder) / LOG_FILE

    def _spawn(self, warm: Warm | None) -> None:
        try:
            path = self._write_order()
            warm = warm or Warm()
        except BaseException:
            if warm is not None:
                warm.drop()
            raise
        self.pid, self._stdin, self._stdout = warm.pid, warm.stdin, warm.stdout
        self._over = False
        self._held = b""
        self._heard = False
        for end in (self._stdin, self._stdout):
            os.set_blocking(end.fd, False)
        self._send(os.fsencode(path).replace(b"\n", b"\0") + b"\n")

    def _write_order(self) -> Path:
        try:
            return write_order(self.order)
        except OSError:
            path = Path(self.order.folder) / ORDER_FILE
            if self.restarts and path.is_file():  # a disk that is full now: the old one will do
                return path
            raise

    def _say(self, line: str) -> None:
        self._send(line.encode() + b"\n")

    def _send(self, line: bytes) -> None:
        # A pipe takes this many bytes whole or not at all; SIGPIPE is ignored by Python.
        fd = self._stdin.fd
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.write(fd, line)

    def _line(self, prefix: str, end_ns: int) -> str | None:
        """Rest of the next line that starts with *prefix*; None at its end or at *end_ns*."""
        while True:
            while b"\n" in self._held:
                raw, self._held = self._held.split(b"\n", 1)
                line = raw.decode("utf-8", "replace")
                if line.startswith(prefix):
                    return line.removeprefix(prefix).strip()
                self._heard = self._heard or line == "ending"
                self.settled = line if line.startswith("unsettled") else self.settled
            if not self._fill(end_ns - time.monotonic_ns()):
                return None

    def _fill(self, wait_ns: int) -> bool:
        """Read some more of its output within *wait_ns*; False at its end or when time is up."""
        fd = self._stdout.fd
        if wait_ns < 0 or fd < 0:
            return False
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(wait_ns / NS_PER_MS) or self._stdout.fd < 0:
            return False
        try:
            more = os.read(fd, _LINE_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._held += more
        return bool(more)

    def _cut_off(self) -> bool:
        """Whether the program around us closed our ends of its pipes: as good as dead."""
        return self._stdin.lost or self._stdout.lost

    def _closed_its_output(self) -> bool:
        fd = self._stdout.fd
        if fd < 0:
            return False
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        ready = poll.poll(0)
        if not ready:
            return False
        if ready[0][1] & select.POLLIN:
            self._fill(0)
            return False
        return bool(ready[0][1] & (select.POLLHUP | select.POLLERR))

    def _gone(self) -> bool:
        """Whether it has ended; reaps it. Somebody else may have waited for it before."""
        try:
            pid, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            # not our child any more: reaped by the program itself
            try:
                os.kill(self.pid, 0)
            except OSError:
                pid = self.pid
            else:
                return False
        if pid:
            self._over = True
        return bool(pid)

    def _reap(self) -> None:
        """Wait for the end of a process that has ended its output."""
        end_ns = time.monotonic_ns() + _GIVE_UP_NS
        while not self._gone() and time.monotonic_ns() < end_ns:
            time.sleep(0.001)
        self._over = True


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not 0, 1 or 2, also in a program that closed those."""
    import fcntl

    ends = os.pipe()
    high = (fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 3), 0)
    high = (high[0], fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 3))
    for fd in ends:
        os.close(fd)
    return high


# what the program may have been told to ignore, and the collector must not
_SIGNALS: Final = (
    "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGCHLD", "SIGUSR1", "SIGUSR2",
    "SIGTSTP", "SIGXFSZ",
)  # fmt: skip


def start_collector(order: "Order", *, timeout_s: float = 10) -> CollectorHandle:
    """Start the collector of *order* and wait until it has read the sensors once.

    Raises
    ------
    CollectorError
        If it did not get that far within *timeout_s*; none is left running.
    OSError
        If the run's folder cannot be written or no process can be started.
    """
    handle = CollectorHandle(order)
    try:
        handle.begin(timeout_s)
    except BaseException:
        handle.kill()
        raise
    return handle
