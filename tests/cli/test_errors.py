# SPDX-License-Identifier: Apache-2.0
"""Every mistake is one line what and one line what to do, with the exit code of its kind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from submeter import errors
from submeter.interfaces.cli.failures import report_failure
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.reporting.examples import digits

__all__ = ["stage"]

CODES = {
    "UsageError": 2,
    "ConfigError": 2,
    "SensorError": 3,
    "SensorPermissionError": 3,
    "CoverageError": 4,
    "ProviderError": 5,
    "LedgerError": 6,
    "RunNotFoundError": 6,
    "InfeasibleError": 7,
    "ActuatorError": 8,
    "PluginError": 9,
}


@pytest.mark.parametrize(
    "args",
    [
        ("shwo",),
        ("show", "--nope"),
        ("show", "a", "b"),
        ("show", "--by", "colour"),
        ("show", "--by", ","),
        ("completion",),
        ("completion", "tcsh"),
        ("help", "shwo"),
        ("--nope",),
        ("doctor", "--yes"),
        ("sensors", "--seconds", "never"),
    ],
)
def test_wrong_usage_is_two_lines_and_exit_2(args: tuple[str, ...], stage: Stage) -> None:
    done = stage.call(*args)
    assert (done.code, done.out) == (2, "")
    what, remedy = done.err.splitlines()
    assert what.startswith("error: ")
    assert remedy.startswith("try:   submeter")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("shwo", "show"), ("docter", "doctor"), ("lst", "list"), ("exprot", "export")],
)
def test_an_unknown_verb_names_the_nearest(asked: str, meant: str, stage: Stage) -> None:
    assert stage.call(asked).err == f"error: there is no verb “{asked}”\ntry:   submeter {meant}\n"


def test_an_unknown_verb_like_no_other_points_to_the_help(stage: Stage) -> None:
    assert stage.call("xyzzy").err.endswith("try:   submeter --help\n")


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_kind_has_its_exit_code(
    name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = getattr(errors, name)
    assert report_failure(kind("it broke", remedy="mend it"), debug=False) == code
    assert capsys.readouterr().err == "error: it broke\ntry:   mend it\n"


def test_no_error_is_left_without_a_code() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SubmeterError)
    ]
    for kind in kinds:
        if kind is not errors.SubmeterError:
            assert 2 <= kind.exit_code <= 9


def test_a_run_that_is_not_there(stage: Stage) -> None:
    done = stage.call("show")
    assert done.code == 6
    assert done.err == "error: there is no run yet\ntry:   submeter run -- python train.py\n"


def test_e02_a_wrong_setting_is_named_and_nothing_is_shown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(digits())
    monkeypatch.setenv("SUBMETER_PUE", "-1")
    done = stage.call("show")
    assert (done.code, done.out) == (2, "")
    assert "pue" in done.err.lower()


def test_a_traceback_is_shown_only_when_asked_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Traceback" not in stage.call("show", "nope").err
    asked = stage.call("--debug", "show", "nope")
    assert "Traceback" in asked.err
    assert asked.code == stage.call("show", "nope").code
    monkeypatch.setenv("SUBMETER_DEBUG", "1")
    assert "Traceback" in stage.call("show", "nope").err


def test_debug_behind_a_verb_belongs_to_the_verb(stage: Stage) -> None:
    done = stage.call("show", "--debug")
    assert done.code == 2
    assert "Traceback" not in done.err


def test_what_nobody_expected_says_how_to_report_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_failure(ZeroDivisionError("division by zero"), debug=False) == 1
    what, remedy = capsys.readouterr().err.splitlines()
    assert what == "error: unexpected ZeroDivisionError: division by zero"
    assert "--debug" in remedy


def test_f21_names_in_errors_cannot_touch_the_terminal(stage: Stage) -> None:
    done = stage.call("show", "\x1b[31m\u202egnp\nerror: all is well")
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert len(done.err.splitlines()) <= 2


def test_an_abort_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_failure(click.Abort(), debug=False) == 130
    assert capsys.readouterr().err == ""


def test_an_interrupt_is_quiet(stage: Stage) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        done = stage.call("sensors", "--no-gpu", "--seconds", "60")
    finally:
        timer.join()
    assert done == (130, "", "")


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_ledger(home / "ledger.db") as ledger:
        ledger.put(digits())
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "submeter", "show", "--json"],
            stdout=write,
            stderr=subprocess.PIPE,
            env={**os.environ, "SUBMETER_HOME": str(home)},
            check=False,
            timeout=60,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "words",
    [
        ["show", "\udcff"],
        ["rm", "--yes", "\udcff"],
        ["tag", "\udcff"],
        ["tag", "\udcff", "a=b"],
        ["export", "\udcff"],
    ],
)
def test_an_argument_that_is_no_utf_8_is_a_run_not_found(stage: Stage, words: list[str]) -> None:
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(digits())
    done = stage.call(*words)
    assert (done.code, done.out) == (6, "")
    assert [line[:6] for line in done.err.splitlines()] == ["error:", "try:  "]


def test_a_full_disk_behind_stdout_is_two_lines(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.put(digits())
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "submeter", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "SUBMETER_HOME": str(tmp_path)},
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert [line[:6] for line in done.stderr.decode().splitlines()] == ["error:", "try:  "]


def test_a_terminal_without_dashes_gets_its_numbers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_ledger(home / "ledger.db") as ledger:
        ledger.put(digits())
    done = subprocess.run(
        [sys.executable, "-m", "submeter", "show", "digits"],
        env={**os.environ, "SUBMETER_HOME": str(home), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"  node         0.43 Wh ?  (0.32 ? 0.58)" in done.stdout
