# SPDX-License-Identifier: Apache-2.0
"""How readings get from the machine into a journal: the collector, its clock, phases and marks.

It never computes a total; `submeter.metering` does. Read ``collector.py`` first, then
``sampler.py`` and ``phases.py``.
"""
