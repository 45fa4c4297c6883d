# SPDX-License-Identifier: Apache-2.0
"""``submeter estimate``: what a training will use, before anything is bought or run."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from submeter.errors import SubmeterError, UsageError
from submeter.interfaces.cli.estimate_model import model_options, take_model
from submeter.interfaces.cli.estimate_more import (
    TERMINAL,
    draw,
    more_options,
    more_words,
    take_more,
    with_more,
)
from submeter.interfaces.cli.probe import (
    ProbingCommand,
    probe,
    probe_options,
    probed_command,
    refuse_beside_probe,
)

if TYPE_CHECKING:
    from submeter.estimating.asking import Answer, Question
    from submeter.estimating.varying import Change

_OPTIONS: Final = (
    click.option("--params", metavar="COUNT", help="Parameters of a transformer: 7B, 350M, 7e9."),
    click.option("--tokens", metavar="COUNT", help="Tokens that it is trained on: 2T, 300B."),
    click.option("--active-params", metavar="COUNT", help="Those that a token meets, of experts."),
    click.option("--model", metavar="NAME", help="A published model, for its shape: llama-7b."),
    click.option("--config", metavar="PATH", help="A config.json of Hugging Face's."),
    click.option("--cnn", metavar="NAME", help="A network on images: resnet50, …"),
    click.option("--images", metavar="COUNT", help="Images of one epoch."),
    click.option("--context", metavar="COUNT", help="Tokens of a sequence."),
    click.option("--batch", metavar="COUNT", help="Tokens, images or samples of one step."),
    click.option("--epochs", metavar="COUNT", help="How often it sees them."),
    click.option("--recomputation", metavar="NAME", help="Of activations: none, selective, full."),
    click.option("--hardware", metavar="NAME:COUNT", help="Devices: h100-sxm:512, a100:8, cpu."),
    click.option("--gpu-hours", metavar="HOURS", help="Hours of all devices, if they are known."),
    click.option("--precision", metavar="NAME", help="Of matrix products: bf16, fp16, fp32, fp8."),
    click.option("--mfu", metavar="RATIO", help="Useful operations over peak: 0.38, or 0.3-0.46."),
    click.option("--power", metavar="POWER", help="Mean of a device: 0.8 of TDP, 500-600W."),
    click.option("--zone", metavar="ZONE", help="Where: DE, US-CAL-CISO, us-west-2."),
    click.option("--region", metavar="ZONE", help="The same."),
    click.option("--pue", metavar="RATIO", help="PUE of the facility."),
    click.option("--cooling", metavar="NAME", help="How it is cooled, such as immersion."),
    click.option("--price", metavar="PRICE", help="Of a kilowatt-hour: 0.31, or a tariff."),
    click.option("--arrangement", metavar="WHOSE",
                 help="Whose machines: own site, colocation, cloud customer, home."),
    click.option("--at", metavar="TIME", help="When it would begin: '2026-01-10 02:00' (UTC)."),
    click.option("--checkpoints", metavar="RATIO", help="Time of checkpoints over that of steps."),
    click.option("--evaluation", metavar="RATIO", help="Time of evaluation over that of steps."),
    click.option("--restarts", metavar="RATIO", help="Time lost to failures over that of steps."),
    click.option("--failed-trials", metavar="RATIO",
                 help="Time of runs before the one that counts over that of its steps."),
)  # fmt: skip


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("estimate", cls=ProbingCommand)
@click.argument("description", required=False, metavar="[DESCRIPTION] [-- CMD…]")
@probe_options
@_options
@model_options
@click.option(
    "--vary",
    multiple=True,
    metavar="AXES",
    help='Compare: "hardware=a100,h100 precision=fp32,bf16 region=DE,SE".',
)
@click.option("--sweep", metavar="AXIS", help="A curve along one axis: params=1e8..1e11.")
@more_options
@click.option("--validate", metavar="FILE", help="Score the priors on published runs in a table.")
@click.option("--save", metavar="NAME", help="Keep the predicted run in the ledger as NAME.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def estimate(
    description: str | None,
    *,
    vary: tuple[str, ...],
    sweep: str | None,
    validate: str | None,
    save: str | None,
    as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Predict what a training will use: time, energy, carbon, water, cost.

    DESCRIPTION is a TOML file that says the same as the options, or names a function that makes
    the model, whose operations are counted then. What is not said is a prior, fitted on published
    trainings, and as wide as they differ. A probe runs the command itself for a while, stops it,
    and extrapolates from the steps that it logged.

    \b
    Examples:
      submeter estimate --params 7B --tokens 2T --hardware h100-sxm:512
      submeter estimate --cnn resnet50 --images 1.28M --hardware v100:8
      submeter estimate --config config.json --tokens 2T --hardware a100:64
      submeter estimate --gpu-hours 184320 --hardware h100-sxm:512
      submeter estimate mymodel:build_model --steps 10000 --hardware a100:8
      submeter estimate net.py:build --set layers=80 --input 4x2048:tokens …
      submeter estimate --probe 30s -- python train.py
      submeter estimate … --vary "hardware=v100,a100,h100 region=DE,SE"
      submeter estimate … --vary "precision=fp32,bf16,fp8" --chart
      submeter estimate … --sweep params=1e8..1e11
      submeter estimate … --change prune=0.5:channels --outlook neuromorphic
    """  # noqa: D301  # \b keeps click from refilling the examples
    probe_s = given.pop("probe_s")
    if probe_s is None and probed_command():
        raise UsageError("a command is run only to probe it", remedy="--probe 30s -- CMD")
    if validate is not None:
        _validate(validate, as_json=as_json)
        return
    if probe_s is not None:
        if description is not None or sweep is not None or vary:
            raise UsageError("a probe is of a command", remedy="--probe 30s -- python train.py")
        refuse_beside_probe()
        probe(probe_s, given, as_json=as_json, save=save)
        return
    given.pop("probe_steps", None)
    from submeter.interfaces.estimating import question_of

    if sweep is not None and vary:
        raise UsageError("a curve has one axis", remedy="--sweep, or --vary")
    if save is not None and (sweep is not None or vary):
        raise UsageError("several points make no one run", remedy="--save without --vary, --sweep")
    if save is not None:
        from submeter.storing.documents import check_name

        check_name(save, "submeter estimate … --save planned")
        given["name"] = save
    given["description"] = description
    more = take_more(given, many=sweep is not None or bool(vary))
    by = given["by"]
    source = take_model(given)
    question = question_of({**given, "source": source})
    if sweep is not None or vary:
        _many(question, (sweep,) if sweep is not None else vary, curve=sweep is not None,
              as_json=as_json, chart=more["chart"])  # fmt: skip
        return
    _one(question, more, as_json=as_json, save=save is not None, by=by)


