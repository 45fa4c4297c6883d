# SPDX-License-Identifier: Apache-2.0
"""What an estimate costs, and the examples of docs/what-if.md made anew.

python -m benchmarks.what_if [--costs]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "what-if.md"
BEGIN, END = "<!-- begin: benchmarks/what_if.py -->", "<!-- end: benchmarks/what_if.py -->"
LLAMA = ("--params", "7B", "--tokens", "2T", "--hardware", "h100-sxm:512", "--zone", "SE")
PRODUCT = (
    "hardware=v100:64,a100-sxm4-80gb:64,h100-sxm:64,tpu-v4:64,b200:64 zone=SE,DE,FR,PL,US "
    "precision=fp32,bf16 tokens=1T,2T,3T,4T,5T params=1e9..1e11:40"
)
POINTS = 10_000
EXAMPLES = (
    ("GPUs, a TPU and processors", (*LLAMA, "--vary", "hardware=v100,a100,h100,tpu-v4,cpu",
                                    "--chart")),
    ("How energy grows with parameters", (*LLAMA, "--sweep", "params=1e8..1e11:9")),
    ("Changes of the model", (*LLAMA, "--change", "prune=0.5:channels", "--change", "prune=0.9",
                              "--change", "prune=2:4", "--change", "precision=fp8",
                              "--change", "precision=int8", "--change", "distil=70B")),
    ("Neuromorphic chips", (*LLAMA, "--outlook", "neuromorphic")),
)  # fmt: skip
SHOWN = {"Changes of the model": "change ", "Neuromorphic chips": "outlook:"}  # where it begins


class Spent(NamedTuple):
    """What one process took."""

    wall_s: float
    processor_s: float
    out: str


def environment(home: str) -> dict[str, str]:
    """Of a child that finds this checkout, no settings, and a terminal of 80 columns."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SUBMETER_", "PYTHON"))}
    return kept | {
        "PYTHONPATH": str(ROOT / "src"), "SUBMETER_HOME": home, "XDG_CONFIG_HOME": home,
        "COLUMNS": "80", "TZ": "UTC",
    }  # fmt: skip


def estimate(*arguments: str) -> Spent:
    """Run ``submeter estimate`` in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "submeter", "estimate", *arguments],
            env=environment(home), cwd=home, capture_output=True, text=True, check=True,
        )  # fmt: skip
        wall_s = time.monotonic() - begun_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall_s, used_s, done.stdout)


def description(tries: int = 5) -> Spent:
    """Least that one estimate from a description takes, as a whole process."""
    return min((estimate(*LLAMA) for _ in range(tries)), key=lambda s: s.processor_s)


def points(words: str) -> Spent:
    """Ten thousand points in this process, without the start of Python."""
    from submeter.estimating.varying import axes_of, vary
    from submeter.interfaces.estimating import question_of
    from submeter.running.reckoning import reckoned

    asked = {"params": "7B", "tokens": "2T", "hardware": "h100-sxm:512", "zone": "SE"}
    question, axes = question_of(asked), axes_of([words])
    wall_s, used_s = time.monotonic(), time.process_time()
    made = vary(question, axes, reckoned)
    found = Spent(time.monotonic() - wall_s, time.process_time() - used_s, str(len(made.points)))
    if len(made.points) != POINTS:
        raise RuntimeError(f"{len(made.points)} points, not {POINTS}")
    return found


def costs() -> dict[str, Spent]:
    """Time of each thing that has a bar, least of several."""

    def best(words: str) -> Spent:
        return min((points(words) for _ in range(3)), key=lambda s: s.processor_s)

    return {
        "a description, whole process": description(),
        "a curve of 10 000 points": best(f"params=1e8..1e11:{POINTS}"),
        "a product of 10 000 points": best(PRODUCT),
        "the same with its table, whole process": estimate(*LLAMA, "--vary", PRODUCT),
    }


def examples() -> str:
    """Commands and what they print, as Markdown."""
    parts = []
    for title, arguments in EXAMPLES:
        words = " ".join(f'"{a}"' if "," in a else a for a in arguments)
        out = estimate(*arguments).out.rstrip()
        start = out.find(f"\n{SHOWN[title]}") + 1 if title in SHOWN else 0
        parts.append(f"### {title}\n\n```\n$ submeter estimate {words}\n{out[start:]}\n```\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Examples of docs/what-if.md, and costs.")
    parser.add_argument("--costs", action="store_true", help="print what estimates cost instead")
    if parser.parse_args().costs:
        print(json.dumps({n: [s.wall_s, s.processor_s] for n, s in costs().items()}, indent=2))
        return
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{examples()}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
