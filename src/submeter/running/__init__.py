# SPDX-License-Identifier: Apache-2.0
"""How a process gets started, watched, signalled and settled into a Run.

It never decides when or what to run, and never reads a device. Read ``launcher.py`` first (a
command under ``submeter run``), then ``measuring.py`` (a program that measures itself), then
``collectors.py``, which both use. Names are imported from their files, so that a metered program
loads only what it uses.
"""
