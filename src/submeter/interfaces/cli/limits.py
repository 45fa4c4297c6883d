# SPDX-License-Identifier: Apache-2.0
"""``submeter limits``: what is set on the boards, what they allow, who set it; put it back."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from submeter.errors import ActuatorError
from submeter.reporting.text import plain, table
from submeter.reporting.words import JSON_SCHEMA, to_json
from submeter.storing import places

if TYPE_CHECKING:
    from submeter.reducing.actuators.intents import Kept
    from submeter.reducing.actuators.protocol import LimitedBoard
    from submeter.reducing.actuators.restoring import PutBack

_NAME = 40
Held = Sequence["tuple[Kept, bool]"]


@click.command("limits")
@click.option("--restore", is_flag=True, help="Put back what a crash has left set.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def limits(*, restore: bool, as_json: bool) -> None:
    """Show power limits and what may be set, and who of us has set one.

    A limit that submeter run has set is put back at its end, behind a crash by a process that
    watches over it, and else at the next start of any verb. --restore does it now, and says what
    it did; what a run holds that goes on is left alone.

    \b
    Examples:
      submeter limits
      sudo -E env "PATH=$PATH" submeter limits --restore
      submeter limits --json
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.reducing.actuators.nvml import open_actuator, rights
    from submeter.reducing.actuators.restoring import held_now, restore_left

    home = places.home()
    rows = restore_left(home) if restore else []
    held = held_now(home)
    actuator = open_actuator("power", masked=False)
    boards = list(actuator.boards())
    needs = rights()
    if as_json:
        click.echo(to_json({
            "schema": JSON_SCHEMA,
            "boards": [_board(b, held) for b in boards],
            "rights": needs or None,
            "held": [_holder(kept, by) for kept, by in held],
            "restored": [_row(r) for r in rows],
        }))  # fmt: skip
    else:
        _tell(boards, held, needs, actuator.why)
        for row in rows:
            click.echo(f"{plain(row.name)}: {row.how}: {plain(row.words)}")
    failed = next((r for r in rows if not r.done), None)
    if failed is not None:
        raise ActuatorError(
            f"{failed.name} {failed.uuid} is not restored: {failed.words}",
            remedy='sudo -E env "PATH=$PATH" submeter limits --restore',
        )


def _of(board: "LimitedBoard", held: Held) -> str:
    """Who of us has set *board*, in words."""
    for kept, by in held:
        if any(b.uuid == board.uuid for b in kept.armed.boards):
            who = f"{kept.armed.words or 'a program'} (process {kept.armed.owner_pid})"
            return who if by else f"left by {who}"
    return ""


def _tell(boards: "list[LimitedBoard]", held: Held, needs: str, why: str) -> None:
    if not boards:
        click.echo(f"no board whose limit could be set: {plain(why)}")
        return
    rows = [("board", "limit", "allowed", "default", "set by")]
    rows += [
        (
            plain(b.name)[:_NAME],
            "?" if b.now is None else f"{b.now:g} W",
            "?" if not b.most else f"{b.least:g}–{b.most:g} W",
            "?" if b.default is None else f"{b.default:g} W",
            plain(_of(b, held) or b.why_not or ""),
        )
        for b in boards
    ]
    click.echo("\n".join(table(rows, right=(1, 2, 3))))
    if needs:
        click.echo(needs)


def _board(board: "LimitedBoard", held: Held) -> dict[str, object]:
    return {
        "id": f"gpu:{board.uuid}",
        "name": board.name,
        "limit_w": board.now,
        "least_w": board.least if board.most else None,
        "most_w": board.most or None,
        "default_w": board.default,
        "why_not": board.why_not or None,
        "set_by": _of(board, held) or None,
    }


def _holder(kept: "Kept", by: bool) -> dict[str, object]:  # noqa: FBT001  # one of a pair
    armed = kept.armed
    return {
        "kind": armed.kind,
        "for": armed.words,
        "pid": armed.owner_pid,
        "since_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(armed.at_utc_s)),
        "held": by,
        "state": kept.intended[-1].state if kept.intended else "armed",
        "before": {f"gpu:{b.uuid}": b.value for b in armed.boards},
        "set": {f"gpu:{k}": v for k, v in kept.intended[-1].values.items()}
        if kept.intended
        else {},
    }


def _row(row: "PutBack") -> dict[str, object]:
    return {"id": f"gpu:{row.uuid}", "name": row.name, "how": row.how, "words": row.words}
