# SPDX-License-Identifier: Apache-2.0
"""A place to write to is found, or it is said why there is none; never is one shared."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as calmly
from hypothesis import strategies as st

from submeter.storing import places


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def fallback(shared: Path) -> Path:
    return shared / f"submeter-{os.getuid()}"


def test_home_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert places.home({"SUBMETER_HOME": str(tmp_path)}) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert places.home({"SUBMETER_HOME": "here"}) == tmp_path / "here"
    monkeypatch.setenv("SUBMETER_HOME", str(tmp_path / "x"))
    assert places.home() == tmp_path / "x"
    monkeypatch.setenv("SUBMETER_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert places.home() == tmp_path / "data" / "submeter"


def test_without_any_home_it_is_private_in_a_shared_folder() -> None:
    """An account without an entry and without HOME, as in many containers."""
    code = (
        "import os, platformdirs.unix\nfrom submeter.storing import places, wording\n"
        "if os.geteuid() == 0: os.setuid(54321)\n"
        "print(places.home()); print(places.home().is_absolute())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
    )
    assert done.stderr == ""
    path, absolute = done.stdout.split()
    assert absolute == "True"
    if os.geteuid() == 0:
        assert path == "/var/tmp/submeter-54321"  # noqa: S108


def test_a_new_home_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home, said = places.writable_home({"SUBMETER_HOME": str(tmp_path / "a" / "b")})
    finally:
        os.umask(before)
    assert (home, said) == (tmp_path / "a" / "b", "")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["file/below", "a" * 256, "nul\x00byte", "caf\udce9", "/dev/null/x", "/proc/1/nothing"]
)
def test_d03_d19_an_impossible_home_is_replaced_and_it_is_said_where(
    tmp_path: Path, shared: Path, name: str
) -> None:
    (tmp_path / "file").write_text("")
    env = {"SUBMETER_HOME": str(tmp_path / name)}
    home, said = places.writable_home(env, parents=[tmp_path / "missing", shared])
    assert home == fallback(shared)
    assert str(home) in said
    assert "\n" not in said
    assert "instead" in said
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    said.encode()


def test_d01_a_full_place_is_not_used(shared: Path) -> None:
    """A file that may not grow stands in for a full disk: the write is cut short or refused."""
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from submeter.storing import places\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "print(places.why_not_writable(Path(sys.argv[1])))\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code, str(shared / "home"), size],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        ).stdout.strip()
        for size in ("0", "4096", "100000")
    ]
    assert said == ["cannot be written (File too large)", "is full", ""]
    assert list((shared / "home").iterdir()) == []


def test_when_nothing_can_be_written_it_is_said_and_nothing_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wanted = tmp_path / "file" / "home"
    home, said = places.writable_home({"SUBMETER_HOME": str(wanted)}, parents=[tmp_path / "file"])
    assert home == wanted
    assert "nothing is kept" in said


def test_d17_a_trap_in_the_shared_folder_is_not_walked_into(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "target").mkdir()
    fallback(shared).symlink_to(tmp_path / "target")
    assert "cannot be written" in places.why_not_writable(fallback(shared), shared=True)
    fallback(shared).unlink()
    fallback(shared).write_text("")
    assert "cannot be written" in places.why_not_writable(fallback(shared), shared=True)
    fallback(shared).unlink()
    fallback(shared).mkdir(mode=0o777)
    fallback(shared).chmod(0o777)
    assert places.why_not_writable(fallback(shared), shared=True) == ""
    assert stat.S_IMODE(fallback(shared).stat().st_mode) == 0o700
    if os.geteuid() == 0:
        os.chown(fallback(shared), 12345, 12345)
        said = places.why_not_writable(fallback(shared), shared=True)
        assert "belongs to somebody else" in said
    assert list((tmp_path / "target").iterdir()) == []


@calmly(deadline=None)
@given(now_utc_ns=st.integers(0, 4_000_000_000 * 10**9))
def test_run_ids_sort_by_time_and_name_folders(now_utc_ns: int) -> None:
    run_id = places.new_run_id(now_utc_ns)
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run_id)
    assert places.new_run_id(now_utc_ns + 10**9)[:15] > run_id[:15]
    assert places.run_folder(Path("/h"), run_id) == Path("/h/runs") / run_id


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /home rw,relatime - nfs4 server:/home rw
24 22 0:22 / /home/a\040b/\134data rw - xfs /dev/sdb rw
25 22 0:23 / /mnt rw - ext4 /dev/sdc rw
26 22 0:24 / /mnt rw master:1 - fuse.sshfs host: rw
27 22 0:25 / /garbage
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc", "ext4"),
        ("/home", "nfs4"),
        ("/home/x/y", "nfs4"),
        ("/homes", "ext4"),
        ("/home/a b/\\data/runs", "xfs"),
        ("/mnt/x", "fuse.sshfs"),
        ("/garbage", "ext4"),
    ],
)
def test_d14_the_file_system_of_a_path_is_known(tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert places.file_system(Path(path), mounts=tmp_path / "mountinfo") == kind
    assert places.file_system(Path(path), mounts=tmp_path / "none") == ""


def test_d14_which_file_systems_are_shared_between_hosts() -> None:
    assert all(map(places.is_network, ("nfs", "nfs4", "lustre", "cifs", "fuse.sshfs", "9p")))
    assert not any(
        map(places.is_network, ("ext4", "xfs", "", "tmpfs", "overlay", "fuseblk", "zfs", "btrfs"))
    )


def test_the_kind_of_this_machines_own_root_is_known() -> None:
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("no /proc")
    assert places.file_system(Path("/proc/self")) == "proc"
