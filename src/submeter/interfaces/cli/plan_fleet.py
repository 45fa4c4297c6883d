# SPDX-License-Identifier: Apache-2.0
"""``submeter plan --fleet JOBS.csv --sites SITES.toml``."""

import math
import time
from pathlib import Path

import click

from submeter.errors import ConfigError, UsageError


def fleet_plan(
    jobs: str | None,
    sites: str | None,
    *,
    objective: str = "carbon",
    gap_ratio: float = 0.02,
    time_limit: str | None = None,
    best_effort: bool = False,
    as_json: bool = False,
    width: int = 80,
) -> None:
    """Plan the jobs of a file on the sites of another, and say what comes of it.

    Raises
    ------
    ConfigError
        If highspy is not installed.
    UsageError
        If a file makes no sense.
    InfeasibleError
        If not all jobs can be placed; it says which capacity or deadline stands in the way.
    """
    from importlib.util import find_spec

    if not jobs or not sites:
        raise UsageError(
            "a fleet is jobs and sites", remedy="submeter plan --fleet JOBS.csv --sites SITES.toml"
        )
    if find_spec("numpy") is None or find_spec("highspy") is None:
        raise ConfigError(
            "planning a fleet needs highspy, which is not installed",
            remedy="pip install 'submeter[plan]'",
        )
    from submeter.interfaces.fleets import read_fleet
    from submeter.planning.fleets import plan_fleet
    from submeter.planning.words import duration_s
    from submeter.reporting.fleets import fleet_document, fleet_text

    fleet = read_fleet(Path(jobs), Path(sites), objective)
    limit_s = math.inf if time_limit is None else duration_s(time_limit, "time limit")
    end_s = time.monotonic() + limit_s
    made = plan_fleet(
        fleet,
        gap_ratio=gap_ratio,
        best_effort=best_effort,
        left_s=lambda: end_s - time.monotonic(),
    )
    if as_json:
        from submeter.reporting.words import to_json

        click.echo(to_json(fleet_document(fleet, made, objective)))
        return
    click.echo(fleet_text(fleet, made, objective, width))
