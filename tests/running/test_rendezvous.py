# SPDX-License-Identifier: Apache-2.0
"""How ranks of one start find each other, and nobody else."""

import threading
from pathlib import Path

import pytest

from submeter.running.rendezvous import launch_key, meet

TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "MASTER_ADDR": "h", "MASTER_PORT": "1", "RANK": "0"}
SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
BY_HAND = {"RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"}
MPI = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "n"}


@pytest.mark.parametrize("env", [TORCHRUN, SRUN, BY_HAND, MPI])
def test_ranks_of_one_start_have_one_key(env: dict[str, str]) -> None:
    other_rank = {k: "1" if k.endswith(("RANK", "PROCID")) else v for k, v in env.items()}
    assert launch_key(env)
    assert launch_key(other_rank) == launch_key(env)


@pytest.mark.parametrize(
    ("env", "change"),
    [
        (TORCHRUN, {"TORCHELASTIC_RUN_ID": "b"}),
        (TORCHRUN, {"TORCHELASTIC_RESTART_COUNT": "1"}),
        (TORCHRUN, {"MASTER_PORT": "2"}),
        (SRUN, {"SLURM_STEP_ID": "1"}),
        (SRUN, {"SLURM_JOB_ID": "8"}),
        (SRUN, {"SLURM_RESTART_COUNT": "1"}),
        (BY_HAND, {"MASTER_PORT": "2"}),
        (MPI, {"PMIX_NAMESPACE": "m"}),
    ],
)
def test_another_start_has_another_key(env: dict[str, str], change: dict[str, str]) -> None:
    assert launch_key(env | change) != launch_key(env)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_ID": "0"},
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"},  # the batch script
        {"RANK": "0"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"},
    ],
)
def test_a_process_alone_has_none(env: dict[str, str]) -> None:
    assert launch_key(env) == ""


def test_all_that_meet_at_once_agree_on_the_folder_of_the_first(tmp_path: Path) -> None:
    gate = threading.Barrier(16)
    agreed: list[Path] = []

    def come(number: int) -> None:
        gate.wait()
        with meet(tmp_path, "key") as meeting:
            if meeting.folder is None:
                meeting.propose(tmp_path / f"run \udcff {number}")
            assert meeting.folder is not None
            agreed.append(meeting.folder)

    threads = [threading.Thread(target=come, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(agreed) == 16
    assert len(set(agreed)) == 1
    with meet(tmp_path, "another key") as meeting:
        assert meeting.folder is None


def test_d17_a_link_in_the_meeting_place_is_not_followed(tmp_path: Path) -> None:
    with meet(tmp_path, "key"):
        pass
    (place,) = (tmp_path / "joins").iterdir()
    place.unlink()
    target = tmp_path / "precious"
    target.write_text("x")
    place.symlink_to(target)
    with pytest.raises(OSError, match="symbolic"), meet(tmp_path, "key"):
        pass
    assert target.read_text() == "x"
