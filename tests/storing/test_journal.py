# SPDX-License-Identifier: Apache-2.0
"""A journal keeps every whole frame, whatever happens to the disk, the file or the writer."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import LedgerError, LedgerLockedError
from submeter.records.frames import Event, Frame, Head, PathName, Started, Ticks, delta_encode
from submeter.storing import framing
from submeter.storing._files import Disk
from submeter.storing.journal import (
    FIRST_STEP_BYTES,
    JournalWriter,
    is_live,
    paced_interval_s,
    read_frames,
    stream_frames,
)
from submeter.units import NS_PER_S

HEAD = Head(
    schema=1,
    run_id="20260101-000000-abcd",
    generation=0,
    host="here",
    boot_id="",
    collector_pid=1,
    leader_pid=2,
    utc_ns=0,
    t_ns=0,
    interval_s=0.1,
)
MANY: Final = 40
CHILD: Final = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


def some_ticks(number: int) -> Ticks:
    return Ticks(
        sensor=0,
        t_ns=delta_encode([number * NS_PER_S + i * NS_PER_S // 10 for i in range(3)]),
        half_ns=20_000,
        values=[[number * 1000, 7, None]],
    )


def written(path: Path, frames: list[Frame]) -> list[int]:
    """Write *frames* to a new journal; offset at which each of them ends."""
    ends = []
    writer = JournalWriter(path)
    for frame in frames:
        assert writer.append(frame)
        ends.append(writer.size_bytes)
    writer.close()
    return ends


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal"


@pytest.fixture(autouse=True)
def folder(path: Path) -> Path:
    path.parent.mkdir()
    return path.parent


class BrokenDisk(Disk):
    """A disk that fails as it is told."""

    def __init__(self) -> None:
        self.room_bytes: int | None = None
        self.most_per_write = 1 << 30
        self.write_error = 0
        self.fsync_error = 0
        self.truncate_error = 0
        self.fsyncs = 0
        self.on_fsync: Callable[[int], None] = lambda _: None

    def write(self, fd: int, data: bytes) -> int:
        if self.write_error:
            raise OSError(self.write_error, os.strerror(self.write_error))
        fits = len(data) if self.room_bytes is None else min(len(data), self.room_bytes)
        fits = min(fits, self.most_per_write)
        if fits == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.room_bytes is not None:
            self.room_bytes -= fits
        return super().write(fd, data[:fits])

    def fsync(self, fd: int) -> None:
        self.fsyncs += 1
        self.on_fsync(fd)
        if self.fsync_error:
            raise OSError(self.fsync_error, os.strerror(self.fsync_error))

    def truncate(self, fd: int, length: int) -> None:
        if self.truncate_error:
            raise OSError(self.truncate_error, os.strerror(self.truncate_error))
        super().truncate(fd, length)


# -- reading ----------------------------------------------------------------------------------


def test_what_was_written_is_read(path: Path) -> None:
    frames: list[Frame] = [
        HEAD,
        *(some_ticks(i) for i in range(MANY)),
        Event(1, "note", "ü"),
    ]
    written(path, frames)
    content = read_frames(path)
    assert content.frames == frames == list(stream_frames(path))
    assert (content.lost_bytes, content.torn_tail_bytes, content.unknown_frames) == (0, 0, 0)
    assert path.stat().st_mode & 0o777 == 0o600


def test_d07_a_tail_torn_at_any_byte_loses_only_the_torn_frame(path: Path) -> None:
    frames: list[Frame] = [HEAD, *(some_ticks(i) for i in range(6))]
    ends = written(path, frames)
    data = path.read_bytes()
    torn = path.with_name("torn")
    for cut in range(len(data) + 1):
        torn.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        content = read_frames(torn)
        assert content.frames == frames[:whole]
        assert content.torn_tail_bytes == cut - ([0, *ends][whole])
        assert content.lost_bytes == 0


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_d07_a_byte_flipped_at_any_offset_loses_only_its_frame(path: Path, flip: int) -> None:
    frames: list[Frame] = [HEAD, *(some_ticks(i) for i in range(6))]
    ends = written(path, frames)
    data = path.read_bytes()
    bad = path.with_name("bad")
    for place in range(len(data)):
        bad.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
        hit = sum(end <= place for end in ends)
        content = read_frames(bad)
        assert content.frames == frames[:hit] + frames[hit + 1 :]
        length = ends[hit] - [0, *ends][hit]
        assert content.lost_bytes + content.torn_tail_bytes == length


@given(
    st.lists(st.binary(max_size=60) | st.just(framing.MAGIC), max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_d07_rubbish_between_frames_is_skipped_and_counted(
    tmp_path_factory: pytest.TempPathFactory, rubbish: list[bytes], seed: int
) -> None:
    frames = [framing.encode(some_ticks(i)) for i in range(len(rubbish) + 1)]
    order = random.Random(seed)  # noqa: S311
    data = b"".join(
        frame + (junk if order.random() < 0.7 else b"")
        for frame, junk in zip(frames, [*rubbish, b""], strict=True)
    )
    path = tmp_path_factory.mktemp("rubbish") / "journal"
    path.write_bytes(data)
    content = read_frames(path)
    assert content.frames == [some_ticks(i) for i in range(len(frames))]
    good = sum(map(len, frames))
    assert content.lost_bytes + content.torn_tail_bytes == len(data) - good


def test_a_damaged_length_does_not_swallow_what_follows_over_a_chunk(path: Path) -> None:
    big = Event(0, "note", "x" * 200_000)
    frames: list[Frame] = [HEAD, big, some_ticks(1), big, some_ticks(2)]
    ends = written(path, frames)
    data = bytearray(path.read_bytes())
    data[ends[0] + 4 : ends[0] + 8] = (900_000).to_bytes(4, "little")
    path.write_bytes(data)
    content = read_frames(path)
    assert content.frames == [HEAD, *frames[2:]]
    assert content.lost_bytes == ends[1] - ends[0]


def test_a_frame_of_a_newer_version_is_counted_and_skipped(path: Path) -> None:
    written(path, [HEAD])
    import msgspec

    payload = msgspec.msgpack.encode({"type": "hologram", "t_ns": 1})
    with path.open("ab") as f:
        f.write(
            framing._HEADER.pack(framing.MAGIC, len(payload), framing._checksum(payload)) + payload
        )
    content = read_frames(path)
    assert content.frames == [HEAD]
    assert (content.unknown_frames, content.lost_bytes) == (1, 0)
    kinds = [framing.kind_of(p) for p in (payload, msgspec.msgpack.encode(HEAD), b"\x80", b"")]
    assert kinds == [b"hologram", b"head", b"", b""]


def test_a_frame_too_large_is_reported_as_lost_and_nothing_else_suffers(path: Path) -> None:
    writer = JournalWriter(path)
    assert writer.append(HEAD, Event(0, "note", "x" * (framing.MAX_PAYLOAD_BYTES + 1)))
    writer.append(some_ticks(1))
    writer.close()
    assert [type(f) for f in read_frames(path).frames] == [Head, Event, Ticks]
    (loss,) = (f for f in read_frames(path).frames if isinstance(f, Event))
    assert (loss.kind, loss.number) == ("frames-lost", 1.0)


# -- going on ---------------------------------------------------------------------------------


def test_d07_a_resumed_journal_loses_its_torn_tail_first(path: Path) -> None:
    ends = written(path, [HEAD, some_ticks(1), some_ticks(2)])
    data = path.read_bytes()
    for cut in range(ends[1], ends[2]):
        path.write_bytes(data[:cut])
        written(path, [some_ticks(9)])
        content = read_frames(path)
        assert content.frames == [HEAD, some_ticks(1), some_ticks(9)]
        assert (content.lost_bytes, content.torn_tail_bytes) == (0, 0)


def test_a_live_journal_can_be_read_at_any_time(path: Path) -> None:
    writer = JournalWriter(path)
    for number in range(20):
        writer.append(some_ticks(number))
        assert read_frames(path).frames == [some_ticks(i) for i in range(number + 1)]
    writer.close()


# -- disks ------------------------------------------------------------------------------------


def test_d06_short_writes_are_completed(path: Path) -> None:
    disk = BrokenDisk()
    disk.most_per_write = 7
    writer = JournalWriter(path, disk=disk)
    assert writer.append(HEAD, some_ticks(1), sync=True)
    writer.close()
    assert read_frames(path).frames == [HEAD, some_ticks(1)]


@pytest.mark.parametrize("room_bytes", range(0, 200, 3))
def test_d01_d06_a_full_disk_never_leaves_a_torn_frame(path: Path, room_bytes: int) -> None:
    disk = BrokenDisk()
    writer = JournalWriter(path, disk=disk)
    assert writer.append(HEAD)
    disk.room_bytes = room_bytes
    assert [writer.append(some_ticks(i), sync=True) for i in range(9)][-1] is False
    assert isinstance(writer.trouble, OSError)
    assert writer.trouble.errno == errno.ENOSPC
    content = read_frames(path)
    assert (content.torn_tail_bytes, content.lost_bytes) == (0, 0)
    disk.room_bytes = None
    assert writer.append(some_ticks(9), sync=True)
    assert writer.trouble is None
    writer.close()
    assert read_frames(path).frames == [HEAD, *(some_ticks(i) for i in range(10))]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_d01_what_does_not_fit_into_memory_is_counted(path: Path, error: int) -> None:
    disk = BrokenDisk()
    writer = JournalWriter(path, disk=disk, ring_bytes=500, now_ns=lambda: 77)
    writer.append(HEAD)
    disk.write_error = error
    for number in range(100):
        assert not writer.append(some_ticks(number))
    assert writer.waiting_bytes <= 500
    assert not writer.append(PathName(0, 1, "train"))  # gives others their meaning: is kept
    for number in range(100, 150):
        writer.append(some_ticks(number))
    disk.write_error = 0
    assert writer.append(some_ticks(150))
    writer.close()
    head, *ticks, loss = read_frames(path).frames
    assert head == HEAD
    assert PathName(0, 1, "train") in ticks
    kept = [f for f in ticks if isinstance(f, Ticks)]
    assert kept == [some_ticks(i) for i in range(151 - len(kept), 151)]
    assert isinstance(loss, Event)
    assert (loss.kind, loss.t_ns, loss.number) == ("frames-lost", 77, 151 - len(kept))


def test_d06_a_torn_frame_that_could_not_be_cut_is_cut_before_the_next_one(path: Path) -> None:
    disk = BrokenDisk()
    writer = JournalWriter(path, disk=disk)
    writer.append(HEAD)
    disk.room_bytes, disk.truncate_error = 20, errno.EIO
    assert not writer.append(some_ticks(1))
    assert read_frames(path).torn_tail_bytes == 20
    disk.room_bytes, disk.truncate_error = None, 0
    assert writer.append(some_ticks(2))
    writer.close()
    assert read_frames(path).frames == [HEAD, some_ticks(1), some_ticks(2)]


def test_d05_a_failed_sync_is_never_acknowledged_and_all_is_written_again(path: Path) -> None:
    disk = BrokenDisk()
    writer = JournalWriter(path, disk=disk)
    assert writer.append(HEAD, some_ticks(0), sync=True)
    promised = writer.size_bytes

    def drop_dirty_pages(_: int) -> None:  # what Linux may do when writing back fails
        data = path.read_bytes()
        path.write_bytes(data[:promised] + bytes(len(data) - promised))

    disk.on_fsync, disk.fsync_error = drop_dirty_pages, errno.EIO
    assert not writer.append(some_ticks(1), sync=True)
    assert not writer.append(some_ticks(2), sync=True)
    disk.on_fsync, disk.fsync_error = lambda _: None, 0
    assert writer.append(some_ticks(3), sync=True)
    writer.close()
    content = read_frames(path)
    assert content.frames == [HEAD, *(some_ticks(i) for i in range(4))]
    assert content.lost_bytes == 0


def test_d05_a_failed_first_sync_of_a_resumed_journal_keeps_what_was_there(path: Path) -> None:
    written(path, [HEAD, some_ticks(0)])
    disk = BrokenDisk()
    disk.fsync_error = errno.EIO
    writer = JournalWriter(path, disk=disk)
    assert not writer.append(some_ticks(1), sync=True)
    disk.fsync_error = 0
    assert writer.append(some_ticks(2), sync=True)
    writer.close()
    assert read_frames(path).frames == [HEAD, *(some_ticks(i) for i in range(3))]


def test_d06_a_file_size_limit_of_the_system(path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from submeter.storing.journal import JournalWriter
from submeter.records.frames import Event
writer = JournalWriter(Path(sys.argv[1]))
kept = 0
while writer.append(Event(kept, "note", "x" * 100), sync=True):
    kept += 1
print(kept, writer.trouble.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(writer.append(Event(kept + 1, "note"), sync=True))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=CHILD,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 100_000)),
    )
    kept, code, after = done.stdout.split()
    assert (int(code), after) == (errno.EFBIG, "True")
    content = read_frames(path)
    assert [f.t_ns for f in content.frames if isinstance(f, Event)] == list(range(int(kept) + 2))
    assert content.torn_tail_bytes == 0


def test_memory_does_not_grow_with_a_journal_that_is_never_synced(path: Path) -> None:
    writer = JournalWriter(path)
    for number in range(12_000):
        writer.append(some_ticks(number))
    assert writer.size_bytes > 500_000
    assert writer._ring_size_bytes <= 256 << 10
    writer.close()
    assert len(read_frames(path).frames) == 12_000


# -- the file itself --------------------------------------------------------------------------


def test_d15_a_deleted_journal_is_made_again_with_all_that_it_held(path: Path) -> None:
    writer = JournalWriter(path)
    writer.append(HEAD, some_ticks(1), sync=True)
    path.unlink()
    assert writer.append(some_ticks(2), sync=True)
    assert read_frames(path).frames == [HEAD, some_ticks(1), some_ticks(2)]
    assert is_live(path)
    writer.close()


def test_d15_a_deleted_folder_is_made_again(path: Path) -> None:
    writer = JournalWriter(path)
    writer.append(HEAD)
    path.unlink()
    path.parent.rmdir()
    assert writer.append(some_ticks(2))
    writer.close()
    assert read_frames(path).frames == [HEAD, some_ticks(2)]


def test_d15_a_rotated_journal_goes_on_under_its_name(path: Path) -> None:
    writer = JournalWriter(path)
    writer.append(HEAD, some_ticks(1))
    path.rename(path.with_name("journal.1"))
    writer.append(some_ticks(2))
    writer.close()
    assert read_frames(path).frames == [HEAD, some_ticks(1), some_ticks(2)]
    assert read_frames(path.with_name("journal.1")).frames == [HEAD, some_ticks(1)]


@pytest.mark.parametrize("left", [0, 5, 150])
def test_d15_a_journal_cut_under_the_writer_gets_its_head_again(path: Path, left: int) -> None:
    writer = JournalWriter(path)
    writer.append(HEAD, Started(3), sync=True)
    writer.append(some_ticks(1), sync=True)
    os.truncate(path, left)
    assert writer.append(some_ticks(2), sync=True)
    writer.close()
    content = read_frames(path)
    assert [f for f in content.frames if not isinstance(f, Ticks)][-2:] == [HEAD, Started(3)]
    assert content.frames[-1] == some_ticks(2)
    assert (content.torn_tail_bytes, content.lost_bytes) == (0, 0)


def test_d03_a_journal_moves_with_all_that_it_holds(path: Path, tmp_path: Path) -> None:
    disk = BrokenDisk()
    writer = JournalWriter(path, disk=disk)
    writer.append(HEAD, some_ticks(1))
    disk.write_error = errno.EROFS
    assert not writer.append(some_ticks(2))
    disk.write_error = 0
    other = tmp_path / "elsewhere" / "journal"
    writer.move(other)
    assert writer.append(some_ticks(3))
    writer.close()
    assert read_frames(path).frames == [HEAD, some_ticks(1)]
    assert read_frames(other).frames == [HEAD, *(some_ticks(i) for i in (1, 2, 3))]


def test_d03_a_journal_never_moves_over_another(path: Path) -> None:
    other = path.with_name("other")
    written(other, [HEAD])
    writer = JournalWriter(path)
    writer.append(some_ticks(1))
    with pytest.raises(LedgerError):
        writer.move(other)
    assert writer.append(some_ticks(2))
    writer.close()
    assert read_frames(path).frames == [some_ticks(1), some_ticks(2)]
    assert read_frames(other).frames == [HEAD]


def test_d17_links_and_devices_are_refused(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(b"precious")
    path.symlink_to(victim)
    with pytest.raises(LedgerError, match="symbolic link"):
        JournalWriter(path)
    path.unlink()
    path.hardlink_to(victim)
    with pytest.raises(LedgerError, match="hard link"):
        JournalWriter(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(LedgerError, match="regular"):
        JournalWriter(path)
    assert victim.read_bytes() == b"precious"


def test_d17_a_link_laid_over_a_live_journal_is_not_followed(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(b"precious")
    writer = JournalWriter(path)
    writer.append(HEAD)
    path.unlink()
    path.symlink_to(victim)
    assert not writer.append(some_ticks(1))
    assert isinstance(writer.trouble, LedgerError)
    path.unlink()
    assert writer.append(some_ticks(2))
    writer.close()
    assert victim.read_bytes() == b"precious"
    assert read_frames(path).frames == [HEAD, some_ticks(1), some_ticks(2)]


# -- locks and processes ----------------------------------------------------------------------


def test_d16_a_second_writer_is_refused_until_the_first_has_gone(path: Path) -> None:
    first = JournalWriter(path)
    assert is_live(path)
    with pytest.raises(LedgerLockedError):
        JournalWriter(path)
    first.append(HEAD)
    first.close()
    assert not is_live(path)
    JournalWriter(path).close()
    assert not is_live(path.with_name("nothing"))


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from submeter.storing.journal import JournalWriter
from submeter.records.frames import Event
writer = JournalWriter(Path(sys.argv[1]))
number = int(sys.argv[2])
print("on", flush=True)
while True:
    writer.append(*(Event(number + i, "note", "x" * 500) for i in range(20)))
    number += 20
    print(number, flush=True)
"""


