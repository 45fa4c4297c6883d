# SPDX-License-Identifier: Apache-2.0
"""Closed-form intervals against Monte-Carlo on random footprints: docs/intervals.md.

Run with ``python -m benchmarks.intervals``; ``--check`` only says whether the bar is cleared.

Each footprint is made twice from the same numbers: once of Amounts and Factors, and once by
drawing every gain, ratio and intensity and doing the arithmetic of the plant on the draws, which
knows nothing of the terms of an Amount.
"""

import argparse
import math
import random
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from submeter.accounting.boundaries import declared_pue, with_overhead
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.factors import HALF_NORMAL_95, NORMAL_95, Factor
from submeter.records.figures import Basis, ErrorTerm, Quantity, Shape

Draws = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "intervals.md"
DRAWS: Final = 100_000
FOOTPRINTS: Final = 200
SEED: Final = 20261123
BAR_RATIO: Final = 0.05
FIGURES: Final = {
    "node": "devices and the rest of the node",
    "facility": "node, and what the facility adds",
    "carbon": "facility × grid intensity over time, with loss",
    "carbon with hardware": "that, and embodied carbon",
    "water on the site": "node × water usage effectiveness",
    "water": "that, and facility × water at the generators",
}


class World:
    """Everything that is uncertain, drawn *n* times; the same name is the same variable."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self._drawn: dict[str, Draws] = {}

    def standard(self, name: str, shape: Shape = "normal") -> Draws:
        """Draws with mean 0 and standard deviation 1."""
        if name not in self._drawn:
            rng = np.random.default_rng((self.seed, zlib.crc32(name.encode())))
            half = math.sqrt(3.0)
            self._drawn[name] = (
                rng.uniform(-half, half, self.n)
                if shape == "uniform"
                else rng.standard_normal(self.n)
            )
        return self._drawn[name]

    def gain(self, term: ErrorTerm) -> Draws:
        """What a sensor or a model may be off by."""
        log_sd = math.sqrt(math.log1p(term.relative_sd**2))
        return np.exp(log_sd * self.standard(term.source_key, term.shape))

    def factor(self, row: Factor) -> Draws:
        """What a factor may be, by its 95 % interval."""
        z = self.standard(row.key)
        if row.value == 0:
            return row.high / HALF_NORMAL_95 * np.abs(z)
        up = math.log(row.high / row.value)
        down = math.log(row.value / row.low) if row.low > 0 else up
        return row.value * np.exp(max(up, down) / NORMAL_95 * z)


class Both(NamedTuple):
    """An amount in closed form, and drawn; hard bounds apart from the draws."""

    amount: Amount
    drawn: Draws
    bound: float = 0.0

    def times(self, row: Factor, world: World) -> "Both":
        top = row.value or row.high
        drawn = self.drawn * world.factor(row)
        return Both(self.amount.times(row), drawn, self.bound * top)


def both(parts: Iterable[Both]) -> Both:
    rows = list(parts)
    return Both(
        sum_amounts(row.amount for row in rows),
        np.sum([row.drawn for row in rows], axis=0),
        math.fsum(row.bound for row in rows),
    )


def lognormal(key: str, value: float, log_sd: float) -> Factor:
    wide = math.exp(NORMAL_95 * log_sd)
    return Factor(key, value, value / wide, value * wide, "", verified="copy")


def zero(key: str, high: float) -> Factor:
    return Factor(key, 0.0, 0.0, high, "", verified="copy")


def devices(rng: random.Random, world: World) -> Both:
    """One to sixteen boards, counters and models, with gains of their own or shared."""
    kinds = rng.choice((("board",), ("counter",), ("model",), ("board", "counter", "model")))
    alike = rng.random() < 0.5
    bounded = rng.random() < 0.5
    parts = []
    for i in range(rng.choice((1, 2, 4, 8, 16))):
        energy_j = 1e6 if alike else 10 ** rng.uniform(4, 7)
        terms = [gain(rng, rng.choice(kinds), i)]
        if rng.random() < 0.3:
            terms.append(ErrorTerm(f"split-by-cpu-time:{i}", rng.uniform(0.01, 0.2)))
        bound_j = energy_j * rng.uniform(0, 0.01) if bounded else 0.0
        quantity = Quantity.of(
            energy_j, basis=Basis.MEASURED, terms=terms, bound_low=bound_j, bound_high=bound_j
        )
        drawn = energy_j * np.prod([world.gain(t) for t in terms], axis=0)
        parts.append(Both(Amount.of(quantity), drawn, bound_j))
    return both(parts)


def gain(rng: random.Random, kind: str, i: int) -> ErrorTerm:
    if kind == "board":
        return ErrorTerm(f"nvml-gain:{i}", 0.05 / math.sqrt(3), shape="uniform")
    if kind == "counter":
        return ErrorTerm("rapl-package", rng.choice((0.03, 0.10)))
    relative_sd = math.sqrt(math.expm1(rng.uniform(0.1, 0.7) ** 2))
    return ErrorTerm(rng.choice(("cpu-power", f"cpu-power:{i}")), relative_sd)


def node(rng: random.Random, world: World) -> Both:
    """Devices, and in most cases the rest of the node as an uncertain ratio of them."""
    seen = devices(rng, world)
    if rng.random() < 0.2:
        return seen
    ratio = lognormal("rest-model", rng.uniform(0.05, 0.6), 0.5)
    return both((seen, seen.times(ratio, world)))


def facility(rng: random.Random, world: World, it: Both) -> Both:
    """PUE unknown, declared, 1, 1 or a little more, or cooling and distribution apart."""
    how = rng.choice(("prior", "prior", "declared", "one", "zero", "parts"))
    if how == "parts":
        cooling = lognormal("cooling", rng.uniform(0.03, 0.4), rng.uniform(0.2, 0.6))
        losses = lognormal("distribution", rng.uniform(0.02, 0.1), rng.uniform(0.2, 0.5))
        return both((it, it.times(cooling, world), it.times(losses, world)))
    pue = {
        "prior": Factor("pue", 1.56, 1.15, 2.5, "ratio"),
        "declared": declared_pue(rng.uniform(1.03, 1.8)),
        "one": declared_pue(1.0),
        "zero": Factor("pue", 1.0, 1.0, 1 + rng.uniform(0.02, 0.3), "ratio"),
    }[how]
    amount = sum_amounts((it.amount, *with_overhead(it.amount, pue).values()))
    above = Factor("pue", pue.value - 1, pue.low - 1, pue.high - 1, "ratio")
    top = pue.value if pue.value > 1 else pue.high
    return Both(amount, it.drawn * (1 + world.factor(above)), it.bound * top)


def carbon(rng: random.Random, world: World, wall: Both) -> Both:
    """Energy of one or six slots, each by an intensity of its own and a shared level."""
    level = lognormal("grid", 10 ** rng.uniform(1, 2.9), rng.uniform(0.05, 0.5))
    if rng.random() < 0.1:
        level = zero("grid", 30.0)
    shares = [rng.uniform(0.1, 1) for _ in range(rng.choice((1, 6)))]
    slots = []
    for i, share in enumerate(shares):
        ratio = share / sum(shares)
        part = Both(wall.amount.scaled(ratio), wall.drawn * ratio, wall.bound * ratio)
        shape = lognormal(f"slot:{i}", rng.uniform(0.3, 2), rng.uniform(0.05, 0.5))
        slots.append(part.times(shape, world) if len(shares) > 1 else part)
    emitted = both(slots).times(level, world)
    if rng.random() < 0.5:
        return emitted
    loss = lognormal("td-loss", rng.uniform(0.03, 0.2), rng.uniform(0.1, 0.6))
    return both((emitted, emitted.times(loss, world)))


def footprint(seed: int, n: int = DRAWS) -> dict[str, Both]:
    """A random footprint, in closed form and in *n* draws."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    world = World(n, seed)
    it = node(rng, world)
    wall = facility(rng, world, it)
    grams = carbon(rng, world, wall)
    size = max(grams.amount.value, it.amount.value)
    made = lognormal("embodied", size * 10 ** rng.uniform(-2, 1), rng.uniform(0.1, 0.7))
    bought = Both(Amount.exact(1.0, Basis.DERIVED), np.ones(n)).times(made, world)
    wue = lognormal("wue", rng.uniform(0.05, 2), rng.uniform(0.2, 0.9))
    if rng.random() < 0.4:
        wue = zero("wue", rng.uniform(0.1, 1))
    onsite = it.times(wue, world)
    ewif = lognormal("ewif", rng.uniform(0.5, 8), rng.uniform(0.2, 0.9))
    return {
        "node": it,
        "facility": wall,
        "carbon": grams,
        "carbon with hardware": both((grams, bought)),
        "water on the site": onsite,
        "water": both((onsite, wall.times(ewif, world))),
    }


