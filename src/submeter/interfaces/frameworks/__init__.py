# SPDX-License-Identifier: Apache-2.0
"""What submeter does inside the frameworks of others, each imported only where it is there.

It never imports a framework that the program does not use. Read ``checkpoints.py`` first.
"""
