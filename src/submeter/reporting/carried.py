# SPDX-License-Identifier: Apache-2.0
"""What a plan brought, in words and in JSON: what was realised, never what was forecast."""

from submeter.records.figures import Figure, Missing
from submeter.records.runs import Run
from submeter.reporting.footprint_words import missing
from submeter.reporting.numbers import mark, write, write_duration
from submeter.reporting.text import fill, plain
from submeter.running.carried import Carried

__all__ = ["carried_document", "carried_words"]

_INDENT = "  "


def carried_words(carried: Carried, width: int) -> list[str]:
    """Lines of ``submeter show`` about the plan of a run."""
    facts = [plain(carried.plan), f"waited {write_duration(carried.waited_s)}"]
    if carried.pauses:
        times = "once" if carried.pauses == 1 else f"{carried.pauses} times"
        facts.append(f"paused {times}, {write_duration(carried.paused_s)} in all")
    lines = fill(facts, width - 2, between=" · ")
    if carried.pauses:
        lines += fill(_paused(carried), width - 2)
    if isinstance(carried.saving, Figure):
        lines += fill(saving_words(carried.saving), width - 2)
    else:
        lines += fill(["saving not known:", *plain(carried.saving.why).split()], width - 2)
    return ["plan", *(_INDENT + line for line in lines)]


def saving_words(saving: Figure) -> list[str]:
    """Words for a share of carbon that was saved, or was lost, with its interval."""
    value = f"{_signed(-saving.value)} carbon"
    ends = f"({_signed(-saving.high)} … {_signed(-saving.low)})"
    return [value, ends, "against starting at once,", "by", *plain(saving.source).split()]


def carried_document(carried: Carried, run: Run) -> dict[str, object]:
    """The same in the words of the JSON."""
    return {
        "id": carried.plan,
        "asked_utc": carried.asked_utc,
        "waited_s": carried.waited_s,
        "paused_s": carried.paused_s,
        "pauses": [{"start_s": p.start_s, "duration_s": p.duration_s} for p in run.pauses],
        "paused_energy": _figure(carried.paused_energy),
        "realised_saving": _figure(carried.saving),
    }


def _paused(carried: Carried) -> list[str]:
    energy = carried.paused_energy
    if isinstance(energy, Missing):
        return ["drawn while paused: not known:", *plain(energy.why).split()]
    return ["drawn while paused, and counted:", f"{write(energy)}{mark(energy)}"]


def _signed(ratio: float) -> str:
    return f"{100 * ratio:+.1f} %".replace("-", "−")


def _figure(figure: Figure | Missing) -> dict[str, object]:
    return missing(figure.why) if isinstance(figure, Missing) else figure.to_dict()
