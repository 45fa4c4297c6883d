# SPDX-License-Identifier: Apache-2.0
"""What is written for people: links lead somewhere, words are spelt, changes are told."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog.d").glob("*.md")]
)
LINK = re.compile(r"(?<!\\)!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
AMERICAN = re.compile(
    r"\b\w*(?:normaliz|optimiz|organiz|recogniz|initializ|summariz|synchroniz|utiliz|minimiz"
    r"|characteriz|labell?ed? behavior|behavior|colors?\b|meters? per)\w*",
    re.IGNORECASE,
)


def anchor(heading: str) -> str:
    """The anchor a Markdown renderer makes of a heading."""
    plain = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def leads_somewhere(page: Path, target: str) -> bool:
    if target.startswith(("http://", "https://", "mailto:")):
        return True
    name, _, part = target.partition("#")
    goal = (page.parent / name).resolve() if name else page
    if not goal.exists():
        return False
    return not part or part in {anchor(h) for h in HEADING.findall(prose(goal))}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    lost = [target for target in LINK.findall(prose(page)) if not leads_somewhere(page, target)]
    assert not lost, f"{page.relative_to(ROOT)}: {lost}"


def test_the_pages_a_reader_needs_exist() -> None:
    needed = ["tour", "nomenclature", "guests", "design"]
    assert [n for n in needed if not (ROOT / "docs" / f"{n}.md").is_file()] == []
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in needed:
        assert f"docs/{name}.md" in readme, f"README does not lead to docs/{name}.md"


def test_spelling() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *map(str, PAGES), "src", "benchmarks", "scripts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_way_of_spelling() -> None:
    found = [
        f"{page.relative_to(ROOT)}: {word}"
        for page in PAGES
        for word in AMERICAN.findall(re.sub(r"`[^`]*`", "", prose(page)))
    ]
    assert not found, "\n".join(found)


def kinds() -> list[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [kind["directory"] for kind in config["tool"]["towncrier"]["type"]]


def test_changes_have_five_kinds_and_numbers_is_one() -> None:
    assert kinds() == ["breaking", "numbers", "feature", "fix", "doc"]


def test_each_fragment_of_the_changelog_has_a_kind() -> None:
    strange = [
        path.name
        for path in (ROOT / "changelog.d").iterdir()
        if path.name not in {"README.md", ".gitignore"}
        and not re.fullmatch(rf"\+?[\w-]+\.({'|'.join(kinds())})(\.\d+)?\.md", path.name)
    ]
    assert not strange, strange


def test_the_changelog_can_be_built() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "99.1.0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "99.1.0" in done.stdout


def test_nomenclature_names_exist_in_the_code() -> None:
    page = (ROOT / "docs" / "nomenclature.md").read_text(encoding="utf-8")
    names = {
        word
        for row in re.findall(r"^\|(.+)\|$", page, re.MULTILINE)
        for word in re.findall(r"`([a-z][a-z_0-9]+_(?:j|w|s|ns|ratio|ppm|kwh))`", row)
    }
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert len(names) > 10
    unknown = sorted(name for name in names if not re.search(rf"\b{name}\b", code))
    assert not unknown, f"docs/nomenclature.md names what the code does not: {unknown}"
