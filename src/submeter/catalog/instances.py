# SPDX-License-Identifier: Apache-2.0
"""Which cloud instance is this? By provider and name, however they are joined."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

import msgspec

from submeter.catalog.names import fold, near
from submeter.catalog.tables import rows
from submeter.errors import CoverageError, UsageError


class InstanceRow(msgspec.Struct, frozen=True):
    """An instance type of a cloud and what is in it; its numbers stand under ``key``."""

    key: str  # provider/instance, such as aws/p4d.24xlarge
    provider: str
    name: str
    accelerator: str  # key of accelerators.csv; "" where it has none
    host_cpu: str


class Instances:
    """Instance types under each way to write them.

    Parameters
    ----------
    table
        Rows of ``key``, ``provider``, ``instance``, ``accelerator``, ``host_cpu``.
    """

    def __init__(self, table: Iterable[Mapping[str, str]]) -> None:
        self._found: dict[str, dict[str, InstanceRow]] = defaultdict(dict)
        for line in table:
            row = InstanceRow(
                line["key"],
                line["provider"],
                line["instance"],
                line["accelerator"],
                line["host_cpu"],
            )
            short = fold(row.name).removeprefix("standard ")  # Azure's own word before each
            for word in (
                short,
                f"{row.provider} {short}",
                row.key,
                f"{row.provider} {row.name}",
                row.name,
            ):
                self._found[fold(word)][row.key] = row

    def find(self, name: str) -> InstanceRow:
        """Find the one instance type of this *name*; see `match_instance`."""
        found = self._found.get(fold(name), {})
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UsageError(
                f"“{name[:80]}” is an instance of {', '.join(r.provider for r in found.values())}",
                remedy=f"say whose: {' or '.join(found)}",
            )
        known = {row.key for rows_ in self._found.values() for row in rows_.values()}
        alike = near(name, sorted(known))
        raise CoverageError(
            f"the catalog has no instance “{name[:80]}”",
            remedy=f"near it: {', '.join(alike)}" if alike else "name accelerator and count",
        )


def match_instance(name: str) -> InstanceRow:
    """Find the cloud instance type of this *name*.

    Parameters
    ----------
    name
        Such as ``p4d.24xlarge``, ``aws/p4d.24xlarge``, ``Standard_ND96asr_A100_v4``.

    Raises
    ------
    UsageError
        If several providers have one of that name; the remedy names them.
    CoverageError
        If none has; the remedy names what is near. There is no prior: what an unknown instance
        holds is not to be guessed from its name.

    Examples
    --------
    >>> match_instance("p4d.24xlarge").accelerator
    'nvidia-a100-sxm4-40gb'
    """
    return _instances().find(name)


@cache
def _instances() -> Instances:
    return Instances(rows("instances"))
