# SPDX-License-Identifier: Apache-2.0
"""Where, when and on whose account was a run? What catalog and grid know of that, picked for it.

It never computes what a run amounts to: accounting does, from what is picked here. Read
``reckoning.py`` first.
"""
