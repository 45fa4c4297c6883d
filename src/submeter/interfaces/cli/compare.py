# SPDX-License-Identifier: Apache-2.0
"""``submeter compare RUN…``: runs beside runs; the module of each other question is named below.

``--models`` is in ``compare_models.py``, ``--hardware`` in ``compare_hardware.py``.
"""

import click

from submeter.errors import UsageError
from submeter.interfaces.cli.lookup import complete_run


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="RUN…", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")
def compare(runs: tuple[str, ...], *, as_json: bool) -> None:
    """Show what changed between runs, and what that did to energy, time and quality.

    The first RUN is what the others are compared with.

    \b
    Examples:
      submeter compare last~1 last
    """  # noqa: D301  # \b keeps click from refilling the examples
    del as_json
    if len(runs) < 2:  # noqa: PLR2004  # here and there
        raise UsageError("one run has nothing beside it", remedy="submeter compare last~1 last")
