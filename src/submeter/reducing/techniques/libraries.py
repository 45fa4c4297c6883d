# SPDX-License-Identifier: Apache-2.0
"""Libraries that a technique works with: imported when it is used, named clearly where absent."""

import contextlib
import importlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Final

from submeter.errors import UsageError

_EXTRA: Final = {"torch": "torch", "numpy": "plan", "sklearn": "demo"}


def library(name: str) -> Any:
    """Import module *name*, without what it has to say about libraries of its own.

    Raises
    ------
    UsageError
        If it is not installed; the remedy is the command that does.
    """
    top = name.partition(".")[0]
    try:
        with quietly():
            return importlib.import_module(name)
    except ImportError as exc:
        extra = _EXTRA.get(top, "reduce")
        raise UsageError(
            f"this technique works with {top.replace('_', '-')}, which is not installed",
            remedy=f"pip install 'submeter[{extra}]'",
        ) from exc


def installed(name: str) -> bool:
    """Whether module *name* could be imported; nothing is loaded to find out."""
    return importlib.util.find_spec(name.partition(".")[0]) is not None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep warnings of others about others away from the user while they are loaded or used."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
