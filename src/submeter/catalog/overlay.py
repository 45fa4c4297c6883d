# SPDX-License-Identifier: Apache-2.0
"""Factors that go before the catalog's own, for as long as somebody says so.

Nothing else of the catalog changes while a program runs. An overlay holds for the block of
`use_overrides` and for the thread (or task) that entered it; what is outside never sees it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

import msgspec

from submeter.records.factors import Factor


class Overrides(msgspec.Struct, frozen=True):
    """Factors by the key of that which they replace (``grid/DE/td_loss_ratio``)."""

    factors: Mapping[str, Factor] = MappingProxyType({})

    def over(self, catalogued: Factor) -> Factor:
        """Give what was declared in place of *catalogued*, else the catalog's own."""
        return self.factors.get(catalogued.key, catalogued)


NONE: Final = Overrides()
_CURRENT: ContextVar[Overrides] = ContextVar("submeter_overrides", default=NONE)


@contextlib.contextmanager
def use_overrides(overrides: Overrides) -> Iterator[None]:
    """Let *overrides* go before the catalog within the block; they replace outer ones."""
    token = _CURRENT.set(overrides)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def overridden(catalogued: Factor) -> Factor:
    """Give the factor that holds just now: the declared one, else the catalog's own."""
    return _CURRENT.get().over(catalogued)
