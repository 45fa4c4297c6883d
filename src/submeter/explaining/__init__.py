# SPDX-License-Identifier: Apache-2.0
"""Why a run used what it used: its joules as a tree, its waste, what the work came to.

Pure: it is given runs and what was observed of them. Read ``tree.py`` first.
"""
