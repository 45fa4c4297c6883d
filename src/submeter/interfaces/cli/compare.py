# SPDX-License-Identifier: Apache-2.0
"""``submeter compare RUN…``: runs beside runs; the module of each other question is named below.

``--models`` is in ``compare_models.py``, ``--hardware`` in ``compare_hardware.py``,
``--everyday`` in ``compare_everyday.py``.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import UsageError
from submeter.interfaces.cli.lookup import complete_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from submeter.interfaces.comparing import Compared
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

_CHARTS: Final = (".svg", ".html")
_TWO: Final = 2


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="RUN…", shell_complete=complete_run)
@click.option(
    "--published",
    multiple=True,
    metavar="NAME",
    help="Beside a training that others published: BLOOM, llama1-7b.",
)
@click.option(
    "--by",
    metavar="WORDS",
    help="Split by phase or device; or take runs together that say the same: lr, name.",
)
@click.option("--same-work", is_flag=True, help="Per unit of work, and to the same quality.")
@click.option("--metric", metavar="NAME", help="With --same-work: which quality.")
@click.option("--to", "target", type=float, metavar="VALUE", help="With --same-work: how much.")
@click.option("--models", is_flag=True, help="Families of models on two data sets, metered here.")
@click.option("--everyday", is_flag=True, help="Beside everyday computing, metered here: SQL, …")
@click.option(
    "--again", is_flag=True, help="With --models, --everyday: meter anew what is known of here."
)
@click.option("--quick", is_flag=True, help="With --models, --everyday: a shorter look.")
@click.option("--hardware", metavar="NAMES", help="The same work on: v100,a100,h100,tpu-v4,cpu.")
@click.option(
    "--work",
    metavar="WORK",
    help="With --hardware: a description, “params=7B tokens=2T”, or a predicted run.",
)
@click.option("--chart", metavar="FILE", help="Draw it, in .svg or .html.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def compare(
    runs: tuple[str, ...],
    *,
    published: tuple[str, ...],
    by: str | None,
    same_work: bool,
    chart: str | None,
    as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Show what changed between runs, and what that did to energy, time and quality.

    The first RUN is what the others are compared with. Doubts that runs share, such as the gain of
    one sensor or the PUE of one room, cancel; “not distinguishable” says that the interval of the
    change holds none.

    \b
    Examples:
      submeter compare last~1 last
      submeter compare small large --by phase --chart widths.svg
      submeter compare lr1-a lr1-b lr2-a lr2-b --by lr
      submeter compare on-cpu on-gpu --same-work
      submeter compare last --published BLOOM
      submeter compare --models --quick
      submeter compare last --everyday
      submeter compare --hardware v100,a100,h100,cpu --work "params=7B tokens=2T"
    """  # noqa: D301  # \b keeps click from refilling the examples
    _check_chart(chart)
    _refuse_two(given)
    if given["models"]:
        _refuse_runs(runs, "--models")
        from submeter.interfaces.cli.compare_models import compare_models

        compare_models(quick=given["quick"], again=given["again"], chart=chart, as_json=as_json)
        return
    if given["hardware"] is not None or given["work"] is not None:
        _refuse_runs(runs, "--hardware")
        from submeter.interfaces.cli.compare_hardware import compare_hardware

        compare_hardware(given["hardware"], given["work"], chart=chart, as_json=as_json)
        return
    if given["everyday"]:
        from submeter.interfaces.cli.compare_everyday import compare_everyday

        compare_everyday(
            runs,
            published=published,
            quick=given["quick"],
            again=given["again"],
            chart=chart,
            as_json=as_json,
        )
        return
    if not same_work and (given["metric"] or given["target"] is not None):
        raise UsageError("a quality to reach is one of the same work", remedy="--same-work")
    _compare(
        _pairs(runs, published),
        by=[word.strip() for word in (by or "").split(",") if word.strip()],
        same_work=same_work,
        given=given,
        chart=chart,
        as_json=as_json,
    )


def _refuse_two(given: "Mapping[str, Any]") -> None:
    """Each of these makes a table of its own; the second would be left out without a word."""
    asked = [f"--{name}" for name in ("models", "hardware", "everyday") if given[name]]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} are two tables", remedy="ask for one at a time")
    if given["target"] is not None and not math.isfinite(given["target"]):
        raise UsageError(f"--to {given['target']} is no value to reach", remedy="--to 0.9")


def write_chart(text: str, file: str) -> None:
    """Write a drawing, and say where.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{file}: {exc.strerror}", remedy="name a file that can be written"
        ) from None
    click.echo(f"drawn in {file}", err=True)


def terminal_width(most: int = 160) -> int:
    """Columns to write in."""
    import shutil

    return max(60, min(most, shutil.get_terminal_size((80, 24)).columns))


# --- inside -------------------------------------------------------------------------------------


def _check_chart(chart: str | None) -> None:
    if chart is not None and not chart.endswith(_CHARTS):
        raise UsageError(
            f"“{chart[:60]}” is no drawing that we make", remedy="--chart compared.svg, or .html"
        )


def _refuse_runs(runs: tuple[str, ...], option: str) -> None:
    if runs:
        raise UsageError(
            f"{option} asks about no run, and {runs[0]} is one",
            remedy=f"submeter compare {option} … without a run",
        )


def _pairs(refs: "Sequence[str]", published: "Sequence[str]") -> "list[tuple[Run, Footprint]]":
    """Runs of the ledger and of the catalog, each with what it amounts to."""
    if len(refs) + len(published) < _TWO:
        raise UsageError("one run has nothing beside it", remedy="submeter compare last~1 last")
    from submeter.interfaces.cli.lookup import look_up_all
    from submeter.running.reckoning import reckoned

    found = [(run, reckoned(run)) for run in look_up_all(refs)]
    if published:
        from submeter.comparing.published import published as take

        for words in published:
            told = take(words)
            found.append((told.run, told.made or reckoned(told.run)))
    return found


def _compare(
    pairs: "Sequence[tuple[Run, Footprint]]",
    *,
    by: "Sequence[str]",
    same_work: bool,
    given: dict[str, Any],
    chart: str | None,
    as_json: bool,
) -> None:
    from submeter.interfaces.comparing import compare_runs

    made = compare_runs(
        pairs,
        by=by,
        same_work=same_work,
        metric=given["metric"] or "",
        target=given["target"],
    )
    if as_json:
        from submeter.reporting.words import to_json

        click.echo(to_json(made.to_dict()))
    else:
        click.echo(made.words(terminal_width()))
    if chart is not None:
        write_chart(_drawn(made, chart), chart)


def _drawn(made: "Compared", chart: str) -> str:
    from submeter.reporting.comparison_charts import comparison_svg, page

    drawing = comparison_svg(made.comparison, made.same_work)
    if chart.endswith(".svg"):
        return drawing
    return page("Runs compared", drawing, made.words(120))
