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
from submeter.estimating.predicting import HOST, Course, Product, course, host_of, predict
from submeter.estimating.rates import Rates
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.devices import Device, DeviceKind
from submeter.records.factors import NORMAL_95
from submeter.records.figures import Basis, Figure, Missing, Quantity
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run
from submeter.settings.recording import restored
from submeter.units import S_PER_H
from submeter.workloads.workloads import Operations, Workload

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
MOST_EXACT: Final = 250  # points of a curve that are all counted; more are between knots
KNOTS: Final = 65
_NOT_OF_MODEL: Final = frozenset({"device_hours", *PLACED, *OVERHEADS})
_UNIT_J: Final = 1e9  # of the run that a place is reckoned with; all is linear in it
_NORMAL_90: Final = 1.644854
_SPAN: Final = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?::(?P<count>\d+))?")
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
            raise UsageError(
                f"“{word[:40]}” is nothing to vary", remedy='--vary "hardware=a100,h100"'
            )
        if name in found:
            raise UsageError(f"{name} is varied twice", remedy=f"--vary {name}=A,B,C")
        found[name] = _axis(name, values)
    whole = math.prod(len(axis.values) for axis in found.values())
    if whole > MOST_POINTS:
        raise UsageError(f"{whole} points are too many", remedy=f"at most {MOST_POINTS}")
    return tuple(found.values())


def vary(
    question: Question,
    axes: Sequence[Axis],
    reckoned: Callable[[Run], Footprint] = reckon,
) -> Table:
    """Every combination of the values of *axes*, all else as in *question*."""
    places: dict[tuple[tuple[str, str], ...], _Per] = {}
    made_of: dict[tuple[object, ...], Product | Missing] = {}
    points: list[Point] = []
    long = [a for a in axes if len(a.numbers) > MOST_EXACT and a.name not in _NOT_OF_MODEL]
    maker = _Maker({axis.name: _Curve(axis) for axis in long})
    currency = ""
    for values in itertools.product(*(axis.values for axis in axes)):
        words = dict(zip((axis.name for axis in axes), values, strict=True))
        asked = _asked(question, words)
        workload = maker.workload(asked)
        rates = maker.rates(asked, workload)
        key = tuple(sorted(asked.place.items()))
        per = places.get(key)
        if per is None:
            per = places[key] = _per(asked, workload, rates, reckoned)
        owned = (rates.key, rates.per_node, per.arrangement, per.life_years)
        if owned not in made_of:
            made_of[owned] = _embodied(rates, per)
        made = maker.course(asked, workload, rates)
        points.append(Point(words, _amounts(made, rates, per, made_of[owned])))
        currency = currency or per.currency
    return Table(tuple(axes), tuple(points), currency)


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


class _Maker:
    """Machines, workloads, rates and courses of points, each made once for equal words."""

    def __init__(self, curves: Mapping[str, "_Curve"]) -> None:
        self._curves = curves
        self._workloads: dict[tuple[object, ...], Workload | None] = {}
        self._rates: dict[tuple[object, ...], Rates] = {}
        self._machines: dict[str, Machine] = {}
        self._courses: dict[tuple[object, ...], Course] = {}

    def workload(self, asked: Question) -> Workload | None:
        """What is trained: on a long curve between its knots."""
        key = (*map(str, asked.model.items()), asked.precision)
        if key not in self._workloads:
            curve = next((c for name, c in self._curves.items() if name in asked.model), None)
            self._workloads[key] = asked.workload() if curve is None else curve.at(asked)
        return self._workloads[key]

    def rates(self, asked: Question, workload: Workload | None) -> Rates:
        """How fast, and at what power."""
        key = (
            asked.hardware, asked.mfu, asked.power, asked.precision, asked.device_hours,
            id(workload),
        )  # fmt: skip
        if key not in self._rates:
            if asked.hardware not in self._machines:
                self._machines[asked.hardware] = machine_of(asked.hardware)
            self._rates[key] = asked.rates(workload, self._machines[asked.hardware])
        return self._rates[key]

    def course(self, asked: Question, workload: Workload | None, rates: Rates) -> Course:
        """How the training goes."""
        key = (id(workload), id(rates), asked.device_hours, *asked.overheads.items())
        if key not in self._courses:
            self._courses[key] = course(
                workload,
                rates,
                device_hours=asked.device_hours,
                overheads=asked.spent(rates.count),
            )
        return self._courses[key]


