# SPDX-License-Identifier: Apache-2.0
"""Where runs are kept: places, the ledger, archives; and what must not be kept: secrets.

It never computes a total that `metering` has computed, and never deletes what it cannot read.
Read ``ledger.py`` first. Names are loaded when asked for, so that a metered program pays for
none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submeter.storing.documents import RunRow
    from submeter.storing.exchange import export_runs, import_runs
    from submeter.storing.ledger import Ledger, open_ledger
    from submeter.storing.places import home, writable_home
    from submeter.storing.redaction import redact_command, redact_text
    from submeter.storing.wording import safe_text

_ROOM = "submeter.storing."
_PLACES = {
    "Ledger": "ledger",
    "RunRow": "documents",
    "export_runs": "exchange",
    "home": "places",
    "import_runs": "exchange",
    "open_ledger": "ledger",
    "redact_command": "redaction",
    "redact_text": "redaction",
    "safe_text": "wording",
    "writable_home": "places",
}

__all__ = [
    "Ledger",
    "RunRow",
    "export_runs",
    "home",
    "import_runs",
    "open_ledger",
    "redact_command",
    "redact_text",
    "safe_text",
    "writable_home",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ROOM + _PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
