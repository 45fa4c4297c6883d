# SPDX-License-Identifier: Apache-2.0
"""Boards of a fake NVIDIA driver: a small C library, loaded by the real bindings.

`compile_library` turns ``nvml.c`` into ``libnvidia-ml.so.1`` once; a `FakeDriver` writes the state
file that tells the library which boards there are and what goes wrong with them.
"""

import contextlib
import ctypes
import importlib
import mmap
import os
import struct
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.testing.compiling import SONAME, compile_library
from submeter.testing.waveforms import Part, Waveform, constant
from submeter.units import s_to_ns

STATE_VARIABLE: Final = "FAKE_NVML_STATE"
RESET: Final = "submeter_fake_reset"  # exported by our library only, so also its mark
NOT_SUPPORTED: Final = 3
GPU_IS_LOST: Final = 15
RESET_REQUIRED: Final = 16

ReturnCode = int  # what a call answers: 0 or an NVML_ERROR_...

MAX_BOARDS: Final = 16
MAX_PARTS: Final = 16
MAX_PROCESSES: Final = 16
MAX_MIG: Final = 7
MAX_CALLERS: Final = 512
MAX_LIMITS: Final = 64
_HEADER: Final = struct.Struct("<8s4I2qi3I80s")
_CALLER: Final = struct.Struct("<2IQ")
_HEADER_BYTES: Final = _HEADER.size + MAX_CALLERS * _CALLER.size
_PART: Final = struct.Struct("<6d")
_PROCESS: Final = struct.Struct("<2dQ4I")
_TEXTS: Final = struct.Struct(f"<96s96s32s{'96s' * MAX_MIG}")
_NUMBERS: Final = struct.Struct("<20d3Q4I7i14I4x")
_PARTS_AT: Final = _TEXTS.size
_PROCESSES_AT: Final = _PARTS_AT + MAX_PARTS * _PART.size
_NUMBERS_AT: Final = _PROCESSES_AT + MAX_PROCESSES * _PROCESS.size
_LIMITS: Final = struct.Struct(f"<d5i5IQ{2 * MAX_LIMITS}d")
_LIMITS_AT: Final = _NUMBERS_AT + _NUMBERS.size
_BOARD_BYTES: Final = _LIMITS_AT + _LIMITS.size
_HISTORY_AT: Final = _LIMITS_AT + struct.calcsize("<d5i")
_LOCKED_AT: Final = _HISTORY_AT + 4
_CLOCK_SETS_AT: Final = _LIMITS_AT + struct.calcsize("<d5i5I")
_KEPT: Final = ((_HISTORY_AT, 8), (_CLOCK_SETS_AT, 8 + 16 * MAX_LIMITS))  # what the library writes
_LIVE_AT: Final = struct.calcsize("<8s3I")
_EPOCH_AT: Final = struct.calcsize("<8s4I")
_VIRTUAL_AT: Final = struct.calcsize("<8s4Iq")
_INIT_CODE_AT: Final = struct.calcsize("<8s4I2q")
_SETS_AT: Final = _NUMBERS_AT + struct.calcsize("<20d2Q")
_LIMIT_AT: Final = _NUMBERS_AT + struct.calcsize("<20d3Q4I7i6I")


@dataclass(slots=True)
class BoardProcess:
    """A process on a board, from ``from_s`` until ``to_s``, on one MIG instance if it is on."""

    pid: int
    sm_ratio: float = 1.0
    memory_bytes: int = 2**30
    graphics: bool = False
    mig: int = 0
    from_s: float = -inf
    to_s: float = inf