class Row(NamedTuple):
    """One figure, and how far its ends are from the drawn ones, in widths of its interval."""

    name: str
    seed: int
    n_terms: int
    low_ratio: float
    high_ratio: float
    width_ratio: float  # of the interval, to the value
    took_s: float

    @property
    def worst(self) -> float:
        return max(abs(self.low_ratio), abs(self.high_ratio))


def rows_of(seed: int, n: int = DRAWS) -> Iterator[Row]:
    """Judge each figure of a footprint."""
    for name, (amount, drawn, bound) in footprint(seed, n).items():
        start = time.perf_counter()
        figure = amount.figure("")
        took_s = time.perf_counter() - start
        low, high = (float(x) for x in np.quantile(drawn, (0.025, 0.975)))
        low, high = max(0.0, low - bound), high + bound
        yield Row(
            name,
            seed,
            len(amount.terms),
            (figure.low - low) / (high - low),
            (figure.high - high) / (high - low),
            (high - low) / figure.value if figure.value > 0 else math.inf,
            took_s,
        )


def rows(n_footprints: int = FOOTPRINTS, n: int = DRAWS) -> list[Row]:
    return [row for i in range(n_footprints) for row in rows_of(SEED + i, n)]


def quantile(values: Iterable[float], p: float) -> float:
    return float(np.quantile(list(values), p))


