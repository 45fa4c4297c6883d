# SPDX-License-Identifier: Apache-2.0
"""Public claims, recomputed: what was said, under which boundaries it can be true, and the sum.

A claim is a small declared record; nothing here looks a number up or reads a file: the catalog
gives its rows, a run its figures. Read ``records.py`` first, then ``judging.py``.
"""
