# SPDX-License-Identifier: Apache-2.0
"""Rendering a web page or a document to PDF, with what is installed here."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from submeter.running.everyday.tasks import Batched

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_S: Final = 60.0
_ROWS: Final = 120
_LEAST_BYTES: Final = 1000


def browser() -> str | None:
    """Path of a browser that renders without a screen."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Pages(Batched):
    """A page with a table of 120 rows to PDF: Chromium without a screen, else Typst."""

    key, unit, quick = "page", "page", False

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.worker = 0

    @classmethod
    def why_not(cls) -> str:
        if browser() or shutil.which("typst"):
            return ""
        return "neither a browser without a screen (chromium) nor typst is installed"

    def prepare(self) -> dict[str, object]:
        rows = [(i, f"machine {i}", f"{i * 37 % 100} %") for i in range(_ROWS)]
        cells = "".join(f"<tr><td>{a}<td>{b}<td>{c}</tr>" for a, b, c in rows)
        page = f"<!doctype html><meta charset=utf-8><h1>Load</h1><table border=1>{cells}</table>"
        (self.folder / "page.html").write_text(page, encoding="utf-8")
        words = ", ".join(f"[{a}], [{b}], [{c}]" for a, b, c in rows)
        document = f"= Load\n#table(columns: 3, {words})\n"
        (self.folder / "page.typ").write_text(document, encoding="utf-8")
        tool = browser() or "typst"
        return {"tool": Path(tool).name, "version": _version(tool)}

    def open(self, worker: int) -> None:
        self.worker = worker

    def batch(self, way: str) -> float:
        del way
        made = self.folder / f"page-{self.worker}.pdf"
        made.unlink(missing_ok=True)
        subprocess.run(
            self._command(made), check=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip
        return 1.0 if made.stat().st_size > _LEAST_BYTES else 0.0

    def _command(self, made: Path) -> list[str]:
        tool = browser()
        if tool is None:
            return ["typst", "compile", str(self.folder / "page.typ"), str(made)]
        words = [
            tool, "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage",
            f"--user-data-dir={self.folder / f'profile-{self.worker}'}",
            f"--print-to-pdf={made}",
        ]  # fmt: skip
        if os.geteuid() == 0:
            words.append("--no-sandbox")  # it does not start as root otherwise
        return [*words, (self.folder / "page.html").as_uri()]


def _version(tool: str) -> str:
    try:
        said = subprocess.run(
            [tool, "--version"], check=False, capture_output=True, text=True, timeout=LIMIT_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else ""
