# SPDX-License-Identifier: Apache-2.0
"""Workloads: what work a training is, in operations and bytes, and how we know.

From a description (``describing.py``), a configuration file's content (``configs.py``), or the
model itself on torch's meta device (``counting.py``, the one that needs torch, imported late).
It knows no machine and no watt: that is the room ``estimating``. Read ``workloads.py`` first.
"""
