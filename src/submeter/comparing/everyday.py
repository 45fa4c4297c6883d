# SPDX-License-Identifier: Apache-2.0
"""What everyday tasks used, for each unit of work, and what a training is beside them."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from submeter.comparing.differences import Known, change, renamed
from submeter.comparing.loads import LoadStats, Scaling, load_stats, scaling
from submeter.comparing.runs import MODEL_SLOPE
from submeter.comparing.sharing import machine, naming
from submeter.comparing.spreads import mean_reach
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.everyday import Everyday, Round
from submeter.records.factors import NORMAL_95
from submeter.records.figures import Basis, ErrorTerm, Figure, Missing, Quantity, total
from submeter.records.footprints import Footprint
from submeter.records.runs import DeviceEnergy, Run

QUIET_RATIO: Final = 0.05  # of the machine that others may use, or a hypervisor take
REPEAT_RATIO: Final = 0.10  # by which rounds of one task may differ on a quiet machine
IDLE: Final = "idle"
_MINUTE_S: Final = 60.0
_RATIO: Final = "1"

# What each task is, for people; and each way of those that have two.
WORDS: Final = {
    "idle": "idle machine, a minute",
    "sql-transactions": "SQLite, a transfer",
    "sql-query": "SQLite, an analytical query",
    "postgres-transactions": "PostgreSQL, a transaction",
    "postgres-query": "PostgreSQL, an aggregate",
    "http": "web server, a request",
    "sort": "sorting, a million records",
    "text": "JSON and zlib, a megabyte",
    "page": "rendering, a page to PDF",
    "prediction": "query of 5 000 rows",
    "report": "report of 200 customers",
}
WAYS: Final = {
    "without": "alone", "with": "and a prediction",
    "naive": "200 queries", "efficient": "one query",
}  # fmt: skip
# How many units of a task are told as one.
TOLD: Final = {"sort": 1_000_000.0, IDLE: _MINUTE_S}


class Cost(NamedTuple):
    """A task in one of its ways: energy for what is told as one, and how it was found."""

    task: str
    way: str
    unit: str
    units: float  # done in all rounds
    per: float  # units that are told as one
    energy_j: float  # of all rounds
    energy: Quantity | Missing  # the same with its doubts
    each: Figure | Missing  # [J]
    rounds_j: tuple[float, ...]  # for what is told as one, by round
    power_w: float
    use_ratio: float  # of all processors of the machine
    cpu_s_each: float
    wall_s: float
    others_ratio: float  # of the machine that everybody else used
    stolen_ratio: float
    load: LoadStats | Missing  # in processors in use
    scaling: Scaling | Missing

    @property
    def words(self) -> str:
        """The task in words."""
        way = WAYS.get(self.way, "")
        return f"{WORDS.get(self.task, self.task)}{', ' + way if way else ''}"

    @property
    def spread_ratio(self) -> float | None:
        """By how much rounds differ: highest less lowest, over their mean; None for one round."""
        return spread(self.rounds_j)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody else was at work on the machine meanwhile."""
        return self.others_ratio <= QUIET_RATIO and self.stolen_ratio <= QUIET_RATIO


class Added(NamedTuple):
    """What a way costs beyond another, for each unit of work."""

    task: str
    base: Cost
    more: Cost
    added: Figure | Missing  # [J]
    ratio: float


class Training(NamedTuple):
    """The run that everyday computing stands beside, at the same boundary."""

    name: str
    run: Run
    made: Footprint
    power_w: tuple[float, ...]  # in slots of equal length, of the devices that are read
    slot_s: float
    use_ratio: float | None = None  # of its processors or boards, where it was read

    @property
    def node(self) -> Figure | Missing:
        """Energy at the node, the boundary of the tasks [J]."""
        amount = self.made.node
        return amount if isinstance(amount, Missing) else amount.figure("J")

    @property
    def facility(self) -> Figure | Missing:
        """Energy at the wall of the facility [J]."""
        amount = self.made.facility
        return amount if isinstance(amount, Missing) else amount.figure("J")

    @property
    def duration_s(self) -> float:
        """How long it took."""
        return self.run.duration_s

    @property
    def load(self) -> LoadStats | Missing:
        """How its power was."""
        if not self.power_w:
            return Missing("its readings are gone")
        return load_stats([self.power_w], self.slot_s)


class Paced(NamedTuple):
    """A task at a part of full load: what a unit costs then, and how the load was."""

    task: str
    full: Cost
    use_ratio: float  # of full load
    each: Figure | Missing
    load: LoadStats | Missing
    more_ratio: float  # energy of a unit over that at full load


def costs(found: Everyday) -> tuple[Cost, ...]:
    """Each task in each of its ways."""
    seen = dict.fromkeys((r.task, r.way) for r in found.rounds if r.kind in {"one", "idle"})
    return tuple(_cost(found, task, way) for task, way in seen)


def cost_of(found: Everyday, task: str, way: str = "") -> Cost | None:
    """One task; None if it did not run."""
    return next((c for c in costs(found) if c.task == task and way in {"", c.way}), None)


