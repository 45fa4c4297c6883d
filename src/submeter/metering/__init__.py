# SPDX-License-Identifier: Apache-2.0
"""What was used, and by whom: counters, curves, shares, phases, and the settlement of a run.

It never reads a device and never knows carbon. Read ``counter.py`` first, then ``settle.py``.
"""
