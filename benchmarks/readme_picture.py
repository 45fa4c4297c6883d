# SPDX-License-Identifier: Apache-2.0
"""Draw the README's terminal from a real run of the demo.

    python -m benchmarks.readme_picture

Runs the example under the meter on a pseudo-terminal of eighty columns, writes docs/terminal.svg
and leads the README to it.
"""

import os
import pty
import re
import struct
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ("submeter", "run", "--name", "digits", "--", "python", "examples/digits.py")
COLUMNS = 80
BEGIN = "<!-- terminal picture: begin (made by `make figures` from a real run) -->"
END = "<!-- terminal picture: end -->"
THEME = TerminalTheme(
    (24, 28, 27),
    (222, 228, 224),
    [(40, 44, 43), (224, 122, 95), (129, 199, 149), (233, 196, 106),
     (122, 162, 247), (190, 149, 196), (109, 197, 199), (222, 228, 224)],
    [(110, 118, 115), (238, 150, 128), (158, 220, 175), (243, 214, 140),
     (150, 184, 255), (210, 175, 214), (140, 214, 216), (245, 248, 246)],
)  # fmt: skip


def typed(command: tuple[str, ...], home: Path) -> tuple[int, str]:
    """Run *command* on a terminal of its own; its exit code and what it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        env = dict(os.environ, SUBMETER_HOME=str(home), TERM="xterm-256color")
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        env.pop("NO_COLOR", None)
        os.chdir(ROOT)
        ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        os.execvpe(command[0], command, env)  # a shell would be another program
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not piece:
            break
        shown += piece
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace").replace("\r\n", "\n")


def drawing(command: tuple[str, ...], shown: str) -> str:
    """A terminal with *command* and what it *shown*, as SVG without anything from elsewhere."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.assemble(("$ ", "bold green"), " ".join(command)))
        console.print(Text.from_ansi(shown.rstrip("\n")))
        svg = console.export_svg(title="submeter", theme=THEME, unique_id="submeter")
    svg = re.sub(r"@font-face\s*{[^}]*}\s*|<!--.*?-->\s*", "", svg)  # nothing to be fetched
    return re.sub(r"Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono", svg)


def shortened(shown: str, *, head: int = 4, tail: int = 2) -> str:
    """*shown* with the middle of the program's own output left out, and a sign that it is."""
    lines = shown.rstrip("\n").split("\n")
    summary = next((i for i, line in enumerate(lines) if "· finished in" in line), len(lines))
    if summary <= head + tail + 1:
        return shown
    return "\n".join([*lines[:head], "…", *lines[summary - tail :]])


def spoken(shown: str) -> str:
    """The picture in a sentence, for those who do not see it."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown)
    energy = re.search(r"energy +(.+?)  ", plain)
    return f"submeter run ends in a summary: {energy.group(1)}" if energy else "submeter run"


def lead_to_it(readme: str, words: str) -> str:
    """*readme* with the picture between its marks."""
    begin, end = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return f"{readme[:begin]}\n![{words}](docs/terminal.svg)\n{readme[end:]}"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="submeter-picture-") as home:
        code, shown = typed(COMMAND, Path(home))
    if code:
        print(f"error: the run ended with {code}:\n{shown}", file=sys.stderr)
        return 1
    (ROOT / "docs" / "terminal.svg").write_text(
        drawing(COMMAND, shortened(shown)), encoding="utf-8"
    )
    readme = ROOT / "README.md"
    text = lead_to_it(readme.read_text(encoding="utf-8"), spoken(shown))
    readme.write_text(text, encoding="utf-8")
    print("written: docs/terminal.svg, README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
