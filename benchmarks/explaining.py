# SPDX-License-Identifier: Apache-2.0
"""Trees of a job whose energy is known, and an executed example: docs/explaining.md.

Run with ``python -m benchmarks.explaining``; with ``--measure`` the digits example is metered
anew on this machine, else what was kept of it is shown.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import long_explaining
from benchmarks.scripted import LONG, SHORT, Phase, scripted
from submeter.accounting.boundaries import footprint
from submeter.explaining.dividing import sums
from submeter.explaining.tree import OUTSIDE_NAME, explained
from submeter.records.amounts import Amount
from submeter.records.explanations import Branch
from submeter.running.observing import observed

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "explaining.md"
EXAMPLE: Final = ROOT / "benchmarks" / "data" / "explained_digits.txt"
PUE: Final = 1.2
BAR: Final = 0.02


class Row(NamedTuple):
    """One branch of a scripted job."""

    job: str
    device: str
    phase: str
    truth_j: float
    value_j: float
    low_j: float
    high_j: float

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low_j <= self.truth_j <= self.high_j

    @property
    def error(self) -> float:
        """Relative to the truth."""
        return self.value_j / self.truth_j - 1


class Tree(NamedTuple):
    """Branches of one job, and whether each level summed exactly."""

    rows: list[Row]
    exact: bool


def tree_of(name: str, phases: tuple[Phase, ...], length_s: float) -> Tree:
    """Branches of a job made of *phases*, beside the truth."""
    with tempfile.TemporaryDirectory(prefix="submeter-tree-") as folder:
        job = scripted(Path(folder), phases, length_s=length_s)
        tree = explained(job.run, footprint(job.run, PUE), observed(job.run, job.folder))
    rows = []
    for device in _below(tree, "device"):
        ident = str(device.detail["device"])
        for phase in phases:
            truth = job.truth_j.get((ident, phase.path))
            if truth is None:
                continue
            path = phase.path.split("/") if phase.path else [OUTSIDE_NAME]
            rows.append(Row(name, device.name, "/".join(path), truth, *_joules(device, path)))
    return Tree(rows, sums(tree))


def _below(branch: Branch, kind: str) -> Iterator[Branch]:
    for child in branch.children:
        if child.kind == kind:
            yield child
        else:
            yield from _below(child, kind)


def _joules(branch: Branch, path: list[str]) -> tuple[float, float, float]:
    """Value and interval of what lies at *path* below *branch* [J]."""
    for name in path:
        found = next((c for c in branch.children if c.name == name), None)
        if found is None:
            return 0.0, 0.0, 0.0
        branch = found
    if not isinstance(branch.energy, Amount):
        return 0.0, 0.0, 0.0
    figure = branch.energy.figure("J")
    return figure.value, figure.low, figure.high


def trees() -> list[Tree]:
    """The job in seconds, and the same in hundredths of a second."""
    return [tree_of("seconds", LONG, 120.0), tree_of("hundredths", SHORT, 60.0)]


def table(found: list[Tree]) -> str:
    """Each branch beside its truth."""
    lines = [
        "| phases of | device | phase | truth | in the tree | interval | off by |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for tree in found:
        lines += [
            f"| {r.job} | {r.device} | {r.phase} | {r.truth_j:.0f} J | {r.value_j:.0f} J |"
            f" {r.low_j:.0f} – {r.high_j:.0f} J | {100 * r.error:+.1f} % |"
            for r in tree.rows
        ]
    return "\n".join(lines)


def cost() -> str:
    """What explaining a day costs, from what was kept."""
    k = long_explaining.kept()
    readings = f"{int(k['readings']):,}".replace(",", " ")
    return (
        f"A day of {readings} readings ({k['journal_mb']} MB of journal) on eight boards and\n"
        f"four processors, with {k['layers']} layers, takes {k['explain_cpu_s']} s of CPU time\n"
        f"({k['json_cpu_s']} s with `--json`, {k['timeline_cpu_s']} s with `--timeline`),"
        " the start of the program included."
    )


def measure() -> None:
    """Meter the digits example, and keep what explain prints of it."""
    with tempfile.TemporaryDirectory(prefix="submeter-digits-") as home:
        env = {k: v for k, v in os.environ.items() if not k.startswith("SUBMETER_")}
        env |= {"SUBMETER_HOME": home, "COLUMNS": "80", "SUBMETER_ZONE": "DE", "TZ": "UTC"}
        ours = [sys.executable, "-m", "submeter"]
        script = ["python", "examples/digits.py"]
        subprocess.run([*ours, "run", "--quiet", "--name", "digits", "--", *script], env=env,
                       cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        said = [
            subprocess.run([*ours, "explain", *words], env=env, cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout
            for words in ((), ("--timeline",))
        ]  # fmt: skip
    timeline = said[1].removeprefix(said[0]).strip("\n")
    EXAMPLE.write_text(f"$ submeter explain digits --timeline\n{said[0]}\n{timeline}\n",
                       encoding="utf-8")  # fmt: skip


def written(text: str) -> str:
    """*text* of the page with its figures."""
    blocks = {
        "tree": table(trees()),
        "digits": "```console\n" + EXAMPLE.read_text(encoding="utf-8") + "```",
        "cost": cost(),
    }
    for name, block in blocks.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        text = f"{before}{mark}{block}\n{end}{after}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="meter the digits example anew")
    if parser.parse_args().measure:
        measure()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
