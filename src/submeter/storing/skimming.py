# SPDX-License-Identifier: Apache-2.0
"""Reading a journal for a picture of it: every frame of a short one, each n-th of a long one.

Settling needs every reading. A picture of a day does not: counters bridge what is left out, so a
journal of a million readings is looked through in a second. What names things, occupancy and
events are always read.
"""

import contextlib
import mmap
import os
import struct
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from submeter.records.frames import Frame
from submeter.storing.framing import HEADER_BYTES, MAGIC, MAX_PAYLOAD_BYTES, decode

READ_WHOLE_BYTES: Final = 8 << 20  # so much of readings is read, of whatever length the run was
METRICS_BYTES: Final = 1 << 20
READ_WINDOWS: Final = 30_000  # windows of occupancy; then each second one, each fourth, ...

_HEADER: Final = struct.Struct("<4sII")
_MAGIC: Final = int.from_bytes(MAGIC, "little")
_START: Final = struct.Struct("<II")  # magic and length
# Where a payload of MessagePack, whose first key is "type", tells its kind and its sensor.
_TAG: Final = HEADER_BYTES + 7
_KEY: Final = HEADER_BYTES + 12
_SENSOR: Final = HEADER_BYTES + 19
_TICKS, _USE, _WINDOW, _METRIC = b"tuom"
_SENSOR_KEY: Final = 0xA6  # a string of six: "sensor"
_SMALL: Final = 0x80  # numbers below are one byte


class Skimmed(NamedTuple):
    """A frame, and how many of its kind it stands for."""

    frame: Frame
    weight: int


def skim(path: Path) -> Iterator[Skimmed]:
    """Frames of the journal or the marks at *path*, of a long one each n-th of those that repeat.

    Damage is stepped over, as in `submeter.storing.journal.read_frames`.

    Raises
    ------
    OSError
        If the file cannot be opened or read at all.

    Notes
    -----
    Readings of each sensor, words of use and metrics are thinned by the size of the file,
    occupancy by how many windows were seen. The last frame is always read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size_bytes = os.fstat(fd).st_size
        if not size_bytes:
            return
        with contextlib.closing(mmap.mmap(fd, size_bytes, access=mmap.ACCESS_READ)) as content:
            yield from _frames(content, size_bytes)
    finally:
        os.close(fd)


def _frames(content: mmap.mmap, size_bytes: int) -> Iterator[Skimmed]:
    turns = _Turns(size_bytes)
    start_of, at, last = _START.unpack_from, 0, size_bytes - HEADER_BYTES
    while 0 <= at <= last:
        magic, length = start_of(content, at)
        end = at + HEADER_BYTES + length
        if magic != _MAGIC or length > MAX_PAYLOAD_BYTES or end > size_bytes:
            at = content.find(MAGIC, at + 1)
            continue
        weight = turns.weight(content, at) if length > _SENSOR else 1
        if not weight and end < size_bytes:
            at = end
            continue
        if not _sound(content, at, end):
            at = content.find(MAGIC, at + 1)
            continue
        frame = decode(content[at + HEADER_BYTES : end])
        if frame is not None:
            yield Skimmed(frame, weight or 1)
        at = end


class _Turns:
    """Whose turn it is to be read."""

    def __init__(self, size_bytes: int) -> None:
        self._stride = max(1, -(-size_bytes // READ_WHOLE_BYTES))
        self._metric_stride = max(1, -(-size_bytes // METRICS_BYTES))
        self._seen: dict[int, int] = {}
        self._windows = self._window_turn = 0
        self._window_stride = 1

    def weight(self, content: mmap.mmap, at: int) -> int:
        """How many frames that at *at* stands for; 0: leave it out."""
        kind = content[at + _TAG]
        if kind == _WINDOW:
            self._window_turn += 1
            if self._window_turn % self._window_stride:
                return 0
            self._windows += 1
            weight = self._window_stride
            if self._windows % READ_WINDOWS == 0:
                self._window_stride *= 2
            return weight
        stride, who = self._stride, -1
        if kind == _TICKS and content[at + _KEY] == _SENSOR_KEY:
            who = content[at + _SENSOR]
            if who >= _SMALL:
                who = content[at + _SENSOR + 1]
        elif kind == _METRIC:
            stride = self._metric_stride
        elif kind != _USE:
            return 1
        turn = self._seen.get(who, 0)
        self._seen[who] = turn + 1
        return 0 if turn % stride else stride


def _sound(content: mmap.mmap, at: int, end: int) -> bool:
    """Whether the checksum of a frame holds."""
    _, _, checksum = _HEADER.unpack_from(content, at)
    head = at + len(MAGIC)
    found: int = crc32(content[at + HEADER_BYTES : end], crc32(content[head : head + 4]))
    return found == checksum
