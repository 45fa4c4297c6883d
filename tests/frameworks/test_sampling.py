# SPDX-License-Identifier: Apache-2.0
"""Sampled layers of real trainings: what is seen, that nothing is changed, that nothing stays."""

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submeter
from submeter.errors import JoinWarning, UsageError
from submeter.explaining.layers import shares_of
from submeter.records.figures import Missing
from submeter.records.layers import LayerProfile
from submeter.storing import layers as kept

torch = pytest.importorskip("torch")

from torch.nn.modules import module as torch_module  # noqa: E402
from torch.optim import optimizer as torch_optimizer  # noqa: E402

STEPS = 60


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SUBMETER_RUN", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    yield
    torch.set_num_threads(threads)
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks
    assert not torch_optimizer._global_optimizer_pre_hooks
    assert not torch_optimizer._global_optimizer_post_hooks


def small(seed: int = 3) -> Any:
    torch.manual_seed(seed)
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(32, 64), nn.LayerNorm(64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 4)
    )


def train(model: Any, steps: int = STEPS, *, after: Any = None) -> None:
    torch.manual_seed(5)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for number in range(steps):
        x = torch.randn(64, 32)
        loss = torch.nn.functional.cross_entropy(model(x), torch.zeros(64, dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if after is not None:
            after(number)


def under(found: Any, model: Any, after: Any) -> None:
    with found:
        train(model, after=after)
        assert not torch_module._has_any_global_hook()


def seen(found: Any) -> LayerProfile:
    profile = found.profile
    assert isinstance(profile, LayerProfile), profile
    return profile


def test_a_training_is_the_same_to_the_last_bit_with_its_layers_looked_at() -> None:
    plain, looked = small(), small()
    train(plain)
    with submeter.layers(looked, budget_ratio=0.2) as found:
        train(looked)
    for a, b in zip(plain.parameters(), looked.parameters(), strict=True):
        assert torch.equal(a, b)
    profile = seen(found)
    names = {(t.module, t.part) for t in profile.times}
    assert {("0", "forward"), ("0", "backward"), ("1", "backward"), ("4", "forward")} <= names
    assert {("(data)", "step"), ("(loss)", "step"), ("(optimiser)", "step")} <= names
    assert profile.model == "Sequential"
    assert 3 <= profile.steps.sampled < STEPS // 2
    assert sum(s.ratio for s in shares_of([profile]).shares) == pytest.approx(1.0)
    assert "Linear" in str(found)


def test_operations_are_those_that_the_shapes_say() -> None:
    model = small()
    with submeter.layers(model, budget_ratio=0.2) as found:
        train(model, 40)  # some steps before it may afford to count
        assert found._sampler is not None
        pace = found._sampler.pace
        pace.total_s += 1e3
        for _ in range(20):  # however slow this machine is, a step is looked at now
            pace._left = 0
            train(model, 2)
    profile = seen(found)
    assert profile.steps.counted >= 1
    flop: dict[tuple[str, str], float] = {}
    for work in profile.work:
        key = work.module, work.part
        flop[key] = flop.get(key, 0.0) + work.flop
    assert flop["0", "forward"] == 2 * 64 * 32 * 64
    assert flop["4", "forward"] == 2 * 64 * 64 * 4
    assert flop["4", "backward"] == 2 * flop["4", "forward"]
    assert flop["0", "backward"] == flop["0", "forward"]  # its input asks for no gradient
    assert not any(w.flop for w in profile.work if w.module in ("1", "2", "(optimiser)"))
    classes = {(s.module, s.operators) for s in shares_of([profile]).shares}
    assert ("0", "compute") in classes
    assert ("1", "memory") in classes


def test_layers_that_could_be_repeated_alone_are_noted() -> None:
    model = small()
    with submeter.layers(model, budget_ratio=0.2) as found:
        train(model)
    specs = {spec.module: spec for spec in seen(found).specs}
    assert specs["0"].arguments == {"in_features": 32, "out_features": 64, "bias": True}
    assert specs["1"].arguments == {"normalized_shape": [64]}
    assert specs["0"].shape == (64, 32)


def test_a_model_that_is_copied_saved_and_evaluated_meanwhile_carries_nothing_of_ours(
    tmp_path: Path,
) -> None:
    model = small()

    def after(number: int) -> None:
        if number % 3 == 0:
            torch.save(model, tmp_path / "model.pt")
            copy.deepcopy(model)
            model.eval()
            with torch.no_grad():
                for _ in range(6):
                    model(torch.randn(8, 32))
            model.train()

    with submeter.layers(model, budget_ratio=0.2) as found:
        train(model, after=after)
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in again.modules())
    assert b"submeter" not in (tmp_path / "model.pt").read_bytes()
    parts = {t.part for t in seen(found).times}
    assert {"forward", "backward", "evaluation"} <= parts


def test_an_exception_in_a_training_comes_through_and_takes_the_hooks_along() -> None:
    model = small()

    def after(number: int) -> None:
        if number == 30:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), submeter.layers(model):
        train(model, after=after)


