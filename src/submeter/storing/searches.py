# SPDX-License-Identifier: Apache-2.0
"""Where searches are kept: a folder each beside the ledger, with the study and what it found."""

from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.records.searches import SearchResult
from submeter.storing import places
from submeter.storing.folders import write_whole

FOLDER: Final = "searches"
STUDY: Final = "study.log"
_LARGEST_BYTES: Final = 2**26


def search_folder(search_id: str, home: Path | None = None) -> Path:
    """Folder of one search, made if need be."""
    folder = (places.home() if home is None else home) / FOLDER / search_id
    folder.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
    return folder


def keep(found: SearchResult, home: Path | None = None) -> Path:
    """Write what a search found so far."""
    path = search_folder(found.id, home) / "result.json"
    write_whole(path, msgspec.json.encode(found))
    return path


def find(ref: str, home: Path | None = None) -> SearchResult:
    """Search that *ref* means: an id, its beginning, or ``last``.

    Raises
    ------
    LedgerError
        If there is none, or more than one.
    """
    folder = (places.home() if home is None else home) / FOLDER
    try:
        names = sorted((p.name for p in folder.iterdir()), reverse=True)
    except OSError:
        names = []
    fitting = names[:1] if ref == "last" else [n for n in names if ref and n.startswith(ref)]
    if len(fitting) != 1:
        what = "several searches begin" if fitting else "no search begins"
        raise LedgerError(f"{what} with “{ref}”", remedy="submeter tune --set … -- CMD")
    path = folder / fitting[0] / "result.json"
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise LedgerError(f"{path} is too large to be a search", remedy="remove it")
        return msgspec.json.decode(path.read_bytes(), type=SearchResult)
    except (OSError, msgspec.DecodeError, ValueError) as exc:
        raise LedgerError(f"search {fitting[0]} cannot be read", remedy=f"look at {path}") from exc
