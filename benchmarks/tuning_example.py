# SPDX-License-Identifier: Apache-2.0
"""One search from the command line, as it went: docs/tuning.md.

    python -m benchmarks.tuning_example [--measure]

``--measure`` runs it (some half a minute of CPU time) and keeps what it said in
benchmarks/data/tuning_example.txt; without it the page is written from that.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile

from benchmarks.outcomes import ROOT

PAGE = ROOT / "docs" / "tuning.md"
SAID = ROOT / "benchmarks" / "data" / "tuning_example.txt"
BEGIN, END = "<!-- example: begin -->", "<!-- example: end -->"
COMMAND = [
    "submeter", "tune", "--set", "epochs=6,4", "--technique", "channels_last",
    "--keep", "accuracy ± 0.03", "--",
    "python", "examples/digits_widths.py", "--width", "8", "--batch", "128",
    "--epochs", "{epochs}",
]  # fmt: skip


def measured() -> str:
    """What the command says now."""
    place = COMMAND.index("python")
    words = [sys.executable, "-m", *COMMAND[:place], sys.executable, *COMMAND[place + 1 :]]
    with tempfile.TemporaryDirectory() as home:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SUBMETER_")}
        environment = {**kept, "SUBMETER_HOME": home, "XDG_CONFIG_HOME": home, "COLUMNS": "96"}
        done = subprocess.run(
            words, cwd=ROOT, env={**environment, "OMP_NUM_THREADS": "1"}, check=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return done.stdout.replace(sys.executable, "python")


def told() -> str:
    """The command in lines, and what it said."""
    cut = [COMMAND.index(w) for w in ("--technique", "--")]
    parts = [COMMAND[: cut[0]], COMMAND[cut[0] : cut[1]], COMMAND[cut[1] :]]
    lines = [" ".join(w if "{" in w else shlex.quote(w) for w in part) for part in parts]
    asked = " \\\n    ".join(lines)
    return f"```console\n$ {asked}\n{SAID.read_text(encoding='utf-8').rstrip()}\n```"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the search of docs/tuning.md.")
    parser.add_argument("--measure", action="store_true")
    if parser.parse_args().measure:
        SAID.write_text(measured(), encoding="utf-8")
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{told()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