class _Curve:
    """Workloads along a number of the model, exact at knots and log-linear between them."""

    def __init__(self, axis: Axis) -> None:
        low, high = math.log(axis.numbers[0]), math.log(axis.numbers[-1])
        self._name, self._low = axis.name, low
        self._step = (high - low) / (KNOTS - 1)
        self._knots: dict[tuple[object, ...], Workload] = {}

    def at(self, asked: Question) -> Workload | None:
        """Workload at the value that *asked* has."""
        value = float(asked.model[self._name])
        place = (math.log(value) - self._low) / self._step
        first = min(KNOTS - 2, max(0, int(place)))
        before, after = self._knot(asked, first), self._knot(asked, first + 1)
        share = place - first

        def between(a: float, b: float) -> float:
            return a * (b / a) ** share if a > 0 and b > 0 else a + (b - a) * share

        names = before.operations.__struct_fields__
        one, other = before.operations, after.operations
        return msgspec.structs.replace(
            before,
            params=between(before.params, after.params),
            active_params=between(before.active_params, after.active_params),
            work={u: between(n, after.work[u]) for u, n in before.work.items()},
            operations=Operations(*(between(getattr(one, n), getattr(other, n)) for n in names)),
            spread_ratio=between(before.spread_ratio, after.spread_ratio),
        )

    def _knot(self, asked: Question, i: int) -> Workload:
        others = (item for item in asked.model.items() if item[0] != self._name)
        key = (i, asked.precision, *map(str, others))
        if key not in self._knots:
            value = math.exp(self._low + i * self._step)
            model = {**asked.model, self._name: value}
            found = msgspec.structs.replace(asked, model=model).workload()
            if found is None:
                raise UsageError("no model is given", remedy="--params 7B --tokens 2T")
            self._knots[key] = found
        return self._knots[key]


def _axis(name: str, values: str) -> Axis:
    span = _SPAN.fullmatch(values)
    if span is None:
        found = tuple(dict.fromkeys(v for v in values.split(",") if v))
        return Axis(name, found)
    from submeter.workloads.counts import parse_count

    low, high = parse_count(span["low"]), parse_count(span["high"])
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

    del name
    return parse_count(word)


def _amounts(
    made: Course, rates: Rates, per: _Per, per_hour: Product | Missing
) -> dict[str, Product | Missing]:
    """What a point takes, draws and amounts to."""
    it = made.it
    found: dict[str, Product | Missing] = {"duration": made.duration}
    for name, each in per.amounts.items():
        found[name] = each if isinstance(each, Missing) else _both(it, each)
    hours = Product(made.duration.value * rates.count / S_PER_H, made.duration.log_sds)
    found["embodied"] = per_hour if isinstance(per_hour, Missing) else _both(hours, per_hour)
    return found


def _both(one: Product, other: Product) -> Product:
    sds = dict(one.log_sds)
    for key, sd in other.log_sds.items():
        sds[key] = sds.get(key, 0.0) + sd
    return Product(one.value * other.value, sds)


def _per(
    asked: Question,
    workload: Workload | None,
    rates: Rates,
    reckoned: Callable[[Run], Footprint],
) -> _Per:
    """What a joule of IT amounts to where *asked*, of a run as long as this one."""
    run = predict(
        workload,
        rates,
        device_hours=asked.device_hours,
        place=asked.place,
        started_utc=asked.started_utc,
        reckoned=_nothing,
    ).run
    exact = Quantity.of(_UNIT_J, basis=Basis.MODELLED)
    row = DeviceEnergy(Device("node", DeviceKind.REST, "IT", HOST), exact, exact)
    bare = msgspec.structs.replace(run, devices=(row,), phases=(), work={}, hosts=())
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
        restored(run.place).hardware_life_years,
    )


def _embodied(rates: Rates, per: _Per) -> Product | Missing:
    """What an hour of one device bears of making it and its host [gCO2e]."""
    run = Run("", "predicted", "finished", "", S_PER_H, hosts=(host_of(rates),))
    owned = hardware_of(run, arrangement=per.arrangement, life_years=per.life_years)
    if not owned:
        return Missing("what of a server is held is not known")
    return _product(embodied_by_hours(owned, S_PER_H).total, rates.count)


def _nothing(run: Run) -> Footprint:
    del run
    why = Missing("not reckoned")
    return Footprint(devices=why, node=why, it=why, facility=why)


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
