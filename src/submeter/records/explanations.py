# SPDX-License-Identifier: Apache-2.0
"""Why a run used what it used: a tree of its joules, what of them was wasted, what to do."""

from typing import Literal

import msgspec

from submeter.records.amounts import Amount
from submeter.records.figures import Figure, Missing

Kind = Literal[
    "wall",  # the root: all that the run used, at the boundary of the facility
    "overhead",  # of the facility, or of the node
    "node",
    "devices",  # several of a kind
    "device",
    "phase",
    "state",  # what the device was kept for
    "class",  # of operators: compute-, memory-, communication-bound
    "layer",
    "run",  # of a project
    "stage",  # of a project's life-cycle
    "unattributed",  # what is left, so that each level sums
]
State = Literal[
    "busy",
    "waiting for data",
    "waiting for peers",
    "checkpoint",
    "evaluation",
    "compile",
    "paused",
    "idle",
]
UNATTRIBUTED = "unattributed"


class Branch(msgspec.Struct, frozen=True):
    """A part of the run's energy [J] and the parts that it is made of.

    Children sum to their parent, in value to the last bit (`math.fsum`), with a branch named
    `UNATTRIBUTED` for what is left; a branch without children is not divided any further. A
    child whose energy is `Missing` counts nothing.

    Attributes
    ----------
    detail
        Where it is: ``device`` (id), ``path`` (of the phase), ``state``, ``duration_s``,
        ``utilisation_ratio``, ``count``, ``operations``, ``bytes``, ``run`` (id), …
    note
        What a reader should see beside it, in a few words.
    """

    name: str
    kind: Kind
    energy: Amount | Missing
    children: tuple["Branch", ...] = ()
    detail: dict[str, str | float] = {}
    note: str = ""


class Part(msgspec.Struct, frozen=True):
    """A share of a phase's energy that a profile tells: a class of operators, a layer.

    Parts of one parent sum to at most 1; ``sd_ratio`` is how far off the share may be, as a
    standard deviation relative to it.
    """

    name: str
    kind: Kind
    share_ratio: float
    sd_ratio: float = 0.0
    children: tuple["Part", ...] = ()
    detail: dict[str, str | float] = {}


class Waste(msgspec.Struct, frozen=True, kw_only=True):
    """Energy that brought nothing, priced at the boundary of the facility.

    Attributes
    ----------
    key
        Kind of waste, of `explaining.waste`: ``loader``, ``idle-tail``, ``checkpoints``, …
    name
        The same in a word or two, as a person reads it.
    energy
        At the wall [J], with the interval of both the meter and the rule.
    share_ratio
        Of the run's energy at the wall.
    why
        One sentence with the numbers that it was told by.
    detail
        These numbers, each with its unit in its name.
    places
        Devices, phases or runs that it concerns.
    """

    key: str
    name: str
    energy: Amount | Missing
    share_ratio: float | Missing
    why: str
    detail: dict[str, float] = {}
    places: tuple[str, ...] = ()
    source: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth trying, in this run's own terms.

    Attributes
    ----------
    text
        What to change, from what to what: ``loader workers 4 → 12``.
    saving, saving_ratio
        Expected, at the wall [J], and as a share of this run's energy [1].
    carbon, money
        What that is [gCO2e; the run's currency].
    price
        What it may cost: quality, time, work; empty if nothing.
    technique
        Name in `submeter.reduce`, or empty.
    setting
        Option or variable to change, or empty.
    prove
        Command that would show it.
    wastes
        Keys of the wastes that it cures.
    """

    key: str
    text: str
    saving: Figure | Missing
    saving_ratio: Figure | Missing
    carbon: Figure | Missing = Missing("not reckoned")
    money: Figure | Missing = Missing("not reckoned")
    price: str = ""
    technique: str = ""
    setting: str = ""
    prove: str = ""
    wastes: tuple[str, ...] = ()
    source: str = ""


class Withheld(msgspec.Struct, frozen=True):
    """An action that is not advised here, and why."""

    key: str
    text: str
    why: str
    source: str = ""


class CurvePoint(msgspec.Struct, frozen=True):
    """Quality that was reached, and the energy at the wall spent until then [J]."""

    elapsed_s: float
    energy_j: float
    value: float
    step: int | None = None


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What the energy was turned into: operations, samples, quality.

    Attributes
    ----------
    operations
        Floating-point operations of the model [FLOP], and how they are known.
    achieved_flop_per_s
        Operations over the duration.
    peak
        Of all boards together, at the precision that was used [FLOP/s].
    utilisation
        Model FLOP utilisation: achieved over peak [1].
    possible
        Achieved over what the roofline allows, the lesser of the peak and the memory's bandwidth
        times the operations per byte [1].
    per
        Energy at the wall per unit of work [J]: ``sample``, ``token``, ``step``, ``FLOP``.
    metric, higher_is_better
        The quality that the curve tells.
    curve
        Quality against energy, as logged.
    last_percent
        Energy from where 99 % of the way from the first value to the best was made, until the
        best [J]; ``last_percent_ratio`` is its part of all.
    per_point
        Energy at the wall per point (a hundredth) of each quality of the end [J].
    notes
        What was taken for what.
    """

    operations: float | Missing = Missing("not logged")
    operations_how: str = ""
    achieved_flop_per_s: float | Missing = Missing("not known")
    peak: Figure | Missing = Missing("not known")
    utilisation: Figure | Missing = Missing("not known")
    possible: Figure | Missing = Missing("not known")
    per: dict[str, Figure] = {}
    metric: str = ""
    higher_is_better: bool = True
    curve: tuple[CurvePoint, ...] = ()
    last_percent: Figure | Missing = Missing("no quality was logged")
    last_percent_ratio: float | Missing = Missing("no quality was logged")
    per_point: dict[str, Figure] = {}
    notes: tuple[str, ...] = ()


class Stall(msgspec.Struct, frozen=True):
    """A stretch of the time line that a reader should see, and its cause [s from the start]."""

    start_s: float
    end_s: float
    cause: str  # loader wait, checkpoint, compile, thermal throttle, evaluation, gap, ...
    where: str = ""  # device or phase
    energy_j: float | None = None  # of the devices meanwhile, where it is known


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All that explains a run, or a project."""

    name: str
    run_id: str = ""  # empty of a project
    tree: Branch
    waste: tuple[Waste, ...] = ()
    advice: tuple[Action, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    use: Use = Use()
    stalls: tuple[Stall, ...] = ()
    notes: tuple[str, ...] = ()