def added(found: Everyday, task: str, base: str, more: str) -> Added | None:
    """What *more* costs beyond *base*, two ways of a task that ran in turns.

    Notes
    -----
    The value is the difference of the two energies for a unit. Both were metered alike, so its
    interval has the relative width of the dearer one.
    """
    a, b = cost_of(found, task, base), cost_of(found, task, more)
    if a is None or b is None:
        return None
    if isinstance(a.each, Missing) or isinstance(b.each, Missing):
        why = a.each if isinstance(a.each, Missing) else b.each
        return Added(task, a, b, why if isinstance(why, Missing) else Missing(""), math.nan)
    value = b.each.value - a.each.value
    ends = sorted((value * b.each.low / b.each.value, value * b.each.high / b.each.value))
    figure = Figure(
        value, ends[0], ends[1], "J", source=b.each.source, basis_shares=b.each.basis_shares
    )
    return Added(task, a, b, figure, b.each.value / a.each.value)


def paced(found: Everyday) -> tuple[Paced, ...]:
    """Tasks that were served at a part of full load, too."""
    rows = [r for r in found.rounds if r.kind == "paced"]
    made = (_paced(found, row) for row in rows)
    return tuple(row for row in made if row is not None)


def spread(values: Sequence[float]) -> float | None:
    """Highest less lowest of *values*, over their mean; None for fewer than two."""
    if len(values) < 2:  # noqa: PLR2004
        return None
    mean = math.fsum(values) / len(values)
    return (max(values) - min(values)) / mean if mean > 0 else None


def quiet_words(rows: Sequence[Cost]) -> str:
    """What is to be said of how quiet the machine was; "" if it was."""
    loud = [c for c in rows if not c.is_quiet]
    unlike = [c for c in rows if c.is_quiet and (c.spread_ratio or 0.0) > REPEAT_RATIO]
    said = []
    if loud:
        worst = max(loud, key=lambda c: max(c.others_ratio, c.stolen_ratio))
        taken = max(worst.others_ratio, worst.stolen_ratio)
        who = "others used" if worst.others_ratio >= worst.stolen_ratio else "the host took"
        said.append(
            f"the machine was not quiet: {who} up to {100 * taken:.0f} % of its processors "
            f"({worst.words}), so {len(loud)} of {len(rows)} tasks may not repeat within "
            f"{100 * REPEAT_RATIO:.0f} %"
        )
    if unlike:
        names = ", ".join(c.words for c in unlike)
        said.append(f"rounds differ by more than {100 * REPEAT_RATIO:.0f} %: {names}")
    return "; ".join(said)


def ratio_of(whole: Figure, each: Figure) -> Figure:
    """How many of *each* make up *whole*.

    Their doubts are taken as independent, which they are not where one meter told both: the
    interval is rather too wide than too narrow.
    """
    value = whole.value / each.value

    def side(own: float, other: float) -> float:
        return math.exp(math.hypot(math.log(own), math.log(other)))

    up = side(whole.high / whole.value, each.value / each.low) if each.low > 0 else math.inf
    low_ends = whole.low > 0
    down = side(whole.value / whole.low, each.high / each.value) if low_ends else math.inf
    shares = max((whole, each), key=lambda f: list(Basis).index(f.basis)).basis_shares
    return Figure(value, value / down, value * up, _RATIO, basis_shares=shares)


def equal(found: Everyday, training: Training, cost: Cost) -> Figure | Missing:
    """How many of a task use as much as the run, both at the node.

    Notes
    -----
    Doubts that both share, such as the gain of one sensor or a model of one machine, cancel; what
    such a model is off by between two loads does not (as when runs are compared).
    """
    if isinstance(cost.energy, Missing):
        return cost.energy
    if cost.units <= 0:
        return Missing("no work was done")
    quantity = cost.energy.scaled(cost.per / cost.units)
    looked = _as_run(found, quantity)
    each = renamed(Amount.of(quantity), naming(looked))
    node = training.made.node
    whole = node if isinstance(node, Missing) else renamed(node, naming(training.run))
    log_sd = 0.0
    if isinstance(whole, Amount) and machine(looked) == machine(training.run):
        log_sd = _between_loads(whole, training.run.duration_s, each, cost)
    both = change(Known(each), Known(whole), log_sd=log_sd)
    if isinstance(both, Missing):
        return both
    weaker = max((each, whole), key=_weakness) if isinstance(whole, Amount) else each
    shares = weaker.figure("J").basis_shares
    return Figure(both.ratio, both.ratio_low, both.ratio_high, _RATIO, basis_shares=shares)


# --- inside -------------------------------------------------------------------------------------


