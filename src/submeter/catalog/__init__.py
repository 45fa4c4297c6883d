# SPDX-License-Identifier: Apache-2.0
"""What is known: processors, boards, factors, each row with source, year and licence.

It never computes: it finds rows and says how they were found. Read ``cpus.py`` first. The tables
lie in ``data/``; ``benchmarks/make_catalog.py`` and ``benchmarks/fit_cpu.py`` make them.
"""

from submeter.catalog.boards import BoardRow, match_board
from submeter.catalog.cpus import CpuRow, match_cpu
from submeter.catalog.factors import Source, factor, fitted, pue_prior, source

__all__ = [
    "BoardRow",
    "CpuRow",
    "Source",
    "factor",
    "fitted",
    "match_board",
    "match_cpu",
    "pue_prior",
    "source",
]
