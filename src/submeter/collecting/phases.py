# SPDX-License-Identifier: Apache-2.0
"""Which phase is open, kept where it survives the death of the process that says so.

Each metered process maps one small file into its memory and counts there, per lane (a thread, or
a task of an event loop) and phase path, how long that path was the innermost open one. The
collector reads it at every tick. No lock and no message passes between the two: the writer makes
a lane's sequence number odd while it changes it, and a reader that met an odd or a changed number
looks again, or keeps what it saw last.

Layout (native byte order, words of eight bytes): header, lanes, slots, path names.
"""

import mmap
import os
import threading
import time
from pathlib import Path
from typing import Final

from submeter.records.frames import OTHER_PHASES

__all__ = ["OTHER_PHASES", "Lane", "Node", "PhaseFile", "PhaseReader", "ThreadClock", "clean_name"]

OTHER_PATH: Final = 0
FILE_BYTES: Final = 128 << 10
MAX_LANES: Final = 256
MAX_NAME: Final = 80  # characters of one phase name
MAX_PATH_BYTES: Final = 480

_WORD: Final = 8
_MAGIC: Final = int.from_bytes(b"SUBMPH\x00\x01", "little")
_HEADER_WORDS: Final = 8
_LANE_WORDS: Final = 8
_SLOT_WORDS: Final = 4
_NAMES_BYTES: Final = 32 << 10
_LANES_AT: Final = _HEADER_WORDS
_SLOTS_AT: Final = _LANES_AT + MAX_LANES * _LANE_WORDS
_NAMES_AT: Final = FILE_BYTES - _NAMES_BYTES  # in bytes
MAX_SLOTS: Final = (_NAMES_AT // _WORD - _SLOTS_AT) // _SLOT_WORDS

# words of the header
_H_MAGIC, _H_PID, _H_CREATED, _H_PATHS, _H_SLOTS, _H_LANES, _H_OVERFLOW, _H_NAMES = range(8)
# words of a lane: sequence, thread, open slot (its first word, 0 none), open since, CPU since
# (0: this lane does not have its thread's CPU time now)
_L_SEQ, _L_TID, _L_OPEN, _L_SINCE, _L_CPU = range(5)
# words of a slot: lane + 1 and path index + 1, time, CPU time, entries
_S_KEY, _S_WALL, _S_CPU, _S_COUNT = range(4)

_KEY_SHIFT: Final = 32
_TRIES: Final = 4


def clean_name(name: object) -> str:
    """*name* as one part of a phase path: printable, bounded, without a slash."""
    text = str(name).replace("/", "∕")[: 4 * MAX_NAME]
    if not text.isprintable():
        text = "".join(c for c in text if c.isprintable())
    text = text.strip()
    if len(text) > MAX_NAME:
        text = text[: MAX_NAME - 1] + "…"
    return text or "(unnamed)"


class Node:
    """One phase path of a file, and the paths below it that were opened so far."""

    __slots__ = ("children", "index", "name", "path")

    def __init__(self, index: int, name: str, path: str) -> None:
        self.index = index
        self.name = name
        self.path = path
        self.children: dict[object, Node] = {}


class ThreadClock:
    """A thread's CPU time goes to the lane that changed last on it, so that none counts twice."""

    __slots__ = ("busy", "owner", "thread", "tid")

    def __init__(self) -> None:
        self.busy = False  # at work; what a signal or the collector of garbage starts then waits
        self.thread = threading.current_thread()
        self.tid = threading.get_native_id()
        self.owner: Lane | None = None


class Lane:
    """The phases of one thread or task; only its own thread changes it."""

    __slots__ = (
        "at",
        "clock",
        "cpu_since_ns",
        "file",
        "number",
        "open_at",
        "seq",
        "since_ns",
        "slots",
        "words",
    )

    def __init__(self, file: "PhaseFile", number: int, clock: ThreadClock) -> None:
        self.file = file
        self.words = file.words
        self.number = number
        self.at = _LANES_AT + number * _LANE_WORDS
        self.clock = clock
        self.seq = 0
        self.open_at = 0
        self.since_ns = 0
        self.cpu_since_ns = 0
        self.slots: dict[int, int] = {}

    def move_to(self, path_index: int | None, *, entries: int = 1) -> None:
        """Close the open path, open *path_index* (None: nothing), at this instant."""
        slot = 0
        if path_index is not None:
            slot = self.slots.get(path_index) or self.file.slot(self, path_index)
        clock = self.clock
        cpu_ns = time.thread_time_ns()
        owner = clock.owner
        if owner is not self:
            if owner is not None:
                owner.hand_over(cpu_ns)
            clock.owner = self
            self.cpu_since_ns = cpu_ns
        words, at, old = self.words, self.at, self.open_at
        seq = self.seq
        try:
            words[at] = seq + 1
            now_ns = time.monotonic_ns()
            if old:
                words[old + _S_WALL] += now_ns - self.since_ns
                words[old + _S_CPU] += cpu_ns - self.cpu_since_ns
            words[at + _L_OPEN] = slot
            words[at + _L_SINCE] = now_ns
            words[at + _L_CPU] = cpu_ns
            if slot:
                words[slot + _S_COUNT] += entries
            self.open_at = slot
            self.since_ns = now_ns
            self.cpu_since_ns = cpu_ns
        finally:
            self.seq = words[at] = seq + 2

    def walls_ns(self) -> dict[int, int]:
        """How long each path was the innermost open one, by its number, up to now [ns]."""
        found: dict[int, int] = {}
        for index, slot in self.slots.items():
            open_ns = time.monotonic_ns() - self.since_ns if slot == self.open_at else 0
            found[index] = self.words[slot + _S_WALL] + open_ns
        return found

    def hand_over(self, cpu_ns: int) -> None:
        """Give the thread's CPU time from *cpu_ns* on to another lane of it."""
        words, at = self.words, self.at
        words[at] = self.seq + 1
        if self.open_at:
            words[self.open_at + _S_CPU] += cpu_ns - self.cpu_since_ns
        words[at + _L_CPU] = 0
        self.seq = words[at] = self.seq + 2
        self.cpu_since_ns = cpu_ns

    def close(self) -> None:
        """Close what is open, as of now; for a lane whose thread or task has ended."""
        words, at = self.words, self.at
        words[at] = self.seq + 1
        if self.open_at:
            words[self.open_at + _S_WALL] += max(0, time.monotonic_ns() - self.since_ns)
        words[at + _L_OPEN] = self.open_at = 0
        words[at + _L_CPU] = 0
        self.seq = words[at] = self.seq + 2
        if self.clock.owner is self:
            self.clock.owner = None


class PhaseFile:
    """The writer's side, in the metered process.

    Parameters
    ----------
    path
        Where to make the file; it must not exist.

    Raises
    ------
    OSError
        If it cannot be made, or there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        fd = os.open(path, flags, 0o600)
        try:
            _reserve(fd)
            self._map = mmap.mmap(fd, FILE_BYTES)
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        self.words = memoryview(self._map).cast("Q")
        self.root = Node(-1, "", "")
        self._lock = threading.Lock()
        self._lanes: list[Lane] = []
        self._free: list[Lane] = []
        self._names_end = 0
        self.words[_H_PID] = os.getpid()
        self.words[_H_CREATED] = time.monotonic_ns()
        self.other = Node(self._add_path(OTHER_PHASES), OTHER_PHASES, OTHER_PHASES)
        nobody = ThreadClock()
        nobody.thread = threading.main_thread()  # never over, so its lane is never given away
        self._shared = self._added(nobody)  # for whoever finds no lane free
        self.slot(self._shared, OTHER_PATH)
        self.words[_H_MAGIC] = _MAGIC

    @classmethod
    def create(cls, path: Path) -> "PhaseFile":
        """Make the file at *path*."""
        return cls(path)

    @property
    def lanes(self) -> int:
        """How many lanes were ever in use at once."""
        return len(self._lanes) - 1

    def node(self, parent: Node, name: object) -> Node:
        """Path *name* below *parent*; the same phase opened directly within itself is one."""
        found = parent.children.get(name)
        if found is not None:
            return found
        cleaned = clean_name(name)
        if parent is self.other or parent.name == cleaned:
            return parent
        with self._lock:
            same = next((n for n in parent.children.values() if n.name == cleaned), None)
            if same is None:
                path = f"{parent.path}/{cleaned}" if parent.path else cleaned
                index = self._add_path(path)
                if index == OTHER_PATH:
                    self.words[_H_OVERFLOW] |= 1
                    return self.other
                same = Node(index, cleaned, path)
            # an unhashable or mutable name would not be a sound key
            parent.children[name if isinstance(name, str) else cleaned] = same
            return same

    def new_lane(self, clock: ThreadClock) -> Lane | None:
        """A lane for the calling thread or one of its tasks; None if all are in use."""
        with self._lock:
            if not self._free:
                self._free = [lane for lane in self._lanes if not lane.clock.thread.is_alive()]
                for lane in self._free:
                    lane.close()
            if self._free:
                lane = self._reused(self._free.pop(), clock)
            elif len(self._lanes) < MAX_LANES:
                lane = self._added(clock)
            else:
                self.words[_H_OVERFLOW] |= 2
                return None
            return lane

    def release(self, lane: Lane) -> None:
        """Take back the lane of an ended task."""
        lane.close()
        with self._lock:
            if self._lanes[lane.number] is lane:
                self._free.append(lane)

    def add_other(self, wall_ns: int) -> None:
        """Count time in phases that found no lane free."""
        lane = self._shared
        slot = lane.slots[OTHER_PATH]
        with self._lock:
            self.words[lane.at] = lane.seq + 1
            self.words[slot + _S_WALL] += wall_ns
            self.words[slot + _S_COUNT] += 1
            lane.seq = self.words[lane.at] = lane.seq + 2

    def _added(self, clock: ThreadClock) -> Lane:
        lane = Lane(self, len(self._lanes), clock)
        self._lanes.append(lane)
        self.words[lane.at + _L_TID] = clock.tid
        self.words[_H_LANES] = len(self._lanes)
        return lane

    def _reused(self, old: Lane, clock: ThreadClock) -> Lane:
        lane = Lane(self, old.number, clock)
        lane.slots, lane.seq = old.slots, old.seq
        self._lanes[lane.number] = lane
        self.words[lane.at] = lane.seq + 1
        self.words[lane.at + _L_TID] = clock.tid
        lane.seq = self.words[lane.at] = lane.seq + 2
        return lane

    def slot(self, lane: Lane, path_index: int) -> int:
        """First word of the counters of *path_index* in *lane*, made at first use."""
        with self._lock:
            number = self.words[_H_SLOTS]
            if number < MAX_SLOTS - MAX_LANES or (path_index == OTHER_PATH and number < MAX_SLOTS):
                at = _SLOTS_AT + number * _SLOT_WORDS
                self.words[at] = (lane.number + 1) << _KEY_SHIFT | (path_index + 1)
                self.words[_H_SLOTS] = number + 1
                lane.slots[path_index] = at
                return at
            self.words[_H_OVERFLOW] |= 1
        # the last MAX_LANES slots are kept for this, one a lane
        at = lane.slots.get(OTHER_PATH) or self.slot(lane, OTHER_PATH)
        lane.slots[path_index] = at
        return at

    def _add_path(self, path: str) -> int:
        raw = path.encode("utf-8", "replace")
        end = self._names_end + 2 + len(raw)
        if len(raw) > MAX_PATH_BYTES or end > _NAMES_BYTES:
            return OTHER_PATH
        start = _NAMES_AT + self._names_end
        self._map[start : start + 2 + len(raw)] = len(raw).to_bytes(2, "little") + raw
        self._names_end = end
        index = self.words[_H_PATHS]
        self.words[_H_NAMES] = end
        self.words[_H_PATHS] = index + 1
        return index


def _reserve(fd: int) -> None:
    """Give the file its blocks now: writing to a hole of a full disk would be a bus error."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, FILE_BYTES)
    else:
        os.write(fd, bytes(FILE_BYTES))


class _LaneView:
    """What a reader last saw of a lane, whole."""

    __slots__ = ("closed", "cpu_since_ns", "open_at", "seq", "since_ns", "tid")

    def __init__(self) -> None:
        self.seq = -1
        self.tid = 0
        self.open_at = 0
        self.since_ns = 0
        self.cpu_since_ns = 0
        self.closed: dict[int, tuple[int, int, int]] = {}  # slot: wall, CPU, entries


class PhaseReader:
    """The reader's side, in the collector; also of a file whose writer was killed.

    Parameters
    ----------
    path
        A file made by `PhaseFile`.
    proc_root
        Where threads' CPU times are read.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a (whole) phase file.
    """

    def __init__(self, path: Path, *, proc_root: Path = Path("/proc")) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        try:
            if os.fstat(fd).st_size < FILE_BYTES:
                msg = f"{path} is shorter than a phase file"
                raise ValueError(msg)
            self._map = mmap.mmap(fd, FILE_BYTES, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        if self._words[_H_MAGIC] != _MAGIC:
            self.close()
            msg = f"{path} is not a phase file"
            raise ValueError(msg)
        self.pid = self._words[_H_PID]
        self.created_ns = self._words[_H_CREATED]
        self._tasks = proc_root / str(self.pid) / "task"
        self._paths: list[str] = []
        self._names_end = 0
        self._slots: dict[int, list[int]] = {}  # lane: first words of its slots
        self._slot_path: dict[int, int] = {}
        self._slots_seen = 0
        self._lanes: list[_LaneView] = []

    @property
    def overflowed(self) -> bool:
        """Whether there were more paths or lanes than there is room for."""
        return self._words[_H_OVERFLOW] != 0

    def read(self, now_ns: int) -> list[tuple[str, int, int, int]]:
        """Path, time [ns], CPU time [ns] and entries, since the file was made, of each path.

        The time of a path that is still open runs to *now_ns*, its CPU time to what the kernel
        says of its thread; so successive readings never fall. Threads side by side in one path
        add up.
        """
        self._see_new()
        sums: dict[int, list[int]] = {}
        for number, view in enumerate(self._lanes):
            self._look(number, view)
            for at, (wall_ns, cpu_ns, count) in view.closed.items():
                row = sums.setdefault(self._slot_path[at], [0, 0, 0])
                row[0] += wall_ns
                row[1] += cpu_ns
                row[2] += count
            if view.open_at in self._slot_path:
                row = sums.setdefault(self._slot_path[view.open_at], [0, 0, 0])
                row[0] += max(0, now_ns - view.since_ns)
                if view.cpu_since_ns:
                    row[1] += max(0, self._cpu_ns(view.tid) - view.cpu_since_ns)
        return [(self._paths[p], w, c, n) for p, (w, c, n) in sums.items() if w or n]

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()

    def _see_new(self) -> None:
        words = self._words
        while len(self._paths) < words[_H_PATHS]:
            at = _NAMES_AT + self._names_end
            length = int.from_bytes(self._map[at : at + 2], "little")
            if self._names_end + 2 + length > _NAMES_BYTES:
                break
            raw = self._map[at + 2 : at + 2 + length]
            self._paths.append(raw.decode("utf-8", "replace"))
            self._names_end += 2 + length
        while self._slots_seen < min(words[_H_SLOTS], MAX_SLOTS):
            at = _SLOTS_AT + self._slots_seen * _SLOT_WORDS
            lane = (words[at] >> _KEY_SHIFT) - 1
            path = (words[at] & ((1 << _KEY_SHIFT) - 1)) - 1
            if not (0 <= lane < MAX_LANES and 0 <= path < len(self._paths)):
                break
            self._slots.setdefault(lane, []).append(at)
            self._slot_path[at] = path
            self._slots_seen += 1
        while len(self._lanes) < min(words[_H_LANES], MAX_LANES):
            self._lanes.append(_LaneView())

    def _look(self, number: int, view: _LaneView) -> None:
        """Bring *view* up to date; keep the old one if its writer is, or died, at work on it."""
        words = self._words
        at = _LANES_AT + number * _LANE_WORDS
        closed: dict[int, tuple[int, int, int]] = {}
        for _ in range(_TRIES):
            seq = words[at]
            if seq == view.seq:
                return
            head = words[at + 1 : at + 5].tolist()
            closed = {
                s: (words[s + 1], words[s + 2], words[s + 3]) for s in self._slots.get(number, ())
            }
            if not seq & 1 and words[at] == seq:
                break
        else:
            if view.seq >= 0:
                return
            # killed at work before anybody looked: at most one step is half counted
            seq, head = -1, words[at + 1 : at + 5].tolist()
        view.seq = seq
        view.tid, view.open_at, view.since_ns, view.cpu_since_ns = head
        view.closed = closed

    def _cpu_ns(self, tid: int) -> int:
        """CPU time of a thread [ns]; 0 if the kernel does not say."""
        try:
            return int((self._tasks / str(tid) / "schedstat").read_bytes().split()[0])
        except (OSError, ValueError, IndexError):
            return 0
