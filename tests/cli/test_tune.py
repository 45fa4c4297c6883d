# SPDX-License-Identifier: Apache-2.0
"""``submeter tune`` from the command line, with real programs that are soon at their end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.stage import Stage, stage

__all__ = ["stage"]

PROGRAM = """
import submeter, sys, time
cpu_s, accuracy = float(sys.argv[1]), float(sys.argv[2])
until = time.process_time() + cpu_s
while time.process_time() < until:
    sum(range(1000))
submeter.log(accuracy=accuracy)
print("Loss:", 2 - accuracy)
"""

# Says that it has begun, and goes on until it is told to end.
ENDLESS = """
import os, submeter, sys
if sys.argv[1] == "long":
    with open(sys.argv[2], "w") as begun:
        begun.write("x")
    sys.stdin.close()
    import signal
    signal.pause()
submeter.log(accuracy=0.97)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "work.py"
    path.write_text(PROGRAM)
    return str(path)


def test_a_search_from_the_first_trial_to_the_proof(stage: Stage, program: str) -> None:
    done = stage.call(
        "tune", "--set", "cpu=0.6,0.05", "--set", "accuracy=0.97,0.5", "--name", "try",
        "--keep", "accuracy >= 0.9", "--read", "loss=Loss: ([0-9.]+)", "--json", "--",
        sys.executable, program, "{cpu}", "{accuracy}",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = done.document
    assert (found["schema"], found["ended"], found["proven"]) == (
        1,
        "every setting was tried",
        False,
    )
    assert [t["default"] for t in found["trials"]] == [True, False, False, False]
    assert found["best"]["settings"] == {"cpu": "0.05", "accuracy": "0.97"}
    assert found["best_command"][1:] == [program, "0.05", "0.97"]
    assert 0 < found["saving_ratio"] < 1
    assert found["best"]["metrics"] == {"accuracy": 0.97, "loss": 1.03}
    spent = sum(t["energy"]["value"] for t in found["trials"])
    assert found["energy"]["value"] == pytest.approx(spent, rel=1e-6)
    listed = stage.call("list", "--tag", f"search={found['id']}", "--json").document
    assert len(listed["runs"]) == 4
    shown = stage.call("tune", "--show", "last")
    assert "cpu=0.05 accuracy=0.97 used" in shown.out
    assert "to be proven" in shown.out
    words = [line for line in shown.out.splitlines() if not line.startswith("  → ")]
    assert max(map(len, words)) <= 80
    assert stage.call("tune", "--show", "last", "--json").document == found


def test_it_goes_on_with_more_trials_and_repeats_none(stage: Stage, program: str) -> None:
    words = ["--set", "cpu=0.05,0.06,0.07", "--default", "cpu=0.06", "--sampler", "random"]
    first = stage.call(
        "tune", *words, "--trials", "1", "--json", "--", sys.executable, program, "{cpu}", "0.9"
    ).document
    assert first["trials"][0]["settings"] == {"cpu": "0.06"}
    again = stage.call("tune", "--resume", "last", "--trials", "2", "--json").document
    assert again["id"] == first["id"]
    assert again["trials"][0] == {**first["trials"][0], "pareto": again["trials"][0]["pareto"]}
    assert len({t["settings"]["cpu"] for t in again["trials"]}) == len(again["trials"]) == 2


def test_an_interrupt_keeps_what_was_found(stage: Stage, tmp_path: Path) -> None:
    path, begun = tmp_path / "work.py", tmp_path / "begun"
    path.write_text(ENDLESS)
    os.mkfifo(begun)
    child = subprocess.Popen(
        [sys.executable, "-m", "submeter", "tune", "--set", "how=short,long", "--json", "--",
         sys.executable, str(path), "{how}", str(begun)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    begun.read_text()  # the second trial goes on
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    found = json.loads(out)
    assert found["ended"] == "interrupted"
    assert [t["state"] for t in found["trials"]] == ["finished", "interrupted"]
    assert found["trials"][1]["energy"].get("value", 0) >= 0
    assert found["best"]["settings"] == {"how": "short"}
    assert stage.call("tune", "--show", "last", "--json").document == found


def test_a_weak_trial_is_stopped_and_counted(stage: Stage, program: str) -> None:
    """The second would take for ever: only the tuner can end it."""
    done = stage.call(
        "tune", "--set", "cpu=0.3,1000", "--keep", "accuracy >= 0.9", "--json", "--",
        sys.executable, program, "{cpu}", "0.97",
    )  # fmt: skip
    assert done.code == 0, done.err
    stopped = done.document["trials"][1]
    assert (stopped["state"], stopped["why"]) == ("stopped", "dominated")
    assert done.document["stopped_energy_j"] == pytest.approx(stopped["energy"]["value"])
    assert done.document["stopped_energy_j"] > done.document["best"]["energy"]["value"]


STEPS = """
import submeter, sys, time
steps, step_cpu_s = int(sys.argv[1]), float(sys.argv[2])
submeter.log(total_steps=steps)
for step in range(1, steps + 1):
    until = time.process_time() + step_cpu_s
    while time.process_time() < until:
        sum(range(1000))
    submeter.log(step=step, accuracy=0.97 * step / steps)
"""

TAKES = """
import submeter
batches = submeter.reduce.from_environment(loader=[1, 2, 3])
submeter.log(accuracy=0.9, batches=sum(batches))
"""


def test_a_trial_that_tells_its_steps_is_stopped_before_it_has_used_as_much(
    stage: Stage, tmp_path: Path
) -> None:
    """Ten thousand steps would take an hour: a second of them says so."""
    path = tmp_path / "work.py"
    path.write_text(STEPS)
    done = stage.call(
        "tune", "--set", "steps=10,10000", "--keep", "accuracy >= 0.9", "--json", "--",
        sys.executable, str(path), "{steps}", "0.3",
    )  # fmt: skip
    assert done.code == 0, done.err
    default, stopped = done.document["trials"]
    assert (stopped["state"], stopped["why"]) == ("stopped", "would use more")
    assert stopped["energy"]["value"] < default["energy"]["value"]


def test_techniques_are_turned_where_the_program_takes_them(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "work.py"
    path.write_text(TAKES)
    done = stage.call(
        "tune", "--technique", "remove_idle=on,off", "--no-pruning", "--json", "--",
        sys.executable, str(path),
    )  # fmt: skip
    assert done.code == 0, done.err
    off, on = done.document["trials"]
    assert (off["settings"], off["default"]) == ({"technique.remove_idle": "off"}, True)
    assert (on["state"], on["metrics"]["batches"]) == ("finished", 6)
    run = stage.call("show", on["run"], "--json").document["run"]
    assert done.document["best_command"][-1] == str(path)
    assert run["parameters"]["technique.remove_idle"] == "2 batches ahead"
    assert done.document["best_command"][0] == "env"


def test_a_program_that_takes_no_techniques_fails_with_them(stage: Stage, program: str) -> None:
    done = stage.call(
        "tune", "--technique", "remove_idle", "--no-pruning", "--json", "--",
        sys.executable, program, "0.02", "0.9",
    )  # fmt: skip
    assert done.code == 0, done.err
    off, on = done.document["trials"]
    assert (off["state"], on["state"]) == ("finished", "failed")
    assert "remove_idle was not applied" in on["why"]
    assert done.document["best"]["number"] == off["number"]


def test_a_default_that_fails_tells_its_words(stage: Stage, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("raise SystemExit('out of memory, it said')")
    done = stage.call("tune", "--set", "n=1,2", "--", sys.executable, str(bad), "{n}")
    assert done.code == 1
    assert "out of memory" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "say what may be turned"),
        (["--set", "n=1,2"], "say what may be turned"),
        (["--set", "n=1,2", "--", "true"], "does not take it"),
        (["--set", "n=1,2", "--", "no-such-program", "{n}"], "not found"),
        (["--set", "n=3..1", "--", "true", "{n}"], "nothing lies in"),
        (["--set", "n=1,2", "--default", "n=3", "--", "true", "{n}"], "cannot be 3"),
        (["--set", "n=1,2", "--default", "n", "--", "true", "{n}"], "no setting"),
        (["--set", "n=1,2", "--keep", "good", "--", "true", "{n}"], "no condition"),
        (["--set", "n=1,2", "--max-slowdown", "much", "--", "true", "{n}"], "no slow-down"),
        (["--set", "n=1,2", "--max-slowdown", "-5%", "--", "true", "{n}"], "makes no sense"),
        (["--set", "n=1,2", "--budget", "3 kg", "--", "true", "{n}"], "is an energy"),
        (["--set", "n=0..1", "--sampler", "grid", "--", "true", "{n}"], "needs choices"),
        (["--set", "n=1,2", "--storage", "sql://x", "--", "true", "{n}"], "cannot be kept"),
        (["--resume", "last"], "no search"),
        (["--show", "nobody"], "no search"),
        (["--prove", "last"], "no search"),
    ],
)
def test_what_makes_no_sense_is_one_error(stage: Stage, words: list[str], what: str) -> None:
    done = stage.call("tune", *words)
    assert done.code in {2, 6}
    assert what in done.err
    assert done.err.count("\n") == 2
