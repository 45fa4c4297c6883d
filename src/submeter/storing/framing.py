# SPDX-License-Identifier: Apache-2.0
"""How frames lie in a journal's bytes, and how to get them out of damaged ones.

A frame is a magic number, the length of its payload, a checksum over length and payload, and the
payload: one `Frame` in MessagePack. The magic starts with a byte that UTF-8 never has, so text
inside a payload cannot look like one. Reading goes on at the next frame whose checksum holds.
"""

import os
import struct
from binascii import crc32
from collections.abc import Iterator
from typing import Final

import msgspec

from submeter.records.frames import Frame

MAGIC: Final = b"\xf5SMJ"
HEADER_BYTES: Final = 12
MAX_PAYLOAD_BYTES: Final = 1 << 20  # a damaged length cannot ask for more
_CHUNK_BYTES: Final = 1 << 18
_LENGTH: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct("<4sII")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """*frame* as it stands in a journal.

    Raises
    ------
    ValueError
        If the payload is larger than `MAX_PAYLOAD_BYTES`.
    """
    payload = _encoder.encode(frame)
    if len(payload) > MAX_PAYLOAD_BYTES:
        msg = f"a frame of {len(payload)} bytes is larger than {MAX_PAYLOAD_BYTES}"
        raise ValueError(msg)
    return _HEADER.pack(MAGIC, len(payload), _checksum(payload)) + payload


def decode(payload: bytes) -> Frame | None:
    """Frame in *payload*; None if it is of a kind that this version does not know."""
    try:
        frame: Frame = _decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return frame


def kind_of(payload: bytes) -> bytes:
    """Tag of the frame in *payload* without decoding the rest."""
    # a tagged struct is a map whose first key is "type"; tags are shorter than 32 bytes, and a
    # map of more than 15 keys has two bytes of length
    at = 3 if payload[:1] == b"\xde" else 1
    if payload[at : at + 5] != b"\xa4type":
        return b""
    return payload[at + 6 : at + 6 + (payload[at + 5] & 0x1F)]


def _checksum(payload: bytes) -> int:
    return crc32(payload, crc32(_LENGTH.pack(len(payload))))


class Scan:
    """Iterates over the payloads of an open journal, from *start* to its present end.

    Afterwards ``lost_bytes`` says how many bytes between good frames were damaged,
    ``torn_tail_bytes`` how many after the last good one, and ``good_end`` where that ended. It
    never holds more than a frame and a chunk in memory, and never raises for damage.
    """

    def __init__(self, fd: int, start: int = 0) -> None:
        self.lost_bytes = 0
        self.torn_tail_bytes = 0
        self.good_end = start
        self._fd = fd
        self._buffer = b""
        self._base = start  # offset of the buffer in the file
        self._at = 0  # place in the buffer

    def __iter__(self) -> Iterator[bytes]:
        while True:
            payload = self._frame_here()
            if payload is not None:
                start = self._base + self._at
                self.lost_bytes += start - self.good_end
                self._at += HEADER_BYTES + len(payload)
                self.good_end = self._base + self._at
                yield payload
            elif not self._seek_magic():
                self.torn_tail_bytes = self._base + len(self._buffer) - self.good_end
                return

    def _frame_here(self) -> bytes | None:
        """Payload of a whole, undamaged frame at the present place."""
        if not self._have(HEADER_BYTES):
            return None
        magic, length, checksum = _HEADER.unpack_from(self._buffer, self._at)
        if magic != MAGIC or length > MAX_PAYLOAD_BYTES or not self._have(HEADER_BYTES + length):
            return None
        start = self._at + HEADER_BYTES
        payload = self._buffer[start : start + length]
        return payload if _checksum(payload) == checksum else None

    def _seek_magic(self) -> bool:
        """Go to the next place, after this one, where a frame may start; False at the end."""
        self._at += 1
        while True:
            found = self._buffer.find(MAGIC, self._at)
            if found >= 0:
                self._at = found
                return True
            # a magic may begin in the last three bytes
            self._at = max(self._at, len(self._buffer) - len(MAGIC) + 1)
            if not self._have(len(MAGIC)):
                return False

    def _have(self, length: int) -> bool:
        """Whether *length* bytes lie ahead; reads on if need be."""
        while len(self._buffer) - self._at < length:
            end = self._base + len(self._buffer)
            chunk = os.pread(self._fd, _CHUNK_BYTES, end)
            if not chunk:
                return False
            kept = min(self._at, len(self._buffer))
            self._base += kept
            self._buffer = self._buffer[kept:] + chunk
            self._at -= kept
        return True
