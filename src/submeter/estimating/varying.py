# SPDX-License-Identifier: Apache-2.0
"""Many what-ifs at once: products of doubts in closed form, ten thousand a second.

A point is the same prediction as `submeter.estimating.predicting.predict` makes, with sums of
doubts to first order: what a joule of IT amounts to somewhere is reckoned once for each place.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from submeter.accounting.embodied import embodied_by_hours
from submeter.accounting.scopes import Arrangement
from submeter.circumstances.owning import hardware_of
from submeter.circumstances.reckoning import reckon
from submeter.errors import UsageError
from submeter.estimating.asking import OVERHEADS, PLACED, Question
from submeter.estimating.machines import Machine, machine_of
from submeter.estimating.predicting import HOST, Product, course, host_of
from submeter.estimating.rates import Rates
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import NORMAL_95
from submeter.records.figures import Basis, Figure, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run
from submeter.settings.recording import restored
from submeter.units import S_PER_H
from submeter.workloads.workloads import Workload

Measure = Literal["duration", "energy", "carbon", "embodied", "water", "cost"]
MEASURES: Final[tuple[Measure, ...]] = (
    "duration", "energy", "carbon", "embodied", "water", "cost",
)  # fmt: skip
UNITS: Final[Mapping[str, str]] = {
    "duration": "s", "energy": "J", "carbon": "gCO2e", "embodied": "gCO2e", "water": "L",
}  # fmt: skip
JUDGED: Final[tuple[Measure, ...]] = ("duration", "energy", "carbon", "cost")
MOST_POINTS: Final = 100_000
POINTS_OF_A_CURVE: Final = 25
MOST_EXACT: Final = 250  # points of a curve that are all reckoned; more are between knots
KNOTS: Final = 65
_NOT_OF_MODEL: Final = frozenset({"hardware", "mfu", "power", "device_hours", *OVERHEADS})
_UNIT_J: Final = 1e9  # of the run that a place is reckoned with; all is linear in it
_NORMAL_90: Final = 1.644854
_SPAN: Final = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?::(?P<count>\d+))?")
_COMMON: Final = (  # whose misspellings are told; of a model there are many more
    "hardware", "precision", "batch", "zone", "region", "cooling", "mfu", "power", "params",
    "tokens", "device_hours", "optimiser", "recomputation", "pue",
)  # fmt: skip
_WORDS: Final = frozenset(
    {"hardware", "precision", "zone", "cooling", "arrangement", "optimiser", "recomputation",
     "model", "cnn"}
)  # fmt: skip
_SAME: Final = {"region": "zone", "gpu_hours": "device_hours", "gpu-hours": "device_hours"}


class Axis(NamedTuple):
    """What is varied, and the words for its values."""

    name: str
    values: tuple[str, ...]
    numbers: tuple[float, ...] = ()  # of a curve


class Point(NamedTuple):
    """One what-if: what was set, and what it amounts to."""

    words: dict[str, str]
    amounts: dict[str, Product | Missing]

    def figure(self, measure: str, unit: str = "", *, level: float = 0.95) -> Figure | Missing:
        """What a person is shown."""
        found = self.amounts[measure]
        if isinstance(found, Missing):
            return found
        reach = (_NORMAL_90 if level == 0.90 else NORMAL_95) * found.log_sd  # noqa: PLR2004
        spread = math.exp(min(reach, 700.0))
        return Figure(
            found.value, found.value / spread, found.value * spread,
            unit or UNITS.get(measure, ""), level=level, basis_shares={Basis.MODELLED: 1.0},
        )  # fmt: skip


class _Per(NamedTuple):
    """What a joule of IT amounts to in one place, and on whose account."""

    amounts: dict[str, Product | Missing]
    currency: str
    arrangement: Arrangement
    life_years: float | None


class Table(NamedTuple):
    """All points of a question, with what they were varied by."""

    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    currency: str


def axes_of(words: Iterable[str]) -> tuple[Axis, ...]:
    """Axes of words such as ``hardware=v100,a100 precision=fp32,bf16`` or ``params=1e8..1e11``.

    Raises
    ------
    UsageError
        If a word is no axis, or stands twice.
    """
    found: dict[str, Axis] = {}
    for word in (w for given in words for w in given.split()):
        name, equals, values = word.partition("=")
        name = _SAME.get(name, name.replace("-", "_"))
        if not equals or not values.strip(","):
            split = found and word[:1].isalnum() and not equals  # as in tokens=1B,2 T
            raise UsageError(
                f"“{word[:40]}” is nothing to vary",
                remedy="write values without spaces: tokens=1B,2T"
                if split
                else '--vary "hardware=a100,h100"',
            )
        _refuse_misspelt(name)
        if name in found:
            raise UsageError(f"{name} is varied twice", remedy=f"--vary {name}=A,B,C")
        found[name] = _axis(name, values)
    whole = math.prod(len(axis.values) for axis in found.values())
    if whole > MOST_POINTS:
        raise UsageError(f"{whole} points are too many", remedy=f"at most {MOST_POINTS}")
    return tuple(found.values())


def _refuse_misspelt(name: str) -> None:
    if name in _COMMON:
        return
    from difflib import get_close_matches  # only who missed pays for it

    close = get_close_matches(name, _COMMON, n=1, cutoff=0.8)
    if close:
        raise UsageError(f"“{name}” cannot be varied", remedy=f"did you mean {close[0]}?")


def vary(
    question: Question,
    axes: Sequence[Axis],
    reckoned: Callable[[Run], Footprint] = reckon,
) -> Table:
    """Every combination of the values of *axes*, all else as in *question*.

    Raises
    ------
    UsageError, CoverageError
        If a word is not understood, or no combination makes a training. Where only some make
        none, what those amount to is missing, with the reason.
    """
    maker = _Maker(question, axes, reckoned)
    names = [axis.name for axis in axes]
    points = [
        Point(dict(zip(names, values, strict=True)), maker.amounts(values))
        for values in itertools.product(*(axis.values for axis in axes))
    ]
    if maker.refused is not None and all(isinstance(p.amounts["energy"], Missing) for p in points):
        raise maker.refused
    return Table(tuple(axes), tuple(points), maker.currency)


def pareto(points: Sequence[Point], measures: Sequence[str] = JUDGED) -> list[bool]:
    """Whether no other point is as good in all *measures* and better in one, by best estimate."""
    rows = [tuple(_value(point.amounts[name]) for name in measures) for point in points]
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    best: list[int] = []
    kept = [False] * len(rows)
    for i in order:  # whoever beats it comes before it
        if not any(_beats(rows[k], rows[i]) for k in best):
            best.append(i)
            kept[i] = True
    return kept


class Change(NamedTuple):
    """By what one amount differs from another [ratio - 1], shared doubts cancelled."""

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval has one sign."""
        return self.low > 0 or self.high < 0


