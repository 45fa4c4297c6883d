# SPDX-License-Identifier: Apache-2.0
"""Runs travel from one ledger to another whole, once, and never out of their folder."""

import gzip
import io
import os
import sqlite3
import stat
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submeter.errors import LedgerError, LedgerLockedError, RunNotFoundError, UsageError
from submeter.records import Basis, Quantity
from submeter.records.figures import Spread
from submeter.records.runs import PhaseEnergy, Series
from submeter.storing import places
from submeter.storing.archives import FileEntry, Manifest, RunEntry
from submeter.storing.checking import check_figures
from submeter.storing.documents import encode_run
from submeter.storing.exchange import OnConflict, export_runs, import_archive, import_runs
from submeter.storing.ledger import Ledger, open_ledger
from tests.storing.runs import MakeRun
from tests.storing.runs import make_run as _make_run


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "cluster" / "ledger.db") as ledger:
        for n in range(3):
            run = _make_run(n, metrics={"loss": float("nan")})
            ledger.put(run)
            folder = places.run_folder(ledger.home, run.id)
            (folder / "run.json").unlink()
            (folder / "journal").write_bytes(os.urandom(5000))
            (folder / f"phases.{n}").write_bytes(bytes(100_000))
        ledger.tag(_make_run(1).id, {"keep": "me"}, name="named")
        yield ledger


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "laptop" / "ledger.db") as ledger:
        yield ledger


