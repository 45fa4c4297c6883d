# SPDX-License-Identifier: Apache-2.0
"""Parts that sum to their whole, to the last bit.

A tree of joules is made from the top: each level divides what stands above it, so that no
rounding and no doubt about a share makes or loses energy. What the parts do not reach becomes a
branch of its own.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from submeter.records.amounts import Amount, Term
from submeter.records.explanations import UNATTRIBUTED, Branch, Kind
from submeter.records.figures import Basis, Missing

ROUNDING: Final = 1e-9  # of the whole: nothing that anybody should see
_TRIES: Final = 8

Inner = Callable[[Amount], tuple[Branch, ...]]


class Draft(msgspec.Struct, frozen=True):
    """A part that is to be fitted into its whole; ``inner`` divides what it is given."""

    name: str
    kind: Kind
    energy: Amount | Missing
    inner: Inner | None = None
    detail: dict[str, str | float] = {}
    note: str = ""


LEFT: Final = Draft(UNATTRIBUTED, "unattributed", Missing("what is left"))


def exactly(amount: Amount, value: float) -> Amount:
    """*amount* at another *value* >= 0, to the last bit; its doubts scale with it."""
    now = amount.value
    made = amount.scaled(value / now) if now > 0 else amount
    if now <= 0 and value > 0:
        order = list(Basis)
        basis = max(amount.basis, default=None, key=order.index)
        rest = tuple(t for t in amount.terms if t.zeros)
        if basis is None:
            msg = "an amount of no basis cannot be anything but zero"
            raise ValueError(msg)
        made = msgspec.structs.replace(amount, terms=(Term(value, basis), *rest))
    places = [i for i, t in enumerate(made.terms) if not t.zeros]
    fitted = dict(zip(places, _fitted([made.terms[i].value for i in places], value), strict=True))
    terms = tuple(
        msgspec.structs.replace(t, value=fitted.get(i, t.value)) for i, t in enumerate(made.terms)
    )
    return msgspec.structs.replace(made, terms=terms)


def doubted(energy: Amount, key: str, sd_ratio: float) -> Amount:
    """*energy* with one more doubt of its own, a standard deviation relative to it."""
    log_sd = math.sqrt(math.log1p(sd_ratio * sd_ratio))
    terms = tuple(
        msgspec.structs.replace(t, log_sds={**t.log_sds, key: log_sd}) for t in energy.terms
    )
    return msgspec.structs.replace(energy, terms=terms)


def divided(
    whole: Amount, drafts: Iterable[Draft], left: Draft = LEFT, *, left_sd_j: float = 0.0
) -> tuple[Branch, ...]:
    """Branches of *drafts* that sum to *whole*, with one made of *left* for what is left.

    Parameters
    ----------
    whole
        What is divided [J].
    drafts
        The parts. More than the whole, they are shares of it; those whose energy is missing are
        kept as they are and count nothing.
    left
        What the rest is called. Less than a billionth of the whole is no rest but rounding, and
        goes to the largest part.
    left_sd_j
        How far off the rest may be, as a standard deviation [J].

    Notes
    -----
    ``math.fsum`` of the values of the branches is the value of *whole*, bit for bit.
    """
    rows = list(drafts)
    known = [(d, d.energy) for d in rows if isinstance(d.energy, Amount)]
    total = math.fsum(energy.value for _, energy in known)
    values = [energy.value for _, energy in known]
    over = total - whole.value
    if over > ROUNDING * whole.value:
        values = [v * (whole.value / total) for v in values]
    elif -over > ROUNDING * whole.value or not known:
        rest = whole.scaled(-over / whole.value) if whole.value > 0 else whole
        if left_sd_j > 0 and rest.value > 0:
            rest = doubted(rest, f"left:{left.name}", min(1.0, left_sd_j / rest.value))
        known.append((left, rest))
        rows.append(left)
        values.append(max(0.0, -over))
    fitted = iter(_fitted(values, whole.value))
    amounts = {id(d): exactly(energy, v) for (d, energy), v in zip(known, fitted, strict=True)}
    return tuple(_branch(d, amounts.get(id(d))) for d in rows)


def _branch(draft: Draft, energy: Amount | None) -> Branch:
    found: Amount | Missing = draft.energy if energy is None else energy
    inner = () if energy is None or draft.inner is None else draft.inner(energy)
    return Branch(draft.name, draft.kind, found, inner, draft.detail, draft.note)


def _fitted(values: Sequence[float], whole: float) -> list[float]:
    """*values* with the largest so changed that all sum to *whole*, bit for bit.

    Where the exact sum lies in the middle between two numbers, of which neither may be *whole*,
    the next smaller one that has finer steps is moved by one of them.
    """
    found = list(values)
    if math.fsum(found) == whole or not found:
        return found
    order = sorted(range(len(found)), key=lambda i: -found[i])
    most = order[0]
    found[most] = max(0.0, math.fsum([whole, *(-found[i] for i in order[1:])]))
    for i in order:
        for _ in range(_TRIES):
            now = math.fsum(found)
            if now == whole:
                return found
            found[i] = math.nextafter(found[i], math.inf if now < whole else 0.0)
            if (math.fsum(found) - whole) * (now - whole) < 0:
                break  # it jumped over: finer steps are needed
    return found


def sums(branch: Branch) -> bool:
    """Whether each level of *branch* sums to the one above it, bit for bit."""
    if isinstance(branch.energy, Missing):
        return not branch.children
    parts = [b.energy.value for b in branch.children if isinstance(b.energy, Amount)]
    here = not branch.children or math.fsum(parts) == branch.energy.value
    return here and all(sums(b) for b in branch.children if isinstance(b.energy, Amount))
