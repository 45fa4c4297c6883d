# SPDX-License-Identifier: Apache-2.0
"""From the time of layers to their joules: classes of operators, their power, shares.

A second of a large matrix product and a second of an activation are not the same joules. So each
layer's time is divided among the classes of its operators, weighed by the power of the class, and
the shares of all are scaled to one: the measured total is divided, nothing is added to it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from submeter.records.layers import (
    BRACKETS,
    CLASSES,
    DATA,
    GRADIENTS,
    ClassPower,
    LayerCalibration,
    LayerProfile,
    LayerWork,
    OperatorClass,
    Part,
)

__all__ = ["LayerShare", "LayerShares", "Rates", "fit_rates", "powers_for", "shares_of"]

# Power per busy second against that of compute-bound operators, where nobody has repeated layers
# on this machine (`explain --calibrate-layers`): assumptions of ours, with their deviation. A
# processor's CPU second costs much the same whatever it does; a board's second does not.
_RELATIVE: Final[dict[str, dict[OperatorClass, tuple[float, float]]]] = {
    "processor": {
        "compute": (1.0, 0.1), "memory": (1.0, 0.15),
        "communication": (1.0, 0.2), "waiting": (1.0, 0.2),
    },
    "accelerator": {
        "compute": (1.0, 0.1), "memory": (0.75, 0.2),
        "communication": (0.5, 0.3), "waiting": (0.35, 0.4),
    },
}  # fmt: skip
ASSUMED: Final = "assumed: no layer was repeated on this machine"
COMPUTE_FLOP_PER_BYTE: Final = 4.0  # of products, where no rate could be fitted
_COLUMNS: Final = ("matmul", "attention", "convolution", "pointwise", "bytes", "calls")
_PRODUCT_KINDS: Final = ("linear", "conv", "attention", "lstm", "gru", "rnn", "bilinear")
_SWEEPS: Final = 400
_TINY: Final = 1e-12


class Rates(NamedTuple):
    """Time that operators take: seconds per FLOP of each kind of product, per byte, per call."""

    seconds: Mapping[str, float]
    rows: int = 0

    def of(self, work: LayerWork) -> float:
        """Time that *work* would take [s], up to a common factor."""
        amounts = columns_of(work)
        return math.fsum(self.seconds.get(c, 0.0) * amounts[c] for c in amounts)

    def operators(self, work: LayerWork) -> OperatorClass:
        """What bounds *work*: its products, or the bytes it moves."""
        if work.communicates:
            return "communication"
        if work.flop <= 0:
            return "memory"
        flop_s = self.seconds.get(product_of(work.operator), 0.0) * work.flop
        bytes_s = self.seconds.get("bytes", 0.0) * work.bytes_moved
        if flop_s <= 0 or bytes_s <= 0:
            dense = work.flop >= COMPUTE_FLOP_PER_BYTE * work.bytes_moved
            return "compute" if dense else "memory"
        return "compute" if flop_s >= bytes_s else "memory"


class LayerShare(msgspec.Struct, frozen=True):
    """Share of one module's one part in one class of operators.

    Attributes
    ----------
    ratio
        Of the energy of the whole step [1].
    time_ratio
        Of its busy time [1].
    busy_s, wall_s, calls
        Per sampled step.
    flop, bytes_moved
        Per step, of products [FLOP] and of all operators [B]; nothing where none was counted.
    sd_ratio
        How far off ``ratio`` may be, relative to it: scatter between steps, power of the class.
    """

    module: str
    kind: str
    part: Part
    operators: OperatorClass
    ratio: float
    time_ratio: float
    busy_s: float
    wall_s: float
    calls: float
    flop: float = 0.0
    bytes_moved: float = 0.0
    sd_ratio: float = 0.0


class LayerShares(msgspec.Struct, frozen=True, kw_only=True):
    """How a step's energy is shared; shares sum to one.

    ``evaluations`` are what was sampled without gradients, as shares among themselves.
    """

    shares: tuple[LayerShare, ...]
    evaluations: tuple[LayerShare, ...] = ()
    powers: dict[str, ClassPower] = {}
    model: str = ""
    phase: str = ""
    clock: str = "processor"
    device: str = ""
    processes: int = 1
    sampled: int = 0
    seen: int = 0
    overhead_ratio: float = 0.0
    notes: tuple[str, ...] = ()

    def classes(self) -> dict[OperatorClass, float]:
        """Share of each class of operators, in the order of `CLASSES`."""
        found: dict[OperatorClass, float] = {}
        for name in CLASSES:
            ratio = math.fsum(s.ratio for s in self.shares if s.operators == name)
            if ratio > 0:
                found[name] = ratio
        return found

    def kinds(self) -> dict[str, float]:
        """Share of each kind of module, the largest first; brackets by their own names."""
        sums: dict[str, float] = {}
        for share in self.shares:
            key = share.kind or share.module
            sums[key] = sums.get(key, 0.0) + share.ratio
        return dict(sorted(sums.items(), key=lambda row: -row[1]))


class _Row(NamedTuple):
    """Time of one module in one part, all processes and steps together."""

    module: str
    kind: str
    part: Part
    calls: float
    wall_s: float
    busy_s: float
    sd_s: float


# --- rates ---------------------------------------------------------------------------------------


def product_of(operator: str) -> str:
    """Kind of product that an operator makes, by its name.

    >>> product_of("aten.mm"), product_of("aten._scaled_dot_product_flash_attention_for_cpu")
    ('matmul', 'attention')
    """
    if "attention" in operator or "attn" in operator:
        return "attention"
    return "convolution" if "conv" in operator else "matmul"


def columns_of(work: LayerWork) -> dict[str, float]:
    """Amounts that cost time: FLOP by kind of product, element-wise FLOP, bytes, calls."""
    found = {
        "pointwise": work.pointwise_flop,
        "bytes": work.bytes_moved,
        "calls": float(work.calls),
    }
    if work.flop > 0:
        found[product_of(work.operator)] = work.flop
    return found


def fit_rates(times: Sequence[float], works: Sequence[Sequence[LayerWork]]) -> Rates:
    """Rates under which *works* take *times* [s].

    Notes
    -----
    Least squares of ``(t - sum_c a_c x_c)^2 / t`` over ``a >= 0``, by coordinate descent: a sum of
    times of independent parts, whose scatter grows with its length.
    """
    rows = []
    for time_s, work in zip(times, works, strict=True):
        if time_s <= 0:
            continue
        sums = dict.fromkeys(_COLUMNS, 0.0)
        for item in work:
            for name, amount in columns_of(item).items():
                sums[name] += amount
        if any(sums.values()):
            weight = 1.0 / math.sqrt(time_s)
            rows.append(([sums[c] * weight for c in _COLUMNS], time_s * weight))
    if not rows:
        return Rates({})
    n = len(_COLUMNS)
    norms = [math.sqrt(math.fsum(x[i] ** 2 for x, _ in rows)) or 1.0 for i in range(n)]
    scaled = [([x[i] / norms[i] for i in range(n)], y) for x, y in rows]
    gram = [[math.fsum(x[i] * x[j] for x, _ in scaled) for j in range(n)] for i in range(n)]
    moment = [math.fsum(x[i] * y for x, y in scaled) for i in range(n)]
    found = [0.0] * n
    for _ in range(_SWEEPS):
        moved = 0.0
        for i in range(n):
            if gram[i][i] <= _TINY:
                continue
            rest = moment[i] - math.fsum(gram[i][j] * found[j] for j in range(n) if j != i)
            new = max(0.0, rest / gram[i][i])
            moved, found[i] = max(moved, abs(new - found[i])), new
        if moved <= _TINY * max(found, default=1.0):
            break
    seconds = {c: found[i] / norms[i] for i, c in enumerate(_COLUMNS) if found[i] > 0}
    return Rates(seconds, len(rows))


# --- shares --------------------------------------------------------------------------------------


def powers_for(clock: str, calibration: LayerCalibration | None) -> dict[str, ClassPower]:
    """Power of each class per busy second: as repeated on this machine, else assumed.

    Classes that nobody repeated have their assumed power relative to compute-bound operators. What
    was repeated while others were at work, and so is less sure than the assumption, is not used.
    """
    relative = _RELATIVE.get(clock, _RELATIVE["processor"])
    known = {}
    if calibration is not None and calibration.clock == clock:
        known = {p.operators: p for p in calibration.powers if is_surer(p, clock)}
    unit_w = known["compute"].power_w if "compute" in known else 1.0
    found: dict[str, ClassPower] = {}
    for name in CLASSES:
        ratio, sd_ratio = relative[name]
        if name in known and ("compute" in known or name == "compute"):
            found[name] = known[name]
        else:
            found[name] = ClassPower(name, ratio * unit_w, sd_ratio, 0, ASSUMED)
    return found


def is_surer(power: ClassPower, clock: str) -> bool:
    """Whether *power*, as repeated, tells more than what is assumed of its class anyhow."""
    relative = _RELATIVE.get(clock, _RELATIVE["processor"])
    return power.power_w > 0 and power.sd_ratio <= relative[power.operators][1]


def shares_of(
    profiles: Sequence[LayerProfile], calibration: LayerCalibration | None = None
) -> LayerShares:
    """Shares of the energy of a training step by layer, part and class of operators.

    Parameters
    ----------
    profiles
        Of the processes of one run; of several ranks they are added up.
    calibration
        What repeating layers told of this machine.

    Notes
    -----
    The share of row *i* in class *c* is ``T_i f_ic P_c / sum_jd T_j f_jd P_d``: busy time, the
    part of it that operators of the class take by the fitted rates, and the power of the class.
    """
    profiles = [p for p in profiles if p.times]
    if not profiles:
        return LayerShares(shares=())
    first = max(profiles, key=lambda p: p.busy_s)
    profiles = [p for p in profiles if p.clock == first.clock]
    rows = _rows(profiles)
    counted = next((p for p in (first, *profiles) if p.work), first)
    work = _by_place(counted.work)
    training = [r for r in rows if r.part != "evaluation"]
    timed = [w for w in counted.work if w.busy_s > 0]
    if timed:
        rates = fit_rates([w.busy_s for w in timed], [[w] for w in timed])
    else:
        rates = fit_rates(
            [r.busy_s for r in training], [work.get((r.module, r.part), []) for r in training]
        )
    sampled = sum(p.steps.sampled for p in profiles)
    powers = powers_for(first.clock, calibration)
    several = len(profiles) > 1
    seen = sum(p.steps.seen for p in profiles)
    total_s = math.fsum(p.steps.total_s for p in profiles)
    spent_s = math.fsum(p.steps.spent_s for p in profiles)
    return LayerShares(
        shares=tuple(_shares(training, work, rates, powers, sampled, several=several)),
        evaluations=tuple(
            _shares([r for r in rows if r.part == "evaluation"], {}, rates, powers, sampled,
                    several=several)
        ),
        powers=powers,
        model=first.model,
        phase=first.phase,
        clock=first.clock,
        device=first.device,
        processes=len(profiles),
        sampled=sampled,
        seen=seen,
        overhead_ratio=spent_s / total_s if total_s > 0 else 0.0,
        notes=_notes(profiles, counted),
    )  # fmt: skip


def _rows(profiles: Iterable[LayerProfile]) -> list[_Row]:
    sums: dict[tuple[str, Part], list[float]] = {}
    kinds: dict[tuple[str, Part], str] = {}
    for profile in profiles:
        for time in profile.times:
            key = time.module, time.part
            kinds.setdefault(key, time.kind)
            row = sums.setdefault(key, [0.0] * 4)
            row[0] += time.calls
            row[1] += time.wall_s
            row[2] += time.busy_s
            row[3] = math.hypot(row[3], time.sd_s * profile.steps.sampled)
    return [_Row(module, kinds[module, part], part, *row) for (module, part), row in sums.items()]


def _by_place(work: Iterable[LayerWork]) -> dict[tuple[str, Part], list[LayerWork]]:
    found: dict[tuple[str, Part], list[LayerWork]] = {}
    for item in work:
        found.setdefault((item.module, item.part), []).append(item)
    return found


def _shares(
    rows: Sequence[_Row],
    work: Mapping[tuple[str, Part], Sequence[LayerWork]],
    rates: Rates,
    powers: Mapping[str, ClassPower],
    sampled: int,
    *,
    several: bool,
) -> list[LayerShare]:
    busy_s = math.fsum(max(0.0, r.busy_s) for r in rows)
    if busy_s <= 0:
        return []
    split = [(row, _split(row, work, rates, several=several)) for row in rows]
    whole = math.fsum(
        row.busy_s * ratio * powers[name].power_w
        for row, parts in split
        for name, ratio in parts.items()
    )
    n = max(1, sampled)
    found = []
    for row, parts in split:
        own = work.get((row.module, row.part), ())
        noise = row.sd_s / row.busy_s if row.busy_s > 0 else 0.0
        for name, ratio in parts.items():
            mine = [w for w in own if rates.operators(w) == name] if len(parts) > 1 else own
            found.append(
                LayerShare(
                    module=row.module,
                    kind=row.kind,
                    part=row.part,
                    operators=name,
                    ratio=row.busy_s * ratio * powers[name].power_w / whole,
                    time_ratio=row.busy_s * ratio / busy_s,
                    busy_s=row.busy_s * ratio / n,
                    wall_s=row.wall_s * ratio / n,
                    calls=row.calls / n,
                    flop=math.fsum(w.flop for w in mine),
                    bytes_moved=math.fsum(w.bytes_moved for w in mine),
                    sd_ratio=math.hypot(noise, powers[name].sd_ratio),
                )
            )
    return found


def _split(
    row: _Row,
    work: Mapping[tuple[str, Part], Sequence[LayerWork]],
    rates: Rates,
    *,
    several: bool,
) -> dict[OperatorClass, float]:
    """Parts of a row's time by class of operators; they sum to one."""
    if row.module == DATA:
        return {"waiting": 1.0}
    if row.module == GRADIENTS and several:
        return {"communication": 1.0}
    own = work.get((row.module, row.part), ())
    if not own and row.part == "recomputation":  # it does again what the forward pass did
        own = work.get((row.module, "forward"), ())
    if not own:
        return {class_by_name(row.kind, row.module): 1.0}
    sums: dict[OperatorClass, float] = {}
    fitted = not all(item.busy_s > 0 for item in own)
    for item in own:
        name = rates.operators(item)
        sums[name] = sums.get(name, 0.0) + (rates.of(item) if fitted else item.busy_s)
    whole = math.fsum(sums.values())
    if whole <= 0:
        return {next(iter(sums)): 1.0}
    return {name: part / whole for name, part in sums.items() if part > 0}


def class_by_name(kind: str, module: str = "") -> OperatorClass:
    """What usually bounds a module of class *kind*, where its operators were not counted.

    >>> class_by_name("Linear"), class_by_name("LayerNorm"), class_by_name("", "(data)")
    ('compute', 'memory', 'waiting')
    """
    if module in BRACKETS:
        return "waiting" if module == DATA else "memory"
    word = kind.lower()
    if word.endswith(("norm", "norm1d", "norm2d", "norm3d")):
        return "memory"
    return "compute" if any(name in word for name in _PRODUCT_KINDS) else "memory"


def _notes(profiles: Sequence[LayerProfile], counted: LayerProfile) -> tuple[str, ...]:
    words = [note for p in profiles for note in p.notes]
    words += [p.trouble for p in profiles if p.trouble]
    if not counted.work:
        words.append(
            "operations were not counted (too few steps): classes are those that such layers "
            "usually have"
        )
    shapes = max(p.shapes for p in profiles)
    if shapes > 1 and counted.work:
        words.append(f"inputs had {shapes} shapes; operations are those of one step")
    return tuple(dict.fromkeys(words))
