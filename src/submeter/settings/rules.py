# SPDX-License-Identifier: Apache-2.0
"""Every setting there is: its type, its range, and how a word becomes its value."""

import math
import re
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from submeter.errors import ConfigError

Value = str | int | float | None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings with their defaults.

    ``interval_s`` is the time between two readings, ``cloud`` the provider and region of a rented
    machine (where no zone is set), ``pue`` the measured facility factor (None: a cited prior is
    taken), ``provider`` who is asked for live grid data ("": nobody), ``journal_quota_bytes`` how
    much all journals may keep on disk (0: no limit). ``arrangement`` is whose machines they are
    (None: a cloud customer where a cloud region is named, else own), ``cooling`` a technology of
    the site's cooling, ``wue_l_per_kwh`` its measured water usage effectiveness,
    ``electricity_price`` a price per kWh or a tariff by hours in ``currency``; where these are
    None, cited figures of the place are taken. ``wet_bulb_c`` are twelve monthly wet-bulb
    temperatures, which PUE and WUE of the cooling then follow.
    """

    interval_s: float = 0.1
    project: str = ""
    zone: str | None = None
    cloud: str | None = None
    pue: float | None = None
    provider: str = ""
    journal_quota_bytes: int = 10 * 2**30
    arrangement: str | None = None
    cooling: str | None = None
    wue_l_per_kwh: float | None = None
    electricity_price: str | None = None
    currency: str = "USD"
    carbon_price_per_t: float | None = None
    hardware_life_years: float | None = None
    wet_bulb_c: str | None = None


class Rule(msgspec.Struct, frozen=True):
    """How one setting is checked. ``accept`` returns the value or raises `ValueError`.

    ``read`` turns a word of the environment or the command line into what a file would hold.
    """

    accept: Callable[[object], Value]
    allowed: str
    meaning: str
    read: Callable[[str], Value] = str


# A code, a name, a cloud region, or two coordinates; the catalog says later what it means.
_ZONE: Final = re.compile(r"[\w+-][\w .,:;/+()&'’-]{0,63}")
_CLOUD: Final = re.compile(r"[A-Za-z]{2,32}[/: ][A-Za-z0-9][A-Za-z0-9-]{1,63}")
_PROVIDER: Final = re.compile(r"csv:.+|[a-z0-9][a-z0-9_.-]{0,63}")
_SIZE: Final = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)\s*([kMGT]i?)?B?", re.IGNORECASE)
_SIZES: Final = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip
_MOST_BYTES: Final = 2**60
_LONGEST_NAME: Final = 200
_MONTHS: Final = 12
_COLDEST_C: Final = -30.0  # wet-bulb temperatures that accounting has models of
_HOTTEST_C: Final = 35.0
ARRANGEMENTS: Final = ("own site", "colocation", "cloud customer", "home")


def _number(given: object, low: float, high: float) -> float:
    """*given* as a float within [*low*, *high*]."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError  # noqa: TRY004  # one exception for "not allowed"
    value = float(given)
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError
    return value


