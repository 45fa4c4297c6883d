# SPDX-License-Identifier: Apache-2.0
"""Claims on electricity and on avoided carbon, and what part of them a run uses up."""

from typing import Final, Literal

import msgspec

from submeter.units import WH_PER_MWH

ClaimKind = Literal[
    "GO", "REGO", "REC", "I-REC", "TIGR", "LGC", "NFC", "PPA", "offset", "avoided"
]  # fmt: skip
# Megawatt-hours that a market-based figure may rest on; the other two are shown apart.
ENERGY_KINDS: Final = frozenset({"GO", "REGO", "REC", "I-REC", "TIGR", "LGC", "NFC", "PPA"})


class Claim(msgspec.Struct, frozen=True):
    """A lot of certificates, a contract for power, an offset, or carbon avoided elsewhere.

    ``energy_wh`` is what an energy claim holds, in whole watt-hours; ``carbon_g`` what an offset
    or an avoidance claims. ``zone`` is where it was issued, ``year`` its vintage, ``fuel`` what
    made the electricity ("" where it does not say).
    """

    id: str
    kind: ClaimKind
    zone: str
    year: int
    registry: str = ""
    fuel: str = ""
    energy_wh: int = 0
    carbon_g: float = 0.0
    note: str = ""

    @property
    def is_energy(self) -> bool:
        """Whether a run may use megawatt-hours of it."""
        return self.kind in ENERGY_KINDS


class Allocation(msgspec.Struct, frozen=True):
    """What a run uses of a claim: no other run can use it too.

    ``statement`` is the reference of the cancellation in the registry; "" while it is not
    retired there.
    """

    claim: Claim
    run_id: str
    energy_wh: int
    statement: str = ""

    @property
    def is_retired(self) -> bool:
        """Whether the registry has cancelled it for good."""
        return bool(self.statement)


class Balance(msgspec.Struct, frozen=True):
    """A claim and what is left of it; ``energy_wh = free + used + retired``."""

    claim: Claim
    used_wh: int = 0
    retired_wh: int = 0

    @property
    def free_wh(self) -> int:
        """What no run uses yet."""
        return self.claim.energy_wh - self.used_wh - self.retired_wh


def energy_words(energy_wh: int) -> str:
    """Whole watt-hours as people write them, exactly: ``640 Wh``, ``1.5 kWh``, ``10 MWh``."""
    sizes = ((WH_PER_MWH, "MWh"), (1000, "kWh"), (1, "Wh"))
    each, unit = next(((n, u) for n, u in sizes if energy_wh >= n), sizes[-1])
    number = f"{energy_wh / each:.6f}".rstrip("0").rstrip(".")
    return f"{number} {unit}"
