# SPDX-License-Identifier: Apache-2.0
"""Everyday computing as metered work: small real programs, and what runs them one by one.

It decides nothing about a training and compares nothing: it measures. Read ``tasks.py`` first
(what a task is), then ``program.py`` (what runs them under the meter), then ``bench.py``.
"""
