# SPDX-License-Identifier: Apache-2.0
"""Planning: when, where and on how much a training should run. A pure optimiser.

It waits for nothing and starts nothing: ``running`` carries a plan out.
Needs numpy, and highspy for several jobs (the extra ``plan``).
"""
