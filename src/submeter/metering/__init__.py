# SPDX-License-Identifier: Apache-2.0
"""What was used, and by whom: collector, journal, integration, phases, shares.

It never knows carbon. Read ``counter.py`` first, then ``settle.py``.
"""
