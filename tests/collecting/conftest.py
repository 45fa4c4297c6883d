# SPDX-License-Identifier: Apache-2.0
"""Processes to watch."""

import subprocess
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def sleeper() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        processes.append(subprocess.Popen(["sleep", "1000"]))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
