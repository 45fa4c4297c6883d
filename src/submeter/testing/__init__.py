# SPDX-License-Identifier: Apache-2.0
"""Machines with known energy, and what every plug-in has to hold: for tests, also of others.

It stands in for the border of a machine (folders like /sys and /proc, a vendor's library, a clock)
and is imported by no room. Read ``machine.py`` first.
"""

from submeter.testing.clock import VirtualClock
from submeter.testing.machine import FakeMachine
from submeter.testing.nvml import Board, BoardProcess, FakeDriver, board_of
from submeter.testing.waveforms import Waveform, burst, constant, ramp, square, step

__all__ = [
    "Board",
    "BoardProcess",
    "FakeDriver",
    "FakeMachine",
    "VirtualClock",
    "Waveform",
    "board_of",
    "burst",
    "constant",
    "ramp",
    "square",
    "step",
]
