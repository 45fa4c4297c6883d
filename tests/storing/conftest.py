# SPDX-License-Identifier: Apache-2.0
"""Runs to store."""

import pytest

from tests.storing.runs import MakeRun
from tests.storing.runs import make_run as made


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    return made
