# SPDX-License-Identifier: Apache-2.0
"""Whose grams these are: each gram of a run in exactly one scope of its reporter."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from submeter.accounting.carbon import Located
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.figures import Missing

Part = Literal["direct", "upstream", "loss", "embodied"]
PARTS: Final[tuple[Part, ...]] = ("direct", "upstream", "loss", "embodied")

SCOPE_2: Final = "scope 2"
FUEL: Final = "scope 3.3"  # fuel- and energy-related activities
GOODS: Final = "scope 3.1"  # purchased goods and services
CAPITAL: Final = "scope 3.2"  # capital goods
HOMEWORK: Final = "scope 3.7"  # employee commuting, with teleworking
LEASED: Final = "scope 3.8"  # upstream leased assets
OUTSIDE: Final = "outside the inventory"
UNSPLIT: Final = " and "


class Arrangement(StrEnum):
    """Who owns the machine, and who the building; words of the setting ``arrangement``."""

    OWN_SITE = "own site"
    COLOCATION = "colocation"
    CLOUD = "cloud customer"
    HOME = "home"


class Contract(msgspec.Struct, frozen=True):
    """What an arrangement leaves to be agreed, with the convention taken where nobody says.

    ``overhead`` is who answers for cooling and distribution in a colocation; ``cloud`` whether
    capacity is bought as a service or leased as machines of one's own; ``telework`` whether what
    runs at home is work for the reporter.
    """

    overhead: Literal["landlord", "tenant"] = "landlord"
    cloud: Literal["service", "lease"] = "service"
    telework: bool = False


class Rule(msgspec.Struct, frozen=True):
    """Scopes of the parts of the IT's energy, of the overhead's, and of the hardware."""

    it: dict[Part, str]
    overhead: dict[Part, str]
    embodied: str
    why: str


def _all(scope: str) -> dict[Part, str]:
    return {"direct": scope, "upstream": scope, "loss": scope}


_OWN: Final[dict[Part, str]] = {"direct": SCOPE_2, "upstream": FUEL, "loss": FUEL}


def rule(arrangement: Arrangement, contract: Contract | None = None) -> Rule:
    """Where the grams of *arrangement* belong under *contract*.

    Notes
    -----
    Operational control is the approach taken. In a colocation the customer controls its machines
    and not the plant, so that the electricity of the machines is its Scope 2, and that of
    cooling and distribution Scope 2 of the landlord and category 8 (upstream leased assets) of
    the customer; a contract that bills the overhead to the tenant's own meter moves it.

    References
    ----------
    .. [1] GHG Protocol Scope 2 Guidance (2015), chapter 5 (leased assets).
    .. [2] GHG Protocol Corporate Value Chain (Scope 3) Standard (2011), categories 1, 2, 3, 7, 8
       and appendix A (leased assets).
    """
    terms = contract or Contract()
    if arrangement is Arrangement.OWN_SITE:
        return Rule(_OWN, _OWN, CAPITAL, "the reporter buys the electricity and owns the machine")
    if arrangement is Arrangement.COLOCATION:
        if terms.overhead == "tenant":
            return Rule(_OWN, _OWN, CAPITAL, "the contract gives the overhead to the tenant")
        why = (
            "operational control: the customer's machines are its own, the overhead is the "
            "landlord's Scope 2"
        )
        return Rule(_OWN, _all(LEASED), CAPITAL, why)
    if arrangement is Arrangement.CLOUD:
        scope = GOODS if terms.cloud == "service" else LEASED
        why = (
            "of the provider these are Scope 2 (direct), Scope 3.3 (upstream, loss) and "
            "Scope 3.2 (hardware)"
        )
        return Rule(_all(scope), _all(scope), scope, why)
    if terms.telework:
        return Rule(_all(HOMEWORK), _all(HOMEWORK), CAPITAL, "work at home on a machine of work's")
    why = "private use is in no organisation's inventory"
    return Rule(_all(OUTSIDE), _all(OUTSIDE), OUTSIDE, why)


def by_scope(
    arrangement: Arrangement,
    it: Located,
    overhead: Located | None = None,
    *,
    embodied: Amount | Missing | None = None,
    contract: Contract | None = None,
) -> dict[str, Amount]:
    """Emissions of a run by the scope of its reporter [gCO2e].

    Parameters
    ----------
    it
        Emissions of the energy of the machines (`location_based` of the it energy).
    overhead
        Those of cooling, distribution and other; None where there are none.
    embodied
        Those of the hardware, where they are reckoned.

    Returns
    -------
    dict
        By scope, in order of the scopes; what is not known is in none. Where direct and upstream
        cannot be told apart and belong to different scopes, they stand under both names at once
        (``scope 2 and scope 3.3``), never under Scope 2 alone.
    """
    chosen = rule(arrangement, contract)
    placed: dict[str, list[Amount]] = {}
    for located, scopes in ((it, chosen.it), (overhead, chosen.overhead)):
        if located is not None:
            for scope, amount in _placed(located, scopes):
                placed.setdefault(scope, []).append(amount)
    if isinstance(embodied, Amount):
        placed.setdefault(chosen.embodied, []).append(embodied)
    return {scope: sum_amounts(placed[scope]) for scope in sorted(placed)}


def _placed(located: Located, scopes: dict[Part, str]) -> list[tuple[str, Amount]]:
    parts: dict[Part, Amount | Missing] = {
        "direct": located.direct,
        "upstream": located.upstream,
        "loss": located.loss,
    }
    found = [(scopes[name], part) for name, part in parts.items() if isinstance(part, Amount)]
    split = isinstance(located.direct, Amount)
    if split or not isinstance(located.grid, Amount):
        return found
    both = dict.fromkeys((scopes["direct"], scopes["upstream"]))
    return [(UNSPLIT.join(both), located.grid), *found]


def table() -> str:
    """The map as a table in Markdown, as docs/carbon.md holds it."""
    rows = [
        (Arrangement.OWN_SITE, Contract(), ""),
        (Arrangement.COLOCATION, Contract(), ""),
        (Arrangement.COLOCATION, Contract(overhead="tenant"), ", overhead by contract"),
        (Arrangement.CLOUD, Contract(), ""),
        (Arrangement.CLOUD, Contract(cloud="lease"), ", machines leased"),
        (Arrangement.HOME, Contract(), ""),
        (Arrangement.HOME, Contract(telework=True), ", telework"),
    ]
    heads = ("arrangement", "machines: direct", "upstream", "loss",
             "overhead: direct", "upstream", "loss", "hardware")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for arrangement, contract, words in rows:
        found = rule(arrangement, contract)
        names = PARTS[:3]
        cells = [found.it[n] for n in names] + [found.overhead[n] for n in names]
        lines.append(f"| {arrangement}{words} | {' | '.join((*cells, found.embodied))} |")
    return "\n".join(lines)
