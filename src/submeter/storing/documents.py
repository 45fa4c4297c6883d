# SPDX-License-Identifier: Apache-2.0
"""A Run as bytes and back, its checksum, its row in a list, and what a user changed later."""

import math
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from submeter.errors import LedgerError, UsageError
from submeter.records.amounts import Amount, sum_amounts
from submeter.records.devices import DeviceKind
from submeter.records.figures import Quantity
from submeter.records.runs import RUN_SCHEMA, Origin, Run, Status
from submeter.storing.wording import is_storable, safe_text

EDITS_SCHEMA: Final = 1
LARGEST_RUN_BYTES: Final = 256 * 2**20
MOST_TAGS: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAG_KEY: Final = re.compile(r"[^\s=,\x00-\x1f\x7f][^=,\x00-\x1f\x7f]{0,63}")
_BY_AGE: Final = re.compile(r"last(~\d*)?")
_LONGEST_VALUE: Final = 500
_FRACTION_DIGITS: Final = 9


class RunRow(msgspec.Struct, frozen=True):
    """One line of a list of runs.

    ``node_j`` sums the run's share of all devices with the rest of the node, ``devices_j`` the
    same without that rest; None where nothing is known. ``incomplete`` means that a device is
    missing in both. ``figures`` holds both as figures in the words of the JSON.
    """

    id: str
    name: str
    origin: Origin
    status: Status
    exit_code: int | None
    started_utc: str
    duration_s: float
    devices_j: float | None
    node_j: float | None
    basis: str
    incomplete: bool
    project: str
    user: str
    figures: msgspec.Raw
    tags: dict[str, str] = {}


class Edits(msgspec.Struct, frozen=True):
    """What a user changed after the run; kept beside it, so that it outlives the ledger."""

    name: str | None = None
    tags: dict[str, str] = {}
    removed: tuple[str, ...] = ()
    schema: int = EDITS_SCHEMA

    def merged(
        self, add: Mapping[str, str], remove: Iterable[str], name: str | None = None
    ) -> "Edits":
        """Add the given edits to these."""
        gone = set(remove)
        tags = {k: v for k, v in self.tags.items() if k not in gone} | dict(add)
        removed = tuple(sorted((set(self.removed) | gone) - set(add)))
        return Edits(self.name if name is None else name, tags, removed)

    def applied(self, run: Run) -> Run:
        """*run* as the user wants to see it."""
        tags = {k: v for k, v in run.tags.items() if k not in self.removed} | self.tags
        name = run.name if self.name is None else self.name
        return msgspec.structs.replace(run, tags=tags, name=name)


def check_id(run_id: str) -> str:
    """*run_id* if it can name a folder; an id is never a path."""
    if not _ID.fullmatch(run_id):
        raise LedgerError(
            f"{run_id[:100]!r} is not a run id", remedy="ids look like 20261123-142501-3f9a"
        )
    return run_id


def check_name(name: str, remedy: str) -> None:
    """Refuse a *name* that no run could be found by.

    Raises
    ------
    UsageError
        If it is ``last`` or ``last~1``, which mean runs by their age, or no text at all.
    """
    if _BY_AGE.fullmatch(name):
        raise UsageError(f"“{name}” means a run by its age and can be no name", remedy=remedy)
    if not is_storable(name):
        raise UsageError("the name is no UTF-8", remedy=remedy)


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """*tags* if there are not too many and each is short and printable."""
    if len(tags) > MOST_TAGS:
        raise UsageError(f"{len(tags)} tags are too many", remedy=f"at most {MOST_TAGS} a run")
    for key, value in tags.items():
        if (
            not is_storable(key)
            or not _TAG_KEY.fullmatch(key)
            or len(value) > _LONGEST_VALUE
            or safe_text(value) != value
        ):
            raise UsageError(
                f"the tag {safe_text(f'{key}={value}', most=80)!r} cannot be used",
                remedy="tags are key=value: printable, the key without = and comma, "
                f"at most 64 and {_LONGEST_VALUE} characters",
            )
    return dict(tags)


def encode_run(run: Run) -> bytes:
    r"""JSON of *run*, certain to be read back.

    JSON has no word for what is not finite, and none for undecodable bytes: a loss of NaN is
    written as the string ``"nan"``, such bytes as ``\xff``.
    """
    try:
        document = msgspec.json.encode(run)
        if msgspec.json.decode(document, type=Run) == run:
            return document
    except (msgspec.ValidationError, UnicodeEncodeError):
        pass
    return msgspec.json.encode(_plain(msgspec.to_builtins(run, str_keys=True)))


def decode_run(document: bytes, what: str = "a run") -> Run:
    """Undo `encode_run`; *what* is named in the error.

    Raises
    ------
    LedgerError
        If it is no run, too large, or of a newer schema.
    """
    if len(document) > LARGEST_RUN_BYTES:
        raise LedgerError(f"{what} is too large to be a run", remedy="submeter doctor --rebuild")
    try:
        try:
            run = msgspec.json.decode(document, type=Run)
        except msgspec.ValidationError:  # lax: a word for what is not finite
            run = msgspec.json.decode(document, type=Run, strict=False)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise LedgerError(f"{what} is not readable: {exc}", remedy="submeter doctor") from exc
    if run.schema > RUN_SCHEMA:
        raise LedgerError(
            f"{what} was written by a newer submeter (schema {run.schema})",
            remedy="pip install --upgrade submeter",
        )
    if run.schema < 1:
        raise LedgerError(
            f"{what} is not readable: its schema is {run.schema}", remedy="submeter doctor"
        )
    return run


def checksum(document: bytes) -> int:
    """CRC-32 of a document as it is stored."""
    return zlib.crc32(document)


def row_of(run: Run) -> RunRow:
    """Line of *run* in a list."""
    parts = [d for d in run.devices if d.device.kind is not DeviceKind.NODE]
    known = [(d.device.kind, d.share) for d in parts if isinstance(d.share, Quantity)]
    node = [share for _, share in known]
    devices = [share for kind, share in known if kind is not DeviceKind.REST]
    best = sum_amounts(Amount.of(q) for q in node) if node else None
    seen = sum_amounts(Amount.of(q) for q in devices) if devices else None
    figures = {"devices": _words(seen), "node": _words(best)}
    return RunRow(
        id=run.id,
        name=run.name,
        origin=run.origin,
        status=run.status,
        exit_code=run.exit_code,
        started_utc=run.started_utc,
        duration_s=run.duration_s,
        devices_j=seen.value if seen else None,
        node_j=best.value if best else None,
        basis=str(best.figure("J").basis) if best else "",
        incomplete=len(known) < len(parts),
        project=run.project,
        user=run.user,
        figures=msgspec.Raw(msgspec.json.encode(figures)),
        tags=run.tags,
    )


def order_key(started_utc: str) -> str:
    """*started_utc* so that text order is time order: ``…:26Z`` is before ``…:26.5Z``."""
    whole, _, fraction = started_utc.removesuffix("Z").removesuffix("+00:00").partition(".")
    return f"{whole}.{fraction:0<{_FRACTION_DIGITS}}"


def _words(amount: Amount | None) -> dict[str, object]:
    if amount is None:
        return {"missing": "no device was metered"}
    return amount.figure("J").to_dict()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return (
            value.encode("utf-8", "backslashreplace").decode() if not is_storable(value) else value
        )
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
