# SPDX-License-Identifier: Apache-2.0
"""What is different about runs: code, data, settings, command, device, versions, place."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from submeter.records.devices import DeviceKind
from submeter.records.figures import Missing
from submeter.records.runs import Run

Group = Literal[
    "code", "data", "parameters", "tags", "command", "device", "versions", "place", "meter", "end"
]
GROUPS: Final[tuple[Group, ...]] = (
    "code", "data", "parameters", "tags", "command", "device", "versions", "place", "meter", "end",
)  # fmt: skip
_DATA: Final = re.compile(
    r"(?:^|[_.\-/])(?:data|dataset|datasets|corpus|samples|train_files?|images_dir)(?:$|[_.\-/])"
)
_VERSION: Final = re.compile(
    r"(?:^|[_.])version(?:$|[_.])|^(?:python|torch|numpy|scipy|sklearn|jax|tensorflow|cuda|cudnn"
    r"|transformers|driver)$"
)
_MACHINE: Final = {"cpu_model": "processor", "vcpus": "processors", "virtualisation": "guest of"}
_SYSTEM: Final = ("os", "kernel", "driver")
_PLACE: Final = (
    "zone", "cloud", "arrangement", "pue", "cooling", "wue_l_per_kwh", "electricity_price",
    "carbon_price_per_t", "timezone",
)  # fmt: skip
_OWN_TAGS: Final = frozenset({"trial", "compared"})  # ours: how runs are found again
_ALWAYS: Final = frozenset({"device", "tags", "parameters"})  # of which none is a word, too
_AS_IF: Final = "as if "  # begins what a replayed run was asked
_READ: Final = frozenset({"measured", "replayed"})
# What a run that was read and one that was predicted or published can both say.
_COMMON: Final[Mapping[str, frozenset[str]]] = {
    "device": frozenset({"cpu", "gpu"}),
    "place": frozenset({"zone", "cloud", "pue", "cooling", "arrangement"}),
    "meter": frozenset({"origin"}),
}
_COMMIT_CHARS: Final = 10
_GUESSED: Final = frozenset({"timezone"})  # of the place, where a zone says more


Facts = dict[Group, dict[str, str]]


class Changed(msgspec.Struct, frozen=True):
    """One thing that is not the same in all runs.

    ``values`` has a word for each run, or None where the run does not say.
    """

    group: Group
    name: str
    values: tuple[str | None, ...]

    @property
    def told(self) -> bool:
        """Whether two runs that both say it say different things."""
        return len({_plain(v) for v in self.values if v is not None}) > 1


class Differences(msgspec.Struct, frozen=True):
    """What is not the same, which groups are, and which no run tells.

    ``partly`` has groups of which some columns tell nothing at all, with the places of those:
    what the others say there is a difference only as far as two of them say it. ``notes`` are
    what the record cannot tell, such as what uncommitted changes were.
    """

    changed: tuple[Changed, ...]
    same: tuple[Group, ...]
    untold: tuple[Group, ...]
    partly: tuple[tuple[Group, tuple[int, ...]], ...] = ()
    notes: tuple[str, ...] = ()


def differences(columns: Sequence[Sequence[Run]]) -> Differences:
    """What *columns* of runs differ in, as far as their records tell.

    What runs of one column say in different ways stands with all that they say.
    """
    told = [_together([facts(run) for run in runs]) for runs in columns]
    mixed = len({run.origin in _READ for runs in columns for run in runs}) > 1
    changed: list[Changed] = []
    same: list[Group] = []
    untold: list[Group] = []
    partly: list[tuple[Group, tuple[int, ...]]] = []
    for group in GROUPS:
        names = [
            name
            for name in dict.fromkeys(name for facts_of in told for name in facts_of[group])
            if not mixed or _common(group, name)
        ]
        rows = [
            Changed(group, name, tuple(facts_of[group].get(name) for facts_of in told))
            for name in names
        ]
        silent = tuple(i for i, facts_of in enumerate(told) if not facts_of[group])
        differ = [row for row in rows if len({_plain(v) for v in row.values}) > 1]
        alike = not differ
        if silent and names and group not in _ALWAYS:
            partly.append((group, silent))
            differ = [row for row in differ if row.told]
        elif mixed and group in _ALWAYS and group != "device":  # most are of one kind of run
            differ = [row for row in differ if row.told]
        changed += differ
        if not names:
            untold.append(group)
        elif alike:
            same.append(group)
    every = [run for runs in columns for run in runs]
    return Differences(tuple(changed), tuple(same), tuple(untold), tuple(partly), _notes(every))


def facts(run: Run) -> Facts:
    """What the record of *run* says, by group and name."""
    arguments = dict(_arguments(run.command))
    told: Facts = {
        "code": _code(run),
        "data": {},
        "parameters": dict(run.parameters),
        "tags": {k: v for k, v in run.tags.items() if k not in _OWN_TAGS},
        "command": arguments,
        "device": _devices(run),
        "versions": _versions(run),
        "place": _place(run),
        "meter": _meter(run),
        "end": {"status": run.status},
    }
    givers: tuple[Group, ...] = ("parameters", "tags", "command")
    for words in (told[group] for group in givers):
        for name in list(words):
            if _DATA.search(name.lower()):
                told["data"].setdefault(name.lstrip("-"), words.pop(name))
            elif _VERSION.search(name.lower()):
                told["versions"].setdefault(name.lstrip("-"), words.pop(name))
    return told


# --- inside -------------------------------------------------------------------------------------


def _together(told: Sequence[Facts]) -> Facts:
    """What several runs say as one: a word that all say, else all words."""
    if len(told) == 1:
        return told[0]
    found: Facts = {}
    for group in GROUPS:
        names = dict.fromkeys(name for one in told for name in one[group])
        found[group] = {}
        for name in names:
            words = dict.fromkeys(one[group].get(name, "not told") for one in told)
            found[group][name] = ", ".join(words)
    return found


def _plain(word: str | None) -> object:
    """*word* as it is compared: 0.10 and 1e-1 are one number, None is like nothing else."""
    if word is None:
        return None
    try:
        return float(word)
    except ValueError:
        return word.strip()


def _common(group: Group, name: str) -> bool:
    """Whether runs of any origin can say it."""
    return group not in _COMMON or name in _COMMON[group] or name.startswith(_AS_IF)


def _code(run: Run) -> dict[str, str]:
    told = {k: v for k, v in run.code.items() if k in {"commit", "dirty"}}
    if "commit" in told:
        told["commit"] = told["commit"][:_COMMIT_CHARS]
    if "dirty" in told:
        told["uncommitted changes"] = told.pop("dirty")
    return told


def _versions(run: Run) -> dict[str, str]:
    """Versions of what ran it: told with the code, or by the machine."""
    told = {k: v for k, v in run.code.items() if k not in {"commit", "dirty"}}
    for host in run.hosts[:1]:
        told |= {key: host.machine[key] for key in _SYSTEM if host.machine.get(key)}
    return told


def _devices(run: Run) -> dict[str, str]:
    """Machines, devices by kind with their number, and limits of power that were set."""
    told: dict[str, str] = {}
    if run.hosts and run.origin in _READ:
        told["machine"] = ", ".join(sorted(host.name for host in run.hosts))
    for host in run.hosts[:1]:
        told |= {name: host.machine[k] for k, name in _MACHINE.items() if host.machine.get(k)}
        memory = host.machine.get("memory_bytes", "")
        if memory.isdigit():
            told["memory"] = f"{int(memory) / 2**30:.0f} GiB"
    rows = [d for d in run.devices if d.device.kind in {DeviceKind.GPU, DeviceKind.CPU}]
    for kind in (DeviceKind.GPU, DeviceKind.CPU):
        names = [d.device.name for d in rows if d.device.kind is kind]
        if names:
            told[str(kind)] = ", ".join(_counted(names))
    caps = {f"{d.means['cap_w']:.0f} W" for d in rows if d.means.get("cap_w")}
    if caps:
        told["power limit"] = ", ".join(sorted(caps))
    return told


def _counted(names: Iterable[str]) -> list[str]:
    count: dict[str, int] = {}
    for name in names:
        count[name] = count.get(name, 0) + 1
    return [name if n == 1 else f"{n} × {name}" for name, n in count.items()]


def _place(run: Run) -> dict[str, str]:
    told = {name: run.place[name] for name in _PLACE if run.place.get(name)}
    if "zone" in told or "cloud" in told:
        told = {k: v for k, v in told.items() if k not in _GUESSED}
    for key, value in run.place.items():
        if key.startswith("asked_"):
            told[f"{_AS_IF}{key.removeprefix('asked_')}"] = value
    return told


def _meter(run: Run) -> dict[str, str]:
    """How it is known: origin, kinds of reading, and how often."""
    told: dict[str, str] = {"origin": run.origin}
    if run.origin not in _READ:
        return told
    told["every"] = f"{run.interval_s:g} s"
    for row in run.devices:
        if row.device.kind is not DeviceKind.NODE:
            how = "missing" if isinstance(row.share, Missing) else row.method.partition(":")[0]
            kind = f"{row.device.kind} by"
            if how and how not in told.get(kind, "").split(", "):
                told[kind] = ", ".join(filter(None, (told.get(kind, ""), how)))
    return told


def _arguments(command: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Words of a *command* by name: options, ``key=value``, flags, and the rest by place.

    >>> dict(_arguments(["python", "train.py", "--lr", "0.1", "--amp", "depth=4", "big"]))
    {'program': 'python train.py', '--lr': '0.1', '--amp': 'given', 'depth': '4', 'word 1': 'big'}
    """
    if not command:
        return
    words = list(command)
    first = next((i for i, w in enumerate(words) if i and _is_argument(w)), len(words))
    begin = _program_ends(words[:first])
    yield "program", " ".join(words[:begin])
    rest, place, i = words[begin:], 0, 0
    while i < len(rest):
        word = rest[i]
        name, equals, value = word.partition("=")
        following = rest[i + 1] if i + 1 < len(rest) else "-"
        if equals and name and not name.startswith("/"):
            yield name, value
        elif word.startswith("-") and word.strip("-"):
            takes = not _is_argument(following) or _is_number(following)
            yield word, following if takes else "given"
            i += takes
        else:
            place += 1
            yield f"word {place}", word
        i += 1


def _program_ends(words: Sequence[str]) -> int:
    """How many of the leading *words* name the program: up to a script, if there is one."""
    for i, word in enumerate(words):
        if word.endswith((".py", ".sh", ".jl", ".R")):
            return i + 1
    return min(1, len(words))


def _is_argument(word: str) -> bool:
    return word.startswith("-") or "=" in word


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
    found: list[str] = []
    dirty = [run for run in runs if run.code.get("dirty") == "yes"]
    if dirty:
        found.append(
            f"{len(dirty)} of {len(runs)} ran with uncommitted changes: what they hold is not "
            "recorded, so code may differ beyond the commit"
        )
    if any(run.code.get("commit") and "dirty" not in run.code for run in runs):
        found.append("whether files were changed beyond the commit was not known in time")
    metered = [run for run in runs if run.origin == "measured"]
    if metered and not any(facts(run)["data"] for run in runs):
        found.append("no run says what data it read (submeter run --tag data=NAME)")
    unended = [run for run in runs if run.status in {"running", "paused", "waiting"}]
    if unended:
        found.append(f"{len(unended)} of them still go on: what they used so far is compared")
    return tuple(found)
