# SPDX-License-Identifier: Apache-2.0
"""Machines with known energy, and what every plug-in has to hold: for tests, also of others.

It stands in for the border of a machine (folders like /sys and /proc, a vendor's library, a clock)
and is imported by no room. Read ``machine.py`` first; more waveforms are in ``waveforms.py``, what
can go wrong with a counter in ``zones.py``, with a board in ``nvml.py``; providers of grid data
hold what ``providers.py`` says.
"""

from submeter.testing.clock import VirtualClock
from submeter.testing.contracts import SensorContract
from submeter.testing.machine import FakeMachine
from submeter.testing.nvml import Board, BoardProcess, FakeDriver, board_of
from submeter.testing.providers import GridProviderContract
from submeter.testing.waveforms import burst, constant, square

__all__ = [
    "Board",
    "BoardProcess",
    "FakeDriver",
    "FakeMachine",
    "GridProviderContract",
    "SensorContract",
    "VirtualClock",
    "board_of",
    "burst",
    "constant",
    "square",
]
