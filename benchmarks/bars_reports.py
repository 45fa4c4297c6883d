# SPDX-License-Identifier: Apache-2.0
"""Bars of reports: size and time of a day-long run on eight boards."""

import subprocess
import sys
import time

from benchmarks.outcomes import ROOT, Bar, Options, Outcome, absent, have, tests

_MAKE = """
import resource, sys, time
sys.path.insert(0, {root!r})
from tests.reporting.test_report import run_of
from submeter.accounting.boundaries import footprint
run = run_of(slots=86_400, boards=8)
prints = footprint(run, 1.2)
before = time.process_time()
from submeter.reporting.report import writing
from submeter.reporting.report.content import document_of
cold = writing.{kind}(document_of(run, prints))
cold_s = time.process_time() - before
before = time.process_time()
writing.{kind}(document_of(run, prints))
print(len(cold), cold_s, time.process_time() - before)
"""


def _made(kind: str) -> tuple[int, float, float]:
    """Bytes, processor seconds of the first and of the second time, in a process of its own."""
    code = _MAKE.format(root=str(ROOT), kind=kind)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    size, cold_s, warm_s = done.stdout.split()
    return int(size), float(cold_s), float(warm_s)


def page(options: Options) -> Outcome:
    del options
    if not (have("jinja2") and have("vl_convert")):
        return absent("jinja2 or vl-convert is not installed")
    start_s = time.monotonic()
    size, cold_s, warm_s = _made("html")
    figure = (
        f"{size / 1000:.0f} kB, processor {cold_s:.2f} s cold, {warm_s:.2f} s warm "
        f"(whole process {time.monotonic() - start_s:.1f} s with making the run)"
    )
    return Outcome(figure, size <= 600_000 and cold_s <= 2 and warm_s <= 0.6)


def paper(options: Options) -> Outcome:
    del options
    if not (have("typst") and have("vl_convert")):
        return absent("typst or vl-convert is not installed")
    size, cold_s, _ = _made("pdf")
    return Outcome(f"{size / 1000:.0f} kB, processor {cold_s:.2f} s", cold_s <= 3)


BARS = (
    Bar("HTML of a day on 8 boards: ≤ 600 kB, ≤ 2 s cold, 0.6 s warm", page),
    Bar("PDF of the same: ≤ 3 s", paper),
    Bar("same run, same bytes; names with markup are text; nothing loads",
        tests("same_bytes or f02_f03_names or loads_from_outside")),
)  # fmt: skip
