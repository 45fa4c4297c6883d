# SPDX-License-Identifier: Apache-2.0
"""Kept answers: private, whole or nothing, of the question asked, and within their quota."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.providers.cache import FRESH_S, AnswerCache

NOW = 1_800_000_000.0
QUESTION = "https://api.example.org/v1?zone=DE"


@pytest.fixture
def cache(tmp_path: Path) -> AnswerCache:
    return AnswerCache(tmp_path / "grid")


def only_file(cache: AnswerCache) -> Path:
    (path,) = cache.folder.iterdir()
    return path


def test_an_answer_is_kept_as_it_was(cache: AnswerCache) -> None:
    cache.put(QUESTION, b"\x00\n{}\n", now_utc_s=NOW, settled=False)
    kept = cache.get(QUESTION)
    assert kept is not None
    assert (kept.body, kept.stored_utc_s, kept.settled) == (b"\x00\n{}\n", NOW, False)
    assert cache.get(QUESTION + "&scope=direct") is None


def test_answers_are_for_their_owner_only(cache: AnswerCache) -> None:
    cache.put(QUESTION, b"x", now_utc_s=NOW, settled=True)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(cache).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("settled", "age_s", "fresh"),
    [
        (False, 0, True),
        (False, FRESH_S, True),
        (False, FRESH_S + 1, False),
        (False, -60, False),  # from the future: the clock went back
        (True, 10 * 365 * 86_400, True),
        (True, -60, True),
    ],
)
def test_what_is_settled_stays_fresh(
    cache: AnswerCache, *, settled: bool, age_s: float, fresh: bool
) -> None:
    cache.put(QUESTION, b"x", now_utc_s=NOW, settled=settled)
    kept = cache.get(QUESTION)
    assert kept is not None
    assert kept.fresh(NOW + age_s) is fresh
    assert kept.age_s(NOW + age_s) == max(0, age_s)


@settings(deadline=None)
@given(questions=st.lists(st.text(max_size=40), unique=True, max_size=8), data=st.data())
def test_another_question_never_gets_the_answer(
    tmp_path_factory: pytest.TempPathFactory, questions: list[str], data: st.DataObject
) -> None:
    cache = AnswerCache(tmp_path_factory.mktemp("answers"))
    bodies = {q: data.draw(st.binary(max_size=40)) for q in questions}
    for question, body in bodies.items():
        cache.put(question, body, now_utc_s=NOW, settled=False)
    for question, body in bodies.items():
        kept = cache.get(question)
        assert kept is not None
        assert kept.body == body
    stranger = data.draw(st.text(max_size=40).filter(lambda q: q not in bodies))
    assert cache.get(stranger) is None


def test_a_file_under_the_name_of_another_question_is_none(cache: AnswerCache) -> None:
    cache.put(QUESTION, b"of Germany", now_utc_s=NOW, settled=True)
    first = only_file(cache)
    cache.put("other", b"of nobody", now_utc_s=NOW, settled=True)
    (second,) = set(cache.folder.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert cache.get("other") is None


@settings(deadline=None)
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_e13_a_flipped_bit_makes_no_answer_and_the_next_one_is_kept(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    cache = AnswerCache(tmp_path_factory.mktemp("answers"))
    cache.put(QUESTION, b'{"carbonIntensity": 300}', now_utc_s=NOW, settled=True)
    path = only_file(cache)
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= flip
    path.write_bytes(raw)
    kept = cache.get(QUESTION)
    assert kept is None or (kept.body, kept.settled, kept.stored_utc_s) == (
        b'{"carbonIntensity": 300}', True, NOW,
    )  # fmt: skip
    cache.put(QUESTION, b"new", now_utc_s=NOW + 1, settled=True)
    kept = cache.get(QUESTION)
    assert kept is not None
    assert kept.body == b"new"


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_e13_a_torn_answer_is_none(cache: AnswerCache, cut: int) -> None:
    cache.put(QUESTION, b"x" * 100, now_utc_s=NOW, settled=True)
    path = only_file(cache)
    path.write_bytes(path.read_bytes()[:cut])
    assert cache.get(QUESTION) is None


def test_a_link_or_pipe_in_its_place_is_not_read(cache: AnswerCache, tmp_path: Path) -> None:
    cache.put(QUESTION, b"x", now_utc_s=NOW, settled=True)
    path = only_file(cache)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(copy)
    assert cache.get(QUESTION) is None
    path.unlink()
    os.mkfifo(path)
    assert cache.get(QUESTION) is None


def test_the_oldest_go_when_the_quota_is_full(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "grid", quota_bytes=5_000)
    for i in range(6):
        cache.put(f"q{i}", bytes(1_000), now_utc_s=NOW + i, settled=True)
        newest = max(cache.folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)
        os.utime(newest, ns=(10**9 * i, 10**9 * i))
    assert cache.get("q5") is not None
    assert cache.get("q0") is None
    assert sum(p.stat().st_size for p in cache.folder.iterdir()) <= 5_000


def test_what_is_larger_than_the_quota_is_not_kept(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "grid", quota_bytes=500)
    cache.put(QUESTION, bytes(1_000), now_utc_s=NOW, settled=True)
    assert cache.get(QUESTION) is None


def test_a_cache_that_cannot_be_written_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = AnswerCache(tmp_path / "file" / "grid")
    cache.put(QUESTION, b"x", now_utc_s=NOW, settled=True)
    assert cache.get(QUESTION) is None


def test_what_a_killed_writer_left_is_swept(cache: AnswerCache) -> None:
    cache.put(QUESTION, b"x", now_utc_s=NOW, settled=True)
    left = cache.folder / "abc.123.part"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    cache.put("other", b"y", now_utc_s=NOW, settled=True)
    assert not left.exists()
