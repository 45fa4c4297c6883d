# SPDX-License-Identifier: Apache-2.0
"""What went wrong in one line, what to do in the next, and the exit code of its kind."""

import contextlib
import os
import sys
from errno import EDQUOT, ENOSPC
from typing import Final

import click

from submeter.errors import SubmeterError

USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130  # 128 + SIGINT
BROKEN_PIPE_EXIT: Final = 141  # 128 + SIGPIPE, what a shell sees of any filter that was cut off
UNEXPECTED_EXIT: Final = 1
_FULL: Final = frozenset({ENOSPC, EDQUOT})


def report_failure(exc: BaseException, *, debug: bool) -> int:
    """Tell a person of *exc* on stderr, in two lines, and return the exit code."""
    if isinstance(exc, BrokenPipeError):
        _drop_stdout()
        return BROKEN_PIPE_EXIT
    if isinstance(exc, click.Abort):
        return INTERRUPTED_EXIT
    if debug:
        import traceback

        traceback.print_exception(exc, file=sys.stderr)
    if isinstance(exc, OSError) and exc.errno in _FULL:
        _drop_stdout()
    code, message, remedy = _explained(exc)
    _say("error:", message)
    if remedy:
        _say("try:  ", remedy)
    return code


def _drop_stdout() -> None:
    """Python flushes stdout once more at its end, which would complain again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(exc: BaseException) -> tuple[int, str, str]:
    """Exit code, sentence and remedy."""
    if isinstance(exc, SubmeterError):
        return exc.exit_code, str(exc), exc.remedy or ""
    if isinstance(exc, click.ClickException):
        return USAGE_EXIT, _lowered(exc.format_message()), _usage_remedy(exc)
    words = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    if isinstance(exc, OSError):
        remedy = "make room there" if exc.errno in _FULL else "check path and rights"
        where = f"{exc.filename}: " if exc.filename else ""
        return UNEXPECTED_EXIT, f"{where}{exc.strerror or exc}", remedy
    return UNEXPECTED_EXIT, f"unexpected {words}", "submeter --debug …, and report what it prints"


def _usage_remedy(exc: click.ClickException) -> str:
    ctx = exc.ctx if isinstance(exc, click.UsageError) else None
    if isinstance(exc, click.NoSuchOption) and exc.possibilities:
        near = min(exc.possibilities)
        return f"{ctx.command_path if ctx else 'submeter'} {near}"
    return f"{ctx.command_path if ctx else 'submeter'} --help"


def _lowered(message: str) -> str:
    """Click's sentence in the shape of ours: small first letter, no full stop."""
    first = " ".join(message.split()).rstrip(".") or "wrong usage"
    return first[:1].lower() + first[1:]


def _say(label: str, words: str) -> None:
    from submeter.reporting.text import plain

    try:
        click.echo(f"{label} {plain(words)}", err=True)
    except OSError:
        return  # nobody listens: the exit code still says it
