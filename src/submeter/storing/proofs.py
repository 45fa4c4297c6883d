# SPDX-License-Identifier: Apache-2.0
"""Where proofs are kept: one JSON document each, beside the ledger."""

from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError
from submeter.records.proofs import Proof
from submeter.storing import places
from submeter.storing.folders import write_whole

FOLDER: Final = "proofs"
_LARGEST_BYTES: Final = 2**22


def keep(proof: Proof, home: Path | None = None) -> Path:
    """Write *proof*; its experiment's folder takes what the programs said, too."""
    folder = experiment_folder(proof.id, home)
    path = folder / "proof.json"
    write_whole(path, msgspec.json.encode(proof))
    return path


def experiment_folder(proof_id: str, home: Path | None = None) -> Path:
    """Folder of one experiment, made if need be."""
    folder = (places.home() if home is None else home) / FOLDER / proof_id
    folder.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
    return folder


def kept(home: Path | None = None) -> list[Proof]:
    """All proofs, the latest first; what cannot be read is left out."""
    found = []
    folder = (places.home() if home is None else home) / FOLDER
    try:
        names = sorted((p.name for p in folder.iterdir()), reverse=True)
    except OSError:
        return []
    for name in names:
        path = folder / name / "proof.json"
        try:
            if path.stat().st_size <= _LARGEST_BYTES:
                found.append(msgspec.json.decode(path.read_bytes(), type=Proof))
        except (OSError, msgspec.DecodeError, ValueError):
            continue
    return found


def find(ref: str, home: Path | None = None) -> Proof:
    """Find the proof that *ref* means: an id, its beginning, or ``last``.

    Raises
    ------
    LedgerError
        If there is none, or more than one.
    """
    proofs = kept(home)
    if ref == "last" and proofs:
        return proofs[0]
    fitting = [p for p in proofs if ref and p.id.startswith(ref)]
    if len(fitting) != 1:
        what = "several proofs begin" if fitting else "no proof begins"
        raise LedgerError(f"{what} with “{ref}”", remedy="submeter savings --all")
    return fitting[0]