def test_a_compiled_model_is_left_alone_and_that_is_said() -> None:
    model = small()
    compiled = torch.compile(model, backend="eager")
    calls = []
    try:
        found = submeter.layers(compiled)
        with pytest.warns(JoinWarning, match="compiles its model"):
            under(found, compiled, lambda _: calls.append(torch_module._has_any_global_hook()))
    finally:
        torch._dynamo.reset()
    assert not any(calls)
    assert isinstance(found.profile, Missing)
    assert "torch.compile" in found.profile.why


def test_hooks_that_fail_are_taken_off_and_the_training_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from submeter.interfaces.frameworks.naming import Names

    def broken(*_: Any) -> Any:
        raise RuntimeError("out of names")

    monkeypatch.setattr(Names, "of", broken)
    model, done = small(), list[int]()
    found = submeter.layers(model)
    with pytest.warns(JoinWarning, match="out of names"):
        under(found, model, done.append)
    assert len(done) == STEPS
    assert isinstance(found.profile, Missing)


def test_two_trainings_in_two_threads_do_not_mix() -> None:
    model, other = small(), small()
    with submeter.layers(model, budget_ratio=0.2) as found:
        beside = threading.Thread(target=train, args=(other, 30))
        beside.start()
        train(model)
        beside.join()
    for time in seen(found).times:
        assert not time.module.startswith("Sequential#")
        assert time.busy_s >= 0


def test_a_fork_is_not_looked_at() -> None:
    model = small()
    with submeter.layers(model) as found:
        train(model, 20)
        pid = os.fork()
        if not pid:  # pragma: no cover  # in the child
            clean = not (
                torch_optimizer._global_optimizer_post_hooks or torch_module._has_any_global_hook()
            )
            os._exit(0 if clean else 1)
        assert os.waitpid(pid, 0)[1] == 0
    assert seen(found).steps.seen >= 15


def test_what_is_no_model_is_refused_in_two_lines() -> None:
    with pytest.raises(UsageError, match=r"no torch\.nn\.Module") as raised:
        submeter.layers("model")
    assert raised.value.remedy
    with pytest.raises(UsageError, match="budget_ratio"):
        submeter.layers(small(), budget_ratio=2.0)


def test_profiles_beside_a_run_survive_whatever_lies_there(tmp_path: Path) -> None:
    model = small()
    with submeter.layers(model, budget_ratio=0.2) as found:
        train(model)
    profile = seen(found)
    kept.keep(tmp_path, profile)
    (tmp_path / "layers.7").write_bytes(b"\x00not JSON")
    (tmp_path / "layers.8").symlink_to("/dev/zero")
    assert kept.profiles(tmp_path) == [profile]
    kept.say_why(tmp_path, 9, "no reason")
    assert kept.reason(tmp_path) == "no reason"


