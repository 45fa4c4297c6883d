# SPDX-License-Identifier: Apache-2.0
"""Factors that the user declares in a settings file: ``[factors]`` and ``factor_files``.

Here they are only taken out of the file and checked for their shape; what they mean, and whether
the catalog knows them, is for the catalog to say.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import ConfigError

FACTORS: Final = "factors"
FACTOR_FILES: Final = "factor_files"
NESTED: Final = frozenset({FACTORS, FACTOR_FILES})
MOST_FILES: Final = 64
# "id" = … · [factors."id"] · bare = …
_KEY: Final = re.compile(r"""\s*(?:\[[^"']*)?(?:"([^"]*)"|'([^']*)')|\s*([A-Za-z0-9_-]+)\s*=""")


class Declared(msgspec.Struct, frozen=True):
    """What one settings file declares.

    ``factors`` are as they stand there, by id, unchecked; ``lines`` says where each stands.
    """

    path: Path
    factors: dict[str, object]
    lines: dict[str, int]
    files: tuple[Path, ...]

    def place(self, ident: str) -> str:
        """Where *ident* is declared."""
        line = self.lines.get(ident)
        return f"{self.path}:{line}" if line else str(self.path)


def declared_in(values: Mapping[str, object], path: Path, text: str) -> Declared | None:
    """What the settings *values* of the file *path* declare; None if they declare nothing.

    Raises
    ------
    ConfigError
        If it is no table, or no list of files.
    """
    if not NESTED & values.keys():
        return None
    factors = values.get(FACTORS, {})
    if not isinstance(factors, dict):
        raise ConfigError(
            f"{FACTORS} in {path} is no table",
            remedy=f'write [{FACTORS}] and below it "grid/DE/td_loss_ratio" = 0.04',
        )
    return Declared(
        path,
        factors,
        _lines_of(text, factors),
        _files(values.get(FACTOR_FILES, []), path),
    )


def _files(given: object, path: Path) -> tuple[Path, ...]:
    """Paths of the files, against the folder of the settings file *path*."""
    listed = given if isinstance(given, list) and len(given) <= MOST_FILES else [given]
    names = [name for name in listed if isinstance(name, str) and name and name.isprintable()]
    if not isinstance(given, list) or len(names) < len(given):
        raise ConfigError(
            f"{FACTOR_FILES} in {path} is no list of files",
            remedy=f'write {FACTOR_FILES} = ["my-factors.csv"], at most {MOST_FILES} of them',
        )
    return tuple(path.parent / _expanded(str(name)) for name in names)


def _expanded(name: str) -> Path:
    """*name* with ``~`` for the home of whom it is; as it is where there is no such home."""
    with contextlib.suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def _lines_of(text: str, idents: Mapping[str, object]) -> dict[str, int]:
    """First line (from 1) that begins with each of *idents*, as a key or as a table of its own."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key = _KEY.match(line)
        name = (key[1] or key[2] or key[3] or "") if key else ""
        if name in idents:
            found.setdefault(name, number)
    return found
