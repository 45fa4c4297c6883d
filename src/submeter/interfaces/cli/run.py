# SPDX-License-Identifier: Apache-2.0
"""``submeter run``: meter a command."""

import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.interfaces.cli.run_budget import budget_options, watch_of
from submeter.interfaces.cli.run_layers import asked_for_layers, with_layer_note
from submeter.interfaces.cli.run_limits import attended, limit_options
from submeter.interfaces.cli.run_when import asks, carry_out, when_options

if TYPE_CHECKING:
    from submeter.records.runs import Run
    from submeter.running.launcher import Outcome

_LONGEST_S = 60.0
_SHORTEST_S = 0.01
_INTERPRETER: Final = re.compile(
    r"(python|pypy)[\d.]*|torchrun|deepspeed|accelerate|(ba|da|z|k)?sh|julia|perl|Rscript"
)
_SCRIPTS: Final = frozenset({".py", ".pyc", ".sh", ".bash", ".zsh", ".jl", ".pl", ".R", ".r"})


def _tags(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    from submeter.errors import UsageError

    tags = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"“{word}” is no tag", remedy="submeter run --tag key=value -- …")
        tags[key.strip()] = value
    return tags


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--name", default="", help="What the run is called; else by its script.")
@click.option(
    "--tag", "tags", multiple=True, callback=_tags, metavar="K=V", help="Word to find it by."
)
@click.option("--interval", "interval_s", type=float, help="Seconds between readings.")
@click.option("--project", help="Project that the run belongs to.")
@click.option("--zone", metavar="ZONE", help="Where the electricity comes from, such as DE.")
@click.option("--quiet", "-q", is_flag=True, help="Write no summary.")
@click.option("--layers", is_flag=True, help="Look at the layers of a PyTorch model, sampled.")
@when_options
@budget_options
@limit_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD…")
def run(  # click gives them by name
    name: str,
    tags: dict[str, str],
    interval_s: float | None,
    project: str | None,
    zone: str | None,
    quiet: bool,  # noqa: FBT001  # click gives it by name
    layers: bool,  # noqa: FBT001
    command: tuple[str, ...],
    **given: Any,
) -> None:
    """Meter a command: its output, signals and exit code pass through unchanged.

    Without --name the run is called after its script, module or program: python train.py is
    train. Inside another run the command joins that one: name, tags and options given here are
    then not used.

    With --when it waits for its time first, with a countdown: Enter starts it at once, q gives it
    up. A plan that pauses it asks it for a checkpoint by a signal: docs/waiting.md.

    With --forecast it says while it runs what it will have used in the end, from the steps that
    the program logs: submeter.log(step=…, total_steps=…). A budget counts what is used at the
    wall, its carbon, water or cost.

    With --layers it finds the program's PyTorch model by itself and looks at a few steps of its
    training, at 2 % of its time at most; submeter explain --layers then says where the joules
    went: docs/layers.md.

    With --power-limit it says what limit it would set on the boards, and with --apply sets it,
    for the time of the command: docs/power-limit.md.

    \b
    Examples:
      submeter run -- python train.py
      submeter run --when 22:30 -- python train.py
      submeter run --when "cleanest, by 08:00" --duration 6h -- python train.py
      submeter run --when last-plan --pause-by stop -- python train.py
      submeter run --forecast -- python train.py
      submeter run --layers -- python train.py
      submeter run --power-limit auto --max-slowdown 5% -- python train.py
      submeter run --budget 2kWh --on-budget stop -- python train.py
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.errors import UsageError
    from submeter.running.launcher import NOT_FOUND, die_like, run_command

    words = command[1:] if command[:1] == ("--",) else command
    waits = asks(given)
    if not words and given["resume_plan"] is None:
        raise UsageError("there is no command to run", remedy="submeter run -- python train.py")
    if words and words[0].startswith("-"):
        raise UsageError(
            f"there is no option {words[0]}", remedy="submeter run --help; the command after --"
        )
    if interval_s is not None and not _SHORTEST_S <= interval_s <= _LONGEST_S:
        raise UsageError(
            f"an interval of {interval_s:g} s is not allowed",
            remedy="submeter run --interval with seconds from 0.01 to 60",
        )
    if zone is not None:
        from submeter.catalog.regions import find_zone

        find_zone(zone)
    if name:
        from submeter.storing.documents import check_name

        check_name(name, "submeter run --name baseline -- …")
    name = name or (default_name(words) if words else "")
    about: dict[str, Any] = {
        "name": name, "tags": tags, "interval_s": interval_s, "project": project, "zone": zone,
    }  # fmt: skip
    with asked_for_layers(layers), attended(given, words, watch_of(given)) as attendant:
        about["attendant"] = attendant
        outcome = carry_out(words, given, **about) if waits else run_command(words, **about)
    outcome = with_layer_note(outcome) if layers else outcome
    if not outcome.run_id and not outcome.notes and outcome.exit_code:
        what = "not found" if outcome.exit_code == NOT_FOUND else "not executable"
        click.echo(f"error: {words[0]}: {what}", err=True)
        click.echo("try:   check its path; nothing was started or metered", err=True)
    elif not quiet:
        _tell(outcome)
    die_like(outcome)


def default_name(words: Sequence[str]) -> str:
    """Name of a run that got none: its script or module, else its program.

    ``python train.py`` is ``train``, ``torchrun --nproc-per-node 2 -m pkg.train`` is
    ``pkg.train``, ``./train`` is ``train``.
    """
    program = Path(words[0]).name
    if not _INTERPRETER.fullmatch(program):
        return program
    for before, word in pairwise(words):
        if before == "-m" and not word.startswith("-"):
            return word
        if before == "-c":
            return program
        if not word.startswith("-") and Path(word).suffix in _SCRIPTS:
            return Path(word).stem
    return program


def _tell(outcome: "Outcome") -> None:
    """Write the summary; whatever is wrong with it, the command's exit code stands."""
    try:
        words = _summary(outcome)
    except KeyboardInterrupt:
        return
    except Exception as exc:  # noqa: BLE001  # the command's own end must come through
        words = f"submeter: no summary of run {outcome.run_id} ({type(exc).__name__}: {exc})"
    if sys.stderr is None:  # closed by the caller
        return
    try:
        sys.stderr.write(words + "\n" if words else "")
        sys.stderr.flush()
    except (OSError, ValueError):
        # nobody reads it any more; flushed again at the end, it would change the exit code
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # to the end


