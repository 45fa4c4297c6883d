# SPDX-License-Identifier: Apache-2.0
"""Help as it is read: golden files, written anew by ``pytest --snapshot-update``."""

import click
import pytest
from syrupy.assertion import SnapshotAssertion

from submeter.interfaces.cli import VERBS, submeter
from tests.cli.stage import Stage, stage

__all__ = ["stage"]

MINE = ["show", "estimate", "plan", "factors", "grid", "doctor", "sensors", "completion", "help"]


def test_help_of_the_group(stage: Stage, snapshot: SnapshotAssertion) -> None:
    assert stage.call("--help").out == snapshot


@pytest.mark.parametrize("verb", MINE)
def test_help_of_a_verb(verb: str, stage: Stage, snapshot: SnapshotAssertion) -> None:
    asked = stage.call("help", verb)
    assert (asked.code, asked.err) == (0, "")
    assert asked.out == stage.call(verb, "--help").out == snapshot


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained_and_every_line_fits(verb: str, stage: Stage) -> None:
    command = submeter.get_command(click.Context(submeter), verb)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.name
    assert max(len(line) for line in stage.call("help", verb).out.splitlines()) <= 80


def test_the_help_of_the_group_fits(stage: Stage) -> None:
    assert max(len(line) for line in stage.call("--help").out.splitlines()) <= 80


def test_help_without_a_verb_is_that_of_the_group(stage: Stage) -> None:
    assert stage.call("help").out == stage.call("--help").out


def test_help_knows_guessed_names(stage: Stage) -> None:
    assert stage.call("help", "check").out == stage.call("help", "doctor").out
