# SPDX-License-Identifier: Apache-2.0
"""What passes between rooms: readings, frames, quantities, figures, runs.

It never does input or output. Read ``figures.py`` first, then ``runs.py``.
"""

from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Basis, ErrorTerm, Figure, Missing, Quantity
from submeter.records.runs import Run

__all__ = [
    "Basis",
    "Channel",
    "Device",
    "DeviceKind",
    "ErrorTerm",
    "Figure",
    "Measures",
    "Missing",
    "Quantity",
    "Run",
]
