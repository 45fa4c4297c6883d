# SPDX-License-Identifier: Apache-2.0
"""The same programs where rights, networks, libraries or time zones are others."""

import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.program.test_program import CALM, phases_of, program
from tests.running.scripts import (
    environment,
    finish,
    folders,
    python_file,
    run_arguments,
    settled,
)

PYTHON = sys.executable


@pytest.mark.parametrize("options", [["-O"], ["-OO"], ["-I"]])
def test_e17_works_without_assertions_and_in_isolation(tmp_path: Path, options: list[str]) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "src")!r})
import submeter
with submeter.measure("o") as run:
    with submeter.phase("train"):
        pass
if not isinstance(run.energy, submeter.Figure):
    sys.exit(str(run.energy))
"""
    program(tmp_path, code, options=options)
    assert phases_of(tmp_path) == {"train": 1}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up privileges")
def test_e09_no_privilege_is_needed() -> None:
    drop = ["setpriv", "--reuid", "65534", "--clear-groups", "--no-new-privs"]
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        home = Path(name) / "home"
        home.mkdir(mode=0o700)
        os.chown(home, 65534, 65534)
        # setpriv itself starts its command before it has lost all rights
        look = f"exec {PYTHON} -c 'import submeter, msgspec'"
        readable = finish([*drop, "sh", "-c", look], home)
        if readable.returncode != 0:
            pytest.skip("Python or this checkout cannot be read by others")
        assert finish([*drop, *run_arguments("sh", "-c", "exit 3")], home).returncode == 3
        assert settled(home).status == "failed"


def test_e11_without_a_network_all_is_as_with_one(tmp_path: Path) -> None:
    probe = finish(["unshare", "-n", "true"], tmp_path)
    if probe.returncode != 0:
        pytest.skip("this machine lets nobody leave the network")
    done = finish(["unshare", "-n", *run_arguments("sh", "-c", "exit 3")], tmp_path)
    assert (done.returncode, done.stderr) == (3, b"")
    assert settled(tmp_path).status == "failed"


def test_c25_broken_libraries_of_others_are_never_touched(tmp_path: Path) -> None:
    for name in ("numpy", "pandas", "scipy", "torch", "psutil", "sklearn"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('broken')\n")
    program(
        tmp_path,
        """
import submeter
with submeter.measure("m") as run:
    with submeter.phase("train"):
        submeter.log(loss=1.0)
assert isinstance(run.energy, submeter.Figure), run.energy
run.to_dict(), str(run), run._repr_html_()
""",
    )
    home = tmp_path / "home"
    env = environment(home)
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    done = finish(run_arguments("sh", "-c", "exit 3", options=()), home, env=env)
    assert done.returncode == 3
    assert b"failed with exit code 3" in done.stderr


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", "Europe/Paris"])
def test_b07_times_are_kept_in_utc_whatever_the_time_zone_and_its_changes(
    tmp_path: Path, zone: str
) -> None:
    code = """
import os, time, submeter
with submeter.measure():
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    with submeter.phase("train"):
        pass
"""
    home = tmp_path / "home"
    before = datetime.now(UTC)
    argv = [PYTHON, *CALM, python_file(tmp_path, code)]
    assert finish(argv, home, env=environment(home, TZ=zone)).returncode == 0
    run = settled(home)
    assert run.started_utc.endswith("Z")
    started = datetime.fromisoformat(run.started_utc)
    slack = timedelta(milliseconds=5)  # written to the millisecond
    assert before - slack <= started <= datetime.now(UTC) + slack
    assert run.id.startswith(f"{before:%Y}")
    assert 0 <= run.duration_s < (datetime.now(UTC) - before).total_seconds()


def test_files_beside_the_program_never_become_part_of_the_collector(tmp_path: Path) -> None:
    for name in ("msgspec", "platformdirs", "pynvml", "sqlite3"):
        (tmp_path / f"{name}.py").write_text(
            f"import sys\nsys.stderr.write('{name} of the program')\nraise SystemExit(1)\n"
        )
    code = """
import os, signal, sys
here = sys.path.pop(0)
import submeter
with submeter.measure() as run:
    from submeter.running.collectors import import_paths
    before = import_paths()
    sys.path.insert(0, here)
    sys.path.insert(0, os.path.join(here, "site-packages"))
    assert import_paths() == before
    assert here not in before
    assert isinstance(run.energy, submeter.Missing)
sys.path.remove(here)
assert isinstance(run.energy, submeter.Figure), run.energy
"""
    home = tmp_path / "home"
    done = finish([sys.executable, python_file(tmp_path, code)], home)
    assert (done.returncode, done.stderr) == (0, b"")
    (folder,) = folders(home)
    assert (folder / "collector.log").read_text() == ""


def test_the_import_path_at_first_use_leaves_out_the_programs_own_modules(
    tmp_path: Path,
) -> None:
    for name in ("msgspec", "platformdirs", "pynvml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(1)\n")
    code = """
import sys
from submeter.running.collectors import import_paths
assert sys.path[0] not in import_paths()
"""
    done = finish([sys.executable, python_file(tmp_path, code)], tmp_path / "home")
    assert (done.returncode, done.stderr) == (0, b"")
