# SPDX-License-Identifier: Apache-2.0
"""Execute the worked examples of docs/examples/ and write what they print: `make figures`.

Run with ``python -m benchmarks.examples``; ``--check`` writes nothing and fails where a page says
something else than its code prints.
"""

import argparse
import contextlib
import difflib
import doctest
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "examples"
BLOCK: Final = re.compile(r"(?<=^```pycon\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every worked example."""
    return sorted(page for page in PAGES.glob("*.md") if page.name != "README.md")


def text_of(page: Path) -> str:
    """What stands on *page*."""
    return page.read_text(encoding="utf-8")


def executed(text: str) -> str:
    """*text* of a page with each block of code followed by what it prints now.

    All blocks of a page share their names, as in one session.
    """
    names: dict[str, object] = {"__name__": "__example__"}
    return BLOCK.sub(lambda found: _session(found.group(), names), text)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody's settings, ledger or certificates: a page says the same everywhere."""
    before, folder = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as empty:
        for name in [n for n in os.environ if n.startswith("SUBMETER_")]:
            del os.environ[name]
        os.environ |= {"SUBMETER_HOME": empty, "XDG_CONFIG_HOME": empty, "HOME": empty}
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)


def _session(block: str, names: dict[str, object]) -> str:
    lines = []
    for example in doctest.DocTestParser().get_examples(block):
        first, *rest = example.source.rstrip("\n").split("\n")
        lines += [f">>> {first}", *(f"... {line}".rstrip() for line in rest)]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(example.source, "<example>", "single"), names)  # noqa: S102
        lines += [line.rstrip() or "<BLANKLINE>" for line in said.getvalue().splitlines()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute the worked examples.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args()
    stale = 0
    for page in pages():
        old = text_of(page)
        with alone():
            new = executed(old)
        if new == old:
            continue
        stale += 1
        if options.check:
            sys.stdout.writelines(
                difflib.unified_diff(old.splitlines(True), new.splitlines(True), page.name, "now")
            )
        else:
            page.write_text(new, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    print(f"{len(pages())} worked examples, {stale} of them said something else")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
