# SPDX-License-Identifier: Apache-2.0
"""Files that grow by lines of JSON with a checksum before each, so that a torn one is seen."""

import os
from binascii import crc32
from pathlib import Path
from typing import Final, TypeVar

import msgspec

_CHECK: Final = 9  # eight digits and a blank before each line's JSON
_T = TypeVar("_T")


def encoded(line: object) -> bytes:
    """*line* as it is written, its end included."""
    text = msgspec.json.encode(line)
    return b"%08x %b\n" % (crc32(text), text)


def decoded(row: bytes, decoder: "msgspec.json.Decoder[_T]") -> _T | None:
    """What a row without its end says; None if that is not what was written."""
    if len(row) <= _CHECK:
        return None
    try:
        if int(row[: _CHECK - 1], 16) != crc32(row[_CHECK:]):
            return None
        return decoder.decode(row[_CHECK:])
    except (ValueError, msgspec.MsgspecError):
        return None


def sync_folder(folder: Path) -> None:
    """Make what was named, renamed or removed in *folder* last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
