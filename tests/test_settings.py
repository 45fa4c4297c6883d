# SPDX-License-Identifier: Apache-2.0
"""Settings come from the first place that has them, and a bad one is named."""

import math
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as calmly
from hypothesis import strategies as st

from submeter import settings
from submeter.errors import ConfigError
from submeter.settings import RULES, Settings


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "user.toml"


@pytest.fixture
def env(user: Path) -> dict[str, str]:
    return {"SUBMETER_USER_CONFIG": str(user)}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "deep" / "down"
    folder.mkdir(parents=True)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_say_that_they_are_defaults(here: Path, env: dict[str, str]) -> None:
    loaded = settings.load(cwd=here, env=env)
    assert loaded.settings == Settings()
    assert set(loaded.origin) == set(RULES) == set(Settings.__struct_fields__)
    assert set(loaded.origin.values()) == {"default"}
    assert loaded.warnings == ()


def test_every_place_overrides_the_one_below(here: Path, user: Path, env: dict[str, str]) -> None:
    places: list[tuple[float, Callable[[], object]]] = [
        (1.1, lambda: write(user, "# mine\npue = 1.1\n")),
        (1.2, lambda: write(here.parents[1] / "submeter.toml", "\n\npue = 1.2\n")),
        (1.3, lambda: env.update(SUBMETER_PUE="1.3")),
    ]
    origins = []
    for pue, put in places:
        put()
        loaded = settings.load(cwd=here, env=env)
        assert loaded.settings.pue == pue
        origins.append(loaded.origin["pue"])
    local = here.parents[1] / "submeter.toml"
    assert origins == [f"{user}:2", f"{local}:3", "environment SUBMETER_PUE"]
    flagged = settings.load(cwd=here, env=env, flags={"pue": "1.4", "zone": None})
    assert (flagged.settings.pue, flagged.origin["pue"]) == (1.4, "flag pue")
    argued = settings.load(cwd=here, env=env, flags={"pue": 1.4}, arguments={"pue": 1.5})
    assert (argued.settings.pue, argued.origin["pue"]) == (1.5, "argument pue")
    assert argued.origin["zone"] == "default"


def test_the_nearest_local_file_wins_and_a_foreign_pyproject_is_passed_over(
    here: Path, env: dict[str, str]
) -> None:
    write(here / "pyproject.toml", "[tool.other]\nx = 1\n")
    near = write(
        here.parent / "pyproject.toml", '[tool.other]\nzone = "X"\n[tool.submeter]\nzone = "SE"\n'
    )
    write(here.parents[1] / "submeter.toml", 'zone = "FR"\n')
    loaded = settings.load(cwd=here, env=env)
    assert loaded.settings.zone == "SE"
    assert loaded.origin["zone"] == f"{near}:4"


def test_a_broken_pyproject_that_is_not_ours_does_not_matter(
    here: Path, env: dict[str, str]
) -> None:
    write(here / "pyproject.toml", "[project\nthis is = not toml")
    assert settings.load(cwd=here, env=env).settings == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pue = -1", ["pue", "-1", "1 to 10"]),
        ("pue = 0.99", ["pue", "0.99"]),
        ("pue = nan", ["pue", "nan"]),
        ("pue = inf", ["pue", "inf"]),
        ("pue = true", ["pue", "True"]),
        ('pue = "1.2"', ["pue", "'1.2'"]),
        ("pue = {a = 1}", ["pue"]),
        ("interval_s = -0.1", ["interval_s", "-0.1", "0.01 to 60"]),
        ("interval_s = 0", ["interval_s"]),
        ("zone = 3", ["zone"]),
        ('zone = "DE\\nX"', ["zone"]),
        ('cloud = "us-west-2"', ["cloud", "aws/us-west-2"]),
        ("project = 1979-05-27", ["project"]),
        ('project = "\\u001b[31mred"', ["project"]),
        ("journal_quota_bytes = 1.5", ["journal_quota_bytes"]),
        ('journal_quota_bytes = "many"', ["journal_quota_bytes", "GiB"]),
        ("intervall_s = 1", ["intervall_s", "did you mean interval_s"]),
        ("[run]\nx = 1", ["run"]),
        ("pue = ", ["not valid TOML", "line 3"]),
    ],
)
def test_e02_a_wrong_setting_is_named_with_its_place_and_nothing_is_half_applied(
    here: Path, env: dict[str, str], text: str, words: list[str]
) -> None:
    path = write(here / "submeter.toml", f'project = "kept out"\n# second line\n{text}\n'
                 if not text.startswith("project") else text)  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        settings.load(cwd=here, env=env)
    said = f"{caught.value} {caught.value.remedy}"
    assert str(path) in said
    assert [w for w in words if w not in said] == []
    assert "\n" not in str(caught.value).removesuffix("\n")
    lenient = settings.load(cwd=here, env={**env, "SUBMETER_ZONE": "NO"}, strict=False)
    assert lenient.settings == Settings(zone="NO")  # the good keys of a bad file neither
    assert len(lenient.warnings) == 1
    assert str(path) in lenient.warnings[0]


