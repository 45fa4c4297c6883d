# SPDX-License-Identifier: Apache-2.0
"""A proof in words: for people in a few lines, for machines as JSON."""

import textwrap
from collections.abc import Mapping, Sequence

from submeter.records.figures import Basis, Figure, Missing
from submeter.records.proofs import Proof, Quality, Side
from submeter.reporting.numbers import (
    MISSING,
    write,
    write_duration,
    write_percent,
    write_percent_interval,
    write_signed_percent,
)
from submeter.reporting.text import cut, plain, table
from submeter.reporting.words import JSON_SCHEMA

_INDENT = "  "


def proof_words(proof: Proof, width: int = 80) -> str:
    """What *proof* showed, answer first, in lines of at most *width* columns."""
    lines = [_answer(proof), _quality_line(proof), _conditions(proof)]
    lines += [_INDENT + line for line in _sides(proof)]
    lines += [_basis(proof), _could(proof), *(f"note: {note}" for note in proof.notes)]
    return "\n".join(_folded([line for line in lines if line.strip()], width))


def _folded(lines: Sequence[str], width: int) -> list[str]:
    folded: list[str] = []
    for line in lines:
        if line.startswith(_INDENT):  # a row of a table
            folded.append(cut(line, width))
        else:
            folded += textwrap.wrap(plain(line), width, subsequent_indent=_INDENT)
    return folded


def _answer(proof: Proof) -> str:
    b, a = proof.b.label or "b", proof.a.label or "a"
    ratio = proof.saving_ratio
    if isinstance(ratio, Missing):
        return f"Not shown: {proof.why}."
    between = write_percent_interval(ratio)
    if proof.shown:
        joules = "" if isinstance(proof.saving, Missing) else f", {write(proof.saving.value, 'J')}"
        saved = f"{write_percent(ratio.value)} ({between}, 95 %){joules} a run{_time(proof)}"
        per = "" if proof.per == "run" else f", compared by the {proof.per}"
        return f"Shown: {b} saves {saved}{per}."
    if ratio.high < 0:
        return (
            f"Not shown: {b} uses {write_percent(-ratio.value)} more than {a} ({between} saved, "
            "95 %), beyond the noise."
        )
    if ratio.low > 0:
        return (
            f"Not shown: {proof.why}. It uses {write_percent(ratio.value)} less ({between}, 95 %)."
        )
    return (
        f"Not shown: the difference, {write_signed_percent(ratio.value)} saved ({between}), is "
        "inside the noise."
    )


def _time(proof: Proof) -> str:
    ratio = proof.time_ratio
    if isinstance(ratio, Missing):
        return ""
    if ratio.low <= 1 <= ratio.high:
        return ", in about the same time"
    less = ratio.value < 1
    return f", and takes {write_percent(abs(1 - ratio.value))} {'less' if less else 'more'} time"


def _quality_line(proof: Proof) -> str:
    return " ".join(_quality(q) for q in proof.quality if q.verdict != "not asked") or " ".join(
        _quality(q) for q in proof.quality[:3]
    )


def _quality(quality: Quality) -> str:
    if quality.baseline is None or quality.changed is None:
        return f"{quality.metric}: {quality.why}."
    words = f"{quality.metric} {quality.changed:.4g} against {quality.baseline:.4g}"
    return f"{words}: {quality.why}." if quality.why else f"{words}."


def _conditions(proof: Proof) -> str:
    if proof.mode == "stored":
        runs = f"{len(proof.a.runs)} and {len(proof.b.runs)} stored runs, not interleaved"
        fit = proof.fit.get("cv_rmse_ratio")
        return runs + (
            f"; the baseline varies by {write_percent(fit)} (CV(RMSE))." if fit else "."
        )
    looks = "one look" if proof.mode == "fixed" else "may be looked at after each"
    return f"{proof.pairs} pairs, interleaved in random order, same machine; {looks}."


def _sides(proof: Proof) -> list[str]:
    rows = [_side("a", proof.a), _side("b", proof.b)]
    return table(rows, right=(1, 2))


def _side(letter: str, side: Side) -> list[str]:
    energy = MISSING if isinstance(side.energy, Missing) else write(side.energy.value, "J")
    return [plain(f"{letter} {side.label}", width=48), energy, write_duration(side.duration_s)]


def _basis(proof: Proof) -> str:
    ratio = proof.saving_ratio
    if isinstance(ratio, Missing) or not ratio.basis_shares:
        return ""
    weak = sum(ratio.basis_shares.get(b, 0.0) for b in (Basis.MODELLED, Basis.ASSUMED))
    if weak < 0.01:  # noqa: PLR2004  # a hundredth
        return ""
    return (
        f"{write_percent(weak)} of this energy is modelled or assumed, not metered: what a model "
        "does not see (clocks, instruction mix) is not in the saving."
    )


def _could(proof: Proof) -> str:
    least = proof.minimum_detectable_ratio
    if least is None or proof.shown:
        return ""
    words = f"{proof.pairs} pairs could have shown {write_percent(least)}"
    needed = proof.pairs_for_it
    more = needed is not None and needed > proof.pairs
    return words + (f"; a difference like this one takes about {needed}." if more else ".")


def proof_document(proof: Proof) -> dict[str, object]:
    """The words of the JSON (schema 1)."""
    return {
        "schema": JSON_SCHEMA,
        "id": proof.id,
        "made_utc": proof.made_utc,
        "shown": proof.shown,
        "why": proof.why,
        "saving": _figure(proof.saving),
        "saving_ratio": _figure(proof.saving_ratio),
        "time_ratio": _figure(proof.time_ratio),
        "quality": [
            {
                "metric": q.metric, "asked": q.asked, "verdict": q.verdict, "why": q.why,
                "baseline": q.baseline, "changed": q.changed, "margin": q.margin,
                "difference": _figure(q.difference),
            }
            for q in proof.quality
        ],
        "pairs": proof.pairs,
        "mode": proof.mode,
        "per": proof.per,
        "minimum_detectable_ratio": proof.minimum_detectable_ratio,
        "pairs_for_it": proof.pairs_for_it,
        "sd_ratio": proof.sd_ratio,
        "uncertainty_ratio": proof.uncertainty_ratio,
        "option": proof.option,
        "a": _side_words(proof.a),
        "b": _side_words(proof.b),
        "baseline": proof.baseline,
        "fit": proof.fit,
        "notes": list(proof.notes),
    }  # fmt: skip


def _side_words(side: Side) -> Mapping[str, object]:
    return {
        "label": side.label, "runs": list(side.runs), "command": list(side.command),
        "energy": _figure(side.energy), "duration_s": side.duration_s, "work": side.work,
    }  # fmt: skip


def _figure(value: Figure | Missing) -> dict[str, object]:
    return {"missing": value.why} if isinstance(value, Missing) else value.to_dict()


def savings_words(proofs: Sequence[Proof]) -> str:
    """Proven savings, a line each."""
    rows = [["made (UTC)", "saved", "interval", "a run", "from → to", "id"]]
    for p in proofs:
        ratio = p.saving_ratio
        rows.append(
            [
                p.made_utc[:16].replace("T", " "),
                write_percent(ratio.value) if isinstance(ratio, Figure) else MISSING,
                write_percent_interval(ratio) if isinstance(ratio, Figure) else MISSING,
                write(p.saving.value, "J") if isinstance(p.saving, Figure) else MISSING,
                plain(f"{p.a.label} → {p.b.label}", width=40)
                + ("" if p.shown else " (not shown)"),
                p.id,
            ]
        )
    return "\n".join(table(rows, right=(1, 2, 3)))
