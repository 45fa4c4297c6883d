# SPDX-License-Identifier: Apache-2.0
"""Several attendants of one run."""

from pathlib import Path

import pytest

from submeter.running.attending import Attendance, Command, Together


class Noting:
    """Notes what it is told, and fails where it is to."""

    def __init__(self, name: str, said: list[str], *, why: str = "", fails: bool = False) -> None:
        self.name, self.said, self.why, self.fails = name, said, why, fails

    def attend(self, folder: Path, command: Command) -> None:
        del folder, command
        self.said.append(f"{self.name} begins")
        if self.fails:
            raise OSError(self.name)

    def leave(self) -> str:
        self.said.append(f"{self.name} ends")
        if self.fails:
            raise OSError(self.name)
        return self.why


@pytest.mark.parametrize("fails", [False, True])
def test_each_begins_and_ends_whatever_the_others_do(tmp_path: Path, *, fails: bool) -> None:
    said: list[str] = []
    both = Together([Noting("a", said, fails=fails), Noting("b", said, why="enough")])
    attendance = Attendance(both)
    attendance.begin(tmp_path, lambda: 0)
    attendance.end()
    assert said == ["a begins", "b begins", "b ends", "a ends"]
    assert len(attendance.notes) == (2 if fails else 0)
    assert attendance.stopped_because == ("" if fails else "enough")
