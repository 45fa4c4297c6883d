# SPDX-License-Identifier: Apache-2.0
"""The group is light, knows its verbs, and completes them."""

import os
import resource
import subprocess
import sys

import click
import pytest

from submeter.interfaces.cli import ALIASES, VERBS, LazyGroup, submeter
from tests.cli.stage import Stage, stage

__all__ = ["stage"]

HEAVY = ("rich", "sqlite3", "asyncio", "importlib.metadata", "pynvml", "submeter.sensors", "numpy")


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_imports_no_verb_and_nothing_heavy() -> None:
    done = python(
        "import sys; from submeter.interfaces.cli import main; main(['--help']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    loaded = set(done.stderr.split())
    ours = {m for m in loaded if m.startswith("submeter.interfaces.cli.")}
    assert ours == {"submeter.interfaces.cli.failures", "submeter.interfaces.cli.group"}
    assert loaded.isdisjoint(HEAVY)
    assert "Usage: submeter" in done.stdout


def test_help_costs_at_most_150_ms_of_processor_over_bare_python() -> None:
    def cpu_s(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    ours = "from submeter.interfaces.cli import main; main(['--help'])"
    assert min(cpu_s(ours) for _ in range(5)) - min(cpu_s("pass") for _ in range(5)) <= 0.15


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_map_is_a_command_of_that_name(verb: str) -> None:
    command = submeter.get_command(click.Context(submeter), verb)
    assert isinstance(command, click.Command)
    assert command.name == verb
    assert command.help


def test_aliases_lead_to_verbs_and_are_none_themselves() -> None:
    assert set(ALIASES.values()) <= set(VERBS)
    assert set(ALIASES).isdisjoint(VERBS)


@pytest.mark.parametrize(("alias", "verb"), ALIASES.items())
def test_guessed_names_work(alias: str, verb: str, stage: Stage) -> None:
    done = stage.call(alias, "--help")
    assert done.code == 0
    assert done.out.startswith("Usage: submeter")
    assert f"submeter {verb}" in done.out or f"submeter {alias}" in done.out


def test_without_arguments_the_help_is_shown(stage: Stage) -> None:
    assert stage.call() == stage.call("--help")


def test_version_is_one_line(stage: Stage) -> None:
    done = stage.call("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("submeter ")
    assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_a_shell_is_printed(shell: str, stage: Stage) -> None:
    done = stage.call("completion", shell)
    assert done.code == 0
    assert "_SUBMETER_COMPLETE" in done.out
    assert f"{shell}_complete" in done.out


def test_verbs_are_completed_from_the_map_alone() -> None:
    done = python(
        "import sys; from submeter.interfaces.cli import main\n"
        "try: main([])\n"
        "finally: print(*sys.modules, file=sys.stderr)",
        _SUBMETER_COMPLETE="bash_complete",
        COMP_WORDS="submeter s",
        COMP_CWORD="1",
    )
    assert done.stdout.split() == ["plain,savings", "plain,show", "plain,sensors"]
    assert "submeter.interfaces.cli.show" not in done.stderr.split()


def test_options_are_completed_too() -> None:
    done = python(
        "from submeter.interfaces.cli import main; main([])",
        _SUBMETER_COMPLETE="bash_complete",
        COMP_WORDS="submeter show --j",
        COMP_CWORD="2",
    )
    assert done.stdout.split() == ["plain,--json"]


def test_the_module_is_a_program_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "submeter", "help", "show"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert "submeter show" in done.stdout


def test_the_group_is_lazy() -> None:
    assert isinstance(submeter, LazyGroup)
    assert submeter.commands == {}
