# SPDX-License-Identifier: Apache-2.0
"""Options of ``submeter estimate`` beside the prediction: charts, changes, outlooks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.estimating.asking import Answer, Question
    from submeter.estimating.changes import Saving
    from submeter.estimating.varying import Table

TERMINAL: Final = "-"
_OPTIONS: Final = (
    click.option("--chart", is_flag=False, flag_value=TERMINAL, metavar="[FILE]",
                 help="Draw --vary or --sweep: here, or as FILE.svg or FILE.json (Vega-Lite)."),
    click.option("--change", "changes", multiple=True, metavar="CHANGE",
                 help="What a change of the model may save: prune=0.5:channels, prune=2:4, "
                      "precision=fp8, distil=70B, scale=2."),
    click.option("--outlook", type=click.Choice(("neuromorphic",)),
                 help="What a spiking version would need; no prediction."),
)  # fmt: skip


def more_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of charts, changes and outlooks."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_more(given: dict[str, Any], *, many: bool) -> dict[str, Any]:
    """Take these options out of *given*, checked against whether there are *many* points.

    Raises
    ------
    UsageError
        If one of them says nothing here.
    """
    said = {name: given.pop(name) for name in ("chart", "changes", "outlook")}
    if said["chart"] and not many:
        raise UsageError("a chart is of several points", remedy='--vary "hardware=a100,h100"')
    if many and (said["changes"] or said["outlook"]):
        raise UsageError(
            "changes and outlooks stand in no table of points",
            remedy="leave --vary and --sweep out, or vary precision=bf16,fp8",
        )
    if said["chart"] not in (None, TERMINAL):
        _kind(said["chart"])
    return said


def draw(made: "Table", chart: str, width: int) -> str:
    """Chart of *made* for the terminal, or where its file was written.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from submeter.reporting import charts

    if chart == TERMINAL:
        return charts.bars_words(made, width)
    if _kind(chart) == ".svg":
        text = charts.svg(made)
    else:
        from submeter.reporting.words import to_json

        text = to_json(charts.vega_lite(made)) + "\n"
    try:
        Path(chart).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{chart}: {exc.strerror}", remedy="name a file that can be written"
        ) from None
    return f"drawn in {chart}"


def more_words(question: "Question", found: "Answer", said: Mapping[str, Any], width: int) -> str:
    """Changes and outlook below a prediction; "" if nobody asked."""
    from submeter.reporting.changes import changes_words, outlook_words

    parts = []
    if said["changes"]:
        parts.append(changes_words(savings(question, found, said["changes"]), width))
    if said["outlook"]:
        from submeter.estimating.outlook import spiking

        devices = found.prediction.footprint.devices
        parts.append(outlook_words(spiking(found.workload), devices, width))
    return "\n\n".join(parts)


def with_more(
    question: "Question", found: "Answer", said: Mapping[str, Any], document: dict[str, Any]
) -> dict[str, Any]:
    """*document* of a prediction with changes and outlook beside it."""
    from submeter.reporting.changes import changes_document, outlook_document

    if said["changes"]:
        document["changes"] = changes_document(savings(question, found, said["changes"]))
    if said["outlook"]:
        from submeter.estimating.outlook import spiking

        document["outlook"] = outlook_document(spiking(found.workload))
    return document


def savings(
    question: "Question", found: "Answer", changes: tuple[str, ...]
) -> "tuple[Saving, ...]":
    """What each of *changes* does to the training of *question*."""
    from submeter.estimating.changes import saving_of, teacher_words
    from submeter.workloads.describing import workload_of

    workload = found.workload
    if workload is None:
        raise UsageError(
            "a change needs a model, and only hours are given", remedy="--params 7B --tokens 2T"
        )
    data = dict(question.model) or dict(workload.work)

    def teacher(value: str) -> Any:
        return workload_of(**teacher_words(value, {**workload.work, **data}))

    return tuple(saving_of(words, workload, found.machine, teacher) for words in changes)


def _kind(chart: str) -> str:
    suffix = Path(chart).suffix.lower()
    if suffix not in (".svg", ".json"):
        raise UsageError(f"{chart} is neither .svg nor .json", remedy="--chart what-if.svg")
    return suffix