@dataclass(slots=True)
class Board:
    """A board, its true power, and everything that its driver does to hide it.

    Times are of the machine (0 is its start), ``*_code`` are NVML return codes (0: works). Power
    is refreshed every ``power_update_s`` and is the mean of the ``power_window_s`` before (0: the
    power at that instant); ``instant_window_s`` is the same for field 186. The counter is
    refreshed every ``counter_update_s``. ``gain`` multiplies all that is read, not the truth.
    """

    waveform: Waveform = field(default_factory=lambda: constant(100.0))
    name: str = "NVIDIA A100-SXM4-80GB"
    uuid: str = ""  # made from the index if empty
    pci_bus: int = 0  # 0x10 + index if 0
    minor: int = -1  # the index if negative
    processes: list[BoardProcess] = field(default_factory=list)
    start_j: float = 123_456.789  # energy counted before the machine's time 0
    gain: float = 1.0
    idle_w: float = 50.0
    counter_update_s: float = 0.1
    counter_phase_s: float = 0.0
    frozen_at_s: float = inf
    frozen_until_s: float = inf
    jump_at_s: float = inf
    jump_until_s: float = inf
    jump_j: float = 0.0
    power_update_s: float = 0.1
    power_phase_s: float = 0.0
    power_window_s: float = 0.025
    instant_window_s: float = 0.025
    lost_at_s: float = inf
    lost_until_s: float = inf
    lost_code: ReturnCode = GPU_IS_LOST
    reload_at_s: float = inf  # driver reload: counter from 0, older handles answer stale_code
    stale_code: ReturnCode = RESET_REQUIRED
    hang_at_s: float = inf
    hang_until_s: float = inf
    call_s: float = 0.0  # how long each call takes
    energy_code: ReturnCode = 0
    power_code: ReturnCode = 0
    instant_code: ReturnCode = 0
    processes_code: ReturnCode = 0
    limit_code: ReturnCode = 0  # 4 refuses to set the limit
    mig_instances: int = 0  # how many; 0: the board knows no MIG
    mig_on: bool = True  # with instances
    memory_bytes: int = 80 * 2**30
    limit_w: float = 400.0
    least_limit_w: float = 100.0
    most_limit_w: float = 0.0  # the limit if 0
    natural_w: float = 0.0  # what it draws without a limit, which scales it; 0: it does not care
    limit_fails_after: int = -1  # so often a limit is set, then the driver fails; -1: never
    limit_fail_code: ReturnCode = GPU_IS_LOST
    limit_fails_late: bool = False  # ... having set it all the same
    range_code: ReturnCode = 0  # of asking for limits
    clock_code: ReturnCode = 0  # of locking clocks
    least_clock_mhz: int = 210
    temperature_c: int = 55
    sm_clock_mhz: int = 1410
    memory_clock_mhz: int = 1593
    throttle_bits: int = 0
    architecture: int = 7  # NVML_DEVICE_ARCH_AMPERE
    capability: tuple[int, int] = (8, 0)

    @property
    def mig_uuids(self) -> list[str]:
        """UUIDs of the MIG instances, in their order."""
        return [
            f"MIG-{uuid.uuid5(uuid.NAMESPACE_OID, f'{self.uuid}/{i}')}"
            for i in range(self.mig_instances)
        ]


# Update period and averaging window by architecture: Yang, Adamek, Armour, "Part-time power
# measurements" (SC24), table of cards; the 1 s mean from nvml.h (Ampere except GA100 and newer).
PROFILES: Final[dict[str, dict[str, Any]]] = {
    "P100": {
        "name": "Tesla P100-PCIE-16GB", "architecture": 4, "capability": (6, 0),
        "energy_code": NOT_SUPPORTED, "power_update_s": 0.02, "power_window_s": 0.01,
        "instant_window_s": 0.01, "limit_w": 250.0, "memory_bytes": 16 * 2**30, "idle_w": 26.0,
    },
    "V100": {
        "name": "Tesla V100-SXM2-16GB", "architecture": 5, "capability": (7, 0),
        "power_update_s": 0.02, "power_window_s": 0.0105, "instant_window_s": 0.0105,
        "limit_w": 300.0, "memory_bytes": 16 * 2**30, "idle_w": 40.0,
    },
    "A100": {},
    "RTX 3090": {
        "name": "NVIDIA GeForce RTX 3090", "capability": (8, 6), "power_window_s": 1.0,
        "instant_window_s": 0.1, "limit_w": 350.0, "memory_bytes": 24 * 2**30, "idle_w": 25.0,
    },
    "RTX 4090": {
        "name": "NVIDIA GeForce RTX 4090", "architecture": 8, "capability": (8, 9),
        "power_window_s": 1.0, "instant_window_s": 0.1, "limit_w": 450.0,
        "memory_bytes": 24 * 2**30, "idle_w": 20.0,
    },
    "H100": {
        "name": "NVIDIA H100 PCIe", "architecture": 9, "capability": (9, 0),
        "power_window_s": 1.0, "instant_window_s": 0.025, "limit_w": 350.0, "idle_w": 45.0,
    },
}  # fmt: skip


