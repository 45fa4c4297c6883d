# SPDX-License-Identifier: Apache-2.0
"""Kept plans: one JSON file each, in the folder ``plans`` beside the ledger.

A reader sees a whole file or none, and a plan, once kept, is never changed: what becomes of it is
kept elsewhere. ``last-plan`` is the one that was made last.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import LedgerError, LedgerVersionError, PlanNotFoundError
from submeter.records.plans import Plan
from submeter.storing.places import home as usual_home
from submeter.storing.places import new_run_id
from submeter.storing.wording import safe_text

FOLDER: Final = "plans"
LAST: Final = "last-plan"
MOST_BYTES: Final = 16 * 2**20
_PREFIX: Final = "plan-"
_SCHEMA: Final = 1
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_MAKE: Final = "submeter plan --duration 8h --deadline 'tomorrow 18:00'"


class _Kept(msgspec.Struct, frozen=True):
    schema: int
    plan: Plan


class _Head(msgspec.Struct, frozen=True):
    schema: int


def new_plan_id(now_utc_s: float) -> str:
    """Make an id ``plan-YYYYMMDD-HHMMSS-xxxx`` for an instant [s since 1970 UTC]."""
    return f"{_PREFIX}{new_run_id(round(now_utc_s * 1e9))}"


def keep(plan: Plan, home: Path | None = None) -> Path:
    """Write *plan* to its file, whole or not at all, and give the path.

    Raises
    ------
    LedgerError
        If its id is no name of a file, or the folder cannot be written.
    """
    import tempfile

    path = _path(plan.id, home)
    temporary: Path | None = None
    try:
        content = msgspec.json.format(msgspec.json.encode(_Kept(_SCHEMA, plan)), indent=2) + b"\n"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")
        temporary = Path(name)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
        temporary = None
    except UnicodeEncodeError:
        raise LedgerError(
            "the command holds bytes that are no text, and cannot be kept",
            remedy="give it when it is run: submeter run --when last-plan -- COMMAND",
        ) from None
    except OSError as exc:
        raise LedgerError(
            f"{safe_text(str(path))} cannot be written: {exc.strerror or exc}",
            remedy="set SUBMETER_HOME to a folder of your own",
        ) from exc
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return path


def find(ref: str, home: Path | None = None) -> Plan:
    """Plan of an id, of its beginning, or ``last-plan``.

    Raises
    ------
    PlanNotFoundError
        If there is none, or several begin so.
    LedgerError
        If its file cannot be read.
    """
    ids = plan_ids(home)
    if not ids:
        raise PlanNotFoundError("no plan is kept", remedy=_MAKE)
    if ref == LAST:
        return _read(max((_path(i, home) for i in ids), key=_age))
    if ref in ids:
        return _read(_path(ref, home))
    # ids begin alike, so the part that people see and type may be left to begin with the date
    near = [i for i in ids if ref and i.startswith((ref, _PREFIX + ref))]
    if len(near) == 1:
        return _read(_path(near[0], home))
    what = "several plans begin with" if near else "there is no plan"
    raise PlanNotFoundError(f"{what} “{safe_text(ref, most=60)}”", remedy="submeter plan --list")


def plan_ids(home: Path | None = None) -> list[str]:
    """Ids of all kept plans, the earliest first: they begin with the instant."""
    folder = (usual_home() if home is None else home) / FOLDER
    try:
        names = [p.stem for p in folder.iterdir() if p.suffix == ".json"]
    except OSError:
        return []
    return sorted(name for name in names if _ID.fullmatch(name))


def _age(path: Path) -> tuple[int, str]:
    """Order in which plans were kept: one for another time (``--at``) has an id of that time."""
    try:
        return path.stat().st_mtime_ns, path.stem
    except OSError:
        return 0, path.stem


def plans(home: Path | None = None) -> list[Plan]:
    """All kept plans that can be read, the earliest first."""
    found = []
    for ident in plan_ids(home):
        with contextlib.suppress(LedgerError):
            found.append(_read(_path(ident, home)))
    return found


def remove(ref: str, home: Path | None = None) -> Plan:
    """Forget a plan; what it was comes back, for the way to undo it.

    Raises
    ------
    PlanNotFoundError, LedgerError
        If there is none, or its file cannot be taken away.
    """
    plan = find(ref, home)
    path = _path(plan.id, home)
    try:
        path.unlink()
    except OSError as exc:
        raise LedgerError(
            f"{safe_text(str(path))} cannot be removed: {exc.strerror or exc}",
            remedy="check the rights of its folder",
        ) from exc
    return plan


def _path(ident: str, home: Path | None) -> Path:
    if not _ID.fullmatch(ident):
        raise LedgerError(
            f"“{safe_text(ident, most=60)}” is no id of a plan",
            remedy="letters, digits and dashes make one",
        )
    return (usual_home() if home is None else home) / FOLDER / f"{ident}.json"


def _read(path: Path) -> Plan:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise LedgerError(f"{path.name} is too large for a plan", remedy=_MAKE)
        if msgspec.json.decode(raw, type=_Head).schema > _SCHEMA:
            raise LedgerVersionError(
                f"the plan {path.stem} was kept by a newer submeter",
                remedy="pip install --upgrade submeter",
            )
        return msgspec.json.decode(raw, type=_Kept).plan
    except FileNotFoundError:
        raise PlanNotFoundError(f"the plan {path.stem} is gone", remedy=_MAKE) from None
    except OSError as exc:
        raise LedgerError(
            f"{safe_text(str(path))} cannot be read: {exc.strerror or exc}",
            remedy="check its rights",
        ) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise LedgerError(
            f"the plan {path.stem} is spoilt: {safe_text(str(exc), most=100)}",
            remedy=f"make it again: {_MAKE}",
        ) from exc
