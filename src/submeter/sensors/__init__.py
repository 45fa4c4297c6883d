# SPDX-License-Identifier: Apache-2.0
"""What does this device say now: raw counts of energy, power and use, or why there are none.

It never integrates, estimates silently or writes to a device. Read ``discovery.py`` first.
"""

from submeter.sensors.discovery import Discovery, Roots, discover
from submeter.sensors.findings import Finding
from submeter.sensors.nvml import NvmlSensor
from submeter.sensors.powercap import RaplSensor
from submeter.sensors.proc import ProcessTree
from submeter.sensors.use import NOT_DUE, UseSensor

__all__ = [
    "NOT_DUE",
    "Discovery",
    "Finding",
    "NvmlSensor",
    "ProcessTree",
    "RaplSensor",
    "Roots",
    "UseSensor",
    "discover",
]