def change(before: Product, after: Product) -> Change:
    """How *after* differs from *before* (95 %), what is in both alike being no difference.

    Doubts of equal key move both together; those of different devices are independent.
    """
    keys = {*before.log_sds, *after.log_sds}
    sd = math.hypot(*(after.log_sds.get(k, 0.0) - before.log_sds.get(k, 0.0) for k in keys))
    ratio, spread = after.value / before.value, math.exp(NORMAL_95 * sd)
    return Change(ratio - 1, ratio / spread - 1, ratio * spread - 1)


# --- inside -------------------------------------------------------------------------------------


class _Made(NamedTuple):
    """What of a training its points need."""

    duration: Product  # [s]
    it: Product  # [J]
    rates: Rates


class _Maker:
    """What points amount to; each part is made once for equal words."""

    def __init__(
        self, question: Question, axes: Sequence[Axis], reckoned: Callable[[Run], Footprint]
    ) -> None:
        names = [axis.name for axis in axes]
        self._question, self._names, self._reckoned = question, names, reckoned
        self._of_place = tuple(i for i, name in enumerate(names) if name in PLACED)
        self._of_course = tuple(i for i, name in enumerate(names) if name not in PLACED)
        self._of_model = tuple(i for i in self._of_course if names[i] not in _NOT_OF_MODEL)
        long = (i for i in self._of_course if len(axes[i].numbers) > MOST_EXACT)
        self._curve = next((_Curve(i, axes[i]) for i in long), None)
        self._workloads: dict[tuple[str, ...], Workload | None] = {}
        self._made: dict[tuple[str, ...], _Made | UsageError] = {}
        self._machines: dict[str, Machine] = {}
        self._places: dict[tuple[str, ...], _Per] = {}
        self._owned: dict[tuple[object, ...], Product | Missing] = {}
        self.currency = ""
        self.refused: UsageError | None = None

    def amounts(self, values: tuple[str, ...]) -> dict[str, Product | Missing]:
        """What the point at *values* takes, draws and amounts to."""
        made = self._exactly(values) if self._curve is None else self._curved(self._curve, values)
        if isinstance(made, UsageError):
            self.refused = made
            return dict.fromkeys(MEASURES, Missing(str(made)))
        per = self._per(values, made)
        owned = (made.rates.key, made.rates.per_node, per.arrangement, per.life_years)
        if owned not in self._owned:
            self._owned[owned] = _embodied(made.rates, per)
        return _amounts(made, per, self._owned[owned])

    def _asked(self, values: tuple[str, ...]) -> Question:
        return _asked(self._question, dict(zip(self._names, values, strict=True)))

    def _exactly(self, values: tuple[str, ...]) -> _Made | UsageError:
        key = tuple([values[i] for i in self._of_course])
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._course(values)
        return found

    def _course(self, values: tuple[str, ...]) -> _Made | UsageError:
        asked, key = self._asked(values), tuple([values[i] for i in self._of_model])
        if key not in self._workloads:
            self._workloads[key] = asked.workload()
        workload = self._workloads[key]
        if asked.hardware not in self._machines:
            self._machines[asked.hardware] = machine_of(asked.hardware)
        rates = asked.rates(workload, self._machines[asked.hardware])
        spent = asked.spent(rates.count)
        try:
            made = course(workload, rates, device_hours=asked.device_hours, overheads=spent)
        except UsageError as exc:  # too slow, or fewer hours than it needs
            return exc
        return _Made(made.duration, made.it, rates)

    def _curved(self, curve: "_Curve", values: tuple[str, ...]) -> _Made | UsageError:
        """Between the knots of a long axis, doubts as well."""
        knots, share = curve.around(values)
        before, after = self._exactly(knots[0]), self._exactly(knots[1])
        if isinstance(before, UsageError) or isinstance(after, UsageError):
            return before if isinstance(before, UsageError) else after
        return _Made(
            _between(before.duration, after.duration, share),
            _between(before.it, after.it, share),
            before.rates,
        )

    def _per(self, values: tuple[str, ...], made: _Made) -> _Per:
        key = tuple([values[i] for i in self._of_place])
        found = self._places.get(key)
        if found is None:
            asked = self._asked(values)
            found = self._places[key] = _per(asked, made, self._reckoned)
            self.currency = self.currency or found.currency
        return found


