# SPDX-License-Identifier: Apache-2.0
"""How the house is built: rooms, names, sizes, and what may look at what."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PACKAGE = SRC / "submeter"
OURS = ("src", "tests", "benchmarks", "examples", "scripts")

QUANTITY = re.compile(
    r"(?:^|_)(energy|power|emissions?|carbon|intensity|water|heat|temperature|frequency|clock"
    r"|duration|interval|elapsed|timeout|period|capacity|price)(?:_|$)"
)
UNIT = re.compile(
    r"^relative_|_(j|mj|uj|kwh|wh|mwh|w|mw|kw|s|ms|us|ns|h|g|kg|t|l|c|mhz|hz|usd|eur|ratio|ppm"
    r"|bytes|code"
    r"|(j|g|kg|l|usd|eur|w)_per_(kwh|j|token|sample|step|h|s|gpu_h))$"
)
NUMBERS = {"float", "int", "float | None", "int | None", "float | Missing", "int | Missing"}
FORBIDDEN_FILES = {"utils", "util", "helpers", "manager", "handler", "base", "common", "misc"}


def python_files(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


def where(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def unitless(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Annotated numbers whose name is a quantity and ends in no unit."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            name, kind = node.arg, ast.unparse(node.annotation)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind = node.target.id, ast.unparse(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            name, kind = node.name, ast.unparse(node.returns)
        else:
            continue
        if kind in NUMBERS and QUANTITY.search(name) and not UNIT.search(name):
            yield node.lineno, name


def test_the_unit_rule_sees_a_quantity_without_a_unit() -> None:
    bad = "def power() -> float: ...\ndef f(energy: float, period_s: float): ...\nclock: int = 3"
    good = "def power_w() -> float: ...\ndef f(energy_j: float | None): ...\npower: Figure"
    assert {name for _, name in unitless(ast.parse(bad))} == {"power", "energy", "clock"}
    assert not list(unitless(ast.parse(good)))


def test_quantities_name_their_unit() -> None:
    found = [
        f"{where(path, line)}: {name}"
        for path in python_files("src")
        for line, name in unitless(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


def test_each_file_names_its_licence() -> None:
    shells = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    others = [ROOT / "Makefile", ROOT / ".ci" / "run", *(PACKAGE.rglob("*.c"))]
    missing = [
        where(path)
        for path in (*python_files(*OURS), *shells, *others)
        if path.stat().st_size
        and not any(
            "SPDX-License-Identifier: Apache-2.0" in line
            for line in path.read_text(encoding="utf-8").splitlines()[:3]
        )
    ]
    assert not missing, "\n".join(missing)


def test_files_stay_readable_in_one_sitting() -> None:
    long = [
        f"{where(path)}: {lines} lines"
        for folder, most in (("src", 500), ("benchmarks", 500), ("tests", 700))
        for path in python_files(folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > most
    ]
    assert not long, "\n".join(long)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its name to its end, docstring apart."""
    end = function.end_lineno or function.lineno
    lines = end - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{where(path, node.lineno)}: {node.name} has {code_lines(node)} lines"
        for path in python_files("src")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > 60
    ]
    assert not long, "\n".join(long)


def test_no_file_is_named_after_nothing() -> None:
    found = [where(p) for p in python_files("src") if p.stem.strip("_") in FORBIDDEN_FILES]
    assert not found, "\n".join(found)


def test_each_room_says_what_it_answers() -> None:
    for init in sorted(PACKAGE.glob("*/__init__.py")):
        if not [path for path in init.parent.glob("*.py") if path != init]:
            continue  # nobody lives here yet
        public = init.parent.name == "testing"  # no room, but what plug-in authors import
        tree = ast.parse(init.read_text(encoding="utf-8"))
        docstring = ast.get_docstring(tree) or ""
        assert len(docstring) > 40, f"{where(init)}: says too little about its room"
        exported = [
            element
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for element in ast.walk(node.value)
            if isinstance(element, ast.Constant)
        ]
        assert public or len(exported) <= 12, f"{where(init)}: {len(exported)} names are too many"


def test_nothing_depends_on_del() -> None:
    found = [
        where(path, node.lineno)
        for path in python_files("src")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "__del__"
    ]
    assert not found, "\n".join(found)


def test_public_names_are_listed_found_and_typed() -> None:
    import submeter

    names = getattr(submeter, "__all__", [])
    if not names:
        pytest.skip("the package does not export anything yet")
    assert names == sorted(names)
    assert set(names) <= set(dir(submeter))
    assert all(getattr(submeter, name) is not None for name in names)
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for imported in node.body
        if isinstance(imported, ast.ImportFrom)
        for alias in imported.names
    }
    plain = {name for name in names if name.startswith("__")}
    assert typed == set(names) - plain, "what type checkers see differs from __all__"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "lint-imports"
    config = str(ROOT / "pyproject.toml")
    return subprocess.run(
        [command, "--config", config, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_look_down_only() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("records", "import submeter.storing"),
        ("storing", "import submeter.metering"),
        ("sensors", "import submeter.testing"),
        ("metering", "import pynvml"),
        ("accounting", "import sqlite3"),
        ("reporting", "import numpy"),
    ],
)
def test_an_import_upwards_is_caught(tmp_path: Path, room: str, line: str) -> None:
    shutil.copytree(SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src" / "submeter" / room / "intruder.py").write_text(f"{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "intruder" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_data(tmp_path: Path) -> None:
    wanted = ("src", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
    copy = tmp_path / "a copy"
    copy.mkdir()
    for name in wanted:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, copy / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    expected = {
        path.relative_to(SRC).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= packed
    top = {name.split("/")[0] for name in packed}
    assert {name for name in top if not name.endswith(".dist-info")} == {"submeter"}
