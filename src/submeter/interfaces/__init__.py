# SPDX-License-Identifier: Apache-2.0
"""Where people and programs come in: the command line and the Python interface. No logic."""
