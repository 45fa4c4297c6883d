# SPDX-License-Identifier: Apache-2.0
"""``submeter compare [RUN] --everyday``: a training beside everyday computing."""

import sys
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    from submeter.comparing.everyday import Training
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

_BAR: Final = 30
_WORDS_WIDTH: Final = 140


def compare_everyday(
    refs: tuple[str, ...],
    *,
    published: tuple[str, ...] = (),
    quick: bool,
    again: bool,
    chart: str | None,
    as_json: bool,
) -> None:
    """Run everyday tasks, or take what is kept of this machine, and tell them beside a run.

    Raises
    ------
    UsageError
        If more than one run is given.
    """
    from submeter.interfaces.cli.compare import terminal_width, write_chart
    from submeter.reporting.everyday import everyday_document, everyday_words
    from submeter.reporting.words import JSON_SCHEMA, to_json
    from submeter.running.everyday.keeping import everyday

    count = len(refs) + len(published)
    if count > 1:
        raise UsageError(
            f"everyday computing stands beside one run, and {count} are given",
            remedy="submeter compare last --everyday",
        )
    training = None  # found before minutes are spent
    if count:
        training = training_of(refs[0]) if refs else published_training(published[0])
    bar = _Bar(quiet=as_json)
    try:
        found = everyday(quick=quick, again=again, tell=bar)
    finally:
        bar.end()
    if as_json:
        document = {"schema": JSON_SCHEMA, "everyday": everyday_document(found, training)}
        click.echo(to_json(document))
    else:
        click.echo(everyday_words(found, training, terminal_width(_WORDS_WIDTH)))
    if chart is not None:
        from submeter.reporting.comparison_charts import page
        from submeter.reporting.everyday_charts import everyday_svg

        drawing = everyday_svg(found, training)
        words = everyday_words(found, training, 120)
        title = "A training beside everyday computing"
        write_chart(drawing if chart.endswith(".svg") else page(title, drawing, words), chart)


def training_of(ref: str) -> "Training":
    """A run of the ledger as what everyday computing stands beside.

    Raises
    ------
    UsageError
        If it still goes on.
    """
    from submeter.interfaces.cli.lookup import look_up
    from submeter.running.reckoning import reckoned

    found = look_up(ref)
    if found.live:
        raise UsageError(f"run {ref} still goes on", remedy="wait for its end")
    return _training(found.run, reckoned(found.run))


def published_training(words: str) -> "Training":
    """A training that others published, by its name."""
    from submeter.comparing.published import published
    from submeter.running.reckoning import reckoned

    told = published(words)
    return _training(told.run, told.made or reckoned(told.run))


def _training(run: "Run", made: "Footprint") -> "Training":
    from submeter.comparing.everyday import Training
    from submeter.interfaces.cli.keeping import called
    from submeter.running.everyday.bench import power_of

    power = power_of(run)
    return Training(
        name=called(run),
        run=run,
        made=made,
        power_w=() if power is None else power.watts,
        slot_s=0.0 if power is None else power.slot_s,
        use_ratio=_use(run),
    )  # fmt: skip


def _use(run: "Run") -> float | None:
    """Mean use of the run's boards, else of its processors, where it was read."""
    for kind in ("gpu", "cpu"):
        rows = [
            d.means["utilisation_ratio"] for d in run.devices
            if d.device.kind == kind and "utilisation_ratio" in d.means
        ]  # fmt: skip
        if rows:
            return sum(rows) / len(rows)
    return None


class _Bar:
    """Says on a terminal how far the tasks are; elsewhere one line for each task."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet or sys.stderr is None
        self._terminal = not self._quiet and sys.stderr.isatty()
        self._last = ""

    def __call__(self, task: str, done_ratio: float) -> None:
        if self._quiet:
            return
        from submeter.comparing.everyday import WORDS

        words = WORDS.get(task, task) or "starting"
        if self._terminal:
            full = int(_BAR * done_ratio)
            bar = "━" * full + "╸" * (full < _BAR) + " " * (_BAR - full - 1)
            sys.stderr.write(f"\r\x1b[K{bar} {100 * done_ratio:3.0f} %  {words}")
            sys.stderr.flush()
        elif task and task != self._last:
            click.echo(words, err=True)
        self._last = task

    def end(self) -> None:
        """Take the line away."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
