# SPDX-License-Identifier: Apache-2.0
"""What is read of a trial while it goes on."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.running.trials import Said

LOSS = {"loss": re.compile(r"loss[: =]+([0-9.]+)")}


def test_each_look_reads_only_what_is_new(tmp_path: Path) -> None:
    output = tmp_path / "out.log"
    output.write_text("loss: 3.5\nloss: 2.")
    said = Said(output, LOSS)
    assert said.look() == {"loss": 3.5}  # the last line may go on
    with output.open("r+") as file:
        file.write("loss: 9.9")  # what was read is not read again
        file.seek(0, 2)
        file.write("25\nnothing\n")
    assert said.look() == {"loss": 2.25}
    assert said.look() == {"loss": 2.25}
    assert Said(output, LOSS).look() == {"loss": 2.25}


def test_the_last_line_counts_when_it_has_ended(tmp_path: Path) -> None:
    output = tmp_path / "out.log"
    output.write_bytes(b"loss: 3\rloss: 2\r\nloss: 1")
    said = Said(output, LOSS)
    assert said.look() == {"loss": 2.0}
    assert said.look(ended=True) == {"loss": 1.0}


@pytest.mark.parametrize("content", [b"", b"loss: \xff\xfe\n", b"loss: 1.2.3\n"])
def test_what_is_no_number_is_left_out(tmp_path: Path, content: bytes) -> None:
    output = tmp_path / "out.log"
    output.write_bytes(content)
    assert Said(output, LOSS).look(ended=True) == {}


def test_no_file_and_no_pattern_say_nothing(tmp_path: Path) -> None:
    assert Said(tmp_path / "none.log", LOSS).look() == {}
    assert Said(tmp_path / "none.log", {}).look(ended=True) == {}


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["loss: 1.5", "loss=2", "x", "", "loss: 0.25 loss: 7"]), max_size=9),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_however_it_is_cut_the_same_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], cuts: list[int]
) -> None:
    words = "\n".join(lines).encode()
    output = tmp_path_factory.mktemp("said") / "out.log"
    said = Said(output, LOSS)
    for end in [*sorted(min(c, len(words)) for c in cuts), len(words)]:
        output.write_bytes(words[:end])
        said.look()
    whole = Said(output, LOSS)
    assert said.look(ended=True) == whole.look(ended=True)
