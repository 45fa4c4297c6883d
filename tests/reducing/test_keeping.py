# SPDX-License-Identifier: Apache-2.0
"""``submeter run --power-limit`` and ``submeter limits`` on fake boards, from start to end."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import actuator
from submeter.errors import UsageError
from submeter.interfaces.cli import main
from submeter.interfaces.cli.run_limits import limit_in_words, ratio_in_words
from submeter.reducing.actuators.intents import intent_paths
from submeter.reducing.actuators.seeking import STEP_W, Pace, Seeker, candidates
from submeter.testing import FakeDriver
from submeter.testing.compiling import find_compiler
from tests.reducing.boards import PYTHON, board, driver_of, limits_w, program_environment

pytestmark = pytest.mark.skipif(
    find_compiler() is None, reason="the fake driver needs a C compiler: apt install gcc libc6-dev"
)
FIRST_W, LOW_W = 400.0, 250.0
ASKS = """
import pynvml
pynvml.nvmlInit()
for i in range(2):
    print(pynvml.nvmlDeviceGetPowerManagementLimit(pynvml.nvmlDeviceGetHandleByIndex(i)) // 1000)
"""
WAITS = "import time; print('begun', flush=True); time.sleep(60)"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[FakeDriver]:
    with driver_of(tmp_path, board(), board()) as driver:
        driver.go_live(time.monotonic_ns())
        yield driver


def call(driver: FakeDriver, folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PYTHON, "-m", "submeter", *args],
        env=program_environment(driver, folder / "home"),
        capture_output=True, text=True, check=False, timeout=30.0,
    )  # fmt: skip


def begin(driver: FakeDriver, folder: Path, *args: str) -> "subprocess.Popen[str]":
    """A run that has begun and holds its limit."""
    process = subprocess.Popen(
        [PYTHON, "-m", "submeter", "run", "-q", *args, "--", PYTHON, "-c", WAITS],
        env=program_environment(driver, folder / "home"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_without_apply_nothing_is_set_and_it_is_said_what_would_be(
    two: FakeDriver, tmp_path: Path
) -> None:
    given = call(two, tmp_path, "run", "-q", "--power-limit", "250W", "--", PYTHON, "-c", ASKS)
    auto = call(two, tmp_path, "run", "-q", "--power-limit", "auto", "--", PYTHON, "-c", "pass")
    assert (given.returncode, given.stdout) == (0, "400\n400\n")
    assert "it would set NVIDIA A100-SXM4-80GB to 250 W, and put 400 W back" in given.stderr
    assert "it would try 400, 365, 330" in auto.stderr
    for done in (given, auto):
        assert "nothing is set without --apply" in done.stderr
    assert [two.limit_sets(i) for i in (0, 1)] == [0, 0]
    assert not (tmp_path / "home" / "limits").exists()


def test_a_limit_holds_for_the_command_and_no_longer(two: FakeDriver, tmp_path: Path) -> None:
    done = call(
        two, tmp_path, "run", "-q", "--power-limit", "250W", "--apply", "--", PYTHON, "-c", ASKS
    )
    assert (done.returncode, done.stdout) == (0, "250\n250\n")
    assert "250 W → 400 W" in done.stderr
    assert limits_w(two) == [FIRST_W, FIRST_W]
    assert intent_paths(tmp_path / "home") == []


def test_e02_without_rights_nothing_is_started(two: FakeDriver, tmp_path: Path) -> None:
    two.boards[1].limit_code = 4
    two.update()
    done = call(two, tmp_path, "run", "--power-limit", "250W", "--apply", "--", PYTHON, "-c", ASKS)
    assert (done.returncode, done.stdout) == (8, "")
    assert "no permission" in done.stderr
    assert "try:   as root" in done.stderr
    assert limits_w(two) == [FIRST_W, FIRST_W]


def test_a_command_that_is_not_there_leaves_no_limit(two: FakeDriver, tmp_path: Path) -> None:
    done = call(two, tmp_path, "run", "--power-limit", "250W", "--apply", "--", "no-such-program")
    assert done.returncode == 127
    assert limits_w(two) == [FIRST_W, FIRST_W]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_e15_asked_to_leave_it_restores(
    two: FakeDriver, tmp_path: Path, number: signal.Signals
) -> None:
    with begin(two, tmp_path, "--power-limit", "250W", "--apply") as process:
        assert limits_w(two) == [LOW_W, LOW_W]
        process.send_signal(number)
        _, said = process.communicate(timeout=30.0)
    assert process.returncode == -number
    assert said.count("250 W → 400 W") == 2
    assert limits_w(two) == [FIRST_W, FIRST_W]


def test_e07_somebody_else_is_left_alone_and_named(two: FakeDriver, tmp_path: Path) -> None:
    with begin(two, tmp_path, "--power-limit", "250W", "--apply") as process:
        two.set_limit(0, 350.0)
        process.terminate()
        _, said = process.communicate(timeout=30.0)
    assert "somebody else has set 350 W" in said
    assert limits_w(two) == [350.0, FIRST_W]


def test_e16_killed_with_its_guardian_the_next_verb_restores(
    two: FakeDriver, tmp_path: Path
) -> None:
    """And until then it is shown who has left it."""
    home = tmp_path / "home"
    with begin(two, tmp_path, "--power-limit", "250W", "--apply") as process:
        below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        guardians = [p for p in below if b"guardian" in Path(f"/proc/{p}/cmdline").read_bytes()]
        watched = [os.pidfd_open(int(p)) for p in below]
        held = json.loads(call(two, tmp_path, "limits", "--json").stdout)
        assert [h["held"] for h in held["held"]] == [True]
        assert {b["limit_w"] for b in held["boards"]} == {LOW_W}
        for pid in guardians:
            os.kill(int(pid), signal.SIGKILL)
        process.kill()
        commands = [p for p in below if b"time.sleep(60)" in _words_of(p)]
        for pid in commands:
            os.kill(int(pid), signal.SIGKILL)
    assert len(guardians) == len(commands) == 1
    for one in watched:
        select.select([one], [], [], 20.0)
        os.close(one)
    assert limits_w(two) == [LOW_W, LOW_W]
    left = json.loads(call(two, tmp_path, "limits", "--json").stdout)
    assert [h["held"] for h in left["held"]] == [False]
    assert "left by" in left["boards"][0]["set_by"]
    assert left["held"][0]["before"][f"gpu:{two.boards[0].uuid}"] == FIRST_W
    listed = call(two, tmp_path, "list")
    assert listed.stderr.count("left by a crash, restored: 250 W → 400 W") == 2
    assert limits_w(two) == [FIRST_W, FIRST_W]
    assert intent_paths(home) == []
    assert "left by a crash" not in call(two, tmp_path, "list").stderr


def _words_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_restoring_where_nothing_was_left_says_so(
    two: FakeDriver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    assert main(["limits", "--restore", "--json"]) == 0
    assert two.limit_sets(0) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["held"], document["restored"]) == ([], [])
    assert document["boards"][0]["least_w"] == 100.0
    assert document["boards"][0]["default_w"] == FIRST_W


@pytest.mark.parametrize(
    "args",
    [
        ("--power-limit", "much"),
        ("--power-limit", "250W", "--lock-clock", "1200MHz"),
        ("--power-limit", "auto", "--max-slowdown", "500%"),
        ("--power-limit", "auto", "--host-power", "some"),
        ("--power-limit", "auto", "--when", "22:30"),
        ("--apply",),
    ],
    ids=" ".join,
)
def test_e01_nonsense_is_an_error_with_a_remedy(
    two: FakeDriver,
    tmp_path: Path,
    args: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    assert main(["run", *args, "--", "true"]) == 2
    assert "try:" in capsys.readouterr().err
    assert two.limit_sets(0) == 0


@pytest.mark.parametrize(
    ("words", "limit_w"), [("250W", 250), ("250", 250), ("0.25 kW", 250), ("300 watts", 300)]
)
def test_limits_are_understood(words: str, limit_w: float) -> None:
    assert limit_in_words(words, "power", "--power-limit") == limit_w


def test_slowdowns_are_understood() -> None:
    assert ratio_in_words("5%") == ratio_in_words("0.05") == 0.05
    with pytest.raises(UsageError):
        ratio_in_words("fast")


@pytest.mark.parametrize(
    ("least_w", "now_w"), [(100.0, 400.0), (325.0, 400.0), (400.0, 400.0), (200.0, 700.0)]
)
def test_candidates_go_down_from_what_is_set_and_not_below_what_is_allowed(
    least_w: float, now_w: float
) -> None:
    found = candidates(least_w, now_w)
    assert found[0] == now_w
    assert min(found) >= least_w
    assert found == sorted(found, reverse=True)
    assert len(found) <= 11
    assert all(a - b >= STEP_W for a, b in pairwise(found))


def test_without_steps_no_window_is_full() -> None:
    from submeter.running.progress import Progress

    seeker = Seeker([400.0, 300.0], host_w=100.0, pace=Pace(window_s=0.1))
    assert not seeker.look(Progress())
    assert seeker.words() == "no limit was measured"


def test_a_search_ends_at_the_limit_of_the_oracle_and_the_node_uses_less(tmp_path: Path) -> None:
    """A real run beside a fake board whose curve nobody told the search."""
    found = actuator.searched(tmp_path, actuator.SHORT, window_s=0.8, behind=25)
    assert found["found_w"] == found["oracle_w"] == 350
    assert found["limits_tried"] == 4
    assert found["node_saving_ratio"] == pytest.approx(found["foretold_saving_ratio"], abs=0.015)
    assert found["metered_j"] == pytest.approx(found["true_j"], rel=0.05)
    assert found["restored"]
