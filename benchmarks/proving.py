# SPDX-License-Identifier: Apache-2.0
"""How often the prover errs, and how much it finds: docs/proving.md.

    python -m benchmarks.proving [--check] [--real]

Simulated pairs: each run scatters, the machine drifts under both (a random walk that warms up, a
neighbour who comes and goes), a coin decides who is first. ``--real`` also proves the digits
example against itself, which takes a minute or two.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from submeter.reducing import evidence

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "proving.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TRIALS: Final = 1000
SEED: Final = 20261123
NOISE: Final = 0.03


class World(NamedTuple):
    """How runs scatter about what they would use on a quiet machine."""

    name: str
    noise: Callable[[random.Random], float]  # ln of one run's factor
    drift_per_run: float = 0.0
    drift_sd: float = 0.0
    neighbour: float = 0.0  # what a neighbour adds, in stretches of about five runs


def _heavy(chance: random.Random) -> float:
    """Student's t with three degrees of freedom, as wide as the others."""
    z = chance.gauss(0, 1)
    chi2 = sum(chance.gauss(0, 1) ** 2 for _ in range(3))
    return NOISE * z / math.sqrt(chi2 / 3) / math.sqrt(3)


WORLDS: Final = (
    World("scatter alone", lambda c: c.gauss(0, NOISE)),
    World("and a machine that warms up", lambda c: c.gauss(0, NOISE), 0.004, 0.004),
    World("and a neighbour who comes and goes", lambda c: c.gauss(0, NOISE), 0.002, 0.004, 0.15),
    World("heavy tails, and all of these", _heavy, 0.002, 0.004, 0.15),
)


def differences(
    chance: random.Random, world: World, pairs: int, saving_ratio: float
) -> list[float]:
    """``ln(b / a)`` of *pairs* in *world*."""
    level, away, out = 0.0, False, []
    for _ in range(pairs):
        logs = []
        for _ in range(2):
            level += world.drift_per_run + chance.gauss(0, world.drift_sd)
            away = away if chance.random() < 0.8 else not away
            logs.append(level + world.neighbour * away + world.noise(chance))
        a, b = logs if chance.random() < 0.5 else logs[::-1]
        out.append(b + math.log1p(-saving_ratio) - a)
    return out


def false_savings(world: World, mode: evidence.Mode, pairs: int = 30) -> tuple[float, float]:
    """Share of comparisons of a with itself that show a saving, and any difference at all."""
    chance = random.Random(SEED)  # noqa: S311
    saved = differed = 0
    for _ in range(TRIALS):
        found = evidence.of_pairs(differences(chance, world, pairs, 0.0), mode)
        saved += found.high < 0
        differed += not found.low <= 0 <= found.high
    return saved / TRIALS, differed / TRIALS


def shown(world: World, mode: evidence.Mode, pairs: int, saving_ratio: float) -> float:
    """Share of comparisons that show a true *saving_ratio*."""
    chance = random.Random(SEED + pairs)  # noqa: S311
    found = (
        evidence.of_pairs(differences(chance, world, pairs, saving_ratio), mode)
        for _ in range(TRIALS)
    )
    return sum(f.high < 0 for f in found) / TRIALS


def real_digits(pairs: int = 5) -> dict[str, object]:
    """The digits example against itself, by the command that a user would type."""
    with tempfile.TemporaryDirectory() as home:
        words = [sys.executable, str(ROOT / "examples" / "digits.py")]
        done = subprocess.run(
            [sys.executable, "-m", "submeter", "prove", "--repeat", str(pairs), "--json",
             "--", *words, "---", *words],
            env={**os.environ, "SUBMETER_HOME": home, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"


def tables() -> str:
    lines = [
        f"{TRIALS} comparisons of a program with itself, looked at after each of 30 pairs:",
        "",
        "| runs scatter by 3 % | shown to save | shown to differ | one look at 8 pairs: to save |",
        "| --- | ---: | ---: | ---: |",
    ]
    for world in WORLDS:
        saved, differed = false_savings(world, "always")
        once, _ = false_savings(world, "fixed", 8)
        lines.append(
            f"| {world.name} | {_percent(saved)} | {_percent(differed)} | {_percent(once)} |"
        )
    lines += [
        "",
        f"A true saving, shown in so many of {TRIALS}, runs scattering by 3 %:",
        "",
        "| true saving | pairs | one look (`--fixed`) | looked at after each |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for saving in (0.05, 0.1, 0.2):
        for pairs in (4, 6, 8, 14):
            fixed = shown(WORLDS[0], "fixed", pairs, saving)
            always = shown(WORLDS[0], "always", pairs, saving)
            lines.append(
                f"| {_percent(saving)} | {pairs} | {_percent(fixed)} | {_percent(always)} |"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="How often the prover errs.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--real", action="store_true", help="prove the digits example, too")
    options = parser.parse_args()
    words = tables()
    print(words)
    if options.real:
        found = real_digits()
        print(f"digits against itself: shown {found['shown']}, {found['why']}")
    if not options.check:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n{words}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