class _Curve:
    """Knots along a long axis, at equal steps of the logarithm."""

    def __init__(self, index: int, axis: Axis) -> None:
        self._index = index
        low, high = math.log(axis.numbers[0]), math.log(axis.numbers[-1])
        step = (high - low) / (KNOTS - 1)
        self._knots = tuple(repr(math.exp(low + i * step)) for i in range(KNOTS))
        self._places = {
            word: (math.log(number) - low) / step
            for word, number in zip(axis.values, axis.numbers, strict=True)
        }

    def around(self, values: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], ...], float]:
        """Knots before and behind *values*, and how far these are from one to the other."""
        i = self._index
        place = self._places[values[i]]
        first = min(KNOTS - 2, max(0, int(place)))
        ends = self._knots[first : first + 2]
        return tuple([(*values[:i], knot, *values[i + 1 :]) for knot in ends]), place - first


def _between(one: Product, other: Product, share: float) -> Product:
    """A product between two, its value on a straight line of logarithms."""
    value = one.value * (other.value / one.value) ** share
    if one.log_sds == other.log_sds:
        return Product(value, one.log_sds)
    sds = {key: sd * (1 - share) for key, sd in one.log_sds.items()}
    for key, sd in other.log_sds.items():
        sds[key] = sds.get(key, 0.0) + sd * share
    return Product(value, sds)


def _axis(name: str, values: str) -> Axis:
    span = _SPAN.fullmatch(values)
    if span is None:
        found = tuple(dict.fromkeys(v for v in values.split(",") if v))
        return Axis(name, found)
    from submeter.workloads.counts import parse_count

    if name in _WORDS:
        raise UsageError(
            f"{name} has names, and no span of numbers", remedy=f'--vary "{name}=A,B,C"'
        )
    low, high = parse_count(span["low"], what=name), parse_count(span["high"], what=name)
    count = int(span["count"] or POINTS_OF_A_CURVE)
    if not 0 < low < high or count < 2:  # noqa: PLR2004  # a curve has two ends
        raise UsageError(f"{values} is no span", remedy=f"--sweep {name}=1e8..1e11")
    step = math.log(high / low) / (count - 1)
    numbers = tuple(low * math.exp(i * step) for i in range(count))
    return Axis(name, tuple(f"{x:.6g}" for x in numbers), numbers)


