# SPDX-License-Identifier: Apache-2.0
"""Reading settings: argument > flag > environment > local file > user file > default."""

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import ConfigError
from submeter.settings.declared import NESTED, Declared, declared_in
from submeter.settings.rules import RULES, Settings, Value, accept, unknown

PREFIX: Final = "SUBMETER_"
# Ours, and no settings: places, the run to join, switches of single commands, and keys of
# providers, which belong in no file.
NOT_SETTINGS: Final = frozenset(
    {"HOME", "RUN", "DEBUG", "COMPLETE", "USER_CONFIG", "LAYERS"}
    | {"ELECTRICITYMAPS_TOKEN", "WATTTIME_USER", "WATTTIME_PASSWORD", "ENTSOE_TOKEN", "EIA_KEY"}
)
LARGEST_FILE_BYTES: Final = 2**20
DEEPEST: Final = 64
TABLE: Final = ("tool", "submeter")
_OURS: Final = re.compile(rb"tool\W+submeter")
_LINE: Final = re.compile(r"at line (\d+)")


class Loaded(msgspec.Struct, frozen=True):
    """Settings, the place each value came from, and what was passed over (library use).

    ``declared`` has the factors that files declare, the user's first; later ones go before.
    """

    settings: Settings
    origin: dict[str, str]
    warnings: tuple[str, ...] = ()
    declared: tuple[Declared, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """Settings as given at one place, unchecked; ``places`` says where each key stands."""

    values: dict[str, object]
    places: dict[str, str]
    words: bool = False
    declared: Declared | None = None


def load(
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    strict: bool = True,
    arguments: Mapping[str, object] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """All settings, each from the first place that has it.

    Parameters
    ----------
    cwd
        Folder from which a local file is looked for, upwards.
    env
        Environment; the process's own if None.
    strict
        If False (library use) a place that cannot be used is left out as a whole, with a warning,
        and nothing is raised.
    arguments, flags
        Values given to a function or on the command line; None means "not given".

    Raises
    ------
    ConfigError
        If *strict* and a setting is unknown or not allowed, or a file cannot be read.
    """
    env = os.environ if env is None else env
    warnings: list[str] = []
    origin = dict.fromkeys(RULES, "default")
    merged: dict[str, Value] = {}
    declared: list[Declared] = []
    readers: tuple[Callable[[], Source], ...] = (
        lambda: _file_source(user_file(env), ()),
        lambda: _local_source(cwd, warnings),
        lambda: _environment(env, warnings),
        lambda: _given(flags, "flag"),
        lambda: _given(arguments, "argument"),
    )
    for read in readers:
        try:
            source = read()
            checked = {
                k: accept(k, v, source.places[k], words=source.words)
                for k, v in source.values.items()
            }
        except ConfigError as exc:
            if strict:
                raise
            warnings.append(f"{exc}; {exc.remedy}")
            continue
        merged |= checked
        origin |= {k: source.places[k] for k in checked}
        if source.declared is not None:
            declared.append(source.declared)
    return Loaded(msgspec.convert(merged, Settings), origin, tuple(warnings), tuple(declared))


def user_file(env: Mapping[str, str] | None = None) -> Path:
    """Path of the user's own settings file, whether or not it exists."""
    given = (os.environ if env is None else env).get(PREFIX + "USER_CONFIG")
    if given:
        return Path(given)
    import platformdirs

    try:
        return platformdirs.user_config_path("submeter", appauthor=False) / "submeter.toml"
    except (RuntimeError, KeyError):  # an account without an entry, and no HOME
        return Path("submeter-without-home") / "submeter.toml"


def local_file(
    cwd: Path | None = None, warnings: list[str] | None = None
) -> tuple[Path, tuple[str, ...]] | None:
    """Nearest ``submeter.toml`` or ``pyproject.toml`` with our table, upwards, and its table.

    A file that somebody else owns, in a folder that anybody may write to, is passed over.
    """
    try:
        start = (Path.cwd() if cwd is None else cwd).absolute()
    except OSError:  # the folder we stand in was removed
        return None
    for folder in (start, *start.parents):
        for path, table in ((folder / "submeter.toml", ()), (folder / "pyproject.toml", TABLE)):
            try:
                if not path.is_file() or (table and not _OURS.search(_raw(path))):
                    continue
                if not _trusted(path):
                    if warnings is not None:
                        warnings.append(f"{path} was passed over: somebody else put it there")
                    continue
            except OSError:
                continue
            return path, table
    return None


def read_table(path: Path, table: tuple[str, ...]) -> dict[str, object]:
    """Our *table* of a TOML file; empty if the file or the table is not there."""
    try:
        raw = _raw(path)
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except OSError as exc:
        raise ConfigError(
            f"{path} cannot be read: {exc.strerror or exc}", remedy="mend its permissions"
        ) from exc
    return parse_table(raw, path, table)


def parse_table(raw: bytes, path: Path, table: tuple[str, ...]) -> dict[str, object]:
    """Our *table* of the TOML document *raw*, which may be malformed or a bomb."""
    if len(raw) > LARGEST_FILE_BYTES:
        raise ConfigError(
            f"{path} is larger than {LARGEST_FILE_BYTES // 1024} KiB", remedy="shorten it"
        )
    if _depth(raw) > DEEPEST:
        raise ConfigError(
            f"{path} is nested deeper than {DEEPEST} levels",
            remedy="settings need no such nesting",
        )
    import tomllib  # only who has a file pays for it

    try:
        document: object = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not UTF-8 text", remedy="save it as UTF-8") from exc
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as exc:
        line = _LINE.search(str(exc))
        place = f"{path}:{line[1]}" if line else str(path)
        raise ConfigError(f"{place} is not valid TOML: {exc}", remedy="mend that line") from exc
    for name in table:
        document = document.get(name, {}) if isinstance(document, dict) else None
    if not isinstance(document, dict):
        raise ConfigError(
            f"{'.'.join(table)} in {path} is not a table", remedy=f"write [{'.'.join(table)}]"
        )
    return document


def line_of(text: str, key: str, table: tuple[str, ...]) -> int | None:
    """Line (from 1) on which *key* of *table* is set, or None if it stands in no plain line."""
    here: tuple[str, ...] = ()
    pattern = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("["):
            here = tuple(w.strip().strip("\"'") for w in bare.split("]")[0].strip("[").split("."))
        elif here == table and pattern.match(line):
            return number
    return None


def declared_file(path: Path) -> Declared | None:
    """What the settings file *path* declares, be it a ``submeter.toml`` or a ``pyproject.toml``.

    Raises
    ------
    ConfigError
        If it cannot be read, or declares something that is no table of factors.
    """
    if not path.exists():
        raise ConfigError(f"there is no file {path}", remedy="name a .toml or .csv file")
    source = _file_source(path, TABLE if path.name == "pyproject.toml" else ())
    return source.declared


def _file_source(path: Path, table: tuple[str, ...]) -> Source:
    values = read_table(path, table)
    if not values:
        return Source({}, {})
    text = _raw(path).decode("utf-8")
    declared = declared_in(values, path, text)
    values = {key: value for key, value in values.items() if key not in NESTED}
    places = {}
    for key in values:
        line = line_of(text, key, table)
        places[key] = f"{path}:{line}" if line else str(path)
    return Source(values, places, declared=declared)


def _local_source(cwd: Path | None, warnings: list[str]) -> Source:
    found = local_file(cwd, warnings)
    return Source({}, {}) if found is None else _file_source(*found)


def _environment(env: Mapping[str, str], warnings: list[str]) -> Source:
    """Take settings from the environment; an empty variable counts as not set.

    Foreign variables with our prefix are only warned of: a newer submeter may know them.
    """
    values: dict[str, object] = {}
    for name, word in env.items():
        key = name.removeprefix(PREFIX)
        if key == name or key in NOT_SETTINGS or word == "":
            continue
        if key.lower() in RULES and key.isupper():
            values[key.lower()] = word
        else:
            warnings.append(f"{unknown(key.lower(), f'environment {name}')}")
    return Source(values, {k: f"environment {PREFIX}{k.upper()}" for k in values}, words=True)


def _given(values: Mapping[str, object] | None, what: str) -> Source:
    given = {k: v for k, v in (values or {}).items() if v is not None}
    return Source(given, {k: f"{what} {k}" for k in given}, words=True)


def _raw(path: Path) -> bytes:
    """At most one byte more than a settings file may have; never blocks on a pipe."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(None, "not a regular file")
        return file.read(LARGEST_FILE_BYTES + 1)


def _trusted(path: Path) -> bool:
    shared = path.parent.stat().st_mode & stat.S_IWOTH
    return not shared or path.stat().st_uid in {0, os.geteuid()}


def _depth(raw: bytes) -> int:
    """Deepest nesting of brackets, dots of one key included; strings are not looked into."""
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", raw):
        depth = depth + 1 if bracket in b"[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    dotted = max((line.split(b"=")[0].count(b".") for line in raw.splitlines()), default=0)
    return max(deepest, dotted)