class Calls(NamedTuple):
    """How often a process initialised the library, and called it for anything else."""

    inits: int
    calls: int


def board_of(profile: str, waveform: Waveform, **changes: Any) -> Board:
    """Return a board that behaves like a known one.

    Parameters
    ----------
    profile
        A key of `PROFILES`: P100, V100, A100, RTX 3090, RTX 4090 or H100.
    waveform
        Its true power.
    **changes
        Fields of `Board` to set otherwise.
    """
    return Board(waveform=waveform, **{**PROFILES[profile], **changes})


class FakeDriver:
    """State file of the fake library: boards, time, and who called.

    Parameters
    ----------
    path
        The state file, made new.
    boards
        Boards in the order of their NVML index, at most 16.
    init_code
        What ``nvmlInit`` answers: 0, 9 (driver not loaded), 18 (version mismatch), ...
    init_s
        How long it takes [s].
    version, cuda_version
        Driver version and CUDA version times 1000.
    """

    def __init__(
        self,
        path: Path,
        boards: Sequence[Board],
        *,
        init_code: int = 0,
        init_s: float = 0.0,
        version: str = "550.54.15",
        cuda_version: int = 12040,
    ) -> None:
        if len(boards) > MAX_BOARDS:
            raise ValueError(f"at most {MAX_BOARDS} boards, got {len(boards)}")
        self.path = path
        self.boards = list(boards)
        for index, board in enumerate(self.boards):
            _complete(board, index)
        size = _HEADER_BYTES + len(boards) * _BOARD_BYTES
        path.write_bytes(b"\0" * size)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._pack_header(init_code, round(init_s * 1e6), version, cuda_version)
        for index, board in enumerate(self.boards):
            self._put(index, _pack_board(board))

    def _pack_header(self, code: int, init_us: int, version: str, cuda_version: int) -> None:
        _HEADER.pack_into(
            self._map, 0, b"SMFNVML1", _HEADER_BYTES, _BOARD_BYTES, len(self.boards), 0, 0, 0,
            code, init_us, cuda_version, 0, version.encode(),
        )  # fmt: skip

    def _put(self, index: int, block: bytes) -> None:
        start = _HEADER_BYTES + index * _BOARD_BYTES
        self._map[start : start + _BOARD_BYTES] = block

    def at(self, t_s: float) -> None:
        """Stop the time of the boards at *t_s* [s]."""
        self._set(_VIRTUAL_AT, "@q", s_to_ns(t_s))
        self._set(_LIVE_AT, "@I", 0)

    def go_live(self, epoch_ns: int) -> None:
        """Let the time of the boards be CLOCK_MONOTONIC less *epoch_ns*."""
        self._set(_EPOCH_AT, "@q", epoch_ns)
        self._set(_LIVE_AT, "@I", 1)

    def _set(self, offset: int, kind: str, number: int) -> None:
        """Write a number in one go (`struct` does that for native formats only)."""
        struct.pack_into(kind, self._map, offset, number)

    def update(self) -> None:
        """Tell the library what was changed in the boards, a limit that was set apart."""
        for index, board in enumerate(self.boards):
            block = bytearray(_pack_board(board))
            start = _HEADER_BYTES + index * _BOARD_BYTES
            for at, length in ((_SETS_AT, 8), (_LIMIT_AT, 4), *_KEPT):
                block[at : at + length] = self._map[start + at : start + at + length]
            self._put(index, bytes(block))

    def set_init_code(self, code: int) -> None:
        """Let ``nvmlInit`` answer *code* from now on."""
        self._set(_INIT_CODE_AT, "@i", code)

    def limit_w(self, index: int) -> float:
        """Power limit that board *index* has now [W]."""
        at = _HEADER_BYTES + index * _BOARD_BYTES + _LIMIT_AT
        return float(struct.unpack_from("<I", self._map, at)[0]) / 1e3

    def limit_sets(self, index: int) -> int:
        """How often the power limit of board *index* was set."""
        at = _HEADER_BYTES + index * _BOARD_BYTES + _SETS_AT
        return int(struct.unpack_from("<Q", self._map, at)[0])

    def limits(self, index: int) -> list[tuple[float, float]]:
        """When the limit of board *index* was set [s], and what it made of the draw [1]."""
        at = _HEADER_BYTES + index * _BOARD_BYTES
        n = struct.unpack_from("<I", self._map, at + _HISTORY_AT)[0]
        rows = struct.unpack_from(f"<{2 * MAX_LIMITS}d", self._map, at + _CLOCK_SETS_AT + 8)
        return list(zip(rows[:n], rows[MAX_LIMITS : MAX_LIMITS + n], strict=True))

    def set_limit(self, index: int, limit_w: float) -> None:
        """Change the limit of board *index* as another program would, unseen by ours [W]."""
        at = _HEADER_BYTES + index * _BOARD_BYTES + _LIMIT_AT
        struct.pack_into("<I", self._map, at, round(limit_w * 1e3))

    def energy_j(self, index: int, t0_s: float, t1_s: float) -> float:
        """Energy that board *index* really drew, its limits considered [J]."""
        board, sum_j = self.boards[index], 0.0
        if board.natural_w <= 0:
            return board.waveform.energy_j(t0_s, t1_s)
        pieces = [*self.limits(index), (inf, 0.0)]
        for (begin_s, ratio), (end_s, _) in pairwise(pieces):
            start_s, stop_s = max(t0_s, begin_s), min(t1_s, end_s)
            if stop_s > start_s:
                sum_j += ratio * board.waveform.energy_j(start_s, stop_s)
        return sum_j

    def locked_clock_mhz(self, index: int) -> int:
        """Clock to which board *index* is locked, 0 if it is not [MHz]."""
        at = _HEADER_BYTES + index * _BOARD_BYTES + _LOCKED_AT
        return int(struct.unpack_from("<I", self._map, at)[0])

    def lock_sets(self, index: int) -> int:
        """How often clocks of board *index* were locked or let go."""
        at = _HEADER_BYTES + index * _BOARD_BYTES + _CLOCK_SETS_AT
        return int(struct.unpack_from("<Q", self._map, at)[0])

    def calls(self) -> dict[int, Calls]:
        """Count inits and other calls by process id."""
        table = self._map[_HEADER.size : _HEADER_BYTES]
        return {
            pid: Calls(inits, calls) for pid, inits, calls in _CALLER.iter_unpack(table) if pid
        }

    def env(self) -> dict[str, str]:
        """Environment variables with which a child process finds this driver."""
        folder = str(compile_library().parent)
        others = os.environ.get("LD_LIBRARY_PATH")
        return {
            "LD_LIBRARY_PATH": f"{folder}{os.pathsep}{others}" if others else folder,
            STATE_VARIABLE: str(self.path),
        }

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Make this the driver of this process, for the bindings in it, until the end."""
        library = ctypes.CDLL(str(compile_library()), mode=ctypes.RTLD_GLOBAL)
        before = os.environ.get(STATE_VARIABLE)
        os.environ[STATE_VARIABLE] = str(self.path)
        library[RESET]()
        try:
            with _bindings_use(library):
                yield
        finally:
            if before is None:
                os.environ.pop(STATE_VARIABLE, None)
            else:
                os.environ[STATE_VARIABLE] = before
            library[RESET]()

    def close(self) -> None:
        """Let go of the state file; the file stays."""
        self._map.close()


@contextlib.contextmanager
def _bindings_use(library: ctypes.CDLL) -> Iterator[None]:
    """Where a real driver's library was loaded first, put ours in its place for a while."""
    bindings: Any = sys.modules.get("pynvml")
    loaded = bindings.nvmlLib if bindings is not None else None
    if hasattr(ctypes.CDLL(SONAME), RESET) and (loaded is None or hasattr(loaded, RESET)):
        yield  # the bindings find it, or have found it, by its soname
        return
    bindings = importlib.import_module("pynvml")
    bindings.nvmlLib = library
    bindings._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001 - there is no other way
    try:
        yield
    finally:
        bindings.nvmlLib = loaded
        bindings._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001