def _asked(question: Question, words: Mapping[str, str]) -> Question:
    """*question* with these *words* instead; hardware without a count keeps that of before."""
    changed: dict[str, object] = {}
    model, overheads = dict(question.model), dict(question.overheads)
    place = {name: word for name, word in words.items() if name in PLACED}
    for name, word in words.items():
        if name == "hardware":
            count = question.hardware.rpartition(":")[2]
            inherits = ":" in question.hardware and ":" not in word
            changed["hardware"] = f"{word}:{count}" if inherits else word
        elif name in {"precision", "mfu", "power"}:
            changed[name] = word
        elif name == "device_hours":
            changed[name] = _number(name, word)
        elif name in OVERHEADS:
            overheads[name] = _number(name, word)
        elif name not in PLACED:
            model[name] = word
    asked = msgspec.structs.replace(question, model=model, overheads=overheads, **changed)
    return asked.placed(**place) if place else asked


def _number(name: str, word: str) -> float:
    from submeter.workloads.counts import parse_count

    if name not in OVERHEADS:
        return parse_count(word, what=name)
    try:
        return float(word)  # none at all is one, too
    except ValueError:
        raise UsageError(
            f"{name} “{word[:40]}” is no number", remedy=f"--vary {name}=0,0.02,0.1"
        ) from None


def _amounts(made: _Made, per: _Per, per_hour: Product | Missing) -> dict[str, Product | Missing]:
    """What a point takes, draws and amounts to."""
    it = made.it
    amounts: dict[str, Product | Missing] = {"duration": made.duration}
    for name, each in per.amounts.items():
        amounts[name] = each if isinstance(each, Missing) else _both(it, each)
    hours = Product(made.duration.value * made.rates.count / S_PER_H, made.duration.log_sds)
    amounts["embodied"] = per_hour if isinstance(per_hour, Missing) else _both(hours, per_hour)
    return amounts


def _both(one: Product, other: Product) -> Product:
    sds = {**one.log_sds, **other.log_sds}
    if len(sds) < len(one.log_sds) + len(other.log_sds):
        for key in one.log_sds.keys() & other.log_sds.keys():
            sds[key] = one.log_sds[key] + other.log_sds[key]
    return Product(one.value * other.value, sds)


def _per(asked: Question, made: _Made, reckoned: Callable[[Run], Footprint]) -> _Per:
    """What a joule of IT amounts to where *asked*, of a run as long as this one."""
    exact = Quantity.of(_UNIT_J, basis=Basis.MODELLED)
    row = DeviceEnergy(Device("node", DeviceKind.REST, "IT", HOST), exact, exact)
    bare = Run(
        id="20260101-000000-0000",
        name="",
        origin="predicted",
        status="finished",
        started_utc=asked.started_utc,
        duration_s=made.duration.value,
        devices=(row,),
        place=dict(asked.place),
    )
    found = reckoned(bare)
    water = [a for a in (found.water.onsite, found.water.offsite) if isinstance(a, Amount)]
    dry = isinstance(found.water.offsite, Missing)
    amounts: dict[str, Amount | Missing] = {
        "energy": found.facility,
        "carbon": found.carbon.location,
        "water": found.water.offsite if dry else sum_amounts(water),
        "cost": found.money.electricity,
    }
    return _Per(
        {name: _product(amount, _UNIT_J) for name, amount in amounts.items()},
        found.money.currency,
        Arrangement(found.arrangement),
        restored(bare.place).hardware_life_years,
    )


def _embodied(rates: Rates, per: _Per) -> Product | Missing:
    """What an hour of one device bears of making it and its host [gCO2e]."""
    run = Run("", "predicted", "finished", "", S_PER_H, hosts=(host_of(rates),))
    owned = hardware_of(run, arrangement=per.arrangement, life_years=per.life_years)
    if not owned:
        return Missing("what of a server is held is not known")
    return _product(embodied_by_hours(owned, S_PER_H).total, rates.count)


def _product(amount: Amount | Missing, over: float) -> Product | Missing:
    """*amount* over an exact number as one product, whose doubts are as wide together."""
    if isinstance(amount, Missing):
        return amount
    if amount.value <= 0:
        return Missing("nothing at best estimate")
    figure = amount.figure("")
    whole = math.log(figure.high / figure.low) / (2 * NORMAL_95) if figure.low > 0 else 1.0
    shares = amount.shares_of_variance()
    sds = {key: whole * math.sqrt(share) for key, share in shares.items()}
    return Product(amount.value / over, sds)


def _value(amount: Product | Missing) -> float:
    return math.inf if isinstance(amount, Missing) else amount.value


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether *one* is as good everywhere and better somewhere; a hair is no difference."""
    return all(a <= b * (1 + _HAIR) for a, b in zip(one, other, strict=True)) and any(
        a < b * (1 - _HAIR) for a, b in zip(one, other, strict=True)
    )


_HAIR: Final = 1e-9