@pytest.fixture
def writing(path: Path) -> Iterator[Callable[[int], "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start(number: int) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path), str(number)],
            stdout=subprocess.PIPE,
            text=True,
            env=CHILD,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_c03_kill_inside_a_write_leaves_a_prefix_and_a_free_lock(
    path: Path, writing: Callable[[int], "subprocess.Popen[str]"]
) -> None:
    order = random.Random(3)  # noqa: S311
    acknowledged = 0
    for _ in range(8):
        process = writing(acknowledged)
        assert process.stdout is not None
        assert is_live(path)
        for _ in range(order.randrange(1, 60)):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        rest = [int(line) for line in process.stdout.read().splitlines() if line]
        acknowledged = max([acknowledged, *rest])
        assert not is_live(path)
        content = read_frames(path)
        numbers = [f.t_ns for f in content.frames if isinstance(f, Event)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged
        assert content.lost_bytes == 0
        acknowledged = len(numbers)


def test_d16_eight_processes_write_one_folder_and_no_frame_is_lost(path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from submeter.storing.journal import JournalWriter
from submeter.records.frames import Event
writer = JournalWriter(Path(sys.argv[1]) / f"marks.{os.getpid()}")
for number in range(300):
    writer.append(Event(number, "note"))
writer.close()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path.parent)], env=CHILD)
        for _ in range(8)
    ]
    assert [p.wait() for p in processes] == [0] * 8
    files = list(path.parent.glob("marks.*"))
    assert len(files) == 8
    for file in files:
        assert read_frames(file).frames == [Event(i, "note") for i in range(300)]


