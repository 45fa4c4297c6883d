# SPDX-License-Identifier: Apache-2.0
"""Plans handed over: golden texts, and each one read by what it is written for."""

import json
import os
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from submeter.errors import InfeasibleError, UsageError
from submeter.records.figures import Missing
from submeter.records.plans import Job, Plan, Slice
from submeter.reporting.handing import KINDS, Hand, hand_over, kubernetes_manifest, systemd_units

NOW = datetime(2026, 11, 23, 22, 17, tzinfo=UTC).timestamp()
H = 3600.0
COMMAND = ("python", "train.py", "--name", "a 'b' \"c\" $HOME $(id) %n\\", "", "--lr=1e-3")
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def plan(*hours: tuple[float, float]) -> Plan:
    return Plan(
        id="plan-20261123-221700-ab12",
        made_s=NOW,
        job=Job(8 * H, NOW, NOW + 20 * H, checkpoint_s=90.0, interruptible=len(hours) > 1),
        zone="DE",
        signal="average",
        objective="carbon",
        slices=tuple(Slice(NOW + a * H, NOW + b * H, "DE") for a, b in hours),
        expected_saving=Missing("of no matter here"),
    )


def hand(*command: str) -> Hand:
    return Hand(command or COMMAND, "Europe/Berlin", "/home/me/my run", "/usr/bin:/bin", "ml:1")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begin", [0.0, 10.725])
def test_what_is_handed_over(kind: str, begin: float, snapshot: SnapshotAssertion) -> None:
    assert hand_over(kind, plan((begin, begin + 8)), hand()) == snapshot


def test_pauses_become_jobs_one_after_another(snapshot: SnapshotAssertion) -> None:
    text = hand_over("slurm", plan((1, 4), (6, 9), (11, 13.1)), hand())
    assert text == snapshot
    assert text.count("sbatch --parsable") == 3
    assert text.count("--dependency=afterany") == 2
    assert text.count("--signal=B:TERM@150") == 2


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "slurm"])
def test_what_cannot_pause_says_so(kind: str) -> None:
    with pytest.raises(InfeasibleError, match=f"{kind} cannot pause a job"):
        hand_over(kind, plan((1, 4), (6, 11)), hand())


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_command_there_is_nothing_to_hand_over(kind: str) -> None:
    with pytest.raises(UsageError, match="no command"):
        hand_over(kind, plan((1, 9)), Hand(()))


def test_what_takes_no_jobs() -> None:
    with pytest.raises(UsageError, match="takes no jobs"):
        hand_over("cron", plan((1, 9)), hand())


def test_kubernetes_wants_an_image() -> None:
    with pytest.raises(UsageError, match="no image"):
        hand_over("kubernetes", plan((1, 9)), Hand(("x",)))


# --- Slurm --------------------------------------------------------------------------------------

_DIRECTIVES = {  # sbatch(1): what may stand behind each
    "job-name": r"[\w-]+",
    "begin": r"now|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "deadline": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "time": r"\d+",
    "time-min": r"\d+",
    "signal": r"B:[A-Z]+@\d{1,5}",
    "dependency": r'afterany:"\$\{job%%;\*\}"',
}


def directives(options: list[str]) -> dict[str, str]:
    found = {}
    for option in options:
        name, _, value = option.removeprefix("--").partition("=")
        assert re.fullmatch(_DIRECTIVES[name], value), option
        found[name] = value
    return found


def test_directives_of_a_batch_script_keep_to_their_grammar() -> None:
    lines = hand_over("slurm", plan((10.725, 18.725)), hand()).splitlines()
    assert lines[0].startswith("#!/")
    head = [line for line in lines if line.startswith("#SBATCH ")]
    assert head == lines[1 : 1 + len(head)]  # Slurm stops reading at the first command
    found = directives([line.removeprefix("#SBATCH ") for line in head])
    begin = datetime.fromisoformat(found["begin"])
    assert begin == datetime(2026, 11, 24, 10, 1)  # noqa: DTZ001  # of the cluster's wall
    end = begin + timedelta(minutes=int(found["time"]))
    assert end <= datetime.fromisoformat(found["deadline"])
    assert int(found["time"]) >= 8 * 60


@pytest.mark.parametrize("hours", [((0, 8),), ((10.725, 18.725),), ((1, 4), (6, 11))])
def test_slurm_does_not_remove_a_job_that_starts_some_minutes_late(
    hours: tuple[tuple[float, float], ...],
) -> None:
    """sbatch(1): it does so where start > deadline - time[-min]."""
    text = hand_over("slurm", plan(*hours), hand())
    jobs = re.findall(r"sbatch --parsable (.*?) <<", text) or [
        " ".join(re.findall(r"^#SBATCH (.*)$", text, re.MULTILINE))
    ]
    every = [directives(job.split()) for job in jobs]
    for found, (start_h, _) in zip(every, hours, strict=True):
        start = datetime.fromtimestamp(NOW + start_h * H, UTC)
        start = start.astimezone(ZoneInfo("Europe/Berlin"))
        deadline = datetime.fromisoformat(found["deadline"]).replace(tzinfo=start.tzinfo)
        assert start + timedelta(minutes=int(found["time-min"]) + 5) <= deadline
        assert int(found["time-min"]) <= int(found["time"])
    assert int(every[-1]["time-min"]) >= (hours[-1][1] - hours[-1][0]) * 60


