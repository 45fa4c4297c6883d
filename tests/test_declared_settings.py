# SPDX-License-Identifier: Apache-2.0
"""Factors in settings files: taken out with their place, never mixed up with settings."""

from pathlib import Path

import pytest

from submeter import settings
from submeter.errors import ConfigError
from submeter.settings import Settings
from submeter.settings.loading import declared_file

LOSS = "grid/DE/td_loss_ratio"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"SUBMETER_USER_CONFIG": str(tmp_path / "user.toml")}


def test_factors_are_no_settings_and_come_with_their_line(
    tmp_path: Path, env: dict[str, str]
) -> None:
    path = tmp_path / "submeter.toml"
    path.write_text(
        f'# "{LOSS}"\npue = 1.2\nfactor_files = ["a/b.csv"]\n[factors]\n"{LOSS}" = 0.05\n'
    )
    loaded = settings.load(cwd=tmp_path, env=env)
    assert loaded.settings == Settings(pue=1.2)
    (declared,) = loaded.declared
    assert (declared.path, declared.factors) == (path, {LOSS: 0.05})
    assert declared.place(LOSS) == f"{path}:5"
    assert declared.files == (tmp_path / "a" / "b.csv",)
    assert set(loaded.origin) == set(settings.RULES)


def test_the_user_s_file_comes_first_so_that_the_project_goes_before(
    tmp_path: Path, env: dict[str, str]
) -> None:
    user, local = tmp_path / "user.toml", tmp_path / "pyproject.toml"
    user.write_text(f'[factors]\n"{LOSS}" = 1\n')
    local.write_text(f'[tool.submeter.factors]\n"{LOSS}" = 2\n')
    loaded = settings.load(cwd=tmp_path, env=env)
    assert [one.path for one in loaded.declared] == [user, local]
    assert [one.factors[LOSS] for one in loaded.declared] == [1, 2]


def test_without_any_nothing_is_declared(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "submeter.toml").write_text("pue = 1.2\n")
    assert settings.load(cwd=tmp_path, env=env).declared == ()


@pytest.mark.parametrize(
    "text",
    [
        "factors = 3",
        'factors = ["a"]',
        'factor_files = "a.csv"',
        "factor_files = [1]",
        'factor_files = [""]',
        'factor_files = ["a\\u0000b"]',
        f"factor_files = {['a.csv'] * 65}",
        "[factor_files]\na = 1",
    ],
)
def test_what_has_another_shape_is_named(tmp_path: Path, env: dict[str, str], text: str) -> None:
    path = tmp_path / "submeter.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as failure:
        settings.load(cwd=tmp_path, env=env)
    assert str(path) in str(failure.value)
    assert failure.value.remedy
    lenient = settings.load(cwd=tmp_path, env=env, strict=False)
    assert lenient.declared == ()
    assert lenient.warnings


def test_the_environment_cannot_declare_factors(tmp_path: Path, env: dict[str, str]) -> None:
    loaded = settings.load(cwd=tmp_path, env={**env, "SUBMETER_FACTORS": "x"})
    assert loaded.declared == ()
    assert loaded.settings == Settings()


def test_a_home_that_nobody_has_stays_a_word(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "submeter.toml").write_text('factor_files = ["~no-such-user-here/a.csv"]\n')
    (declared,) = settings.load(cwd=tmp_path, env=env).declared
    assert declared.files == (tmp_path / "~no-such-user-here" / "a.csv",)


def test_one_file_is_read_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[tool.submeter.factors]\n"{LOSS}" = 2\n')
    declared = declared_file(path)
    assert declared is not None
    assert declared.factors == {LOSS: 2}
    with pytest.raises(ConfigError, match="no file"):
        declared_file(tmp_path / "other.toml")


@pytest.mark.parametrize(
    "text",
    [
        f'[factors]\n# {LOSS}\n  "{LOSS}" = 1 # mine\n',
        f"[factors]\n\n'{LOSS}'=1\n",
        f'[factors]\n\n"{LOSS}".value = 1\n',
        f'\n\n[factors."{LOSS}"]\nvalue = 1\n',
        f"pue = 1.1\n\n[ factors . '{LOSS}' ]\nvalue = 1\n",
    ],
)
def test_the_line_of_a_factor_is_found_however_it_is_written(
    tmp_path: Path, env: dict[str, str], text: str
) -> None:
    path = tmp_path / "submeter.toml"
    path.write_text(text)
    (declared,) = settings.load(cwd=tmp_path, env=env).declared
    assert declared.place(LOSS) == f"{path}:3"


def test_a_file_full_of_factors_is_read_in_one_pass(tmp_path: Path, env: dict[str, str]) -> None:
    lines = [f'"grid/X{n:05}/td_loss_ratio" = 1' for n in range(20_000)]
    (tmp_path / "submeter.toml").write_text("\n".join(["[factors]", *lines]))
    (declared,) = settings.load(cwd=tmp_path, env=env).declared
    assert len(declared.factors) == 20_000
    assert declared.lines["grid/X19999/td_loss_ratio"] == 20_001
