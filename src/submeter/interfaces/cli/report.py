# SPDX-License-Identifier: Apache-2.0
"""``submeter report``: what a run used, as a document."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import UsageError
from submeter.interfaces.cli.lookup import complete_run, look_up

if TYPE_CHECKING:
    from submeter.records.footprints import Footprint
    from submeter.records.runs import Run

FORMATS: Final = ("html", "pdf", "md", "json", "svg", "vega")
_BINARY: Final = frozenset({"pdf"})


@click.command("report")
@click.argument("run", default="last", shell_complete=complete_run)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Else by the name of the file.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              help="File to write; - is stdout.")  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
def report(*, run: str, kind: str | None, output: Path | None, opens: bool) -> None:
    """Write what RUN used as a document: one file, nothing in it loads from outside.

    \b
    Examples:
      submeter report
      submeter report digits -o digits.pdf
      submeter report last --format md >> README.md
      submeter report last --format svg -o power.svg
    """  # noqa: D301  # \b keeps click from refilling the examples
    from submeter.running.reckoning import reckoned

    kind = kind or _kind_of(output)
    found = look_up(run).run
    content = _written(kind, found, reckoned(found))
    if output is None and (kind in _BINARY or (kind == "html" and sys.stdout.isatty()) or opens):
        output = Path(f"{_file_name(found)}.{kind}")
    if output is None or str(output) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as exc:
        raise UsageError(f"{output} cannot be written: {exc.strerror}", remedy="-o FILE") from exc
    click.echo(f"{output}  {len(content) / 1000:.0f} kB", err=True)
    if opens:
        click.launch(str(output))


def _kind_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.removeprefix(".").lower()
    kind = {"htm": "html", "markdown": "md", "": "html"}.get(suffix, suffix)
    if kind not in FORMATS:
        raise UsageError(f"there is no report in “.{suffix}”", remedy=f"--format {FORMATS[0]}")
    return kind


def _file_name(run: "Run") -> str:
    """Name of a file that no name of a run can lead elsewhere."""
    import re

    return re.sub(r"[^\w.-]+", "-", run.name or run.id)[:60].strip(".-") or run.id


def _made_by() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"submeter {version('submeter')}"
    except PackageNotFoundError:  # a checkout that was never installed
        return "submeter"


def _written(kind: str, run: "Run", footprint: "Footprint") -> bytes:
    from submeter.reporting.report import writing
    from submeter.reporting.report.content import document_of
    from submeter.reporting.words import run_document, to_json

    if kind == "json":
        return (to_json(run_document(run, footprint)) + "\n").encode()
    document = document_of(run, footprint, made_by=_made_by())
    if kind == "html":
        return writing.html(document).encode()
    if kind == "md":
        return writing.markdown(document).encode()
    if kind == "pdf":
        return writing.pdf(document)
    specs: Any = writing.specifications(document)
    if kind == "vega":
        return (to_json(specs) + "\n").encode()
    charts = [c for s in document.sections for c in s.charts]
    if not charts:
        raise UsageError("this run has nothing that could be drawn", remedy="--format md")
    return writing.svg_of(charts[0]).encode()
