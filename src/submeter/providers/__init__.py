# SPDX-License-Identifier: Apache-2.0
"""Who is asked for live grid data, when the user wants it, and what if they do not answer.

It asks nobody by itself, and never fills a gap without saying so. Read ``live.py`` first, then
``asking.py`` (what a provider is) and ``finding.py`` (built-in ones and plug-ins).
"""
