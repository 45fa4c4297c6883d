# SPDX-License-Identifier: Apache-2.0
"""``replay`` and ``show --live``: what they say to do next can be done."""

import shlex

from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.reporting.examples import digits

__all__ = ["stage"]


def keep(stage: Stage) -> None:
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(digits())


def test_what_undoes_a_saved_replay_works_where_nobody_can_be_asked(stage: Stage) -> None:
    keep(stage)
    done = stage.call("replay", "last", "--zone", "SE", "--save", "in-sweden")
    assert done.code == 0
    kept, undo = done.err.splitlines()
    assert undo == f"undo: submeter rm {kept.removeprefix('kept as ')} --yes"
    assert stage.call("show", "in-sweden").code == 0
    undone = stage.call(*shlex.split(undo.removeprefix("undo: submeter ")))
    assert undone.code == 0
    assert stage.call("show", "in-sweden").code == 6


def test_live_data_without_a_provider_say_how_to_set_one(stage: Stage) -> None:
    keep(stage)
    done = stage.call("show", "--live")
    assert done.code == 2
    (remedy,) = (x for x in done.err.splitlines() if x.startswith("try:"))
    command = remedy.removeprefix("try:").split()
    assert command == ["submeter", "config", "set", "provider", "uk-carbon-intensity"]
    assert stage.call(*command[1:]).code == 0
