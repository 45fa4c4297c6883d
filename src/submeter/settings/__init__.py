# SPDX-License-Identifier: Apache-2.0
"""What the user has set, and where: argument, flag, environment, file or default.

It never reads anything at import and never half-applies a file. Read ``rules.py`` first (what
may be set, and to what), then ``loading.py`` (from where), then ``editing.py``.
"""

from submeter.settings.declared import Declared
from submeter.settings.editing import Change, set_value, unset_value
from submeter.settings.loading import Loaded, load
from submeter.settings.rules import RULES, Settings

__all__ = [
    "RULES",
    "Change",
    "Declared",
    "Loaded",
    "Settings",
    "load",
    "set_value",
    "unset_value",
]