@pytest.mark.parametrize(
    ("name", "word"),
    [("PUE", "abc"), ("PUE", "nan"), ("PUE", "0"), ("INTERVAL_S", "-1"),
     ("JOURNAL_QUOTA_BYTES", "1.5.2"), ("JOURNAL_QUOTA_BYTES", "-5")],
)  # fmt: skip
def test_e02_a_wrong_word_in_the_environment_is_named(
    here: Path, env: dict[str, str], name: str, word: str
) -> None:
    with pytest.raises(ConfigError, match=f"{name.lower()} = '{word}' in environment SUBMETER_"):
        settings.load(cwd=here, env={**env, f"SUBMETER_{name}": word})


def test_an_unknown_variable_is_warned_of_and_an_empty_one_is_not_set(
    here: Path, env: dict[str, str]
) -> None:
    env |= {
        "SUBMETER_INTERVAL": "1",
        "SUBMETER_PUE": "",
        "SUBMETER_RUN": "/x",
        "SUBMETER_HOME": "/y",
    }
    loaded = settings.load(cwd=here, env=env)
    assert loaded.settings == Settings()
    (warning,) = loaded.warnings
    assert "SUBMETER_INTERVAL" in warning


@pytest.mark.parametrize(
    "raw",
    [b"pue = 1.2\n" + b"#" * 2**21, b"x = " + b"[" * 100_000, b"x = " + b"{a=" * 100_000,
     b".".join([b"a"] * 50_000) + b" = 1", b"[" + b".".join([b"a"] * 50_000) + b"]\nb = 1",
     b"pue = 1.2\n\xff\xfe", b"\x00"],
)  # fmt: skip
def test_e03_a_bomb_is_refused_in_one_sentence(
    here: Path, env: dict[str, str], raw: bytes
) -> None:
    (here / "submeter.toml").write_bytes(raw)
    with pytest.raises(ConfigError):
        settings.load(cwd=here, env=env)
    assert settings.load(cwd=here, env=env, strict=False).settings == Settings()


@calmly(deadline=None)
@given(st.binary(max_size=200))
def test_e01_any_bytes_either_load_or_raise_a_config_error(raw: bytes) -> None:
    from submeter.settings.loading import parse_table

    for table in ((), ("tool", "submeter")):
        try:
            parse_table(raw, Path("x.toml"), table)
        except ConfigError as exc:
            assert exc.remedy  # noqa: PT017


def test_a_pipe_in_place_of_the_file_blocks_nobody(here: Path) -> None:
    path = here / "fifo"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        settings.load(cwd=here, env={"SUBMETER_USER_CONFIG": str(path)})


