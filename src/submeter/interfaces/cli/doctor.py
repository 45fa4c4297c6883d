# SPDX-License-Identifier: Apache-2.0
"""``submeter doctor``: what can be measured here, what not, and what to do about it."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from submeter.errors import LedgerError, UsageError
from submeter.interfaces.cli.diagnosis import Diagnosis, LedgerState, diagnose
from submeter.interfaces.cli.looking import roots, roots_options
from submeter.reporting.impacts import place_words
from submeter.reporting.numbers import write_doubt, write_ratio
from submeter.reporting.text import cut, fill, pad, plain
from submeter.reporting.words import JSON_SCHEMA, to_json
from submeter.sensors import Finding

_LABEL = 10
_STATE = 16
_WIDTH = 80
_GB, _MB = 10**9, 10**6


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.option("--rebuild", is_flag=True, help="Make the ledger anew from the journals.")
@click.option("--fix", type=click.Choice(["rapl"]), help="Open a sensor that refuses this user.")
@click.option(
    "--group", default="", metavar="NAME", help="With --fix: open it to this group only."
)
@click.option("--yes", is_flag=True, help="With --fix: apply it without asking.")
@click.option("--dry-run", is_flag=True, help="With --fix: show it and change nothing.")
@click.option("--etc-root", type=click.Path(path_type=Path), default="/etc", hidden=True)
@roots_options
def doctor(
    *,
    as_json: bool,
    rebuild: bool,
    fix: str | None,
    group: str,
    yes: bool,
    dry_run: bool,
    etc_root: Path,
    no_gpu: bool,
    sys_root: Path,
    proc_root: Path,
) -> None:
    """Say what can be measured on this machine, and how to open more.

    For each part: measured, refused, modelled or assumed; how wide its 95 % interval is for that
    reason; and the command that helps. Nothing is changed unless --fix or --rebuild says so.

    \b
    Examples:
      submeter doctor
      submeter doctor --fix rapl --dry-run
      submeter doctor --rebuild
    """  # noqa: D301
    if fix is None and (group or yes or dry_run):
        raise UsageError(
            "--group, --yes and --dry-run belong to --fix", remedy="submeter doctor --fix rapl"
        )
    if fix is not None:
        _fix_rapl(sys_root, etc_root, group, yes=yes, dry_run=dry_run)
        return
    if rebuild:
        _rebuild()
        return
    found = diagnose(
        roots(sys_root, proc_root, no_gpu=no_gpu),
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    if as_json:
        click.echo(to_json({"schema": JSON_SCHEMA, **found.to_dict()}))
        return
    for line in doctor_lines(found):
        click.echo(line)


def doctor_lines(found: Diagnosis) -> Iterator[str]:
    """Tell what was *found*, a part a line, remedies below."""
    yield from _set("machine", "", _machine(found.machine))
    for finding in found.findings:
        # The state has a column of its own; a text that begins with it needs no second one.
        words = plain(finding.text).removeprefix(f"{finding.state} ")
        yield from _set(finding.part, _state(finding), words)
        yield from _remedy(plain(finding.remedy))
    if found.total is not None:
        words = f"{write_doubt(found.total)} at the wall, for half load on all of it"
        yield from _set("total", "", words)
        for gain in found.gains:
            yield from _remedy(f"{gain.remedy}  (narrows the total to {write_doubt(gain.total)})")
    else:
        yield from _set("total", "", "unknown: nothing here can be measured or modelled")
    yield from _set("place", "", plain(f"{found.zone.code}: {place_words(found.zone)}"))
    if found.zone.guessed:
        yield from _remedy("submeter config set zone DE")
    yield from _ledger(found.ledger)
    for warning in found.warnings:
        yield from _set("settings", "", plain(warning))


def _state(finding: Finding) -> str:
    if finding.state == "absent":
        return "none"
    # Beyond a factor of two there is no ±; the text says from where to where.
    if finding.interval_ratio is None or finding.interval_ratio >= 1:
        return finding.state
    return f"{finding.state} ±{write_ratio(finding.interval_ratio)}"


def _machine(machine: dict[str, str]) -> str:
    """Processors, memory and kind of the machine in one line."""
    words = [
        f"{machine.get('vcpus', 'unknown number of')} processors of {machine['cpu_model']}"
        if machine.get("cpu_model")
        else f"{machine.get('vcpus', 'unknown number of')} processors"
    ]
    memory = machine.get("memory_bytes", "")
    if memory.isdigit():
        words.append(f"{int(memory) / _GB:.0f} GB")
    words.append(machine.get("virtualisation", ""))
    system = machine.get("os", "")
    if system and system != "Linux":
        words.append(f"{system}: energy is read on Linux only")
    return plain(", ".join(w for w in words if w))


def _ledger(state: LedgerState) -> Iterator[str]:
    if state.runs is None:
        words = state.problems[0] if state.problems else f"{state.path}: none yet"
        yield from _set("ledger", "", plain(words))
    else:
        size = f"{state.size_bytes / _MB:.1f} MB"
        verdict = "checked" if not state.problems else _many(len(state.problems), "problem")
        yield from _set(
            "ledger", "", f"{_short(state.path)}  {_many(state.runs, 'run')}, {size}, {verdict}"
        )
        for problem in state.problems:
            yield from _set("", "", plain(problem))
    if state.problems:
        yield from _remedy("submeter doctor --rebuild")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _short(path: Path) -> str:
    """*path* with the home folder as ``~``."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return plain(str(path))