def files_of(ledger: Ledger, number: int) -> dict[str, bytes]:
    folder = places.run_folder(ledger.home, _make_run(number).id)
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "zip"])
def test_runs_arrive_whole_and_a_second_time_changes_nothing(
    cluster: Ledger, laptop: Ledger, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"runs.{suffix}"
    exported = export_runs(["last", "named", "last~1", _make_run(0).id], out, ledger=cluster)
    assert exported.runs == tuple(_make_run(n).id for n in (2, 1, 0))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    for round_ in range(2):
        got = import_archive(out, ledger=laptop)
        assert [r.id for r in got.runs] == list(exported.runs)
        assert (got.new, got.known)[round_] == exported.runs
        assert (got.known, got.new)[round_] == ()
    for n in range(3):
        run_id = _make_run(n).id
        assert encode_run(laptop.get(run_id)) == encode_run(cluster.get(run_id))
        theirs = files_of(laptop, n)
        theirs.pop("run.json")
        theirs.pop("edits.json", None)
        ours = files_of(cluster, n)
        ours.pop("edits.json", None)
        assert theirs == ours
    assert laptop.get("named").tags == {"lr": "0.1", "keep": "me"}
    assert laptop.check() == []
    hidden = [p.name for p in (laptop.home / "runs").iterdir() if p.name.startswith(".")]
    assert hidden == []


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_the_same_runs_give_the_same_bytes(cluster: Ledger, tmp_path: Path, suffix: str) -> None:
    first, second = (tmp_path / f"{n}.{suffix}" for n in "ab")
    for out in (first, second):
        export_runs(["last", "last~1"], out, ledger=cluster)
    assert first.read_bytes() == second.read_bytes()


def test_an_export_without_journals_is_small(
    cluster: Ledger, laptop: Ledger, tmp_path: Path
) -> None:
    exported = export_runs(["last"], tmp_path / "r.zip", ledger=cluster, journals=False)
    assert exported.bytes < 3000
    assert import_runs(tmp_path / "r.zip", ledger=laptop)[0].id == _make_run(2).id


def test_what_is_edited_here_stays_over_an_import(
    cluster: Ledger, laptop: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "r.zip"
    export_runs(["named"], out, ledger=cluster)
    import_runs(out, ledger=laptop)
    laptop.tag("named", {"mine": "yes"}, ["keep"], name="here")
    cluster.tag("named", {"theirs": "yes"})
    export_runs(["named"], out, ledger=cluster, force=True)
    assert import_archive(out, ledger=laptop).known == (_make_run(1).id,)
    assert laptop.get("here").tags == {"lr": "0.1", "mine": "yes"}


def test_a_conflict_is_named_and_resolved_as_asked(
    cluster: Ledger, laptop: Ledger, tmp_path: Path
) -> None:
    ours = _make_run(1, duration_s=99.0)
    laptop.put(ours)
    before = files_of(laptop, 1)
    out = tmp_path / "r.tar.gz"
    export_runs(["named", "last"], out, ledger=cluster)
    with pytest.raises(LedgerError, match=f"same id: {ours.id}") as caught:
        import_runs(out, ledger=laptop)
    assert "--on-conflict" in str(caught.value.remedy)
    assert [r.id for r in laptop.list()] == [ours.id]  # nothing, not a half
    assert files_of(laptop, 1) == before
    kept = import_archive(out, ledger=laptop, on_conflict="keep")
    assert (kept.kept, kept.new) == ((ours.id,), (_make_run(2).id,))
    assert laptop.get(ours.id) == ours
    replaced = import_archive(out, ledger=laptop, on_conflict="replace")
    assert (replaced.replaced, replaced.known) == ((ours.id,), (_make_run(2).id,))
    assert laptop.get(ours.id).duration_s == 12.5
    assert "journal" in files_of(laptop, 1)


def test_an_import_that_cannot_be_stored_leaves_what_was_there(
    cluster: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "laptop" / "ledger.db"
    out = tmp_path / "r.zip"
    export_runs(["named", "last"], out, ledger=cluster)
    with open_ledger(path, busy_s=0.02) as laptop:
        laptop.put(_make_run(1, duration_s=99.0))
        before = files_of(laptop, 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerLockedError):
            import_runs(out, ledger=laptop, on_conflict="replace")
        other.close()
        assert files_of(laptop, 1) == before
        assert [p.name for p in (laptop.home / "runs").iterdir()] == [_make_run(1).id]
        assert laptop.get("last").duration_s == 99.0
        assert len(import_runs(out, ledger=laptop, on_conflict="replace")) == 2


def test_a_run_that_goes_on_here_is_not_overwritten(
    cluster: Ledger, laptop: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "r.zip"
    export_runs(["last"], out, ledger=cluster)
    folder = places.run_folder(laptop.home, _make_run(2).id)
    folder.mkdir(parents=True)
    (folder / "journal").write_bytes(b"mine")
    hows: tuple[OnConflict, ...] = ("refuse", "keep")
    for how in hows:
        with pytest.raises(LedgerError):
            import_runs(out, ledger=laptop, on_conflict=how)
    assert files_of(laptop, 2) == {"journal": b"mine"}


def test_an_export_never_overwrites_unasked_and_names_what_is_wrong(
    cluster: Ledger, tmp_path: Path
) -> None:
    out = tmp_path / "r.zip"
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="there already"):
        export_runs(["last"], out, ledger=cluster)
    with pytest.raises(RunNotFoundError):
        export_runs(["last", "nothing like it"], out, ledger=cluster, force=True)
    with pytest.raises(UsageError, match="kind of archive"):
        export_runs(["last"], tmp_path / "r.rar", ledger=cluster)
    with pytest.raises(UsageError, match="no run"):
        export_runs([], tmp_path / "s.zip", ledger=cluster)
    with pytest.raises(LedgerError, match="cannot be written"):
        export_runs(["last"], tmp_path / "no" / "r.zip", ledger=cluster)
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cluster", "r.zip"]


def test_links_in_a_run_folder_are_not_packed(
    cluster: Ledger, laptop: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("hidden")
    folder = places.run_folder(cluster.home, _make_run(2).id)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "odd name").write_text("")
    exported = export_runs(["last"], tmp_path / "r.zip", ledger=cluster)
    assert exported.left_out == (f"{_make_run(2).id}/link", f"{_make_run(2).id}/odd name")
    import_runs(tmp_path / "r.zip", ledger=laptop)
    assert set(files_of(laptop, 2)) == {"journal", "phases.2", "run.json"}


# --- hostile archives -------------------------------------------------------------------------


def entry_of(content: bytes) -> FileEntry:
    return FileEntry(len(content), zlib.crc32(content))


def pack(path: Path, members: list[tuple[str, bytes]], manifest: Manifest | bytes | None) -> Path:
    """Pack *members* by hand, as an enemy would."""
    raw = manifest if isinstance(manifest, bytes) else msgspec.json.encode(manifest)
    parts = [*([] if manifest is None else [("manifest.json", raw)]), *members]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name, content in parts:
                target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, content in parts:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def good_manifest(run_id: str, document: bytes, **more: FileEntry) -> Manifest:
    return Manifest([RunEntry(run_id, {"run.json": entry_of(document), **more})])


def assert_untouched(laptop: Ledger, tmp_path: Path) -> None:
    assert laptop.list() == []
    assert list((laptop.home / "runs").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix not in {".zip", ".gz"}) == [
        "laptop"
    ]


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "x/../../evil", "a/b/c", "run.json", "..", "a/..", "a\\..\\b/c",
     "C:/evil", "%2e%2e/evil", "./x/y", "x/", "a/.hidden", "a/" + "n" * 200],
)  # fmt: skip
def test_f02_no_path_of_an_archive_leaves_the_folder(
    laptop: Ledger, tmp_path: Path, make_run: MakeRun, kind: str, name: str
) -> None:
    run = make_run(1)
    document = encode_run(run)
    run_id, _, file = name.rpartition("/")
    manifest = Manifest(
        [
            RunEntry(run.id, {"run.json": entry_of(document)}),
            RunEntry(run_id, {file: entry_of(b"x")}),
        ]
    )
    members = [(f"{run.id}/run.json", document), (name, b"x")]
    for given_manifest in (manifest, good_manifest(run.id, document)):
        path = pack(tmp_path / kind, members, given_manifest)
        with pytest.raises(LedgerError, match="refused"):
            import_runs(path, ledger=laptop)
    assert_untouched(laptop, tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE,
             tarfile.GNUTYPE_SPARSE]
)  # fmt: skip
def test_f02_no_links_and_devices_in_a_tar(
    laptop: Ledger, tmp_path: Path, make_run: MakeRun, kind: bytes
) -> None:
    run = make_run(1)
    document = encode_run(run)
    raw = msgspec.json.encode(good_manifest(run.id, document, journal=entry_of(b"")))
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("manifest.json", raw), (f"{run.id}/run.json", document)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo(f"{run.id}/journal")
        link.type, link.linkname = kind, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(LedgerError, match="refused"):
        import_runs(path, ledger=laptop)
    assert_untouched(laptop, tmp_path)