@pytest.mark.parametrize("hours", [((12, 20),), ((1, 4), (15, 20))])
def test_a_plan_without_a_minute_to_spare_gives_slurm_no_deadline(
    hours: tuple[tuple[float, float], ...],
) -> None:
    text = hand_over("slurm", plan(*hours), hand())
    assert text.count("--deadline=") == len(hours) - 1
    assert f"--time={round((hours[-1][1] - hours[-1][0]) * 60)}" in text


@pytest.mark.parametrize(
    ("kind", "folder"), [("at", "/a\nEND_OF_JOB\nb"), ("systemd", "/a\nb"), ("systemd", "/a\\")]
)
def test_a_folder_that_would_break_out_of_its_line_is_refused(kind: str, folder: str) -> None:
    with pytest.raises(UsageError, match="folder"):
        hand_over(kind, plan((1, 9)), Hand(COMMAND, "UTC", folder))


@pytest.mark.parametrize("image", ["a\nprivileged: true", "a b"])
def test_what_is_no_image_is_refused(image: str) -> None:
    with pytest.raises(UsageError, match="no name of an image"):
        hand_over("kubernetes", plan((1, 9)), Hand(COMMAND, image=image))


def test_options_of_a_chain_keep_to_their_grammar() -> None:
    text = hand_over("slurm", plan((1, 4), (6, 11)), hand())
    for line in re.findall(r"job=\$\(sbatch --parsable (.*?) <<", text):
        directives(line.split())