def test_c09_a_forked_child_neither_writes_nor_unlocks(path: Path) -> None:
    writer = JournalWriter(path)
    writer.append(HEAD)
    child = os.fork()
    if child == 0:
        wrote = writer.append(some_ticks(1))
        writer.close()
        os._exit(1 if wrote else 0)
    assert os.waitpid(child, 0)[1] == 0
    assert is_live(path)
    assert writer.append(some_ticks(2))
    writer.close()
    assert read_frames(path).frames == [HEAD, some_ticks(2)]


def test_d14_without_locks_the_heartbeat_tells(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)  # the border to the kernel
    writer = JournalWriter(path)
    writer.append(HEAD)
    assert is_live(path)
    os.utime(path, (1, 1))
    assert not is_live(path)
    writer.beat()
    assert is_live(path)
    writer.close()


# -- size -------------------------------------------------------------------------------------


@given(st.floats(0.01, 60), st.integers(0, 2**45), st.integers(0, 2**45))
def test_d20_the_pace_only_slows_and_never_beyond_what_counters_bear(
    base_s: float, one: int, other: int
) -> None:
    small, large = sorted((one, other))
    assert paced_interval_s(base_s, 0) == base_s
    assert base_s <= paced_interval_s(base_s, small) <= paced_interval_s(base_s, large)
    assert paced_interval_s(base_s, large) <= max(base_s, 10.0)


def test_d20_the_steps_of_the_pace() -> None:
    sizes = [0, FIRST_STEP_BYTES - 1, *(FIRST_STEP_BYTES << i for i in range(7))]
    paces = [paced_interval_s(0.1, size) for size in sizes]
    assert paces == [0.1, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0]


def test_d20_a_run_of_thirty_days_on_eight_boards_stays_bounded() -> None:
    def flush_bytes(interval_s: float, sensors: int, channels: int) -> int:
        n = max(1, round(1 / interval_s))
        energies: list[int | None] = [10**9, *([10**7] * (n - 1))]
        ticks = Ticks(0, [10**15] + [10**8] * (n - 1), 10**5, [energies] * channels)
        return sensors * len(framing.encode(ticks)) + 300

    def size_after(days: int) -> float:
        size_bytes, t_s = 0.0, 0.0
        while t_s < days * 86_400:
            interval_s = paced_interval_s(0.1, int(size_bytes))
            size_bytes += 600 / max(1.0, interval_s) * flush_bytes(interval_s, 8, 7)
            t_s += 600
        return size_bytes

    month = size_after(30)
    assert month < 1 << 30
    assert size_after(120) < 2.3 * month  # with the square root of time
