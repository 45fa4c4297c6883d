# SPDX-License-Identifier: Apache-2.0
"""``replay`` and ``show --live``: what they say to do next can be done."""

import shlex

from submeter.accounting.published import published_run
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


def test_a_published_run_that_took_nobody_knows_how_long_takes_no_zero_seconds(
    stage: Stage,
) -> None:
    told = published_run(name="told", energy_kwh=5, scope="it", hours=2.0)
    untold = published_run(name="untold", energy_kwh=5, scope="it")
    with open_ledger(stage.home / "ledger.db") as ledger:
        for run in (told, untold):
            ledger.put(run)
    lines = stage.call("list").out.splitlines()
    assert " 2 h" in next(line for line in lines if " told " in line)
    row = next(line for line in lines if " untold " in line)
    assert " 0 s" not in row
    assert " — " in row
    assert stage.call("show", "untold").out.startswith("untold · published, duration not told\n")
    assert stage.call("show", "told").out.startswith("told · finished in 2 h\n")
    replayed = stage.call("replay", "untold", "--zone", "SE", "--save", "there")
    assert replayed.code == 0
    assert "finished in 0 s" not in stage.call("show", "there").out