@pytest.mark.parametrize("kind", ["slurm", "at"])
@given(words=st.lists(WORDS, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_a_shell_reads_the_command_as_it_was_given(kind: str, words: list[str]) -> None:
    text = hand_over(kind, plan((1, 9)), Hand(tuple(words)))
    start = text.index("submeter run --tag")
    end = text.index("\nEND_OF_JOB") if kind == "at" else len(text)
    assert shlex.split(text[start:end])[5:] == words


@pytest.mark.parametrize("kind", ["slurm", "at", "systemd"])
@pytest.mark.parametrize("hours", [((0, 8),), ((1, 9),)])
def test_scripts_are_a_shells(kind: str, hours: tuple[tuple[float, float], ...]) -> None:
    text = hand_over(kind, plan(*hours), hand())
    checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_chain_is_a_script_that_submits_each_job(tmp_path: Path) -> None:
    fake = tmp_path / "sbatch"
    log = tmp_path / "log"
    fake.write_text(
        f'#!/bin/sh\nn=$(($(wc -l < {log}) + 1))\necho "$@" >> {log}\ncat > {tmp_path}/job$n\n'
        "echo $((100 + n))\n"
    )
    fake.chmod(0o755)
    log.touch()
    text = hand_over("slurm", plan((1, 4), (6, 9), (11, 13.1)), hand())
    done = subprocess.run(
        ["sh"], input=text, text=True, capture_output=True, check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout == "the last job is 103\n"
    calls = log.read_text().splitlines()
    assert ["--dependency" in call for call in calls] == [False, True, True]
    assert "--dependency=afterany:101" in calls[1]
    body = (tmp_path / "job2").read_text().removeprefix("#!/bin/bash\nexec ")
    assert shlex.split(body)[5:] == list(COMMAND)


# --- at -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("begin", "when"), [(0.0, "now"), (10.725, "-t 202611241001")])
def test_the_time_of_at_keeps_to_its_grammar(begin: float, when: str) -> None:
    text = hand_over("at", plan((begin, begin + 8)), hand())
    (line,) = [line for line in text.splitlines() if line.startswith("at ")]
    assert line == f"at {when} <<'END_OF_JOB'"
    if begin:
        assert datetime.strptime(when[3:], "%Y%m%d%H%M")  # noqa: DTZ007  # POSIX: CCYYMMDDhhmm


def test_a_command_that_would_end_the_script_is_refused() -> None:
    with pytest.raises(UsageError, match="END_OF_JOB"):
        hand_over("at", plan((1, 9)), Hand(("echo", "a\nEND_OF_JOB\nb")))


# --- systemd ------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("begin", [0.0, 10.725])
def test_systemd_itself_finds_nothing_wrong(begin: float, tmp_path: Path) -> None:
    units = systemd_units(plan((begin, begin + 8)), Hand(COMMAND, "UTC", "/tmp", "/usr/bin:/bin"))  # noqa: S108
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in units)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    ours = [line for line in found.stderr.splitlines() if str(tmp_path) in line or "plan-" in line]
    assert (found.returncode, ours) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_reads_the_instant_that_is_meant() -> None:
    timer = systemd_units(plan((10.725, 18.725)), hand())["plan-20261123-221700-ab12.timer"]
    (when,) = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    found = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time=2026-11-23 22:17:00 UTC", when],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert "2026-11-24 09:01:00" in found.split("Next elapse:")[1].splitlines()[0]


def unquoted(line: str) -> list[str]:
    """Arguments of an ExecStart line, read back by the rules of systemd.syntax(7)."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    made = []
    for word in words:
        raw = re.sub(
            rb"\\(x([0-9a-f]{2})|.)",
            lambda m: bytes.fromhex(m[2].decode()) if m[2] else m[1],
            word.encode(),
        )
        made.append(raw.decode().replace("%%", "%").replace("$$", "$"))
    return made


@given(words=st.lists(WORDS, min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_unit_holds_the_command_on_one_line_as_it_was_given(words: list[str]) -> None:
    text = systemd_units(plan((1, 9)), Hand(tuple(words)))["plan-20261123-221700-ab12.service"]
    (line,) = [x for x in text.split("\n") if x.startswith("ExecStart=")]
    assert unquoted(line)[5:] == words


# --- Kubernetes ---------------------------------------------------------------------------------

# Fields of the API reference (batch/v1, core/v1) with their types; True: required.
_CONTAINER = {"name": (str, True), "image": (str, False), "command": (list, False),
              "workingDir": (str, False)}  # fmt: skip
_JOB_SPEC = {
    "backoffLimit": (int, False),
    "activeDeadlineSeconds": (int, False),
    "template": ({"spec": ({"restartPolicy": (str, True), "containers": ([_CONTAINER], True)},
                           True)}, True),
}  # fmt: skip
_METADATA = {"name": (str, True), "labels": (dict, False)}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "Job": {"apiVersion": (str, True), "kind": (str, True), "metadata": (_METADATA, True),
            "spec": (_JOB_SPEC, True)},
    "CronJob": {
        "apiVersion": (str, True), "kind": (str, True), "metadata": (_METADATA, True),
        "spec": ({
            "schedule": (str, True), "timeZone": (str, False), "concurrencyPolicy": (str, False),
            "startingDeadlineSeconds": (int, False),
            "jobTemplate": ({"spec": (_JOB_SPEC, True)}, True),
        }, True),
    },
}  # fmt: skip


def conforms(value: Any, schema: Any, where: str = "") -> None:
    if isinstance(schema, dict):
        assert set(value) <= set(schema), f"{where}: {set(value) - set(schema)}"
        for name, (inner, required) in schema.items():
            assert name in value or not required, f"{where}.{name}"
            if name in value:
                conforms(value[name], inner, f"{where}.{name}")
    elif isinstance(schema, list):
        assert value
        for row in value:
            conforms(row, schema[0], where)
    else:
        assert isinstance(value, schema), where


@pytest.mark.parametrize(("begin", "kind"), [(0.0, "Job"), (10.725, "CronJob")])
def test_a_manifest_keeps_to_the_api(begin: float, kind: str) -> None:
    made = kubernetes_manifest(plan((begin, begin + 8)), hand())
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", kind)
    conforms(made, _SCHEMAS[kind])
    name = made["metadata"]["name"]  # type: ignore[index]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 52  # a CronJob adds eleven characters to it


def test_a_manifest_fires_at_the_minute_and_leaves_room_until_the_deadline() -> None:
    spec: Any = kubernetes_manifest(plan((10.725, 18.725)), hand())["spec"]
    assert spec["schedule"] == "1 9 24 11 *"
    assert spec["timeZone"] == "Etc/UTC"
    inner = spec["jobTemplate"]["spec"]
    assert inner["activeDeadlineSeconds"] >= 8 * 3600
    assert spec["startingDeadlineSeconds"] + 8 * 3600 <= inner["activeDeadlineSeconds"]
    assert inner["template"]["spec"]["containers"][0]["command"][3].count("$$(id)") == 1


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("begin", [0.0, 10.725])
def test_kubectl_reads_every_field_that_is_written(begin: float, tmp_path: Path) -> None:
    job = plan((begin, begin + 8))
    file = tmp_path / "job.yaml"
    file.write_text(hand_over("kubernetes", job, hand()))
    read = subprocess.run(
        ["kubectl", "annotate", "--local", "-f", str(file), "read=yes", "-o", "json"],
        capture_output=True, text=True, check=True, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    found = json.loads(read.stdout)
    assert found["metadata"].pop("annotations") == {"read": "yes"}
    assert found == kubernetes_manifest(job, hand())
