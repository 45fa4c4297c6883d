# SPDX-License-Identifier: Apache-2.0
"""What a new run knows of itself."""

import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import msgspec
import pytest

from submeter.collecting.order import Order
from submeter.running.orders import code_state, new_order, versions

IDENTITY = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUBMETER_RUN", raising=False)
    return tmp_path / "home"


def git(folder: Path, *words: str) -> str:
    env = dict(os.environ) | IDENTITY
    return subprocess.run(
        ["git", "-C", str(folder), *words], env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "train.py").write_text("pass\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.mark.parametrize("state", ["loose", "packed", "detached", "worktree"])
def test_the_commit_is_the_one_that_git_names(repository: Path, state: str) -> None:
    here = repository
    if state == "packed":
        git(repository, "pack-refs", "--all")
    elif state == "detached":
        git(repository, "checkout", "-q", "--detach")
    elif state == "worktree":
        here = repository.parent / "other"
        git(repository, "worktree", "add", "-q", str(here))
    (here / "deep").mkdir()
    known = code_state(here / "deep").known(wait_s=30)
    assert known == {"commit": git(here, "rev-parse", "HEAD"), "dirty": "no"}


def test_changed_files_are_seen_and_new_ones_are_not_changes(repository: Path) -> None:
    (repository / "notes.txt").write_text("new")
    assert code_state(repository).known(wait_s=30)["dirty"] == "no"
    (repository / "train.py").write_text("changed\n")
    assert code_state(repository).known(wait_s=30)["dirty"] == "yes"


def test_nothing_waits_for_a_slow_answer(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    assert code_state(repository).known() == {"commit": commit}


def test_without_git_the_commit_is_known_all_the_same(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", "/nowhere")
    assert code_state(repository).known() == {"commit": commit}


def test_outside_a_repository_nothing_is_known(tmp_path: Path) -> None:
    assert code_state(tmp_path).known() == {}
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert code_state(tmp_path).known() == {}


def test_f19_secrets_of_the_command_are_not_kept() -> None:
    order = new_order(
        command=["train", "--token", "hunter2secret", "--lr", "0.1"],
        tags={"who": "me"},
        leader_pid=1,
    )
    assert "hunter2secret" not in str(order)
    assert order.command[-2:] == ("--lr", "0.1")


def test_f21_names_and_tags_lose_what_moves_a_cursor() -> None:
    order = new_order(name="a\x1b[31mb\n\u202ec", tags={"k\r": "v\x07"}, leader_pid=1)
    assert order.name.isprintable()
    assert all(k.isprintable() and v.isprintable() for k, v in order.tags.items())


def test_each_run_has_a_private_folder_of_its_own(home: Path) -> None:
    orders = [new_order(leader_pid=1) for _ in range(20)]
    assert len({o.folder for o in orders}) == 20
    for order in orders:
        assert Path(order.folder).parent == home / "runs"
        assert Path(order.folder).stat().st_mode & 0o777 == 0o700


def test_e01_a_broken_setting_is_a_note_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUBMETER_INTERVAL_S", "soon")
    order = new_order(leader_pid=1)
    assert order.interval_s == 0.1
    assert any("interval_s" in note for note in order.notes)


def test_words_that_are_not_utf8_are_kept_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,\udcff")
    order = new_order(
        name="\udcff",
        command=["./caf\udce9", "\ud800"],
        tags={"k\udcff": "\udcff"},
        project="p\udcff",
        leader_pid=1,
    )
    assert order.command == ("./caf\\xe9", "\\ud800")
    assert order.visible_devices == "0,\\xff"
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order


def test_an_order_that_cannot_be_made_leaves_no_folder(home: Path) -> None:
    def refuse() -> dict[str, str]:
        raise ValueError("no code")

    with pytest.raises(ValueError, match="no code"):
        new_order(name="x", leader_pid=1, code=refuse)
    assert not list(home.glob("runs/*"))


def test_a_run_takes_the_declared_pue_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMETER_PUE", "1.25")
    assert new_order(leader_pid=1).place["pue"] == "1.25"
    monkeypatch.delenv("SUBMETER_PUE")
    assert "pue" not in new_order(leader_pid=1).place


def test_versions_are_those_of_what_this_process_has_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = types.ModuleType("jax")
    loaded.__dict__["__version__"] = "9.1"
    monkeypatch.setitem(sys.modules, "jax", loaded)
    monkeypatch.setitem(sys.modules, "transformers", types.ModuleType("transformers"))
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    told = versions()
    assert told["python"] == platform.python_version().rstrip("+")
    assert told["jax"] == "9.1"
    assert "transformers" not in told
    assert "tensorflow" not in told
