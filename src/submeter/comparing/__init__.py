# SPDX-License-Identifier: Apache-2.0
"""Comparing: what else was it, and was it more? Runs beside runs, families of models, machines.

It calls nothing a difference that the interval does not show, and compares no part with a whole.
It touches nothing: records come in, tables go out. Read ``differences.py`` first (two amounts
beside each other, shared doubts cancelled), then ``runs.py``.
"""