def test_f02_no_links_in_a_zip(laptop: Ledger, tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(1)
    document = encode_run(run)
    path = pack(
        tmp_path / "a.zip",
        [(f"{run.id}/run.json", document)],
        good_manifest(run.id, document, journal=entry_of(b"/etc/passwd")),
    )
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo(f"{run.id}/journal")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(LedgerError, match="not a regular file"):
        import_runs(path, ledger=laptop)
    assert_untouched(laptop, tmp_path)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_f06_a_bomb_is_not_unpacked(
    laptop: Ledger, tmp_path: Path, make_run: MakeRun, kind: str
) -> None:
    run = make_run(1)
    document = encode_run(run)
    bomb = bytes(80 * 2**20)
    path = pack(
        tmp_path / kind,
        [(f"{run.id}/run.json", document), (f"{run.id}/journal", bomb)],
        good_manifest(run.id, document, journal=entry_of(bomb)),
    )
    assert path.stat().st_size < 2**20
    with pytest.raises(LedgerError, match="would become"):
        import_runs(path, ledger=laptop)
    lied = pack(
        tmp_path / kind,
        [(f"{run.id}/run.json", document), (f"{run.id}/journal", bomb)],
        good_manifest(run.id, document, journal=entry_of(b"small")),
    )
    with pytest.raises(LedgerError, match="not as its manifest says"):
        import_runs(lied, ledger=laptop)
    with pytest.raises(LedgerError, match=r"too (much|large)"):
        import_archive(
            pack(
                tmp_path / kind,
                [(f"{run.id}/run.json", document)],
                good_manifest(run.id, document),
            ),
            ledger=laptop,
            most_bytes=100,
        )
    assert_untouched(laptop, tmp_path)


def test_f06_a_header_of_a_gigabyte_takes_no_memory(laptop: Ledger, tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**30
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(40):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(LedgerError, match="refused"):
        import_runs(path, ledger=laptop)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 64 * 2**20
    assert_untouched(laptop, tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        b"{}",
        b"[" * 100_000,
        b'{"runs": [], "kind": "something"}',
        b'{"runs": [], "schema": 99}',
        b'{"runs": []}',
        b'{"runs": [{"id": "a", "files": {}}], "schema": 0}',
        b'{"runs": [{"id": "a", "files": {"run.json": {"bytes": -1, "crc32": 0}}}]}',
        b'{"runs": [{"id": "a", "files": {}}, {"id": "a", "files": {}}]}',
        b'{"runs": [{"id": "a", "files": {}}]}',
        b'{"runs": [{"id": "a", "files": {"journal": {"bytes": 1, "crc32": 0}}}]}',
    ],
)
@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_a_manifest_that_makes_no_sense_is_refused(
    laptop: Ledger, tmp_path: Path, kind: str, manifest: bytes | None
) -> None:
    with pytest.raises(LedgerError):
        import_runs(pack(tmp_path / kind, [], manifest), ledger=laptop)
    assert_untouched(laptop, tmp_path)


def test_a_run_under_another_name_is_refused(
    laptop: Ledger, tmp_path: Path, make_run: MakeRun
) -> None:
    document = encode_run(make_run(2))
    other = make_run(1).id
    path = pack(
        tmp_path / "a.zip", [(f"{other}/run.json", document)], good_manifest(other, document)
    )
    with pytest.raises(LedgerError, match="says that it is"):
        import_runs(path, ledger=laptop)
    assert_untouched(laptop, tmp_path)


def energy(**changes: object) -> Quantity:
    spread = Spread("rapl-package", 1.0)
    given = {"value": 9.0, "spreads": (spread,), "basis": {Basis.MEASURED: 9.0}} | changes
    return Quantity(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"outside_phases": energy(value=-1.0)},
        {"outside_phases": energy(value=float("nan"))},
        {"outside_phases": energy(value=float("inf"))},
        {"outside_phases": energy(value=1e30)},
        {"outside_phases": energy(bound_low=-1.0)},
        {"outside_phases": energy(bound_high=float("inf"))},
        {"outside_phases": energy(spreads=(Spread("a", -1.0),))},
        {"outside_phases": energy(basis={Basis.MEASURED: -9.0})},
        {"phases": (PhaseEnergy("train", -3, 10.0, energy()),)},
        {"phases": (PhaseEnergy("train", 3, 10.0, energy(), {"cpu:0": -1.0}),)},
        {"work": {"samples": -1.0}},
        {"duration_s": -1.0},
        {"duration_s": 1e300},
        {"gaps_s": float("nan")},
        {"exit_code": 2**70},
        {"schema": 0},
        {"schema": -1},
    ],
)
def test_figures_that_none_can_be_are_refused(
    laptop: Ledger, tmp_path: Path, make_run: MakeRun, changes: dict[str, object]
) -> None:
    run = make_run(1, **changes)
    document = encode_run(run)
    path = pack(
        tmp_path / "a.zip", [(f"{run.id}/run.json", document)], good_manifest(run.id, document)
    )
    with pytest.raises(LedgerError) as caught:
        import_runs(path, ledger=laptop)
    assert caught.value.remedy
    assert_untouched(laptop, tmp_path)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"started_utc": ""},
        {"started_utc": "garbage"},
        {"started_utc": "0000-01-01T00:00:00Z"},
        {"started_utc": "0001-01-01T00:00:00Z"},
        {"started_utc": "9999-12-31T23:59:59Z"},
        {"started_utc": "10000-01-01T00:00:00Z"},
        {"duration_s": float("nan")},
        {"duration_s": float("inf")},
        {"duration_s": 1e300},
        {"duration_s": 1e10},
        {"series": Series(1e9, {"cpu:0": [1.0, 2.0]})},
        {"series": Series(1e-300, {"cpu:0": [1.0]})},
        {"series": Series(float("nan"), {"cpu:0": [1.0]})},
        {"series": Series(1.0, {"cpu:0": [5.0, -3.0]})},
        {"series": Series(1.0, {"cpu:0": [float("inf")]})},
    ],
)
def test_times_that_no_run_can_have_are_refused_in_one_sentence(
    make_run: MakeRun, spoilt: dict[str, object]
) -> None:
    check_figures(make_run(1, series=Series(1.0, {"cpu:0": [5.0, 0.0, -1e-9]})))
    with pytest.raises(LedgerError) as caught:
        check_figures(make_run(1, **spoilt))
    assert "is refused: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_training_logged_may_be_any_number(make_run: MakeRun) -> None:
    logged = {"loss": float("inf"), "reward": -1e300}
    run = check_figures(make_run(1, metrics=logged, exit_code=-9))
    assert run.metrics == logged


