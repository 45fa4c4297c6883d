# SPDX-License-Identifier: Apache-2.0
"""Bars of the techniques; the figures come from benchmarks/techniques.py, as stored."""

import statistics

from benchmarks import techniques, techniques_many
from benchmarks.outcomes import Bar, Options, Outcome, absent
from submeter.reducing.techniques import NAMES, technique

MOST_RATIO = 0.9


def every(options: Options) -> Outcome:
    """Each technique was measured, or says why there is nothing to gain."""
    del options
    if not techniques.TABLE.is_file():
        return absent(f"{techniques.TABLE.name}; python -m benchmarks.techniques --measure")
    measured = {r.technique for r in techniques.stored() if r.pair} | set(techniques.ELSEWHERE)
    silent = [
        name for name in NAMES if name not in measured and technique(name).applies_to().gains
    ]
    told = [name for name in NAMES if name not in measured]
    figure = f"{len(measured)} of {len(NAMES)} measured, no gain here: {', '.join(told) or 'none'}"
    return Outcome(figure, not silent)


def adaptive(options: Options) -> Outcome:
    """Adaptive batch to the same loss held out."""
    del options
    if not techniques.TABLE.is_file():
        return absent(f"{techniques.TABLE.name}; python -m benchmarks.techniques --measure")
    readings = [r for r in techniques.stored() if r.technique == "adaptive_batch"]
    if not any(r.pair for r in readings):
        return absent("the adaptive batch among what was stored")
    before, after = techniques.sides_of(readings, "energy_j")
    ratio = statistics.fmean(after) / statistics.fmean(before)
    return Outcome(f"{100 * ratio:.0f} % of the modelled energy", ratio <= MOST_RATIO)


def exchange(options: Options) -> Outcome:
    """Bytes, energy and quality of each way with 2 and 4 processes."""
    del options
    if not techniques_many.TABLE.is_file():
        return absent(f"{techniques_many.TABLE.name}; python -m benchmarks.techniques_many")
    rows = techniques_many.stored()
    found = {(r.processes, r.way) for r in rows}
    wanted = {(n, way) for n in (2, 4) for way in techniques_many.WAYS}
    least = min(r.bytes_sent / r.bytes_plain for r in rows if r.processes > 1)
    return Outcome(f"{len(found)} rows, down to {100 * least:.0f} % of the bytes", wanted <= found)


BARS = (
    Bar("every technique runs on the examples, or says that this device gains nothing", every),
    Bar("adaptive batch: the same loss with ≤ 90 % of the energy", adaptive),
    Bar("gradient compression with 2 and 4 processes: bytes, energy, quality", exchange),
)