def _complete(board: Board, index: int) -> None:
    board.uuid = board.uuid or f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'submeter/{index}')}"
    board.pci_bus = board.pci_bus or 0x10 + index
    board.minor = index if board.minor < 0 else board.minor


def _pack_board(board: Board) -> bytes:
    parts = list(board.waveform.parts)
    if len(parts) > MAX_PARTS or len(board.processes) > MAX_PROCESSES:
        raise ValueError(f"at most {MAX_PARTS} parts of a waveform and {MAX_PROCESSES} processes")
    if board.mig_instances > MAX_MIG:
        raise ValueError(f"at most {MAX_MIG} MIG instances, got {board.mig_instances}")
    migs = [text.encode() for text in board.mig_uuids] + [b""] * (MAX_MIG - board.mig_instances)
    bus = f"{0:08X}:{board.pci_bus:02X}:00.0".encode()
    texts = _TEXTS.pack(board.name.encode(), board.uuid.encode(), bus, *migs)
    return (
        texts
        + b"".join(_pack_part(part) for part in parts).ljust(MAX_PARTS * _PART.size, b"\0")
        + b"".join(map(_pack_process, board.processes)).ljust(MAX_PROCESSES * _PROCESS.size, b"\0")
        + _pack_numbers(board)
        + _pack_limits(board)
    )


