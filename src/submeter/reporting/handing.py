# SPDX-License-Identifier: Apache-2.0
"""A plan handed over to what starts jobs already: Slurm, Kubernetes, at, systemd.

Each text says in its comments what it does and how to give it away. Instants are written by the
clock that the program will read: Slurm and at know no other than the local one, systemd and
Kubernetes are given UTC, and a comment says the instant in full.
"""

import json
import math
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from submeter.errors import InfeasibleError, UsageError
from submeter.planning.words import clock_of, full_instant
from submeter.records.plans import Plan, Slice

_MINUTE_S: Final = 60
_AT_ONCE_S: Final = 2 * _MINUTE_S  # what begins within it begins when it is handed over
_WARNING_S: Final = 60  # beyond the time of a checkpoint, before Slurm ends a slice
_SPARE_MINUTES: Final = 10  # Slurm looks for jobs to start every minute or so, not at once
_END: Final = "END_OF_JOB"


class Hand(msgspec.Struct, frozen=True):
    """What a job needs besides its plan.

    ``timezone`` is the clock of the machine that the text is given to, ``folder`` where the
    command runs, ``search_path`` the ``PATH`` it runs with, ``image`` that of a container.
    """

    command: tuple[str, ...]
    timezone: str = "UTC"
    folder: str = ""
    search_path: str = ""
    image: str = ""


def hand_over(kind: str, plan: Plan, hand: Hand) -> str:
    """Text of a job that begins when *plan* says.

    Parameters
    ----------
    kind
        One of `KINDS`: slurm (a batch script; several jobs where the plan pauses), kubernetes (a
        manifest), at (a shell script), systemd (a shell script that writes a timer).

    Raises
    ------
    UsageError
        If there is no command, or no image for Kubernetes.
    InfeasibleError
        If what is asked cannot pause a job, and the plan does.
    """
    if kind not in KINDS:
        raise UsageError(f"“{kind[:40]}” takes no jobs", remedy=f"--emit {'|'.join(KINDS)}")
    if not hand.command:
        raise UsageError(
            "there is no command to hand over",
            remedy=f"submeter plan … --emit {kind} -- python train.py",
        )
    if any("\0" in word for word in hand.command):
        raise UsageError("the command holds a zero byte", remedy="take it out")
    if len({piece.workers for piece in plan.slices}) > 1:
        raise InfeasibleError(
            f"{kind} starts jobs of one size, and this plan changes its number of workers",
            remedy="plan without --scale, or start each size at its time: submeter plan --show",
        )
    if len(plan.slices) > 1 and kind != "slurm":
        raise InfeasibleError(
            f"{kind} cannot pause a job, and this plan pauses {len(plan.slices) - 1} times",
            remedy="plan without --interruptible, --emit slurm, or submeter run --when last-plan",
        )
    if not plan.slices:
        raise InfeasibleError("the plan has no time to run in", remedy="make another plan")
    return KINDS[kind](plan, hand)


# --- Slurm --------------------------------------------------------------------------------------


def _slurm(plan: Plan, hand: Hand) -> str:
    if len(plan.slices) > 1:
        return _slurm_chain(plan, hand)
    (part,) = plan.slices
    begin = _local(part.start_s, hand)
    limits = _slurm_limits(part, plan.job.deadline_s, part.end_s - part.start_s, hand)
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={plan.id}",
        f"#SBATCH --begin={'now' if _at_once(plan) else begin}",
        *(f"#SBATCH {limit}" for limit in limits),
        *_about(plan, hand, "sbatch FILE"),
        f"# Slurm reads these instants by the clock of the cluster: written for {_clock(hand)}.",
        *([] if len(limits) > 1 else [_NO_DEADLINE]),
        "",
        f"exec {_metered(plan, hand)}",
    ]
    return "\n".join(lines) + "\n"


_NO_DEADLINE: Final = "# No --deadline: a job that starts a minute late would be removed by it."


def _slurm_limits(part: Slice, end_s: float, least_s: float, hand: Hand) -> list[str]:
    """Limits of a job that has to end by *end_s* and is of use for *least_s* or more.

    Slurm removes a job once its least time no longer fits before its deadline (sbatch(1),
    ``--deadline``), and no job starts to the second: without ``--time-min`` below ``--time`` none
    would ever run. Half of what is to spare is for a late start, half for work that takes longer.
    Where there is too little of it, the deadline is left out.
    """
    minutes = max(1, math.floor((end_s - part.start_s) / _MINUTE_S))
    least = math.ceil(least_s / _MINUTE_S)
    if minutes - least < _SPARE_MINUTES:
        return [f"--time={max(minutes, least)}"]
    return [
        f"--deadline={_local(end_s, hand)}",
        f"--time={minutes}",
        f"--time-min={(minutes + least) // 2}",
    ]


