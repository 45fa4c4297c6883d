# SPDX-License-Identifier: Apache-2.0
"""Looks at everyday tasks whose figures can be reckoned in the head."""

from submeter.records.everyday import Everyday, Kind, Round
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.runs import Host

HOST = Host("here", {"cpu_model": "a machine", "vcpus": "4"})
GAIN = ErrorTerm("gain", relative_sd=0.05)


def round_of(
    task: str,
    energy_j: float | None,
    *,
    way: str = "work",
    kind: Kind = "one",
    number: int = 1,
    workers: int = 1,
    units: float = 100.0,
    wall_s: float = 2.0,
    others_s: float = 0.0,
    stolen_s: float = 0.0,
    busy: tuple[float, ...] = (),
) -> Round:
    energy: Quantity | Missing = Missing("the meter saw no such phase")
    if energy_j is not None:
        energy = Quantity.of(energy_j, basis=Basis.MEASURED, terms=[GAIN])
    return Round(
        task=task, way=way, kind=kind, number=number, workers=workers, units=units,
        wall_s=wall_s, cpu_s=wall_s * workers, others_s=others_s, stolen_s=stolen_s,
        energy=energy, busy=busy, busy_slot_s=0.25,
    )  # fmt: skip


EVEN = (1.0,) * 8


def look(*rounds: Round, processors: int = 4) -> Everyday:
    """A look that holds *rounds*, or one of every kind."""
    some = rounds or (
        round_of("idle", 10.0, way="idle", kind="idle", workers=0, units=5.0, wall_s=5.0),
        round_of("sql-query", 20.0, number=1, busy=EVEN),
        round_of("sql-query", 21.0, number=2, busy=EVEN),
        round_of("sql-query", 30.0, kind="many", workers=4, units=250.0),
        round_of("http", 20.0, units=1000.0, busy=EVEN),
        round_of("http", 15.0, kind="paced", units=250.0, busy=(0.0, 2.0) * 4),
        round_of("prediction", 10.0, way="without", number=1),
        round_of("prediction", 40.0, way="with", number=1),
        round_of("prediction", 10.0, way="without", number=2),
        round_of("prediction", 42.0, way="with", number=2),
        round_of("report", 10.0, way="efficient", units=100.0),
        round_of("report", 10.0, way="naive", units=5.0),
    )
    return Everyday(
        run_id="20261124-000000-0000",
        made_utc="2026-11-24T00:00:00Z",
        machine="a machine",
        processors=processors,
        quick=False,
        rounds=some,
        units={"idle": "s", "sql-query": "query", "http": "request", "prediction": "query",
               "report": "report"},
        missing={"page": "neither chromium nor typst is installed"},
        told={"prediction": {"rows": 5000.0}},
        wall_s=60.0,
        host=HOST,
    )  # fmt: skip
