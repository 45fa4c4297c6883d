# SPDX-License-Identifier: Apache-2.0
"""``submeter sensors``."""

import os
from pathlib import Path

import click

from submeter.errors import SensorAbsentError, SensorPermissionError
from submeter.interfaces.cli.looking import Look, look_at, roots, roots_options
from submeter.records.devices import Measures
from submeter.records.figures import Basis, Missing
from submeter.reporting.footprint_words import missing
from submeter.reporting.numbers import MARKS, MISSING, write, write_duration, write_ratio
from submeter.reporting.text import plain, table
from submeter.reporting.words import JSON_SCHEMA, to_json
from submeter.sensors import Finding, discover

_NAME, _SOURCE = 60, 26


@click.command("sensors")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
@click.option(
    "--seconds",
    "apart_s",
    type=click.FloatRange(0.01, 60),
    default=0.5,
    show_default=True,
    help="Time between the two reads that make a rate.",
)
@roots_options
def sensors(
    *, as_json: bool, apart_s: float, no_gpu: bool, sys_root: Path, proc_root: Path
) -> None:
    """Read each sensor of this machine: values, units, basis, and the time a read takes.

    What is modelled carries ~, what is assumed carries ?, what is measured nothing.

    \b
    Examples:
      submeter sensors
      submeter sensors --json
    """  # noqa: D301
    found = discover(
        roots(sys_root, proc_root, no_gpu=no_gpu),
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    try:
        looks = look_at(found.sensors, apart_s=apart_s)
    finally:
        found.close()
    if as_json:
        click.echo(to_json({"schema": JSON_SCHEMA, "sensors": [_words(x) for x in looks]}))
    else:
        click.echo("\n".join(table(_rows(looks), right=(1, 2, 3))))
    _complain(looks, found.findings)


def _complain(looks: list[Look], findings: list[Finding]) -> None:
    """Raise what kept us from measuring anything at all."""
    if any(x.channel.basis is Basis.MEASURED and _is_power(x) for x in looks):
        return
    refused = next((f for f in findings if f.state == "refused"), None)
    if refused is not None:
        raise SensorPermissionError(refused.text, remedy=refused.remedy or "submeter doctor")
    if not looks:
        raise SensorAbsentError("no sensor was found on this machine", remedy="submeter doctor")


def _is_power(look: Look) -> bool:
    return look.channel.measures in {Measures.ENERGY, Measures.POWER, Measures.MEAN_POWER}


def _rows(looks: list[Look]) -> list[list[str]]:
    rows = [["device", "value", "rate", "read in", "source"]]
    before = ""
    for look in looks:
        if look.device.id != before:
            before = look.device.id
            rows.append([plain(f"{before}  {look.device.name}", width=_NAME)])
        what = str(look.channel.measures).replace("_", " ")
        rows.append(
            [
                f"  {what}{MARKS[look.channel.basis]}",
                _value(look),
                "" if look.rate is None else write(look.rate, look.rate_unit),
                write_duration(look.read_s),
                plain(
                    look.value.why if isinstance(look.value, Missing) else look.channel.source,
                    width=_SOURCE,
                ),
            ]
        )
    return rows


def _value(look: Look) -> str:
    if isinstance(look.value, Missing):
        return MISSING
    if look.channel.measures in {Measures.UTILISATION, Measures.REST_RATIO}:
        return write_ratio(look.value)
    if look.channel.measures is Measures.THROTTLE:
        return f"0x{int(look.value):x}"
    if look.unit == "s":
        return f"{look.value:.2f} s"  # as the kernel counts: hours would hide a tick
    return write(look.value, look.unit, digits=4, joules=True)


def _words(look: Look) -> dict[str, object]:
    """One channel in the words of the JSON."""
    return {
        "device": look.device.id,
        "kind": str(look.device.kind),
        "name": look.device.name,
        "measures": str(look.channel.measures),
        "value": missing(look.value.why) if isinstance(look.value, Missing) else look.value,
        "unit": look.unit,
        "rate": missing("no rate") if look.rate is None else look.rate,
        "rate_unit": look.rate_unit,
        "basis": str(look.channel.basis),
        "read_s": look.read_s,
        "source": look.channel.source,
    }