def _slurm_chain(plan: Plan, hand: Hand) -> str:
    """Jobs one after another: Slurm ends each at its limit, and the next takes up its work."""
    job = plan.job
    warned_s = math.ceil(job.checkpoint_s) + _WARNING_S
    lines = [
        "#!/bin/sh",
        *_about(plan, hand, "sh FILE"),
        f"# {len(plan.slices)} jobs, one after another. {warned_s} s before its time is over",
        "# a job gets SIGTERM, to write a checkpoint; the next one goes on from it.",
        f"# Slurm reads these instants by the clock of the cluster: written for {_clock(hand)}.",
        "set -e",
    ]
    for number, part in enumerate(plan.slices, 1):
        last = number == len(plan.slices)
        end_s = job.deadline_s if last else part.end_s
        least_s = part.end_s - part.start_s if last else 2.0 * warned_s
        begin = "now" if number == 1 and _at_once(plan) else _local(part.start_s, hand)
        words = [
            "sbatch --parsable",
            f"--job-name={plan.id}-{number}",
            f"--begin={begin}",
            *_slurm_limits(part, end_s, least_s, hand),
        ]
        if not last:
            words.append(f"--signal=B:TERM@{warned_s}")
        if number > 1:
            words.append('--dependency=afterany:"${job%%;*}"')
        here = [f"<<'{_END}'", "#!/bin/bash", f"exec {_metered(plan, hand)}", _END]
        lines += [f"job=$({' '.join(words)} {here[0]}", *here[1:], ")"]
    lines.append('echo "the last job is ${job%%;*}"')
    return "\n".join(lines) + "\n"


# --- at -----------------------------------------------------------------------------------------


def _at(plan: Plan, hand: Hand) -> str:
    begin = plan.slices[0].start_s
    when = "now" if _at_once(plan) else f"-t {_local(begin, hand, '%Y%m%d%H%M')}"
    if not hand.folder.isprintable():
        raise UsageError("the folder has a name that no script can hold", remedy="use another")
    enter = [f"cd {shlex.quote(hand.folder)} || exit"] if hand.folder else []
    lines = [
        "#!/bin/sh",
        *_about(plan, hand, "sh FILE; atq lists it, atrm takes it back"),
        f"# at reads the clock of this machine: written for {_clock(hand)}.",
        f"at {when} <<'{_END}'",
        *enter,
        _metered(plan, hand),
        _END,
    ]
    return "\n".join(lines) + "\n"


# --- systemd ------------------------------------------------------------------------------------


def systemd_units(plan: Plan, hand: Hand) -> dict[str, str]:
    """Text of the service and of the timer that starts it, by file name."""
    begin = plan.slices[0].start_s
    when = (
        "OnActiveSec=1s"
        if _at_once(plan)
        else f"OnCalendar={_local(begin, Hand((), 'UTC'), '%Y-%m-%d %H:%M:%S')} UTC"
    )
    words = ["submeter", "run", "--tag", f"plan={plan.id}", "--", *hand.command]
    service = [
        "[Unit]",
        f"Description=Training planned by submeter ({plan.id})",
        "",
        "[Service]",
        "Type=exec",
        *([f"WorkingDirectory={_specified(hand.folder)}"] if hand.folder else []),
        *([f"Environment={_quoted(f'PATH={hand.search_path}')}"] if hand.search_path else []),
        f"ExecStart=/usr/bin/env {' '.join(_argument(word) for word in words)}",
        "",
    ]
    timer = [
        "[Unit]",
        f"Description=Start of {plan.id}",
        "",
        "[Timer]",
        when,
        "AccuracySec=1s",
        "Persistent=true",
        f"Unit={plan.id}.service",
        "",
    ]
    return {f"{plan.id}.service": "\n".join(service), f"{plan.id}.timer": "\n".join(timer)}


def _systemd(plan: Plan, hand: Hand) -> str:
    lines = [
        "#!/bin/sh",
        *_about(plan, hand, "sh FILE; systemctl --user list-timers shows it"),
        "# To keep it when you log out: loginctl enable-linger. A restart forgets it.",
        "set -e",
        'units="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user"',
        'mkdir -p "$units"',
    ]
    for name, text in systemd_units(plan, hand).items():
        lines += [f"cat > \"$units/{name}\" <<'{_END}'", text.rstrip("\n"), _END]
    lines += ["systemctl --user daemon-reload", f"systemctl --user start {plan.id}.timer"]
    return "\n".join(lines) + "\n"


def _argument(word: str) -> str:
    """Argument of ExecStart: systemd.service(5), "Command lines"."""
    return _quoted(word.replace("$", "$$"))


