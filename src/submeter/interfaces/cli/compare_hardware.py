# SPDX-License-Identifier: Apache-2.0
"""``submeter compare --hardware NAMES --work WORK``: the same work over generations and kinds.

What ``submeter estimate --vary hardware=…`` asks, for a work that is told or stands in the ledger.
"""

import re
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.estimating.asking import Question
    from submeter.records.runs import Run

NEUROMORPHIC: Final = "neuromorphic"
COUNT: Final = 8  # devices where neither work nor names say how many
_REMEDY: Final = 'submeter compare --hardware v100,h100,cpu --work "params=7B tokens=2T"'
_WORD: Final = re.compile(r"^[a-z_][a-z_\-]*=\S+$")
_COUNTED: Final = re.compile(r":\d+$")
_PLACED: Final = ("zone", "pue", "cooling", "arrangement", "electricity_price")


def compare_hardware(
    names: str | None, work: str | None, *, chart: str | None, as_json: bool
) -> None:
    """Write what *work* would take on each of *names*.

    Raises
    ------
    UsageError, CoverageError
        If either is missing or not understood.
    """
    from submeter.estimating.varying import axes_of, vary
    from submeter.interfaces.cli.compare import terminal_width, write_chart
    from submeter.running.reckoning import reckoned

    asked = [name.strip() for name in (names or "").split(",") if name.strip()]
    outlook = NEUROMORPHIC in asked
    asked = [name for name in asked if name != NEUROMORPHIC]
    if not work or not asked:
        missing = "no work is named" if asked else "no hardware is named"
        raise UsageError(missing, remedy=_REMEDY)
    question = question_of_work(work, asked[0])
    made = vary(question, axes_of([f"hardware={','.join(asked)}"]), reckoned)
    if as_json:
        from submeter.reporting.estimates import table_document
        from submeter.reporting.words import to_json

        document = table_document(made)
        if outlook:
            from submeter.reporting.changes import outlook_document

            document["outlook"] = outlook_document(_outlook(question))
        click.echo(to_json(document))
    else:
        from submeter.reporting.estimates import table_words

        width = terminal_width(120)
        click.echo(
            "\n\n".join(
                [_head(question), table_words(made, width), *_beside(outlook, question, width)]
            )
        )
    if chart is not None:
        from submeter.reporting.charts import svg
        from submeter.reporting.comparison_charts import page

        drawn = svg(made)
        write_chart(drawn if chart.endswith(".svg") else page("Hardware", drawn, ""), chart)


def question_of_work(work: str, first: str) -> "Question":
    """Question of *work* in words, or of a predicted run, on *first* as the hardware.

    Raises
    ------
    UsageError
        If the operations do not follow from it.
    """
    words = work.split()
    if all(_WORD.match(word) for word in words):
        given: dict[str, Any] = dict(word.split("=", 1) for word in words)
    elif len(words) == 1 and work.endswith(".toml"):
        given = {"description": work}
    else:
        given = _of_run(work)
    from submeter.interfaces.estimating import question_of

    given = {name.replace("-", "_"): value for name, value in given.items()}
    count = given.pop("count", "")
    hardware = first if _COUNTED.search(first) else f"{first}:{count or COUNT}"
    return question_of({**given, "hardware": given.get("hardware", hardware)})


# --- inside -------------------------------------------------------------------------------------


def _of_run(ref: str) -> dict[str, Any]:
    """Words of the question that *ref*, a run of the ledger, answers.

    A predicted run keeps what it was predicted from. A measured one says its operations only
    where the program logged them.
    """
    from submeter.interfaces.cli.lookup import look_up

    run = look_up(ref).run
    told = run.parameters
    place = {name: run.place[name] for name in _PLACED[:4] if run.place.get(name)}
    if "params" in told and "tokens" in {**told, **run.work}:
        tokens = told.get("tokens") or f"{run.work['tokens']:g}"
        return {"params": told["params"], "tokens": tokens, **_count(run), **place}
    flop = _flop(run)
    if flop:
        # a transformer of these operations: 6 of them for a parameter and a token
        params = float(told.get("params", 1e9))
        return {
            "params": f"{params:g}", "tokens": f"{flop / (6 * params):g}", **_count(run), **place
        }  # fmt: skip
    raise UsageError(
        f"{run.name or run.id} does not say how much work it was",
        remedy='--work "params=7B tokens=2T", or a run that submeter estimate --save kept',
    )


def _flop(run: "Run") -> float:
    """Useful operations that *run* recorded; 0 if it did not."""
    try:
        return float(run.parameters.get("useful_flop", "0"))
    except ValueError:
        return 0.0


def _count(run: "Run") -> dict[str, str]:
    count = run.parameters.get("hardware", "").rpartition(":")[2]
    return {"count": count} if count.isdigit() else {}


def _head(question: "Question") -> str:
    said = ", ".join(f"{name} {value}" for name, value in question.model.items())
    count = question.hardware.rpartition(":")[2]
    return f"the same work ({said or 'as described'}), on {count} devices unless a name says more"


def _outlook(question: "Question") -> Any:
    from submeter.estimating.outlook import spiking

    return spiking(question.workload())


def _beside(outlook: bool, question: "Question", width: int) -> list[str]:  # noqa: FBT001
    """What stands apart from the table: the outlook, and where to ask more."""
    from submeter.records.figures import Missing
    from submeter.reporting.changes import outlook_words
    from submeter.reporting.text import fill

    apart = [outlook_words(_outlook(question), Missing("not asked"), width)] if outlook else []
    more = "more axes (region, precision, batch), curves and changes: submeter estimate --vary"
    return [*apart, "\n".join(fill(more.split(" "), width))]
