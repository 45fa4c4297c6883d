# SPDX-License-Identifier: Apache-2.0
"""Techniques: what can be done to use less, each in a file of its own behind one protocol.

Nothing here claims a saving: a technique says what others measured, where it does not help, and
whether this device gains from it at all. Read ``protocol.py`` first, then ``registry.py``.
"""

from submeter.reducing.techniques.machine import Machine
from submeter.reducing.techniques.protocol import Applied, Expected, Fit, Technique
from submeter.reducing.techniques.registry import NAMES, technique

__all__ = ["NAMES", "Applied", "Expected", "Fit", "Machine", "Technique", "technique"]
