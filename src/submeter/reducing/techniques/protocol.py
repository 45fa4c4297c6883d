# SPDX-License-Identifier: Apache-2.0
"""What every technique answers and does.

`Technique` is the protocol; `Method` is what ours have in common. Applying gives an `Applied`:
what to use from now on (``target``), what was found on the way, and the way back (``undo``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, runtime_checkable

from submeter.catalog.tables import rows
from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import installed
from submeter.reducing.techniques.machine import Machine, here

Group = Literal["numerics", "less work", "better use of the machine", "many machines"]


class Expected(NamedTuple):
    """What others found: share of the energy (or of what ``unit`` says) that is saved.

    Negative is more. ``unit`` tells energies from times, operations and bytes, which save energy
    only where the machine follows them; ``verified`` whether the source was read (*copy*), worked
    out from published data (*derived*) or recalled.
    """

    low_ratio: float
    high_ratio: float
    unit: str
    scope: str
    source: str
    verified: str


class Fit(NamedTuple):
    """Whether a technique can be applied, whether this device can gain from it, and why."""

    applies: bool
    gains: bool
    why: str = ""

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        if self.why.startswith("no gain on this device"):
            return self.why
        if not self.applies:
            return f"does not apply: {self.why}"
        if not self.gains:
            return f"no gain on this device: {self.why}"
        return f"applies{f': {self.why}' if self.why else ''}"


YES = Fit(applies=True, gains=True)


def no_gain(why: str) -> Fit:
    """It can be done here, and saves nothing."""
    return Fit(applies=True, gains=False, why=why)


def unfit(why: str) -> Fit:
    """It cannot be done with this."""
    return Fit(applies=False, gains=False, why=why)


class Applied:
    """A technique at work: ``target`` is what to use from now on.

    A context manager, too: leaving it undoes.

    Attributes
    ----------
    target
        The model, optimiser, loader, … with the technique in it; often the object given.
    notes
        What was done, and what a reader should know of it.
    found
        Counts and amounts: parameters left, zeros, bytes, …
    also
        What else is needed to use it: a scaler, a second step, …
    """

    def __init__(
        self,
        technique: str,
        target: Any,
        *,
        back: Callable[[], Any] | None = None,
        fit: Fit = YES,
        notes: tuple[str, ...] = (),
        found: Mapping[str, float] | None = None,
        also: Mapping[str, Any] | None = None,
    ) -> None:
        self.technique, self.target, self.fit = technique, target, fit
        self.notes = notes if fit.gains else (*notes, fit.words)
        self.found: dict[str, float] = dict(found or {})
        self.also: dict[str, Any] = dict(also or {})
        self._back, self._original = back, target

    def undo(self) -> Any:
        """Put back what was, bit for bit; give the original. A second time does nothing."""
        if self._back is not None:
            back, self._back = self._back, None
            original = back()
            self._original = self.target if original is None else original
        return self._original

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<{self.technique}: {'; '.join(self.notes) or 'applied'}>"


@runtime_checkable
class Technique(Protocol):
    """One way to use less."""

    name: str
    group: Group
    what: str
    why: str
    price: str
    when_it_does_not_help: str

    @property
    def expected(self) -> Expected | None:
        """What others found, with its source; None where nobody published a figure."""

    def applies_to(self, target: Any = None, machine: Machine | None = None) -> Fit:
        """Whether it fits *target* (any, if None) and gains on *machine* (this one, if None)."""

    def apply(self, target: Any, **options: Any) -> Applied:
        """Apply it to *target*: a model, an optimiser, a loader, as ``what`` says."""

    def undo(self, applied: Applied) -> Any:
        """Put back what was before `apply`."""

    def __call__(self, target: Any, **options: Any) -> Applied:
        """As `apply`."""


class Method(ABC):
    """What the techniques here have in common; a subclass says the rest."""

    name: ClassVar[str]
    group: ClassVar[Group]
    what: ClassVar[str]
    why: ClassVar[str]
    price: ClassVar[str]
    when_it_does_not_help: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("torch",)  # modules
    takes: ClassVar[str] = "model"  # what it is applied to
    by_itself: ClassVar[bool] = True  # nothing else in the program has to change

    @property
    def expected(self) -> Expected | None:
        """The row of this technique in the catalog's table."""
        return expected_of(self.name)

    def applies_to(self, target: Any = None, machine: Machine | None = None) -> Fit:
        """Ask about the libraries, the device, then the target."""
        absent = [name for name in self.needs if not installed(name)]
        if absent:
            return unfit(f"{', '.join(absent).replace('_', '-')} is not installed")
        fit = self.gains_on(machine or here())
        if target is None or not fit.applies:
            return fit
        wrong = self.objection(target)
        return unfit(wrong) if wrong else fit

    def gains_on(self, machine: Machine) -> Fit:
        """Whether *machine* can gain from it."""
        del machine
        return YES

    def objection(self, target: Any) -> str:
        """What keeps *target* from it; "" if nothing does."""
        del target
        return ""

    def undo(self, applied: Applied) -> Any:
        """Put back what was before `apply`."""
        return applied.undo()

    @abstractmethod
    def apply(self, target: Any, **options: Any) -> Applied:
        """Apply it; each technique says how."""

    def __call__(self, target: Any, **options: Any) -> Applied:
        """As `apply`."""
        return self.apply(target, **options)

    def no_more(self, options: Mapping[str, Any]) -> None:
        """Refuse options that nobody knows.

        Raises
        ------
        UsageError
            If there are any.
        """
        if options:
            raise UsageError(
                f"{self.name} has no option {', '.join(options)}",
                remedy=f"submeter techniques {self.name}",
            )

    def checked(self, target: Any, machine: Machine | None = None) -> Fit:
        """How it fits *target*.

        Raises
        ------
        UsageError
            If it does not apply.
        """
        fit = self.applies_to(target, machine)
        if not fit.applies:
            raise UsageError(
                f"{self.name} cannot be applied: {fit.why}",
                remedy=f"submeter techniques {self.name}",
            )
        return fit


def expected_of(name: str) -> Expected | None:
    """What others found of technique *name*."""
    found = next((row for row in rows("techniques") if row["technique"] == name), None)
    if found is None or not found["expected_low"]:
        return None
    return Expected(
        float(found["expected_low"]),
        float(found["expected_high"]),
        found["unit"],
        found["scope"],
        found["source"],
        found["verified"],
    )