def test_absurd_spreads_give_a_figure_and_no_error() -> None:
    for sd in (1e155, 1e200, 1e308):
        figure = energy(value=1e-200, spreads=(Spread("a", sd),)).figure("J")
        assert figure.low <= figure.value <= figure.high


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("packed")
    out = []
    with open_ledger(folder / "ledger.db") as ledger:
        ledger.put(_make_run(1))
        for name in ("a.zip", "a.tar.gz"):
            export_runs(["last"], folder / name, ledger=ledger)
            out.append((folder / name).read_bytes())
    return out


@given(which=st.integers(0, 1), place=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 255))
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_archive_is_refused_or_arrives_whole(
    archives: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    which: int,
    place: float,
    flip: int,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    raw = bytearray(archives[which])
    at = int(len(raw) * place)
    if flip:
        raw[at] ^= flip
    else:
        del raw[at:]
    (folder / "a").write_bytes(raw)
    with open_ledger(folder / "home" / "ledger.db") as ledger:
        try:
            import_runs(folder / "a", ledger=ledger)
        except LedgerError:
            assert ledger.list() == []
            assert list((ledger.home / "runs").iterdir()) == []
        else:
            assert ledger.get("last") == _make_run(1)


@pytest.mark.parametrize("name", ["none.zip", ".", "nul\x00"])
def test_an_archive_that_cannot_be_read_is_named(
    laptop: Ledger, tmp_path: Path, name: str
) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        import_runs(tmp_path / name, ledger=laptop)
