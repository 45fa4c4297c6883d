# SPDX-License-Identifier: Apache-2.0
"""Limits of the boards themselves: power limit and clock lock, held, searched for, put back.

The only place of the package that writes to a device. Read ``control.py`` first (the states),
then ``intents.py`` (what is kept before anything is set) and ``restoring.py`` (the way back).
"""