def _set(label: str, state: str, words: str) -> Iterator[str]:
    start = _LABEL + (_STATE + 2 if state else 0)
    head = pad(label, _LABEL) + (pad(state, _STATE + 2) if state else "")
    for i, line in enumerate(fill(words.split(" "), _WIDTH - start)):
        yield (head if i == 0 else " " * start) + line


def _remedy(words: str) -> Iterator[str]:
    if not words:
        return
    # A command stays whole where it fits, so that it can be copied.
    room = _WIDTH - _LABEL - 2
    lines = [words] if len(words) <= room else fill(words.split(" "), room)
    for i, line in enumerate(lines):
        yield cut(" " * _LABEL + ("→ " if i == 0 else "  ") + line, _WIDTH)


def _fix_rapl(sys_root: Path, etc_root: Path, group: str, *, yes: bool, dry_run: bool) -> None:
    """Show the rule, ask, apply it."""
    from submeter.interfaces.cli.rapl import apply_fix, plan_fix

    fix = plan_fix(sys_root, etc_root, group)
    click.echo(fix.described())
    if dry_run:
        click.echo("\nNothing was changed (--dry-run).")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "not applied: there is no terminal to ask on",
                remedy="sudo submeter doctor --fix rapl --yes",
            )
        if not click.confirm("\nApply it?"):
            click.echo("Nothing was changed.")
            return
    apply_fix(fix)
    click.echo(f"\nDone: {len(fix.counters)} counters are open. Check: submeter sensors")


def _rebuild() -> None:
    """Make the ledger anew and say what came of it."""
    from submeter.metering.settle import settle_folder
    from submeter.running.recovery import is_over
    from submeter.storing.places import home
    from submeter.storing.rebuilding import rebuild

    made = rebuild(home(), settle_folder, is_live=lambda journal: not is_over(journal.parent))
    counts: Sequence[tuple[int, str]] = (
        (len(made.settled), "from their folders"),
        (len(made.salvaged), "from the old ledger"),
        (len(made.live), "still going on, left alone"),
    )
    for count, what in counts:
        if count:
            click.echo(f"{_many(count, 'run')} {what}")
    if not any(count for count, _what in counts):
        click.echo("no run found")
    if made.quarantined is not None:
        click.echo(f"the old ledger is kept as {made.quarantined}")
    for name, why in made.failed.items():
        click.echo(f"{plain(name)}: {plain(why)}", err=True)
    if made.failed:
        raise LedgerError(
            f"{len(made.failed)} folders hold no run that can be read; they were left as they are",
            remedy="submeter rm ID, once you need none of them",
        )
