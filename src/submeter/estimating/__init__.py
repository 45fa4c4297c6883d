# SPDX-License-Identifier: Apache-2.0
"""Estimating: what a training will use, before it has run.

Answers from what is known beforehand: a description of the model and its data, the machine, and
what was measured of others. It never reads a clock, a file or the network, and never passes off
an operation for a joule: operations become time by a utilisation, and time energy by a power.
Read ``asking.py`` first;
what work there is to do, the room ``workloads`` counts.
"""
