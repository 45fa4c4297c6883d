# SPDX-License-Identifier: Apache-2.0
"""A program that calls us oddly, or at an odd moment, goes on."""

import sys
from pathlib import Path

import pytest

from tests.program.test_program import phases_of, program
from tests.running.scripts import (
    finish,
    folders,
    python_file,
    run_arguments,
    settled,
)


def test_a_phase_in_a_signal_handler_while_phases_are_being_loaded_does_nothing(
    tmp_path: Path,
) -> None:
    code = """
import signal, sys
import submeter
entered = []
busy = False
def handle(*_):
    global busy
    if not busy:
        busy = True
        with submeter.phase("handler"):
            submeter.log(loss=1)
            entered.append(True)
        busy = False
signal.signal(signal.SIGUSR1, handle)
def trace(frame, event, arg):  # from half a module on, a signal comes at each line of ours
    begun = "submeter.interfaces.program" in sys.modules
    if begun and not busy and "submeter" in frame.f_code.co_filename:
        signal.raise_signal(signal.SIGUSR1)
    return trace
sys.settrace(trace)
for _ in range(3):
    with submeter.phase("train"):
        pass
sys.settrace(None)
assert entered
"""
    home = tmp_path / "home"
    file = python_file(tmp_path, code)
    done = finish(run_arguments(sys.executable, "-W", "error", file), home)
    assert (done.returncode, done.stderr) == (0, b"")
    assert phases_of(tmp_path)["train"] == 3


def test_names_that_are_no_text_are_made_one_and_never_raise(tmp_path: Path) -> None:
    code = """
import warnings, submeter
class Odd:
    def __str__(self):
        raise RuntimeError("no")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    with submeter.measure(5) as run:
        for name in (["a"], ["a"], {}, 3, "", None, b"b", Odd()):
            with submeter.phase(name):
                pass
    with submeter.measure(6, tags=["a"]):
        pass
words = [str(w.message) for w in said]
assert len(words) == len(set(words)), words
assert any("['a']" in w for w in words), words
assert any("tags" in w for w in words), words
assert isinstance(run.energy, submeter.Figure), run.energy
"""
    program(tmp_path, code)
    home = tmp_path / "home"
    assert sorted(settled(home, ref).name for ref in ("last", "last~1")) == ["5", "6"]
    paths = {p.path for ref in ("last", "last~1") for p in settled(home, ref).phases}
    assert paths == {"['a']", "{}", "3", "(unnamed)", "None", "b'b'"}
    assert len(folders(home)) == 2


@pytest.mark.parametrize(
    ("given", "code"), [("256", 0), ("-1", 255), ("257", 1), ("2**70", 255), ("'no'", 1)]
)
def test_the_exit_code_of_a_measured_program_is_what_the_process_returns(
    tmp_path: Path, given: str, code: int
) -> None:
    text = f"import sys, submeter\nwith submeter.measure():\n    sys.exit({given})\n"
    done = finish([sys.executable, python_file(tmp_path, text)], tmp_path / "home")
    assert done.returncode == code
    run = settled(tmp_path / "home")
    assert (run.status, run.exit_code) == ("failed" if code else "finished", code)


def test_an_empty_command_is_not_found(tmp_path: Path) -> None:
    done = finish(run_arguments(""), tmp_path / "home")
    assert done.returncode == 127
    assert folders(tmp_path / "home") == []
