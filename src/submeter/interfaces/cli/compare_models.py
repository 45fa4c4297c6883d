# SPDX-License-Identifier: Apache-2.0
"""``submeter compare --models``: families of models, trained and metered on this machine."""

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import SubmeterError

if TYPE_CHECKING:
    from submeter.comparing.families import Protocol, Result
    from submeter.records.runs import Run

_BAR: Final = 24
_LATEST: Final = 8  # runs of one family among which one of this machine is looked for


def compare_models(*, quick: bool, again: bool, chart: str | None, as_json: bool) -> None:
    """Meter each family on each data set, unless this machine has done so before, and write it.

    Raises
    ------
    UsageError
        If scikit-learn is not installed.
    SubmeterError
        If a training failed.
    """
    from submeter.comparing.families import DATA_SETS, FAMILIES, FULL, QUICK

    protocol = QUICK if quick else FULL
    tasks = [(data, family) for data in DATA_SETS for family in FAMILIES]
    kept = {} if again else {task: run for task in tasks if (run := _kept(*task, protocol))}
    results: list[Result] = []
    teller = Teller(len(tasks) - len(kept), hidden=as_json and not sys.stderr.isatty())
    try:
        for task in tasks:
            run = kept.get(task)
            if run is None:
                teller.started(*task)
                run = _metered(*task, protocol)
            results.append(_result(run))
    finally:
        teller.end()
    _tell(results, protocol, len(kept), chart=chart, as_json=as_json)


# --- inside -------------------------------------------------------------------------------------


def _tell(
    results: "list[Result]", protocol: "Protocol", kept: int, *, chart: str | None, as_json: bool
) -> None:
    from submeter.interfaces.cli.compare import terminal_width, write_chart
    from submeter.reporting.families import families_document, families_svg, families_words

    notes = _notes(kept, len(results))
    if as_json:
        from submeter.reporting.words import to_json

        click.echo(to_json(families_document(results, protocol, notes)))
    else:
        click.echo(families_words(results, protocol, notes, terminal_width(120)))
    if chart is None:
        return
    drawings = families_svg(results)
    if chart.endswith(".html"):
        from submeter.reporting.comparison_charts import page

        words = families_words(results, protocol, notes, 120)
        write_chart(page("Families of models", "".join(drawings.values()), words), chart)
        return
    place = Path(chart)
    for data, drawing in drawings.items():
        write_chart(drawing, str(place.with_stem(f"{place.stem}-{data}")))


def _notes(kept: int, whole: int) -> list[str]:
    if not kept:
        return []
    word = "all" if kept == whole else str(kept)
    return [f"{word} of {whole} were metered on this machine before (anew: --again)"]


def _metered(data: str, family: str, protocol: "Protocol") -> "Run":
    """Run of one training under the meter.

    Raises
    ------
    SubmeterError
        If it failed, with the last that it said.
    """
    from submeter.comparing.families import DATA, FAMILY, TAG
    from submeter.interfaces.families import arguments_of, require_library
    from submeter.records.figures import Missing
    from submeter.running.trials import last_words, metered
    from submeter.storing.places import new_run_id

    require_library()
    key = f"models-{new_run_id(time.time_ns())}"
    with tempfile.TemporaryDirectory(prefix="submeter-models-") as folder:
        trial = metered(
            arguments_of(data, family, protocol),
            key=key,
            output=Path(folder) / "output",
            name=f"{data}-{family}",
            tags={TAG: protocol.word, DATA: data, FAMILY: family},
        )
        if trial.exit_code:
            said = last_words(trial.output)
            raise SubmeterError(
                f"training {family} on {data} failed with exit code {trial.exit_code}: {said}",
                remedy="submeter compare --models --quick, to see whether it does so again",
            )
    if isinstance(trial.run, Missing):
        raise SubmeterError(
            f"training {family} on {data} was not metered: {trial.run.why}",
            remedy="submeter doctor",
        )
    return trial.run


def _result(run: "Run") -> "Result":
    from submeter.comparing.families import result_of
    from submeter.records.figures import Missing

    found = result_of(run)
    if isinstance(found, Missing):
        raise SubmeterError(found.why, remedy="submeter compare --models --again")
    return found


def _kept(data: str, family: str, protocol: "Protocol") -> "Run | None":
    """Latest run of this machine by the same protocol that came to its end."""
    from submeter.comparing.families import DATA, FAMILY, TAG, result_of
    from submeter.comparing.sharing import machine
    from submeter.records.figures import Missing
    from submeter.storing.ledger import LEDGER_FILE, open_ledger
    from submeter.storing.places import home

    tags = {TAG: protocol.word, DATA: data, FAMILY: family}
    try:
        with open_ledger(home() / LEDGER_FILE, create=False) as ledger:
            runs = [ledger.get(row.id) for row in ledger.list(tags=tags, limit=_LATEST)]
    except SubmeterError:
        return None
    here = _this_machine()
    fit = (run for run in runs if machine(run) == here and not isinstance(result_of(run), Missing))
    return next(fit, None)


def _this_machine() -> str:
    import platform

    from submeter.comparing.sharing import machine_name
    from submeter.sensors.discovery import Roots, describe_machine

    host = platform.node()
    return machine_name(host, describe_machine(Roots(), host))


class Teller:
    """Says how far it is: a line that changes on a terminal, a line a training in a log."""

    def __init__(self, whole: int, *, hidden: bool) -> None:
        self._whole, self._done = whole, 0
        self._hidden = hidden or sys.stderr is None
        self._terminal = not self._hidden and sys.stderr.isatty()

    def started(self, data: str, family: str) -> None:
        """A training begins."""
        if self._terminal:
            done = _BAR * self._done // max(1, self._whole)
            bar = "━" * done + "╸" * (done < _BAR) + " " * (_BAR - done - 1)
            words = f"{self._done + 1} of {self._whole} {bar}  {data} · {family}"
            sys.stderr.write(f"\r\x1b[K{words}")
            sys.stderr.flush()
        elif not self._hidden:
            click.echo(f"{self._done + 1} of {self._whole}: {data}, {family}", err=True)
        self._done += 1

    def end(self) -> None:
        """Take the line away."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
