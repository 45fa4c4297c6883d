# SPDX-License-Identifier: Apache-2.0
"""The command ``submeter``: one small module per verb, imported when the verb is asked for.

Nothing else stands here: a module named after a verb (``list``) becomes a name of this package.
"""

from submeter.interfaces.cli.group import ALIASES, VERBS, LazyGroup, main, submeter

__all__ = ["ALIASES", "VERBS", "LazyGroup", "main", "submeter"]
