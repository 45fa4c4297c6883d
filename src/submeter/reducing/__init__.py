# SPDX-License-Identifier: Apache-2.0
"""Reducing: how to use less, and whether it is true.

It claims no saving that it has not shown. Read ``evidence.py`` first (what pairs of runs say),
then ``verdicts.py`` (when a saving counts as shown).
"""
