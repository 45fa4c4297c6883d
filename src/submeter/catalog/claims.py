# SPDX-License-Identifier: Apache-2.0
"""Records of well-known public claims, as they lie beside the tables."""

from functools import cache

from submeter.catalog.tables import DATA


@cache
def claim_records() -> dict[str, str]:
    """TOML of each known claim by its id, in order."""
    found = sorted((DATA / "claims").glob("*.toml"))
    return {path.stem: path.read_text(encoding="utf-8") for path in found}