def table(found: list[Row]) -> str:
    lines = [
        "| figure | what it is | lower end, worst | upper end, worst | 95 % of figures within |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, words in FIGURES.items():
        mine = [r for r in found if r.name == name]
        low = max((r.low_ratio for r in mine), key=abs)
        high = max((r.high_ratio for r in mine), key=abs)
        most = quantile((r.worst for r in mine), 0.95)
        lines.append(
            f"| {name} | {words} | {100 * low:+.1f} % | {100 * high:+.1f} % | {100 * most:.1f} % |"
        )
    return "\n".join(lines)


def page(found: list[Row], n_footprints: int) -> str:
    worst = max(found, key=lambda r: r.worst)
    middle = quantile((r.worst for r in found), 0.5)
    return f"""# How wide an interval is

*Made by `make figures` (`python -m benchmarks.intervals`); do not edit.*

Every figure that submeter shows comes with a 95 % interval, and that interval is reckoned, not
drawn: the same run gives the same figure, within a millisecond.

## The model

An amount is a sum of products,

    T = Σᵢ vᵢ · Πₖ exp(σᵢₖ Zₖ) + Σⱼ aⱼ · Πₖ exp(σⱼₖ Zₖ) · |Zⱼ|

with one independent variable *Z* for each source of doubt: a sensor's gain, a model, the PUE of
the place, the year's grid intensity.
The same source is the same variable wherever it enters, so that it moves all that it touches
together; different sources partly cancel.
*Z* is standard normal, or uniform between ±√3 for a tolerance.
The second sum is of factors that are zero at best estimate and may be a little more, such as water
at a site without evaporation; a value is never below zero.
PUE enters as node · (1 + (PUE − 1)), so that no interval reaches below the energy of the node.
What reading and integration may have missed at most is a hard bound and is added outside.

The interval is that of `submeter.records.intervals.interval`, which explains the method: the sum
is cut along the one direction in which it moves most, where its mean is known exactly; what the
others add is a small variance that shifts the quantile.
A sum of which one factor is uncertain has exactly the interval of that factor.
The interval always holds the value; what can only be more begins at it.

## Against Monte-Carlo

{n_footprints} random footprints ({len(found)} figures), each drawn {DRAWS:,} times by the
arithmetic of the plant rather than by the formula above:
one to sixteen devices with gains of their own or shared (uniform ±5 %, normal 3 or 10 %,
modelled with σ up to 0.7), the rest of the node (σ = 0.5), PUE unknown, declared, exactly 1,
1 or a little more, or by its parts, a grid with σ up to 0.5 and six slots of their own, loss,
hardware, water with σ up to 0.9, and factors of zero.
Both ends have to agree within {100 * BAR_RATIO:.0f} % of the width of the interval.

{table(found)}

The worst end is off by {100 * worst.worst:.1f} % of the width of its interval
({worst.name}, {worst.n_terms} terms); half of all figures agree within {100 * middle:.1f} %.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--footprints", type=int, default=FOOTPRINTS)
    options = parser.parse_args()
    found = rows(options.footprints)
    bad = [r for r in found if r.worst > BAR_RATIO]
    print(table(found))
    print(f"slowest: {1e3 * max(r.took_s for r in found):.1f} ms")
    if not options.check:
        PAGE.write_text(page(found, options.footprints), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    print(
        "\n".join(f"{r.name} of {r.seed}: {r.low_ratio:+.3f} {r.high_ratio:+.3f}" for r in bad)
        or "the bar is cleared"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
