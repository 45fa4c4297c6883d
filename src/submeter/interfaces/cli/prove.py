# SPDX-License-Identifier: Apache-2.0
"""``submeter prove`` and ``submeter savings``: whether less was used, and what was shown."""

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from submeter.errors import UsageError

if TYPE_CHECKING:
    import re

    from submeter.records.proofs import Proof
    from submeter.reducing.proving import Experiment, Which
    from submeter.reducing.quality import Condition
    from submeter.reducing.verdicts import Measured

_BETWEEN: Final = "---"
_VERSUS: Final = frozenset({"vs", "vs.", "versus"})
_REMEDY: Final = "submeter prove --repeat 6 -- python train.py --- python train.py --amp bf16"
_MOST_PAIRS: Final = 1000
_BAR: Final = 30


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--repeat", "pairs", type=click.IntRange(2, _MOST_PAIRS), default=8,
              show_default=True, help="Run at most so many pairs.")  # fmt: skip
@click.option("--keep", "conditions", multiple=True, metavar="CONDITION",
              help='Quality that b has to keep: "accuracy >= 0.97 ± 0.005".')  # fmt: skip
@click.option("--fixed", is_flag=True,
              help="Run all pairs and look once: narrower, and it cannot stop early.")  # fmt: skip
@click.option("--warm-up", type=click.IntRange(0, 10), default=1, show_default=True,
              help="Runs before the first pair that are not compared.")  # fmt: skip
@click.option("--cool-down", "cool_down_s", type=click.FloatRange(0, 3600), default=0.0,
              help="Seconds of rest before each run.")  # fmt: skip
@click.option("--read", "patterns", multiple=True, metavar="METRIC=REGEX",
              help="Read a metric from the output of a program that logs none.")  # fmt: skip
