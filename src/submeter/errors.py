# SPDX-License-Identifier: Apache-2.0
"""What submeter raises on purpose: one sentence, one remedy, one exit code each."""

from typing import ClassVar


class SubmeterError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    message
        One sentence: what is wrong.
    remedy
        The next thing to do, shown behind ``try:``.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(SubmeterError, ValueError):
    """The caller asked for something that makes no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, malformed or out of range."""


class SensorError(SubmeterError):
    """A device cannot be read."""

    exit_code = 3


class SensorAbsentError(SensorError):
    """The sensor asked for does not exist on this machine."""


class SensorPermissionError(SensorError, PermissionError):
    """The sensor exists and refuses this user."""


class SensorLostError(SensorError, OSError):
    """The sensor answered before and does not any more."""


class CounterWrapError(SensorError, ArithmeticError):
    """So much time passed that a counter may have wrapped more than once."""


class CoverageError(SubmeterError, LookupError):
    """The data do not reach that far."""

    exit_code = 4


class ProviderError(SubmeterError, OSError):
    """A service elsewhere is down, refuses or answers nonsense."""

    exit_code = 5


class ProviderDownError(ProviderError):
    """A service does not answer, or cannot for now."""


class ProviderRefusedError(ProviderError, PermissionError):
    """A service wants a key, or another one; the remedy names the variable to set."""


class ProviderReplyError(ProviderError):
    """A service answered, but not with what it promises."""


class LedgerError(SubmeterError):
    """The ledger or a journal cannot be read or written."""

    exit_code = 6


class LedgerLockedError(LedgerError):
    """Another process holds the ledger for longer than we wait."""


class LedgerVersionError(LedgerError):
    """The ledger was written by a newer submeter."""


class RunNotFoundError(LedgerError, LookupError):
    """No run of that name or id is in the ledger."""


class PlanNotFoundError(LedgerError, LookupError):
    """No plan of that id is kept."""


class InfeasibleError(SubmeterError, ValueError):
    """A constraint cannot be met; the message names it."""

    exit_code = 7


class ActuatorError(SubmeterError):
    """A device setting could not be made or restored; the message says what state it is in."""

    exit_code = 8


class PluginError(SubmeterError):
    """A plug-in failed to load; the message names the distribution that brought it."""

    exit_code = 9


class SubmeterWarning(UserWarning):
    """Base of every warning; the training goes on."""


class ClockWarning(SubmeterWarning):
    """The wall clock jumped or is not sane."""


class JoinWarning(SubmeterWarning):
    """A process could not join or start a run, and is not metered."""