def _summary(outcome: "Outcome") -> str:
    from submeter.storing.wording import safe_text

    notes = [f"submeter: {safe_text(n)}" for n in outcome.notes]
    if not outcome.run_id:
        return "\n".join(notes)
    found = _run_of(outcome)
    if found is None:
        notes.append(f"submeter: run {outcome.run_id} is settled later: submeter list")
        return "\n".join(notes)
    record, place = found
    if place is not None and place != outcome.ledger:
        where = safe_text(str(place.parent))
        notes.append(f"submeter: the ledger could not be written; the run is kept in {where}")
    import shutil

    from submeter.reporting.summary import summary
    from submeter.running.reckoning import reckoned
    from submeter.settings import load

    settings = load(strict=False).settings
    if outcome.ledger is not None:
        from submeter.storing.quota import keep_quota

        room = keep_quota(outcome.ledger, settings.journal_quota_bytes, spare=[outcome.run_id])
        notes += [f"submeter: {room}"] if room else []
    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    return "\n".join(["", summary(record, reckoned(record), width), *notes])


def _run_of(outcome: "Outcome") -> "tuple[Run, Path | None] | None":
    """The settled run, and the ledger that holds it, if any."""
    from submeter.errors import LedgerError
    from submeter.running.recovery import settled_run
    from submeter.storing.journal import is_live

    assert outcome.folder is not None  # noqa: S101
    assert outcome.order is not None  # noqa: S101
    if not outcome.settled and is_live(outcome.folder / "journal"):
        return None
    try:
        return settled_run(outcome.order, outcome.end)
    except (LedgerError, OSError, ValueError):
        return None