def test_a_file_of_somebody_else_in_a_shared_folder_is_passed_over(
    here: Path, env: dict[str, str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    path = write(here / "submeter.toml", "pue = 2.0\n")
    os.chown(path, 12345, 12345)
    assert settings.load(cwd=here, env=env).settings.pue == 2.0
    here.chmod(0o1777)
    loaded = settings.load(cwd=here, env=env)
    assert loaded.settings.pue is None
    assert "somebody else" in loaded.warnings[0]


def test_a_removed_working_folder_is_no_error(tmp_path: Path) -> None:
    code = (
        "import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)\n"
        "from submeter import settings; print(settings.load(env={}, strict=False).settings.pue)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path("src").absolute()), "HOME": str(tmp_path), "PATH": ""},
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "None", "")


# --- set and unset ---------------------------------------------------------------------------


def test_set_keeps_comments_and_says_how_to_undo(user: Path, env: dict[str, str]) -> None:
    write(user, "# top\npue = 1.2  # our hall\n\n# end\n")
    change = settings.set_value("pue", "1.3", env=env)
    assert user.read_text() == "# top\npue = 1.3  # our hall\n\n# end\n"
    assert change.undo == "submeter config set pue 1.2"
    change = settings.set_value("project", 'a # b "c"', env=env)
    assert change.undo == "submeter config unset project"
    assert tomllib.loads(user.read_text()) == {"pue": 1.3, "project": 'a # b "c"'}
    settings.unset_value("project", env=env)
    assert user.read_text() == "# top\npue = 1.3  # our hall\n\n# end\n"


def test_set_makes_a_private_file_and_keeps_the_mode_of_another(
    user: Path, env: dict[str, str]
) -> None:
    settings.set_value("zone", "DE", env=env)
    assert stat.S_IMODE(user.stat().st_mode) == 0o600
    user.chmod(0o644)
    settings.set_value("zone", "SE", env=env)
    assert stat.S_IMODE(user.stat().st_mode) == 0o644
    assert user.read_text() == 'zone = "SE"\n'
    assert [p.name for p in user.parent.iterdir()] == ["user.toml"]


def test_set_in_a_project_uses_its_pyproject_table(here: Path, env: dict[str, str]) -> None:
    path = write(
        here.parent / "pyproject.toml",
        '[project]\nname = "x"\n\n[tool.submeter]\nzone = "DE"\n\n[tool.other]\npue = 9\n',
    )
    settings.set_value("pue", "1.2", project=True, cwd=here, env=env)
    assert tomllib.loads(path.read_text())["tool"] == {
        "submeter": {"zone": "DE", "pue": 1.2},
        "other": {"pue": 9},
    }
    settings.unset_value("zone", project=True, cwd=here, env=env)
    assert settings.load(cwd=here, env=env).settings == Settings(pue=1.2)


def test_set_without_a_local_file_makes_one_where_we_stand(
    here: Path, env: dict[str, str]
) -> None:
    settings.set_value("journal_quota_bytes", "2 GiB", project=True, cwd=here, env=env)
    assert (here / "submeter.toml").read_text() == "journal_quota_bytes = 2147483648\n"


def test_a_link_stays_a_link(user: Path, env: dict[str, str], tmp_path: Path) -> None:
    real = write(tmp_path / "dotfiles" / "submeter.toml", "pue = 1.5\n")
    user.parent.mkdir(parents=True)
    user.symlink_to(real)
    settings.set_value("pue", "1.6", env=env)
    assert user.is_symlink()
    assert real.read_text() == "pue = 1.6\n"


@pytest.mark.parametrize(
    "text", ['project = """\nlong\n"""\n', "pue = 1.2\npue = 1.3\n", "[broken\n"]
)
def test_a_file_that_one_line_cannot_change_is_left_alone(
    user: Path, env: dict[str, str], text: str
) -> None:
    write(user, text)
    with pytest.raises(ConfigError):
        settings.set_value("project", "x", env=env)
    assert user.read_text() == text


def test_a_wrong_value_writes_nothing(user: Path, env: dict[str, str]) -> None:
    for key, word in (("pue", "0.5"), ("pue", "x"), ("nothing", "1")):
        with pytest.raises(ConfigError):
            settings.set_value(key, word, env=env)
    assert not user.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "submeter.toml"
    with pytest.raises(ConfigError, match="cannot be written"):
        settings.set_value("pue", "1.2", env={"SUBMETER_USER_CONFIG": str(path)})


text_values = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp", "Zs", "Co", "Cn")), max_size=30
)


@calmly(deadline=None)
@given(
    project=text_values,
    pue=st.floats(1, 10),
    interval_s=st.floats(0.01, 60),
    quota_bytes=st.integers(0, 2**60),
)
def test_what_is_set_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory,
    project: str,
    pue: float,
    interval_s: float,
    quota_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("set")
    env = {"SUBMETER_USER_CONFIG": str(folder / "u.toml")}
    wanted = {"project": project, "pue": pue, "interval_s": interval_s,
              "journal_quota_bytes": quota_bytes}  # fmt: skip
    for _ in range(2):
        for key, value in wanted.items():
            settings.set_value(key, str(value), env=env)
    loaded = settings.load(cwd=folder, env=env)
    assert {k: getattr(loaded.settings, k) for k in wanted} == wanted
    assert not math.isnan(loaded.settings.interval_s)
