# SPDX-License-Identifier: Apache-2.0
"""Write what the commands of docs/planning.md print: `python -m benchmarks.planning_page`.

Each ``console`` block holds one command behind ``$``; what follows it is what it prints, in a
home of its own, as if it were the instant that the command names.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "planning.md"
BLOCK = re.compile(
    r"^```console\n\$ (?P<command>.*?)\n(?P<printed>(?!\$).*?)^```$", re.MULTILINE | re.DOTALL
)
_CHANCE = re.compile(r"(plan-\d{8}-\d{6}-)[0-9a-f]{4}")
_ENDS = ("SUBMETER_", "XDG_", "COLUMNS", "LINES", "TZ")


def commands(text: str) -> list[str]:
    """Commands of a page, continued lines joined."""
    return [found["command"].replace("\\\n", "") for found in BLOCK.finditer(text)]


def printed(command: str, home: Path) -> str:
    """What *command* prints on both of its streams, for a terminal of 80 columns in Berlin."""
    words = shlex.split(command)
    assert words[0] == "submeter", command
    env = {k: v for k, v in os.environ.items() if not k.startswith(_ENDS)}
    env |= {"SUBMETER_HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "COLUMNS": "80",
            "TZ": "Europe/Berlin", "PATH": "/usr/bin:/bin"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "submeter", *words[1:]],
        capture_output=True, text=True, env=env, check=False, cwd=home,
    )  # fmt: skip
    said = done.stdout + done.stderr
    return _CHANCE.sub(r"\g<1>5ea1", said.replace(str(home), "/home/ada/digits"))


def executed(text: str) -> str:
    """*text* with what its commands print now."""
    with tempfile.TemporaryDirectory() as folder:

        def block(found: re.Match[str]) -> str:
            said = printed(found["command"].replace("\\\n", ""), Path(folder))
            return f"```console\n$ {found['command']}\n{said}```"

        return BLOCK.sub(block, text)


def main() -> None:
    PAGE.write_text(executed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
