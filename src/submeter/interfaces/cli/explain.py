# SPDX-License-Identifier: Apache-2.0
"""``submeter explain [RUN]``."""

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import UsageError
from submeter.interfaces.cli.explain_layers import layer_options
from submeter.interfaces.cli.lookup import complete_run, look_up

if TYPE_CHECKING:
    from submeter.explaining.use import Work
    from submeter.interfaces.explaining import Explained

_FLOP: Final = re.compile(
    r"\s*(?P<number>[^/\s]+)\s*(?:FLOP)?\s*/\s*(?P<unit>sample|token|step)s?\s*"
)
_MOST_SPREAD: Final = 500  # branches; more are written on one line, for programs
_CHARTS: Final = ("svg", "html", "json")


def _work(_ctx: click.Context, _param: click.Parameter, given: str | None) -> "Work | None":
    """Read ``9.1e9/sample``."""
    if given is None:
        return None
    from submeter.explaining.use import Work
    from submeter.workloads.counts import parse_count

    found = _FLOP.fullmatch(given)
    if found is None:
        raise UsageError(
            f"“{given[:40]}” says no operations per unit of work", remedy="--flop 9.1G/sample"
        )
    return Work(flop_per={found["unit"]: parse_count(found["number"], what="operations")})


@click.command("explain")
@click.argument("run", default="last", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.option("--depth", type=click.IntRange(min=1), help="Levels below the wall.")
@click.option("--all", "everything", is_flag=True,
              help="Small branches, each device, and what is not advised, too.")  # fmt: skip
@click.option("--timeline", is_flag=True, help="Draw power, phases and stalls over time.")
@click.option("--chart", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the tree (with --timeline: that) as .svg, .html or .json.")  # fmt: skip
@click.option("--icicle", is_flag=True, help="Draw the tree as boxes.")
@click.option("--flop", callback=_work, metavar="N/UNIT",
              help="Operations of the model per sample, token or step.")  # fmt: skip
@click.option("--project", help="The life-cycle of all runs of this project instead.")
@layer_options
def explain(
    *,
    run: str,
    as_json: bool,
    depth: int | None,
    everything: bool,
    timeline: bool,
    icicle: bool,
    chart: Path | None,
    flop: "Work | None",
    project: str | None,
    layers: bool,
    calibrate_layers: bool,
) -> None:
    """Say why RUN used so much: from the wall down to the layer, its waste, what to try.

    Every level sums exactly to the one above. A branch whose phase is named for it waits for data
    or peers, writes a checkpoint, evaluates or compiles; idle is what the device said of itself.

    \b
    Examples:
      submeter explain
      submeter explain digits --depth 3
      submeter explain last --chart joules.html
      submeter explain last --timeline --chart power.svg
      submeter explain last --flop 9.1G/sample
      submeter explain last --layers --chart joules.html
      submeter explain --project thesis
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.interfaces.explaining import explained_project, explained_run
    from submeter.reporting.explanation_words import branches, explanation_document
    from submeter.reporting.explanations import DEPTH, explained_words
    from submeter.reporting.words import to_json

    if chart is not None and chart.suffix.lower().lstrip(".") not in _CHARTS:
        raise UsageError(f"there is no chart in “{chart.suffix}”", remedy="--chart joules.svg")
    if project is not None:
        _refuse_beside_project(run, layers=layers or calibrate_layers)
    width = max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
    if layers or calibrate_layers:
        _layers(run, width, as_json=as_json, chart=chart, calibrates=calibrate_layers)
        return
    seen: Explained | None = None
    if project is not None:
        if timeline:
            raise UsageError(
                "a project has no time line", remedy="submeter explain RUN --timeline"
            )
        found = explained_project(project)
    else:
        seen = explained_run(look_up(run).run, work=flop)
        found = seen.explanation
    if as_json:
        document = explanation_document(found, depth=depth)
        large = branches(found.tree) > _MOST_SPREAD
        click.echo(to_json(document, indent=None if large else 2))
    else:
        said = explained_words(found, width, depth=depth or DEPTH, everything=everything)
        first, _, others = said.partition("\n")
        bare = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        click.echo(first if bare else click.style(first, bold=True))
        click.echo(others)
        if icicle:
            from submeter.reporting.icicles import boxes_of, terminal

            click.echo("\n" + terminal(boxes_of(found.tree), width))
        if timeline and seen is not None:
            _draw(seen, width)
    if chart is not None and timeline and seen is not None:
        _write(chart, seen)
    elif chart is not None:
        from submeter.interfaces.cli.explain_layers import write_icicle

        write_icicle(chart, found.tree, found.name)


def _refuse_beside_project(run: str, *, layers: bool) -> None:
    """A project is of all its runs; a run or its layers would be left out without a word."""
    if run != "last":
        raise UsageError(f"--project is of all its runs, and {run} is one", remedy="ask for one")
    if layers:
        raise UsageError("a project has no layers", remedy="submeter explain RUN --layers")


def _layers(run: str, width: int, *, as_json: bool, chart: Path | None, calibrates: bool) -> None:
    """Layers of *run*, or the check of them."""
    from submeter.errors import RunNotFoundError
    from submeter.interfaces.cli.explain_layers import calibrate, show_layers
    from submeter.interfaces.explaining import explained_run

    try:
        found = look_up(run).run
    except RunNotFoundError:
        if not calibrates or run != "last":
            raise
        calibrate(None, width=width, as_json=as_json)  # without a run, the usual layers
        return
    if calibrates:
        calibrate(found, width=width, as_json=as_json)
        return
    explanation = explained_run(found).explanation
    show_layers(found, explanation, width=width, as_json=as_json, chart=chart)


def _draw(seen: "Explained", width: int) -> None:
    from submeter.reporting.timelines import timeline_words

    click.echo("")
    click.echo(timeline_words(seen.observations, seen.explanation.stalls, width))


def _write(path: Path, seen: "Explained") -> None:
    """Write the time line in the form that the name of the file asks for."""
    from submeter.reporting import timelines
    from submeter.reporting.words import to_json

    observations, stalls = seen.observations, seen.explanation.stalls
    kind, name = path.suffix.lower().lstrip("."), seen.explanation.name
    if kind == "json":
        text = to_json(timelines.timeline_specification(observations, stalls)) + "\n"
    else:
        text = timelines.timeline_svg(observations, stalls, name)
        text = timelines.page(text, name) if kind == "html" else text
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written: {exc.strerror}", remedy="--chart FILE"
        ) from exc
    click.echo(f"{path}  {len(text.encode()) / 1000:.0f} kB", err=True)