def _one(
    question: "Question", more: dict[str, Any], *, as_json: bool, save: bool, by: Any
) -> None:
    from submeter.estimating.asking import answer
    from submeter.reporting.counted import count_words, with_count
    from submeter.reporting.estimates import estimate_document, estimate_words
    from submeter.running.reckoning import reckoned

    found = answer(question, reckoned)
    if as_json:
        from submeter.reporting.words import to_json

        document = with_count(question, estimate_document(question, found))
        said = [to_json(with_more(question, found, more, document))]
    else:
        width = _width()
        said = [
            estimate_words(question, found, width, beside=_beside(question, found)),
            count_words(question, width, by=by),
            more_words(question, found, more, width),
        ]
    if save:
        from submeter.storing.ledger import open_ledger

        with open_ledger() as ledger:
            ledger.put(found.prediction.run)
    click.echo("\n\n".join(words for words in said if words))
    if save:
        click.echo(f"kept as {question.run_id}", err=True)
        click.echo(f"undo: submeter rm {question.run_id}", err=True)


def _many(
    question: "Question",
    words: tuple[str, ...],
    *,
    curve: bool,
    as_json: bool,
    chart: str | None,
) -> None:
    from submeter.estimating.varying import axes_of, vary
    from submeter.interfaces.estimating import check_places
    from submeter.reporting.estimates import curve_words, table_document, table_words
    from submeter.running.reckoning import reckoned

    axes = axes_of(words)
    check_places(axes)
    if curve and len(axes) != 1:
        raise UsageError("a curve has one axis", remedy="--sweep params=1e8..1e11")
    made = vary(question, axes, reckoned)
    drawn = draw(made, chart, _width()) if chart else ""
    if as_json:
        from submeter.reporting.words import to_json

        click.echo(to_json(table_document(made)))
    else:
        click.echo(curve_words(made, _width()) if curve else table_words(made, _width(120)))
    if chart != TERMINAL:
        click.echo(drawn, nl=bool(drawn), err=True)
    elif not as_json:
        click.echo(f"\n{drawn}")


def _beside(question: "Question", found: "Answer") -> "tuple[str, Change] | None":
    """Other hardware of half the number, and by what the energy differs there."""
    import msgspec

    from submeter.estimating.machines import machine_of
    from submeter.estimating.predicting import course
    from submeter.estimating.varying import change

    name, _, count = question.hardware.rpartition(":")
    workload = found.workload
    if workload is None or question.device_hours is not None or not count.isdigit():
        return None
    other = "h100-sxm" if "b200" in name else "b200"
    words = f"{other}:{max(1, int(count) // 2)}"
    there = msgspec.structs.replace(question, hardware=words)
    try:
        rates = there.rates(workload, machine_of(words))
        after = course(workload, rates, overheads=there.spent(rates.count)).it
    except SubmeterError:  # a suggestion is no reason to fail
        return None
    here = course(workload, found.rates, overheads=question.spent(found.rates.count)).it
    return words, change(here, after)


def _validate(path: str, *, as_json: bool) -> None:
    from submeter.estimating.validating import validate
    from submeter.reporting.validation import validation_data, validation_text

    report = validate(_runs(path))
    if as_json:
        from submeter.reporting.words import JSON_SCHEMA, to_json

        click.echo(to_json({"schema": JSON_SCHEMA, **validation_data(report)}))
        return
    click.echo(validation_text(report), nl=False)


def _runs(path: str) -> list[dict[str, str]]:
    """Rows of a table of runs, as spreadsheets write it: any of three separators, any case."""
    import csv

    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # noqa: PTH123  # any path
            head = file.readline()
            file.seek(0)
            separator = max(",;\t", key=head.count)
            rows = [
                {name.strip().lower(): cell or "" for name, cell in row.items() if name}
                for row in csv.DictReader(file, delimiter=separator)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise UsageError(f"{path}: {why}", remedy="give a table in CSV, as UTF-8") from None
    if not rows or not {"id", "hardware"} & set(rows[0]):
        raise UsageError(
            f"{path} is no table of runs", remedy="the first line names id, hardware, …"
        )
    return rows


def _width(most: int = 100) -> int:
    import shutil

    return max(60, min(most, shutil.get_terminal_size((80, 24)).columns))
