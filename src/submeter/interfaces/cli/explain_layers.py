# SPDX-License-Identifier: Apache-2.0
"""``submeter explain --layers`` and ``--calibrate-layers``: down to the layer, and the check."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from submeter.errors import CoverageError, UsageError

if TYPE_CHECKING:
    from submeter.explaining.layers import LayerShares
    from submeter.records.explanations import Branch, Explanation
    from submeter.records.layers import LayerCalibration
    from submeter.records.runs import Run

__all__ = ["calibrate", "layer_options", "show_layers"]

F = TypeVar("F", bound=Callable[..., Any])


def layer_options(command: F) -> F:
    """Add the options of layers to *command*, which gets them by name."""
    options = [
        click.option(
            "--layers", is_flag=True,
            help="Where the joules of a step went, by layer; --chart draws them.",
        ),
        click.option(
            "--calibrate-layers", is_flag=True,
            help="Repeat layers alone, to know the power of each kind of operator here.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def show_layers(
    run: "Run", found: "Explanation", *, width: int, as_json: bool, chart: Path | None
) -> None:
    """Write the layers of *run*: a table and an icicle, or one document, and a chart if asked.

    Raises
    ------
    CoverageError
        If no layers of it are kept.
    """
    from submeter.interfaces.layering import layers_of
    from submeter.reporting.icicles import boxes_of, terminal
    from submeter.reporting.layers import layer_words, shares_document
    from submeter.reporting.words import to_json

    shares = layers_of(run)
    if not shares.shares:
        raise CoverageError(
            f"run {run.id} has no layers: {why_none(run)}",
            remedy="submeter run --layers -- python train.py",
        )
    if as_json:
        click.echo(to_json({"schema": 1, "run": run.id, "layers": shares_document(shares)}))
    else:
        click.echo(found.name)
        drawn = terminal(boxes_of(found.tree), width)
        if drawn:
            click.echo("\n" + drawn + "\n")
        click.echo(layer_words(shares, width))
    if chart is not None:
        write_icicle(chart, found.tree, found.name)


def why_none(run: "Run") -> str:
    """Why *run* has no layers, as its processes said it."""
    from submeter.storing import layers
    from submeter.storing.places import home, run_folder

    return layers.reason(run_folder(home(), run.id)) or "they were not asked for"


def write_icicle(path: Path, tree: "Branch", name: str) -> None:
    """Draw where the joules went, in the form that the name of the file asks for."""
    from submeter.reporting import icicles
    from submeter.reporting.words import to_json

    kind = path.suffix.lower().lstrip(".")
    title = f"Where the joules went: {name}"
    if kind == "html":
        text = icicles.html(tree, title)
    elif kind == "svg":
        text = icicles.svg(icicles.boxes_of(tree), title)
    else:
        text = to_json(icicles.vega_lite(icicles.boxes_of(tree), title)) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written: {exc.strerror}", remedy="--chart FILE"
        ) from exc
    click.echo(f"{path}  {len(text.encode()) / 1000:.0f} kB", err=True)


def calibrate(run: "Run | None", *, width: int, as_json: bool) -> None:
    """Repeat layers alone, those of *run* if it has any, and keep the power of their classes.

    Raises
    ------
    UsageError
        If there is no torch here.
    CoverageError
        If no sensor told the energy.
    """
    import importlib.util

    import msgspec

    from submeter.reporting.layers import calibration_words
    from submeter.reporting.words import to_json
    from submeter.storing import layers

    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            "layers are repeated with torch, which is not installed here",
            remedy="pip install 'submeter[torch]'",
        )
    from submeter.interfaces.layering import layers_of

    shares = None if run is None else layers_of(run)
    made = _repeated(run, shares)
    layers.keep_calibration(made)
    if as_json:
        click.echo(to_json({"schema": 1, "calibration": msgspec.to_builtins(made)}))
    else:
        click.echo(calibration_words(made, width))


def _repeated(run: "Run | None", shares: "LayerShares | None") -> "LayerCalibration":
    """Repeat the layers of a run that can be made anew, largest share first."""
    from submeter.interfaces.frameworks.calibrating import calibrate as repeat
    from submeter.interfaces.frameworks.calibrating import jobs_for
    from submeter.interfaces.layering import profiles_of

    device, specs = "cpu", []
    if run is not None and shares is not None and shares.shares:
        device = shares.device
        largest = {s.module: s for s in sorted(shares.shares, key=lambda s: s.ratio)}
        every = {spec.module: spec for p in profiles_of(run) for spec in p.specs}
        known = sorted(largest.values(), key=lambda s: -s.ratio)
        specs = [(every[s.module], s.operators) for s in known if s.module in every]
    jobs = jobs_for(specs, device=device)

    def tell(done: int, count: int, kind: str) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(f"\r\x1b[K{done + 1} of {count}: {kind}\r", err=True, nl=False)

    made = repeat(jobs, device=device, tell=tell)
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    return made
