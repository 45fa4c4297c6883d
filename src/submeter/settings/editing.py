# SPDX-License-Identifier: Apache-2.0
"""Changing a settings file: one line, comments kept, atomically, with the way back."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from submeter.errors import ConfigError
from submeter.settings.loading import (
    line_of,
    local_file,
    parse_table,
    read_table,
    user_file,
)
from submeter.settings.rules import Value, accept


class Change(msgspec.Struct, frozen=True):
    """What was changed where; ``undo`` is the command that takes it back."""

    path: Path
    key: str
    before: object  # None: was not set in this file
    after: Value
    undo: str


def set_value(
    key: str,
    given: object,
    *,
    project: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Change:
    """Write one setting to the user's file, or with *project* to the nearest local one.

    Raises
    ------
    ConfigError
        If the value is not allowed, or the file cannot be read or written; then it is unchanged.
    """
    value = accept(key, given, words=True)
    path, table = _target(project=project, cwd=cwd, env=env)
    before = read_table(path, table).get(key)
    _rewrite(path, table, key, value)
    return Change(path, key, before, value, _undo(key, before, project=project))


def unset_value(
    key: str,
    *,
    project: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Change:
    """Take one setting out of the user's file, or with *project* out of the nearest local one.

    Unknown keys may be taken out too, so that a mistake in a file can be mended.
    """
    path, table = _target(project=project, cwd=cwd, env=env)
    before = read_table(path, table).get(key)
    if before is None:
        raise ConfigError(f"{key} is not set in {path}", remedy="submeter config show --origin")
    _rewrite(path, table, key, None)
    return Change(path, key, before, None, _undo(key, before, project=project))


def _undo(key: str, before: object, *, project: bool) -> str:
    flag = " --project" if project else ""
    if before is None:
        return f"submeter config unset{flag} {key}"
    import shlex

    return f"submeter config set{flag} {key} {shlex.quote(str(before))}"


def _target(
    *, project: bool, cwd: Path | None, env: Mapping[str, str] | None
) -> tuple[Path, tuple[str, ...]]:
    if not project:
        return user_file(env), ()
    found = local_file(cwd)
    return found if found is not None else ((cwd or Path.cwd()).absolute() / "submeter.toml", ())


def _rewrite(path: Path, table: tuple[str, ...], key: str, value: Value) -> None:
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        text = ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}", remedy="mend it by hand") from exc
    wanted = dict(parse_table(text.encode(), path, table))
    if value is None:
        wanted.pop(key, None)
    else:
        wanted[key] = value
    edited = _edited(text, table, key, value)
    try:
        fits = parse_table(edited.encode(), path, table) == wanted
    except ConfigError:
        fits = False
    if not fits:  # the value spans lines or stands in an inline table: not ours to guess
        raise ConfigError(
            f"{key} in {path} is written in a way that cannot be changed by one line",
            remedy="change it by hand",
        )
    _replace(path, edited)


def _edited(text: str, table: tuple[str, ...], key: str, value: Value) -> str:
    """*text* with one line changed, added or taken out."""
    lines = text.splitlines(keepends=True)
    number = line_of(text, key, table)
    new = None if value is None else f"{key} = {_toml(value)}"
    if number is not None:
        old = lines[number - 1]
        if new is None:
            del lines[number - 1]
        else:
            comment = re.search(
                r"""^[^"'#]*=\s*(?:"[^"]*"|'[^']*'|[^"'#]*?)(\s*#.*)?$""", old.rstrip("\n")
            )
            tail = comment[1] if comment and comment[1] else ""
            lines[number - 1] = f"{new}{tail}\n"
    elif new is not None:
        place = _end_of_table(lines, table)
        if place and not lines[place - 1].endswith("\n"):
            lines[place - 1] += "\n"
        lines.insert(place, f"{new}\n")
    return "".join(lines)


def _end_of_table(lines: list[str], table: tuple[str, ...]) -> int:
    """Where a new key of *table* goes: behind its last line that says anything."""
    inside = not table
    place = 0
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith("["):
            if inside:
                break
            words = bare.split("]")[0].strip("[").split(".")
            inside = tuple(w.strip().strip("\"'") for w in words) == table
        if inside and bare:
            place = number
    return place


def _toml(value: Value) -> str:
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _replace(path: Path, text: str) -> None:
    """Write *text* to *path* so that a reader sees the old or the new file, nothing between."""
    import tempfile

    temporary: Path | None = None
    if not path.is_absolute():
        raise ConfigError("there is no home to keep settings in", remedy="set HOME")
    path = Path(os.path.realpath(path))  # a link into a dotfiles folder stays a link
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        temporary.replace(path)
        temporary = None
    except OSError as exc:
        raise ConfigError(
            f"{path} cannot be written: {exc.strerror or exc}",
            remedy="set it in the environment instead, or mend the permissions",
        ) from exc
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
