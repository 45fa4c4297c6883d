# SPDX-License-Identifier: Apache-2.0
"""The time zone that the machine keeps: what its clock says of the place, where nobody else does.

Apart from `submeter.grid.place`, since every run begins with it and needs no table.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_DATABASE: Final = "zoneinfo/"  # what follows is the name of the zone


def machine_timezone(root: Path = Path("/"), env: Mapping[str, str] | None = None) -> str:
    """IANA name of the time zone of this machine, or "" if it tells none.

    A ``TZ`` that names a place goes first, then where ``/etc/localtime`` leads to, then
    ``/etc/timezone``, which is left behind when only the link is changed.
    """
    env = os.environ if env is None else env
    given = env.get("TZ", "").lstrip(":")
    name = given.rpartition(_DATABASE)[2]
    if "/" in name and not name.startswith(("/", "Etc/")):
        return name.removeprefix("posix/").removeprefix("right/")
    try:
        target = os.readlink(root / "etc" / "localtime")  # noqa: PTH115  # is not followed
        if _DATABASE in target:
            found = target.rpartition(_DATABASE)[2]
            return found.removeprefix("posix/").removeprefix("right/")
    except OSError:
        pass
    try:
        with (root / "etc" / "timezone").open(encoding="utf-8") as file:
            return file.read(100).strip().split("\n")[0]
    except (OSError, UnicodeDecodeError):
        return name  # such as UTC, or nothing
