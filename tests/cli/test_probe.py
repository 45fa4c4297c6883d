# SPDX-License-Identifier: Apache-2.0
"""``submeter estimate --probe``: a real program is run briefly, stopped, and foretold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from submeter.interfaces.cli.run_budget import count_of, signal_of
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.running.scripts import environment, finish, has_gone, in_ledger, python_file

__all__ = ["stage"]
PYTHON = sys.executable
STEADY = """
import os, submeter
print("probed", os.environ.get("SUBMETER_PROBE"), flush=True)
{total}
for step in range(1, {steps} + 1):
    with submeter.phase("train"):
        sum(range(300_000))
    submeter.log(step=step, tokens=10)
"""


def probed(
    folder: Path, code: str, *options: str, length: str = "2s"
) -> "subprocess.CompletedProcess[bytes]":
    argv = [PYTHON, "-m", "submeter", "estimate", "--probe", length, "--zone", "DE", *options]
    return finish([*argv, "--", PYTHON, python_file(folder, code)], folder / "home")


def test_a_probe_foretells_the_whole_and_keeps_it(tmp_path: Path) -> None:
    code = STEADY.format(total="submeter.log(total_steps=100_000)", steps=10**9)
    done = probed(tmp_path, code, "--json", "--save", "planned")
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads(done.stdout)
    assert document["run"]["origin"] == "predicted"
    assert document["prediction"]["bound"] == "as probed"
    seen = document["probe"]
    assert seen["total"] == 100_000
    duration_s = document["prediction"]["duration"]["value"]
    assert duration_s == pytest.approx(seen["elapsed_s"] / seen["done"] * 100_000, rel=0.5)
    wall = document["energy"]["facility"]
    assert wall["low"] < wall["value"] < wall["high"]
    assert b"probed 2" in done.stderr
    with open_ledger(tmp_path / "home" / "ledger.db") as ledger:
        runs = {run.origin: run for run in map(ledger.get, in_ledger(tmp_path / "home"))}
    assert set(runs) == {"measured", "predicted"}
    assert runs["measured"].status == "stopped"
    assert runs["measured"].tags == {"probe": "2s"}
    assert runs["predicted"].parent == runs["measured"].id
    assert runs["predicted"].duration_s == pytest.approx(duration_s)


def test_tokens_tell_how_long_the_whole_is_and_a_shell_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    code = STEADY.format(total="", steps=10**9)
    (tmp_path / "pid").touch()
    code = f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n{code}"
    script = python_file(tmp_path, code)
    argv = [PYTHON, "-m", "submeter", "estimate", "--probe", "2s", "--zone", "DE",
            "--tokens", "1M"]  # fmt: skip
    shell = ["sh", "-c", f"{PYTHON} {script}; true"]
    done = finish([*argv, "--", *shell], tmp_path / "home")
    assert done.returncode == 0, done.stderr.decode()
    assert b"9 in 10" in done.stdout
    pid = int((tmp_path / "pid").read_text())
    assert has_gone(pid)


def test_a_daemon_that_the_command_made_of_a_child_is_ended_with_it(tmp_path: Path) -> None:
    code = STEADY.format(total="submeter.log(total_steps=10**9)", steps=10**9)
    daemon = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    script = python_file(tmp_path, daemon + code)
    argv = [PYTHON, "-m", "submeter", "estimate", "--probe", "2s", "--zone", "DE", "--"]
    done = finish([*argv, PYTHON, script], tmp_path / "home")
    assert done.returncode == 0, done.stderr.decode()
    assert has_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (STEADY.format(total="", steps=10**9), (), "how many steps there will be"),
        ("raise SystemExit(3)", ("--steps", "10"), "exit code 3"),
        ("pass", ("--steps", "10"), "no step was logged"),
        ("pass", ("--images", "10"), "no samples were logged: submeter.log(samples=…)"),
    ],
    ids=["no total", "failed", "no steps", "no images"],
)
def test_e01_what_a_probe_cannot_tell_it_does_not_tell(
    tmp_path: Path, code: str, options: tuple[str, ...], said: str
) -> None:
    done = probed(tmp_path, code, *options)
    assert done.returncode == 4
    assert done.stdout == b""
    words = done.stderr.decode()
    assert said in words
    assert "try:" in words


@pytest.mark.parametrize(
    "argv",
    [
        ("estimate", "--probe", "30s"),
        ("estimate", "--probe", "soon", "--", "true"),
        ("estimate", "--probe", "1s", "--", "true"),
        ("estimate", "--probe", "30", "--", "true"),
        ("estimate", "--probe", "30s", "--chart", "--", "true"),
        ("estimate", "--probe", "30s", "--change", "prune=0.5", "--", "true"),
        ("estimate", "--probe", "30s", "--outlook", "neuromorphic", "--", "true"),
        ("estimate", "--probe", "30s", "--hardware", "h100:8", "--", "true"),
        ("estimate", "--probe", "30s", "model.toml", "--", "true"),
        ("estimate", "--params", "7B", "--", "true"),
        ("estimate", "--probe", "3s", "--", "no-such-command"),
        ("run", "--budget", "much", "--", "true"),
        ("run", "--budget", "1kWh", "--budget-signal", "KILL", "--", "true"),
        ("run", "--budget", "1kWh", "--grace", "never", "--", "true"),
        ("run", "--on-budget", "stop", "--", "true"),
        ("run", "--forecast", "--steps", "many", "--", "true"),
    ],
    ids=" ".join,
)
def test_e01_nonsense_is_an_error_with_a_remedy(stage: Stage, argv: tuple[str, ...]) -> None:
    called = stage.call(*argv)
    assert called.code == 2
    assert called.out == ""
    assert "try:" in called.err


def test_a_place_that_is_none_is_refused_before_the_command_runs(stage: Stage) -> None:
    command = ("sh", "-c", "echo > ran")
    called = stage.call("estimate", "--probe", "2s", "--zone", "Atlantis", "--", *command)
    assert (called.code, called.out) == (4, "")
    assert "Atlantis" in called.err
    assert not (stage.path / "ran").exists()


@pytest.mark.parametrize(("words", "count"), [("20000", 2e4), ("20k", 2e4), ("1.5B", 1.5e9)])
def test_counts_are_understood(words: str, count: float) -> None:
    assert count_of(words, "--steps") == count


def test_signals_have_names() -> None:
    assert signal_of("usr1") == signal_of("SIGUSR1")


def test_a_run_that_goes_on_is_shown_with_its_forecast(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = STEADY.format(total="submeter.log(total_steps=10**9)", steps=10**9)
    env = environment(home)
    run = subprocess.Popen(
        [PYTHON, "-m", "submeter", "run", "--forecast", "--zone", "DE", "--name", "long", "--",
         PYTHON, python_file(tmp_path, code)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stderr is not None
        line = run.stderr.readline()  # the first forecast
        assert "of 1 000 000 000" in line
        done = finish([PYTHON, "-m", "submeter", "show", "long", "--json"], home)
        document = json.loads(done.stdout)
        assert document["forecast"]["total"] == 1e9
        assert document["forecast"]["whole"]["energy"]["value"] > 0
    finally:
        run.terminate()
        run.communicate()