def _whole(given: object, low: int, high: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
        raise ValueError
    return given


def _size_bytes(given: object) -> int:
    """*given* in bytes: a whole number, or words like ``10 GiB``."""
    if isinstance(given, str):
        found = _SIZE.fullmatch(given.strip())
        if found is None:
            raise ValueError
        from fractions import Fraction

        given = round(Fraction(found[1]) * _SIZES[(found[2] or "").lower()])
    return _whole(given, 0, _MOST_BYTES)


def _text(given: object) -> str:
    if not isinstance(given, str) or len(given) > _LONGEST_NAME or not _printable(given):
        raise ValueError
    return given


def _zone(given: object) -> str:
    if not isinstance(given, str) or not _ZONE.fullmatch(given):
        raise ValueError
    return given


def _cloud(given: object) -> str:
    if not isinstance(given, str) or not _CLOUD.fullmatch(given):
        raise ValueError
    return given


def _code(given: object) -> str:
    if not isinstance(given, str) or not re.fullmatch(r"[A-Za-z]{3}", given):
        raise ValueError
    return given.upper()


def _one_of(given: object, words: Collection[str]) -> str:
    if not isinstance(given, str) or given.strip().lower() not in words:
        raise ValueError
    return given.strip().lower()


def _provider(given: object) -> str:
    word = _text(given)
    if word and not _PROVIDER.fullmatch(word):
        raise ValueError
    return word


def _months(given: object) -> str:
    """Twelve wet-bulb temperatures [C], January first, as words."""
    found = [float(word) for word in _text(given).split(",")]
    if len(found) != _MONTHS or not all(_COLDEST_C <= value <= _HOTTEST_C for value in found):
        raise ValueError
    return ",".join(f"{value:g}" for value in found)


def _printable(text: str) -> bool:
    return text == "" or text.isprintable()


RULES: Final[dict[str, Rule]] = {
    "interval_s": Rule(
        lambda v: _number(v, 0.01, 60.0),
        "seconds from 0.01 to 60",
        "time between two readings",
        read=float,
    ),
    "project": Rule(
        _text, f"printable text of at most {_LONGEST_NAME} characters", "project of new runs"
    ),
    "zone": Rule(
        _zone, "a grid zone such as DE or US-CAL-CISO", "where the electricity comes from"
    ),
    "cloud": Rule(
        _cloud,
        "a provider and a region such as aws/us-west-2",
        "where the machine is rented, if no zone is set",
    ),
    "pue": Rule(
        lambda v: _number(v, 1.0, 10.0),
        "a ratio from 1 to 10",
        "energy of the facility per energy of its machines",
        read=float,
    ),
    "arrangement": Rule(
        lambda v: _one_of(v, ARRANGEMENTS), ", ".join(ARRANGEMENTS), "whose machines these are"
    ),
    "cooling": Rule(_zone, "a technology such as immersion", "how the site is cooled"),
    "wue_l_per_kwh": Rule(
        lambda v: _number(v, 0.0, 50.0),
        "litres per kWh from 0 to 50",
        "water on the site per energy of its machines",
        read=float,
    ),
    "electricity_price": Rule(
        _text,
        "a price per kWh such as 0.31, or a tariff: 22:00-06:00=0.18,else=0.31",
        "what electricity costs",
        read=str,
    ),
    "currency": Rule(_code, "a code of three letters such as EUR", "currency of all prices"),
    "carbon_price_per_t": Rule(
        lambda v: _number(v, 0.0, 1e6), "a price from 0", "price of a tonne of CO2e", read=float
    ),
    "hardware_life_years": Rule(
        lambda v: _number(v, 0.1, 50.0),
        "years from 0.1 to 50",
        "how long the machines serve",
        read=float,
    ),
    "provider": Rule(
        _provider,
        "electricity-maps, watttime, uk-carbon-intensity, entsoe, eia, csv:PATH, or empty",
        "who is asked for live grid data, when that is wanted",
    ),
    "journal_quota_bytes": Rule(
        _size_bytes, "bytes, or a size such as 10 GiB; 0 for no limit", "disk kept for journals"
    ),
    "wet_bulb_c": Rule(
        _months,
        "twelve temperatures from -30 to 35 C, January first: 0,1,4,8,12,15,18,17,13,9,4,1",
        "monthly wet-bulb temperatures of the site",
    ),
}


def accept(key: str, given: object, place: str = "", *, words: bool = False) -> Value:
    """Value of setting *key* from what was *given* at *place*; *words* are read as such.

    A *place* of "" is the command that is just being given: a reader knows where that is.

    Raises
    ------
    ConfigError
        If there is no such setting or the value is not allowed; it names key, value, place and
        what is allowed.
    """
    rule = RULES.get(key)
    if rule is None:
        raise unknown(key, place)
    try:
        return rule.accept(rule.read(given) if words and isinstance(given, str) else given)
    except (ValueError, OverflowError):
        shown = repr(given) if isinstance(given, str) else str(given)
        raise ConfigError(
            f"{key} = {shown[:80]}{_at(place)} is not allowed",
            remedy=f"give {key} {rule.allowed}",
        ) from None


def _at(place: str) -> str:
    return f" in {place}" if place else ""


def unknown(key: str, place: str = "") -> ConfigError:
    """Error for a *key* that does not exist, with the nearest one that does."""
    import difflib

    near = difflib.get_close_matches(key.lower(), RULES, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"settings are {', '.join(RULES)}"
    return ConfigError(f"there is no setting {key[:80]!r}{_at(place)}", remedy=remedy)