def _cost(found: Everyday, task: str, way: str) -> Cost:
    rounds = found.of(task, way, "idle" if task == IDLE else "one")
    per = TOLD.get(task, 1.0)
    units = math.fsum(r.units for r in rounds)
    wall_s = math.fsum(r.wall_s for r in rounds)
    capacity_s = wall_s * found.processors
    energy = _energy(rounds, f"rounds of {task} {way}")
    energy_j = energy.value if isinstance(energy, Quantity) else math.nan
    each = [
        r.energy.value / r.units * per
        for r in rounds
        if isinstance(r.energy, Quantity) and r.units > 0
    ]
    return Cost(
        task=task,
        way=way,
        unit=found.units.get(task, "unit"),
        units=units,
        per=per,
        energy_j=energy_j,
        energy=energy,
        each=_each(energy, units, per),
        rounds_j=tuple(each),
        power_w=energy_j / wall_s if wall_s > 0 else math.nan,
        use_ratio=math.fsum(r.cpu_s for r in rounds) / capacity_s,
        cpu_s_each=math.fsum(r.cpu_s for r in rounds) / units * per if units > 0 else math.nan,
        wall_s=wall_s,
        others_ratio=math.fsum(r.others_s for r in rounds) / capacity_s,
        stolen_ratio=math.fsum(r.stolen_s for r in rounds) / capacity_s,
        load=_load(rounds),
        scaling=_scaling(found, task, rounds),
    )


def _energy(rounds: Sequence[Round], label: str) -> Quantity | Missing:
    """Energy of all rounds, with the doubt of its mean for a unit that their spread gives it."""
    lacking = next((r.energy for r in rounds if isinstance(r.energy, Missing)), None)
    if lacking is not None or not rounds:
        return lacking or Missing("it did not run")
    known = [r.energy for r in rounds if isinstance(r.energy, Quantity)]
    each = [q.value / r.units for q, r in zip(known, rounds, strict=True) if r.units > 0]
    whole = total(known)
    if len(each) < 2 or math.fsum(each) <= 0:  # noqa: PLR2004  # a spread takes two
        return whole
    sd = mean_reach(each) / NORMAL_95 / (math.fsum(each) / len(each))
    return whole.with_terms([ErrorTerm(label, relative_sd=sd)])


def _each(energy: Quantity | Missing, units: float, per: float) -> Figure | Missing:
    if isinstance(energy, Missing):
        return energy
    if units <= 0:
        return Missing("no work was done")
    return energy.scaled(per / units).figure("J")


def _load(rounds: Sequence[Round]) -> LoadStats | Missing:
    rows = [r.busy for r in rounds if r.busy]
    if not rows:
        return Missing("the load could not be read")
    return load_stats(rows, rounds[0].busy_slot_s)


def _scaling(found: Everyday, task: str, rounds: Sequence[Round]) -> Scaling | Missing:
    many = found.of(task, kind="many")
    if not many:
        return Missing("it was run with one worker only")
    if not all(_quiet(r, found.processors) for r in (*rounds, *many)):
        return Missing("the machine was not quiet: others decide how much faster several are")
    one_s = math.fsum(r.wall_s for r in rounds)
    many_s = math.fsum(r.wall_s for r in many)
    if one_s <= 0 or many_s <= 0:
        return Missing("no work was done")
    return scaling(
        math.fsum(r.units for r in rounds) / one_s,
        math.fsum(r.units for r in many) / many_s,
        many[0].workers,
    )


def _quiet(row: Round, processors: int) -> bool:
    return max(row.others_s, row.stolen_s) <= QUIET_RATIO * row.wall_s * processors


def _paced(found: Everyday, row: Round) -> Paced | None:
    full = cost_of(found, row.task)
    if full is None or row.wall_s <= 0:
        return None
    rounds = found.of(row.task)
    rate = math.fsum(r.units for r in rounds) / math.fsum(r.wall_s for r in rounds)
    each = _each(row.energy, row.units, full.per)
    known = isinstance(each, Figure) and isinstance(full.each, Figure)
    return Paced(
        task=row.task,
        full=full,
        use_ratio=row.units / row.wall_s / rate if rate > 0 else math.nan,
        each=each,
        load=_load([row]),
        more_ratio=each.value / full.each.value
        if known and isinstance(each, Figure) and isinstance(full.each, Figure)
        else math.nan,
    )


def _as_run(found: Everyday, quantity: Quantity) -> Run:
    """The look as a run, for what names doubts."""
    device = Device("look", DeviceKind.CPU, "", found.host.name if found.host else "")
    return Run(
        id=found.run_id,
        origin="measured",
        status="finished",
        started_utc=found.made_utc,
        duration_s=found.wall_s,
        hosts=(found.host,) if found.host else (),
        devices=(DeviceEnergy(device, quantity, quantity),),
    )


def _between_loads(whole: Amount, duration_s: float, each: Amount, cost: Cost) -> float:
    """Doubt of the ratio that a model of one machine leaves between two loads [log]."""
    shares = [_modelled_ratio(amount) for amount in (whole, each)]
    if duration_s <= 0 or min(shares) <= 0 or not cost.power_w > 0:
        return 0.0
    powers = (whole.value / duration_s * shares[0], cost.power_w * shares[1])
    return MODEL_SLOPE * abs(math.log(powers[0] / powers[1])) * sum(shares) / 2


def _modelled_ratio(amount: Amount) -> float:
    weak = math.fsum(v for b, v in amount.basis.items() if b in {Basis.MODELLED, Basis.ASSUMED})
    return weak / amount.value if amount.value > 0 else 0.0


def _weakness(amount: Amount) -> int:
    return list(Basis).index(amount.figure("J").basis)