SCRIPT = """
import os, signal, torch
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
for _ in range(400):
    optimiser.zero_grad()
    model(torch.randn(128, 64)).square().mean().backward()
    optimiser.step()
os.kill(os.getpid(), signal.SIGKILL)
"""


def launched(tmp_path: Path, script: str) -> tuple[int, str, Path]:
    (tmp_path / "train.py").write_text(script)
    env = os.environ | {"SUBMETER_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "submeter", "run", "--layers", "--", sys.executable,
         str(tmp_path / "train.py")],
        env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stderr, next((tmp_path / "home" / "runs").iterdir())


def test_the_model_of_a_program_that_knows_nothing_of_us_is_found_even_if_it_is_killed(
    tmp_path: Path,
) -> None:
    code, err, folder = launched(tmp_path, SCRIPT)
    assert code == -9, err
    (profile,) = kept.profiles(folder)
    assert {t.module for t in profile.times} >= {"0", "1", "2", "(optimiser)"}
    assert not profile.trouble
    assert "explain" in err


def test_run_says_so_where_no_layers_can_be_seen(tmp_path: Path) -> None:
    code, err, folder = launched(tmp_path, "print('nothing to train')")
    assert code == 0, err
    assert not kept.profiles(folder)
    assert "no layers were seen" in err


class FakeEvent:
    """An event of a board that is always a little behind."""

    made = 0

    def __init__(self, board: "FakeBoard") -> None:
        self.board = board
        FakeEvent.made += 1

    def record(self) -> None:
        self.at_ms = self.board.now_ms

    def query(self) -> bool:
        return self.board.done_ms >= self.at_ms

    def elapsed_time(self, end: "FakeEvent") -> float:
        if end.board is not self.board:
            raise RuntimeError("events of two boards")
        return end.at_ms - self.at_ms


class FakeBoard:
    now_ms = done_ms = 0.0
    capturing = False

    def Event(self, *, enable_timing: bool) -> FakeEvent:  # noqa: N802  # as torch has it
        assert enable_timing
        return FakeEvent(self)

    def is_current_stream_capturing(self) -> bool:
        return self.capturing


def test_a_board_is_timed_by_events_that_nobody_waits_for() -> None:
    from submeter.interfaces.frameworks.clocks import BoardClock

    board, other = FakeBoard(), FakeBoard()
    clock = BoardClock(board)
    begin = clock.now()
    board.now_ms = 5.0
    end = clock.now()
    assert clock.again(end) is end
    assert not clock.ready(end)
    board.done_ms = 5.0
    assert clock.ready(end)
    assert clock.span_s(begin, end) == (0.005, 0.005)
    made = FakeEvent.made
    clock.free([begin, end])
    clock.now()
    assert FakeEvent.made == made
    assert clock.span_s(begin, BoardClock(other).now()) == (0.0, 0.0)
    assert clock.lost == 1
    board.capturing = True
    with pytest.raises(RuntimeError, match="CUDA graphs"):
        clock.now()


def test_layers_repeated_alone_take_about_what_their_work_says() -> None:
    from submeter.interfaces.frameworks.calibrating import jobs_for
    from submeter.interfaces.frameworks.repeating import alone
    from submeter.records.layers import LayerSpec

    def linear(width: int) -> LayerSpec:
        arguments = {"in_features": width, "out_features": width, "bias": False}
        return LayerSpec("x", "Linear", dict(arguments), (512, width))

    specs = [(linear(w), "compute") for w in (128, 128, 512)]
    jobs = jobs_for(specs)  # type: ignore[arg-type]
    assert [j.kind for j in jobs[:2]] == ["Linear", "Linear"]  # equal ones once
    assert "memory" in {j.operators for j in jobs}  # the usual ones for what is lacking
    small_, large = (alone(j, least_s=0.05) for j in jobs[:2])
    assert large.forward[1] > 4 * small_.forward[1]
    assert large.backward[1] > large.forward[1]
    assert large.calls >= 4
