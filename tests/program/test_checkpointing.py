# SPDX-License-Identifier: Apache-2.0
"""A training that is paused and resumed ends with the same weights, to the last bit."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import submeter
from submeter.errors import UsageError
from submeter.interfaces.frameworks.checkpoints import PAUSED_EXIT, Checkpoint
from submeter.running import pausing

torch = pytest.importorskip("torch")
EPOCHS, BATCHES = 3, 8


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
    torch.set_num_threads(threads)


class Training:
    """A small real training: dropout, momentum, a schedule, shuffling, noise of three kinds."""

    def __init__(self, path: Path, *, own_generator: bool = False) -> None:
        import numpy as np

        torch.manual_seed(7)
        random.seed(7)
        np.random.seed(7)  # noqa: NPY002  # what a training may use
        self.path = path
        x = torch.randn(8 * BATCHES, 6)
        data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
        generator = torch.Generator().manual_seed(3) if own_generator else None
        self.loader = torch.utils.data.DataLoader(
            data, batch_size=8, shuffle=True, generator=generator
        )
        nn = torch.nn
        self.model = nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 1)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=99)
        self.losses: list[float] = []

    def run(self, pause_after: int = 10**9, *, epochs: int = EPOCHS) -> bool:
        """Train; False if it was paused after so many batches."""
        import numpy as np

        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        paused: int | str | None = None
        kept = submeter.checkpointing(self.path, **parts)
        try:
            with kept:
                for i, (epoch, (x, y)) in enumerate(kept.batches(self.loader, epochs=epochs)):
                    noise = random.random() + float(np.random.rand())  # noqa: NPY002, S311
                    self.optimizer.zero_grad()
                    loss = ((self.model(x) - y) ** 2).mean() * (1 + 0.01 * noise + epoch)
                    loss.backward()
                    self.optimizer.step()
                    self.schedule.step()
                    self.losses.append(loss.item())
                    kept.values["seen"] = kept.values.get("seen", 0) + 1
                    if i + 1 == pause_after:
                        os.kill(os.getpid(), signal.SIGUSR1)
        except SystemExit as exc:
            paused = exc.code
        if paused is not None:
            assert paused == PAUSED_EXIT
            return False
        assert kept.values["seen"] == epochs * BATCHES
        return True

    def bits(self) -> list[bytes]:
        held = [*self.model.state_dict().values()]
        for row in self.optimizer.state_dict()["state"].values():
            held += [value for value in row.values() if torch.is_tensor(value)]
        return [t.numpy().tobytes() for t in held] + [torch.get_rng_state().numpy().tobytes()]


def begun_anew(path: Path, **how: Any) -> Training:
    """A training as a new process begins it, with generators that are somewhere else."""
    training = Training(path, **how)
    torch.manual_seed(999)
    torch.rand(17)
    random.seed(999)
    return training


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("pauses", [[1], [7], [8], [9], [23], [24], [3, 2, 8, 1, 1]])
def test_it_ends_bit_equal_wherever_it_is_paused(
    tmp_path: Path,
    pauses: list[int],
    own_generator: bool,  # noqa: FBT001
) -> None:
    whole = Training(tmp_path / "whole.pt", own_generator=own_generator)
    assert whole.run()
    path = tmp_path / "paused.pt"
    part = Training(path, own_generator=own_generator)
    losses = []
    for after in pauses:
        assert not part.run(after)
        assert path.exists()
        losses += part.losses
        part = begun_anew(path, own_generator=own_generator)
    assert part.run()
    assert losses + part.losses == whole.losses
    assert part.bits() == whole.bits()
    assert not path.exists()  # it is over


def test_both_sides_of_the_contract_say_the_same() -> None:
    assert pausing.PAUSED_EXIT == PAUSED_EXIT
    from submeter.interfaces.frameworks import checkpoints

    assert pausing.PAUSE_VARIABLE == checkpoints.PAUSE_VARIABLE


def test_the_signal_is_the_one_that_the_planner_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMETER_PAUSE_SIGNAL", "SIGUSR2")
    before = signal.getsignal(signal.SIGUSR2)
    with submeter.checkpointing(tmp_path / "a.pt") as kept:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert kept.asked
    assert signal.getsignal(signal.SIGUSR2) == before
    with pytest.raises(UsageError, match="no signal SIGNONE"):
        submeter.checkpointing(tmp_path / "a.pt", pause_signal="SIGNONE")


def test_d01_what_cannot_be_written_is_said_and_the_training_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    training = Training(folder / "a.pt")
    assert training.run(5)
    assert "not paused" in capsys.readouterr().err


def test_c03_the_checkpoint_before_stays_if_the_next_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pt"
    kept = Checkpoint(path, None, {})
    kept.values["at"] = 1
    kept.save()
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kept.values["at"] = 2
    with pytest.raises(OSError, match="No space"):
        kept.save()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x04K\x01."])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no checkpoint"), submeter.checkpointing(path):
        pass
    assert path.read_bytes() == content


def test_a_checkpoint_of_other_parts_is_refused(tmp_path: Path) -> None:
    training = Training(tmp_path / "a.pt")
    assert not training.run(2)
    with (
        pytest.raises(UsageError, match="keeps model, optimizer, schedule, not model"),
        submeter.checkpointing(tmp_path / "a.pt", model=training.model),
    ):
        pass


def test_parts_without_state_and_several_ranks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="count has no state_dict"):
        submeter.checkpointing(tmp_path / "a.pt", count=3)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match="several ranks"),
        submeter.checkpointing(tmp_path / "a.pt"),
    ):
        pass