@click.option("--name", default="", help="What the runs are called.")
@click.option("--seed", type=int, help="Of the order within the pairs; else by chance.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD_A --- CMD_B | A… vs B…")
def prove(
    *,
    pairs: int,
    conditions: tuple[str, ...],
    fixed: bool,
    warm_up: int,
    cool_down_s: float,
    patterns: tuple[str, ...],
    name: str,
    seed: int | None,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Show that B uses less than A, or that it does not.

    Runs both in pairs, a coin deciding who goes first, and looks after every pair with
    intervals that hold however often one looks; or compares runs that are in the ledger.

    \b
    Examples:
      submeter prove --repeat 6 -- python train.py --- python train.py --amp bf16
      submeter prove --keep "accuracy >= 0.97 ± 0.005" -- ./a.sh --- ./b.sh
      submeter prove --fixed --repeat 14 -- python a.py --- python b.py
      submeter prove last~3 last~2 vs last~1 last --json
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.reducing.quality import parse_condition

    given = words[1:] if words[:1] == ("--",) else words
    asked = [parse_condition(c) for c in conditions]
    if _BETWEEN in given:
        commands = _commands(given)
        experiment = _experiment(commands, asked, pairs, warm_up, seed, fixed=fixed)
        from submeter.running.trials import compiled

        found = _carried_out(experiment, name, cool_down_s, compiled(patterns), quiet=as_json)
    else:
        found = _stored(given, asked)
    _keep_and_tell(found, as_json=as_json)


def _commands(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    at = list(words).index(_BETWEEN)
    a, b = tuple(words[:at]), tuple(words[at + 1 :])
    if not a or not b or _BETWEEN in b:
        raise UsageError("there have to be two commands, --- between them", remedy=_REMEDY)
    from submeter.running.launcher import find_command

    for command in (a, b):
        if command[0].startswith("-"):
            raise UsageError(f"there is no option {command[0]}", remedy="submeter prove --help")
        if find_command(command[0]):
            raise UsageError(
                f"{command[0]}: not found, or not executable", remedy="check its path"
            )
    return {"a": a, "b": b}


def _experiment(
    commands: dict[str, tuple[str, ...]],
    conditions: "Sequence[Condition]",
    pairs: int,
    warm_up: int,
    seed: int | None,
    *,
    fixed: bool,
) -> "Experiment":
    import os

    from submeter.reducing.proving import Experiment
    from submeter.storing.places import new_run_id

    a, b = labels(commands["a"], commands["b"])
    return Experiment(
        id=new_run_id(time.time_ns()),
        made_utc=utc_now(),
        commands=commands,
        labels={"a": a, "b": b},
        pairs=pairs,
        mode="fixed" if fixed else "always",
        conditions=tuple(conditions),
        warm_up=warm_up,
        seed=int.from_bytes(os.urandom(4)) if seed is None else seed,
    )


def utc_now() -> str:
    """Now, as it stands in records."""
    from datetime import UTC, datetime

    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def labels(a: Sequence[str], b: Sequence[str]) -> tuple[str, str]:
    """What tells two commands apart: the words that only one of them has."""
    own_a = " ".join(w for w in a if w not in b)
    own_b = " ".join(w for w in b if w not in a)
    if not own_a and not own_b:  # the same command twice, or the same words in another order
        return "a", "b"
    return own_a or f"without {own_b}", own_b or f"without {own_a}"


def _carried_out(
    experiment: "Experiment",
    name: str,
    cool_down_s: float,
    patterns: "dict[str, re.Pattern[str]]",
    *,
    quiet: bool,
) -> "Proof":
    from submeter.reducing.proving import FailedTrialError, carry_out
    from submeter.running.trials import last_words, metered
    from submeter.storing.proofs import experiment_folder

    folder = experiment_folder(experiment.id)
    tell = _Teller(experiment, quiet=quiet)
    started = [0]

    def run_one(which: "Which", pair: int) -> "Measured":
        if cool_down_s:
            time.sleep(cool_down_s)
        started[0] += 1
        tell(None, which, pair)
        trial = metered(
            experiment.commands[which],
            key=f"{experiment.id}/{started[0]}",
            output=folder / f"{started[0]:03}-{which}.log",
            name=name or f"prove-{which}",
            tags={"proof": experiment.id, "side": which, "pair": str(pair)},
            patterns=patterns,
        )
        words = " ".join(experiment.commands[which])
        if trial.exit_code:
            said = last_words(trial.output)
            raise FailedTrialError(
                f"{words} ended with exit code {trial.exit_code}" + (f":\n{said}" if said else ""),
                remedy=f"see {trial.output}",
            )
        return measured(trial.run, trial.metrics)

    try:
        return carry_out(experiment, run_one, lambda proof: tell(proof, "a", proof.pairs))
    finally:
        tell.end()


def measured(run: object, metrics: dict[str, float]) -> "Measured":
    """A settled run with its energy at the wall.

    Raises
    ------
    FailedTrialError
        If it has no energy to compare.
    """
    from submeter.records.amounts import Amount
    from submeter.records.runs import Run
    from submeter.reducing.proving import FailedTrialError
    from submeter.reducing.verdicts import Measured
    from submeter.running.reckoning import reckoned

    if not isinstance(run, Run):
        raise FailedTrialError(f"a run was not metered: {run}", remedy="submeter doctor")
    energy = reckoned(run).facility
    if not isinstance(energy, Amount):
        raise FailedTrialError(
            f"run {run.id} has no energy to compare: {energy}", remedy=f"submeter show {run.id}"
        )
    return Measured(run, energy.figure("J"), metrics)


def _stored(words: Sequence[str], conditions: "Sequence[Condition]") -> "Proof":
    from submeter.interfaces.cli.lookup import look_up
    from submeter.reducing.proving import of_stored
    from submeter.storing.places import new_run_id

    at = next((i for i, w in enumerate(words) if w in _VERSUS), None)
    if at is None:
        raise UsageError("there is nothing to compare", remedy=_REMEDY)
    if at == 0 or at == len(words) - 1:
        raise UsageError("each side needs a run", remedy="submeter prove A1 A2 vs B1 B2")
    sides: list[list[Measured]] = []
    for refs in (words[:at], words[at + 1 :]):
        runs = [look_up(ref) for ref in refs]
        for ref, found in zip(refs, runs, strict=True):
            if found.live:
                raise UsageError(f"run {ref} still goes on", remedy="wait for its end")
        sides.append([measured(found.run, found.run.metrics) for found in runs])
    ids = [m.run.id for side in sides for m in side]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise UsageError(f"run {twice} stands there twice", remedy="name each run once")
    a, b = sides
    return of_stored(new_run_id(time.time_ns()), utc_now(), a, b, conditions)


def _keep_and_tell(found: "Proof", *, as_json: bool) -> None:
    from submeter.reporting.proofs import proof_document, proof_words
    from submeter.reporting.words import to_json
    from submeter.storing.proofs import keep

    try:
        keep(found)
    except OSError as exc:
        click.echo(f"note: the proof could not be kept ({exc})", err=True)
    if as_json:
        click.echo(to_json(proof_document(found)))
        return
    click.echo(proof_words(found, min(100, shutil.get_terminal_size((80, 24)).columns)))
    click.echo(f"  → submeter savings {found.id}   its runs: submeter list --tag proof={found.id}"
               if found.mode != "stored" else f"  → submeter savings {found.id}")  # fmt: skip


class _Teller:
    """Says on a terminal how far the pairs are; a log file gets a line for each pair."""

    def __init__(self, experiment: "Experiment", *, quiet: bool) -> None:
        self._experiment = experiment
        self._quiet = quiet or sys.stderr is None
        self._terminal = not self._quiet and sys.stderr.isatty()
        self._so_far = ""

    def __call__(self, proof: "Proof | None", which: str, pair: int) -> None:
        from submeter.records.figures import Figure
        from submeter.reporting.numbers import write_signed_percent

        if self._quiet:
            return
        whole = self._experiment.pairs
        if proof is not None and isinstance(proof.saving_ratio, Figure):
            self._so_far = f"  {write_signed_percent(-proof.saving_ratio.value)} so far"
        if self._terminal:
            done = _BAR * max(0, pair - (proof is None)) // whole
            bar = "━" * done + "╸" * (done < _BAR) + " " * (_BAR - done - 1)
            what = f"pair {pair} of {whole}" if pair else "warming up"
            sys.stderr.write(f"\r\x1b[K{what} ({which}) {bar}{self._so_far}")
            sys.stderr.flush()
        elif proof is not None:
            click.echo(f"pair {pair} of {whole}{self._so_far}", err=True)

    def end(self) -> None:
        """Take the line away."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@click.command()
@click.argument("ref", required=False, metavar="[ID|last]")
@click.option("--all", "show_all", is_flag=True, help="Those that were not shown, too.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def savings(*, ref: str | None, show_all: bool, as_json: bool) -> None:
    """List the proven savings, or show one proof.

    \b
    Examples:
      submeter savings
      submeter savings last
      submeter savings --all --json
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.reporting.proofs import proof_document, proof_words, savings_words
    from submeter.reporting.words import JSON_SCHEMA, to_json
    from submeter.storing.proofs import find, kept

    if ref:
        proof = find(ref)
        click.echo(to_json(proof_document(proof)) if as_json else proof_words(proof))
        return
    proofs = [p for p in kept() if p.shown or show_all]
    if as_json:
        document = {"schema": JSON_SCHEMA, "savings": [proof_document(p) for p in proofs]}
        click.echo(to_json(document))
    elif proofs:
        click.echo(savings_words(proofs))
    else:
        click.echo("no saving was proven yet  → submeter prove -- A --- B", err=True)
