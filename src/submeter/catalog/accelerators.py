# SPDX-License-Identifier: Apache-2.0
"""Which accelerator is this? By our key, a name, an alias, or the words of a driver.

A name that fits several is refused with all of them named. A device that is in no table gets its
family, whose figures are wide: never one member's, and never silently.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Final, Literal, NamedTuple

import msgspec

from submeter.catalog.boards import match_board
from submeter.catalog.facts import fact, has
from submeter.catalog.names import fold, normal_board
from submeter.catalog.tables import rows
from submeter.errors import CoverageError, UsageError
from submeter.records.factors import NORMAL_95, Factor

FACTS: Final = "accelerator_facts"
SHOWN_CHOICES: Final = 8
# What two members of a family may differ by at least, and one alone from the next [ratio].
# Prudent widths of our own: board powers of one chip differ by 1.3 (A100 PCIe 300 W, SXM 400 W),
# those of two chips of one generation by 2 and more (H100 PCIe 350 W, SXM 700 W).
LEAST_SPREAD_RATIO: Final = 1.3
LONE_SPREAD_RATIO: Final = 2.0
MEMORY_CLASS_RATIO: Final = 2.0  # memories within this factor are one class

_MIG: Final = re.compile(r"\s+MIG\b.*$", re.IGNORECASE)
_VARIANT: Final = re.compile(r"sxm\d?|pcie|nvl|oam|dgxs|hbm\w*|\d+(?:gi?b?)|gpu")
_SERIES: Final = re.compile(r"([a-z]+)\d")
_MEMORY: Final = re.compile(r"\b(\d{1,4})\s?gi?b\b")
_VENDORS: Final = (
    (re.compile(r"nvidia|tesla|geforce|quadro|[gr]tx|jetson|titan|grid"), "NVIDIA"),
    (re.compile(r"\bamd|advanced micro|radeon|instinct|\bmi\d{2,3}"), "AMD"),
    (re.compile(r"intel|habana|gaudi|\barc\b"), "Intel"),
    (re.compile(r"google|\btpu"), "Google"),
    (re.compile(r"aws|amazon|trainium|inferentia"), "AWS"),
    (re.compile(r"apple"), "Apple"),
    (re.compile(r"huawei|ascend"), "Huawei"),
)


class AcceleratorRow(msgspec.Struct, frozen=True):
    """An accelerator, or what is known of the family that it seems to be of.

    ``members`` are the keys whose facts count: its own alone, or those of the family. ``note``
    says by what a family was found; it is empty where the device itself is in the table.
    """

    key: str  # of its facts; of a family such as family:hopper
    name: str
    vendor: str
    architecture: str
    how: Literal["name", "family"]
    members: tuple[str, ...]
    year: int | None = None
    note: str = ""


class _Models(NamedTuple):
    """What the names say, taken apart, each with the keys that have it."""

    bare: dict[str, list[str]]  # without maker and brand
    cores: dict[tuple[str, ...], list[str]]  # without form and memory, too
    words: dict[str, set[str]]  # by key


class Finder:
    """Accelerators under each of their names.

    Parameters
    ----------
    table
        Rows of ``key``, ``name``, ``vendor``, ``kind``, ``architecture``, ``year``, ``aliases``.
    more
        Further aliases: rows of ``key`` and ``alias``.
    """

    def __init__(
        self, table: Sequence[Mapping[str, str]], more: Iterable[Mapping[str, str]] = ()
    ) -> None:
        self._rows = {row["key"]: row for row in table}
        self._names = {
            key: [key, row["name"], *filter(None, row["aliases"].split(";"))]
            for key, row in self._rows.items()
        }
        for row in more:
            self._names[row["key"]].append(row["alias"])
        self._exact: dict[str, list[str]] = defaultdict(list)
        for key, names in self._names.items():
            for name in names:
                self._exact[fold(name)].append(key)

    def find(self, name: str) -> AcceleratorRow | tuple[str, ...]:
        """Give the row of *name*, or the keys of all that it may mean; none if it is unknown."""
        asked = _MIG.sub("", name)
        exact = set(self._exact.get(fold(asked), ()))
        if len(exact) != 1:
            exact = set(self._models.bare.get(_bare(asked), ()))
        if len(exact) == 1:
            return self.row(exact.pop())
        candidates = self._of_core(asked) or self._with_words(asked)
        return self.row(candidates[0]) if len(candidates) == 1 else candidates

    def row(self, key: str) -> AcceleratorRow:
        """Row of exactly this *key*."""
        row = self._rows[key]
        year = int(row["year"]) if row["year"] else None
        return AcceleratorRow(
            key, row["name"], row["vendor"], row["architecture"], "name", (key,), year
        )

    def family(self, name: str, architecture: str = "") -> AcceleratorRow:
        """Narrowest group that a device of this *name* seems to be of."""
        asked = _MIG.sub("", name)
        found = self.find(name)
        if found and not isinstance(found, AcceleratorRow):
            return self._family(name, found, f"the name {fold(asked)}")
        for members, note in self._groups(asked, architecture):
            if members:
                return self._family(name, members, note)
        raise CoverageError("the catalog lists no accelerator", remedy="reinstall submeter")

    def kin(self, row: AcceleratorRow) -> AcceleratorRow:
        """Group that a known accelerator is of, without itself: for what is not known of it."""
        own = self._rows[row.key]
        for words in (("vendor", "architecture"), ("vendor",), ("kind",)):
            members = self._where(
                lambda other, words=words: all(other[w] == own[w] != "" for w in words)  # type: ignore[misc]
            )
            rest = tuple(key for key in members if key != row.key)
            if rest:
                return self._family(row.name, rest, " and ".join(f"{w} {own[w]}" for w in words))
        return self.family(row.name)

    def _family(self, name: str, members: tuple[str, ...], note: str) -> AcceleratorRow:
        own = [self._rows[key] for key in members]
        vendors = {row["vendor"] for row in own}
        chips = {row["architecture"] for row in own}
        return AcceleratorRow(
            key=f"family:{fold(note).replace(' ', '-')}",
            name=name,
            vendor=vendors.pop() if len(vendors) == 1 else "",
            architecture=chips.pop() if len(chips) == 1 else "",
            how="family",
            members=members,
            note=f"“{name[:80]}” is taken as one of {len(members)} accelerators, by {note}",
        )

    @cached_property
    def _models(self) -> "_Models":
        """Names taken apart: only for what no name fits as a whole."""
        models = _Models(defaultdict(list), defaultdict(list), defaultdict(set))
        for key, names in self._names.items():
            for name in names:
                tokens = _tokens(name)
                models.cores[_without_variant(tokens)].append(key)
                models.words[key].update(tokens)
            for name in names[:2]:  # an alias without a brand may stand for several
                models.bare[_bare(name)].append(key)
        return models

    def _of_core(self, asked: str) -> tuple[str, ...]:
        """Those of this model whose variants hold what the name says of form and memory."""
        variant = [token for token in _tokens(asked) if _VARIANT.fullmatch(token)]
        keys = dict.fromkeys(self._models.cores.get(_core(asked), ()))
        return tuple(
            key
            for key in keys
            if all(any(w.startswith(token) for w in self._models.words[key]) for token in variant)
        )

    def _with_words(self, asked: str) -> tuple[str, ...]:
        words = set(_tokens(asked))
        return tuple(key for key, own in self._models.words.items() if words and words <= own)

    def _groups(self, asked: str, architecture: str) -> Iterable[tuple[tuple[str, ...], str]]:
        """Groups that may be its family, the narrowest first, each with the reason."""
        core = _core(asked)
        yield tuple(dict.fromkeys(self._models.cores.get(core, ()))), f"the model {' '.join(core)}"
        for n in range(len(core) - 1, 0, -1):
            keys = dict.fromkeys(self._models.cores.get(core[:n], ()))
            yield tuple(keys), f"the model {' '.join(core[:n])}"
        for word in core:  # a model that drivers put between words of their own
            yield tuple(dict.fromkeys(self._models.cores.get((word,), ()))), f"the model {word}"
        board = match_board(asked, architecture=architecture)
        if board.how != "unknown":
            chips = {word.split()[0] for word in board.architecture.split(" or ")}
            yield (
                self._where(lambda row: row["architecture"].split(" ")[0] in chips),
                f"the architecture {' or '.join(sorted(chips))}",
            )
        said = fold(architecture)
        if said:
            yield (
                self._where(lambda row: fold(row["architecture"]).startswith(said)),
                f"the architecture {architecture}",
            )
        yield from self._classes(asked, core)

    def _classes(self, asked: str, core: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
        """Groups by vendor and series, vendor and size of memory, vendor; then all GPUs."""
        lower = asked.lower()
        vendor = next((v for pattern, v in _VENDORS if pattern.search(lower)), "")
        memory = _MEMORY.search(lower)
        of_vendor = self._where(lambda row: row["vendor"] == vendor) if vendor else ()
        letters = _SERIES.match(core[0]) if core else None
        if vendor and letters:
            series = re.compile(rf"{letters[1]}\d")
            alike = (k for k in of_vendor if any(series.match(w) for w in self._models.words[k]))
            yield tuple(alike), f"the series {letters[1]} of {vendor}"
        if vendor and memory:
            gb = float(memory[1])
            near_gb = tuple(key for key in of_vendor if _alike(key, gb))
            yield near_gb, f"the vendor {vendor} and about {gb:g} GB"
        yield of_vendor, f"the vendor {vendor}"
        yield self._where(lambda row: row["kind"] == "gpu"), "nothing but that it is one"

    def _where(self, fits: Callable[[Mapping[str, str]], bool]) -> tuple[str, ...]:
        return tuple(key for key, row in self._rows.items() if fits(row))


def match_accelerator(name: str, *, architecture: str = "") -> AcceleratorRow:
    """Find the accelerator of this *name*.

    Parameters
    ----------
    name
        Our key, a name, an alias, or what a driver says: ``NVIDIA H100 80GB HBM3``,
        ``AMD Instinct MI250X``, ``TPU v4``. The suffix of a MIG instance is ignored.
    architecture
        As NVML says it (``Hopper``); narrows the family of a name that is in no table.

    Returns
    -------
    AcceleratorRow
        The one row that fits; of a device in no table its family, with ``how="family"``.

    Raises
    ------
    UsageError
        If the name fits several accelerators; the message names them.

    Examples
    --------
    >>> match_accelerator("NVIDIA A100-SXM4-80GB").key
    'nvidia-a100-sxm4-80gb'
    """
    found = _finder().find(name)
    if isinstance(found, AcceleratorRow):
        return found
    if not found:
        return family_of(name, architecture=architecture)
    shown = ", ".join(found[:SHOWN_CHOICES])
    more = f" and {len(found) - SHOWN_CHOICES} more" if len(found) > SHOWN_CHOICES else ""
    raise UsageError(
        f"“{name[:80]}” may be any of {len(found)} accelerators: {shown}{more}",
        remedy=f"name one of them, such as {found[0]}",
    )


def family_of(name: str, *, architecture: str = "") -> AcceleratorRow:
    """Give the family that a device of this *name* seems to be of, even where it is ambiguous.

    By its model (an H100 of a form that nobody lists), its architecture, its vendor and size of
    memory, its vendor; else any GPU. Each step is wider, and ``note`` says which it was.
    """
    found = _finder().find(name)
    if isinstance(found, AcceleratorRow):
        return found
    return _finder().family(name, architecture)


def accelerator_fact(row: AcceleratorRow, quantity: str) -> Factor:
    """Give one number of an accelerator, or what is to be expected of its family.

    The prior of a family is log-normal: geometric mean of its members; its 95 % interval is a
    prediction for one more member, 1.96 s √(1 + 1/n) in the logarithm, and holds all members and
    at least a factor of 1.3 (of 2 where only one is known). It is an assumption and says so.

    Raises
    ------
    CoverageError
        If no member has such a fact.
    """
    if row.how == "name" and has(FACTS, row.key, quantity):
        return fact(FACTS, row.key, quantity)
    family = row if row.how == "family" else _finder().kin(row)
    known = [fact(FACTS, key, quantity) for key in family.members if has(FACTS, key, quantity)]
    known = [one for one in known if one.value > 0]
    if not known:
        raise CoverageError(
            f"the catalog has no {quantity} of {row.name}, nor of its family",
            remedy=f"declare it: [factors] in submeter.toml, {FACTS}/{row.key}/{quantity}",
        )
    return _prior(family, quantity, known)


def _prior(family: AcceleratorRow, quantity: str, known: Sequence[Factor]) -> Factor:
    import statistics  # brings fractions and random along

    logs = [math.log(one.value) for one in known]
    middle = statistics.fmean(logs)
    reach = max(abs(x - middle) for x in logs)
    if len(logs) > 1:
        spread = NORMAL_95 * statistics.stdev(logs) * math.sqrt(1 + 1 / len(logs))
        reach = max(reach, spread, math.log(LEAST_SPREAD_RATIO))
    else:
        reach = math.log(LONE_SPREAD_RATIO)
    return Factor(
        key=f"{FACTS}/{family.key}/{quantity}",
        value=math.exp(middle),
        low=math.exp(middle - reach),
        high=math.exp(middle + reach),
        unit=known[0].unit,
        source=f"spread over {len(known)} accelerators of the catalog",
        year=max(one.year for one in known),
        licence="; ".join(dict.fromkeys(one.licence for one in known)),
        verified="assumed",
        note=family.note,
    )


@cache
def _finder() -> Finder:
    return Finder(rows("accelerators"), rows("device_names"))


def _alike(key: str, gb: float) -> bool:
    if not has(FACTS, key, "memory_gb"):
        return False
    own = fact(FACTS, key, "memory_gb").value
    return own / MEMORY_CLASS_RATIO <= gb <= own * MEMORY_CLASS_RATIO


def _bare(name: str) -> str:
    return fold(normal_board(name))


def _tokens(name: str) -> list[str]:
    return _bare(name).split()


def _core(name: str) -> tuple[str, ...]:
    """Words of the model alone, without form and memory."""
    return _without_variant(_tokens(name))


def _without_variant(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(token for token in tokens if not _VARIANT.fullmatch(token))