def _quoted(word: str) -> str:
    """*word* in double quotes with the escapes of systemd.syntax(7), its specifiers doubled."""
    made = []
    for char in word:
        if char in '"\\':
            made.append("\\" + char)
        elif char.isprintable():
            made.append("%%" if char == "%" else char)
        else:
            made += [f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape")]
    return f'"{"".join(made)}"'


def _specified(path: str) -> str:
    """Path of a setting that takes no quotes: only specifiers are doubled."""
    if not path.isprintable() or path != path.strip() or path.endswith("\\"):
        raise UsageError("the folder has a name that no unit can hold", remedy="use another")
    return path.replace("%", "%%")


# --- Kubernetes ---------------------------------------------------------------------------------


def kubernetes_manifest(plan: Plan, hand: Hand) -> dict[str, object]:
    """Manifest of a CronJob that fires at the plan's minute, or of a Job that begins at once.

    A Job knows no time to begin; a CronJob does, and it would fire again in a year: the text
    says so. ``activeDeadlineSeconds`` ends what would run on beyond the deadline.
    """
    if not hand.image:
        raise UsageError(
            "Kubernetes runs containers, and no image is named",
            remedy="submeter plan … --emit kubernetes --image registry/name:tag -- CMD",
        )
    if not hand.image.isprintable() or " " in hand.image:
        raise UsageError(
            f"{hand.image[:60]!r} is no name of an image", remedy="--image registry/name:tag"
        )
    begin = plan.slices[0].start_s
    left_s = max(_MINUTE_S, math.floor(plan.job.deadline_s - begin))
    words = [word.replace("$(", "$$(") for word in hand.command]  # else a variable of the pod
    container: dict[str, object] = {"name": "training", "image": hand.image, "command": words}
    if hand.folder:
        container["workingDir"] = hand.folder
    spec: dict[str, object] = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": left_s,
        "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
    }
    about = {"name": plan.id, "labels": {"app.kubernetes.io/managed-by": "submeter"}}
    if _at_once(plan):
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}
    at = datetime.fromtimestamp(_whole_minute(begin), clock_of("UTC"))
    slack_s = left_s - math.ceil(plan.job.duration_s)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": about,
        "spec": {
            "schedule": f"{at.minute} {at.hour} {at.day} {at.month} *",
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": max(10, slack_s),  # under 10 s a controller may miss it
            "jobTemplate": {"spec": spec},
        },
    }


def _kubernetes(plan: Plan, hand: Hand) -> str:
    manifest = kubernetes_manifest(plan, hand)
    kind = str(manifest["kind"])
    lines = _about(plan, hand, "kubectl apply -f FILE")
    if kind == "CronJob":
        lines.append(f"# It would fire again in a year: kubectl delete cronjob {plan.id}")
    return "\n".join([*lines, *_yaml(manifest, 0)]) + "\n"


def _yaml(value: Mapping[str, object], depth: int) -> list[str]:
    """Block mappings of *value*; scalars and their lists as JSON, which is YAML too."""
    lines = []
    for key, inner in value.items():
        indent = "  " * depth
        if isinstance(inner, Mapping):
            lines += [f"{indent}{key}:", *_yaml(inner, depth + 1)]
        elif isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
            lines.append(f"{indent}{key}:")
            for row in inner:
                first, *others = _yaml(row, depth + 2)
                lines += [f"{indent}  - {first.strip()}", *others]
        else:
            lines.append(f"{indent}{key}: {json.dumps(inner)}")
    return lines


# --- inside -------------------------------------------------------------------------------------


def _about(plan: Plan, hand: Hand, how: str) -> list[str]:
    begin, end, deadline = (
        full_instant(at_utc_s, hand.timezone)
        for at_utc_s in (plan.slices[0].start_s, plan.slices[-1].end_s, plan.job.deadline_s)
    )
    return [
        f"# {plan.id}, made by submeter: begins {begin},",
        f"# ends about {end}, has to by {deadline}.",
        f"# To hand it over: {how}",
    ]


def _metered(plan: Plan, hand: Hand) -> str:
    """Command line for a shell, metered, with the plan as a tag to find the run by."""
    line = shlex.join(["submeter", "run", "--tag", f"plan={plan.id}", "--", *hand.command])
    if any(part == _END for part in line.split("\n")):
        raise UsageError(f"the command holds a line {_END}", remedy="put it into a script")
    return line


def _local(at_utc_s: float, hand: Hand, form: str = "%Y-%m-%dT%H:%M:%S") -> str:
    at = datetime.fromtimestamp(_whole_minute(at_utc_s), clock_of(hand.timezone))
    return at.strftime(form)


def _whole_minute(at_utc_s: float) -> int:
    return math.ceil(at_utc_s / _MINUTE_S) * _MINUTE_S


def _clock(hand: Hand) -> str:
    return hand.timezone or "UTC"


def _at_once(plan: Plan) -> bool:
    first: Slice = plan.slices[0]
    return first.start_s - plan.made_s < _AT_ONCE_S


KINDS: Final[Mapping[str, Callable[[Plan, Hand], str]]] = {
    "slurm": _slurm,
    "kubernetes": _kubernetes,
    "at": _at,
    "systemd": _systemd,
}
