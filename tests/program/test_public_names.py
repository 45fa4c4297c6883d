# SPDX-License-Identifier: Apache-2.0
"""What ``import submeter`` offers, and what it does not load for that."""

import ast
import subprocess
import sys
from pathlib import Path

import submeter

SOURCE = Path(submeter.__file__)
HEAVY = ("msgspec", "asyncio", "rich", "click", "importlib.metadata", "numpy", "sqlite3", "typing")


EXTRAS = {"torch", "numpy", "highspy"}  # what only an extra brings


def _needing_extras() -> list[str]:
    """Modules that cannot be loaded without an extra, and those that load one of them."""
    needs: dict[str, set[str]] = {}
    for path in SOURCE.parent.rglob("*.py"):
        parts = path.relative_to(SOURCE.parents[1]).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found: set[str] = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        needs[name] = found
    heavy: set[str] = set()
    while True:
        more = {
            name
            for name, found in needs.items()
            if found & heavy or any(one.partition(".")[0] in EXTRAS for one in found)
        }
        if more == heavy:
            return sorted(heavy)
        heavy = more


# They join rooms that need an extra to others; only `submeter plan` and `run --when` load them.
JOINTS = {"submeter.reporting.backtests", "submeter.running.foresight", "submeter.running.series"}
FRAMEWORKS = "submeter.interfaces.frameworks."  # loaded in programs that have loaded torch


def test_only_a_few_modules_need_an_extra() -> None:
    apart = {n for n in _needing_extras() if n in JOINTS or n.startswith(FRAMEWORKS)}
    rooms = {name.split(".")[1] for name in _needing_extras() if name not in apart}
    assert rooms <= {"workloads", "forecasting", "planning"}


def _typed_names() -> set[str]:
    tree = ast.parse(SOURCE.read_text())
    blocks = [n for n in tree.body if isinstance(n, ast.If)]
    (block,) = [b for b in blocks if ast.unparse(b.test) == "TYPE_CHECKING"]
    return {a.name for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}


def test_list_directory_and_type_checkers_see_the_same_names() -> None:
    assert submeter.__all__ == sorted(submeter.__all__)
    assert set(submeter.__all__) == _typed_names() == set(dir(submeter))
    for name in submeter.__all__:
        assert getattr(submeter, name).__name__ == name


def test_elsewhere_than_on_linux_everything_imports_and_nothing_breaks() -> None:
    script = """
import importlib, logging, os, pkgutil, random, signal, subprocess, sys, tempfile, warnings
for name in ("fcntl", "resource", "pwd", "termios", "grp"):
    sys.modules[name] = None
for name in ("sigtimedwait", "sigwaitinfo", "pthread_sigmask"):
    delattr(signal, name)
for name in ("posix_spawn", "posix_spawnp", "posix_fallocate", "register_at_fork"):
    delattr(os, name)
subprocess._USE_POSIX_SPAWN = False  # newer ones use what was just taken away
sys.platform = "darwin"
import submeter, submeter.running
for module in pkgutil.walk_packages(submeter.__path__, "submeter."):
    name = module.name
    if name.startswith(("submeter.testing", "submeter.__main__")) or name in sys.argv[1:]:
        continue
    importlib.import_module(name)
for heavy in ("torch", "numpy", "highspy"):
    assert heavy not in sys.modules, heavy
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    with submeter.measure() as run, submeter.phase("x"):
        submeter.log(loss=1.0)
print(run.energy.why, len(said))
from submeter.running.launcher import run_command
outcome = run_command([sys.executable, "-c", "raise SystemExit(5)"])
print(outcome.exit_code, *outcome.notes)
"""
    env = {"PYTHONPATH": str(SOURCE.parents[1]), "SUBMETER_HOME": "/nowhere/writable"}
    done = subprocess.run(
        [sys.executable, "-c", script, *_needing_extras()],
        env=env, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "runs are metered on Linux only, and this is darwin 1"
    assert second == "5 not metered: runs are metered on Linux only, and this is darwin"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(submeter, "meausre")


def _loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    env = {"PYTHONPATH": str(SOURCE.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_the_bare_import_loads_nothing_else() -> None:
    ours = _loaded("import submeter") - _loaded("")
    assert ours == {"submeter"}


def test_phases_without_a_run_load_nothing_heavy() -> None:
    loaded = _loaded("import submeter\nwith submeter.phase('x'): submeter.log(a=1)")
    assert not loaded & set(HEAVY[:-1])