def _pack_part(part: Part) -> bytes:
    return _PART.pack(part.kind, part.shift_s, part.a, part.b, part.c, part.d)


def _pack_process(process: BoardProcess) -> bytes:
    return _PROCESS.pack(
        process.from_s, process.to_s, process.memory_bytes, process.pid,
        round(process.sm_ratio * 100), process.graphics, process.mig,
    )  # fmt: skip


def _pack_numbers(b: Board) -> bytes:
    limit_mw = round(b.limit_w * 1e3)
    return _NUMBERS.pack(
        b.start_j, b.gain, b.idle_w, b.limit_w,
        b.counter_update_s, b.counter_phase_s, b.frozen_at_s, b.frozen_until_s,
        b.jump_at_s, b.jump_until_s, b.jump_j,
        b.power_update_s, b.power_phase_s, b.power_window_s, b.instant_window_s,
        b.lost_at_s, b.lost_until_s, b.reload_at_s, b.hang_at_s, b.hang_until_s,
        b.memory_bytes, b.throttle_bits, 0,
        len(b.waveform.parts), len(b.processes), b.minor, b.pci_bus,
        b.energy_code, b.power_code, b.instant_code, b.processes_code, b.lost_code, b.stale_code,
        b.limit_code,
        round(b.call_s * 1e6), b.mig_on and b.mig_instances > 0, b.mig_instances,
        b.temperature_c, b.sm_clock_mhz, b.memory_clock_mhz,
        limit_mw, limit_mw, round(b.least_limit_w * 1e3),
        round((b.most_limit_w or b.limit_w) * 1e3),
        b.architecture, *b.capability, 0,
    )  # fmt: skip


def _pack_limits(b: Board) -> bytes:
    ratio = min(1.0, b.limit_w / b.natural_w) if b.natural_w > 0 else 1.0
    rest = [0.0] * (MAX_LIMITS - 1)
    return _LIMITS.pack(
        b.natural_w,
        b.limit_fails_after, b.limit_fail_code, b.limit_fails_late, b.range_code, b.clock_code,
        1, 0, b.least_clock_mhz, b.sm_clock_mhz, 0,
        0,
        -inf, *rest, ratio, *rest,
    )  # fmt: skip
