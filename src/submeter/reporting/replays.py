# SPDX-License-Identifier: Apache-2.0
"""A run as it was beside what it would amount to elsewhere: as a table and as JSON."""

from collections.abc import Sequence

from submeter.accounting.carbon import Difference, difference, saving_words
from submeter.records.amounts import Amount
from submeter.records.figures import Missing
from submeter.records.footprints import Footprint
from submeter.records.runs import Run
from submeter.reporting.footprint_words import figure_words, footprint_words
from submeter.reporting.impacts import side_by_side
from submeter.reporting.summary import state, title
from submeter.reporting.words import JSON_SCHEMA, run_words

Asked = Sequence[tuple[str, Footprint]]


def replay_words(run: Run, here: Footprint, there: Asked, width: int) -> str:
    """*run* as it was, and *there* beside it, as a table of at most *width* columns."""
    alone = len(there) == 1 and here.zone is not None
    name = f"as it was ({here.zone.code})" if alone and here.zone else "as it was"
    signs = [word for label, f in there if (word := _rented(label, here, f))]
    signs += [f"{label}: {word}" for label, f in there if (word := sign_words(here, f))]
    lines = side_by_side([(name, here), *there], width, signs=signs)
    return "\n".join([f"{title(run)} · {state(run)}", *lines])


def replay_document(run: Run, here: Footprint, there: Asked) -> dict[str, object]:
    """The same as words of the JSON."""
    return {
        "schema": JSON_SCHEMA,
        "run": run_words(run),
        "here": _amounts(here),
        "there": [
            {"name": name, **_amounts(amount), "sign": sign_words(here, amount)}
            for name, amount in there
        ],
    }


def _rented(label: str, here: Footprint, there: Footprint) -> str:
    """Whose rooms another place is, where *label* does not say: a town may mean any cloud's."""
    cloud = there.zone.cloud if there.zone else ""
    same = here.zone is not None and here.zone.cloud == cloud
    if not cloud or same or cloud.partition("/")[2] in label:
        return ""
    return f"{label}: {cloud}"


def sign_words(here: Footprint, there: Footprint) -> str:
    """Whether the saving of carbon has one sign by average and by marginal intensity."""
    average = _difference(here.carbon.location, there.carbon.location)
    if average is None:
        return ""
    before = (here.carbon.marginal, *here.carbon.marginal_others)
    after = (there.carbon.marginal, *there.carbon.marginal_others)
    effects = [
        d
        for a in before
        for b in after
        if _maker(a) == _maker(b) and (d := _difference(a, b)) is not None
    ]
    return saving_words(average, effects)


def _maker(amount: Amount | Missing) -> str:
    """Who says what is marginal: figures of different makers differ in kind."""
    return amount.sources[-1] if isinstance(amount, Amount) and amount.sources else ""


def _difference(before: Amount | Missing, after: Amount | Missing) -> Difference | None:
    if isinstance(before, Missing) or isinstance(after, Missing):
        return None
    return difference(before, after)


def _amounts(footprint: Footprint) -> dict[str, object]:
    energies = {
        "devices": footprint.devices,
        "node": footprint.node,
        "it": footprint.it,
        "facility": footprint.facility,
    }
    return {
        "energy": {name: figure_words(amount, "J") for name, amount in energies.items()},
        **footprint_words(footprint),
        "notes": list(footprint.notes),
    }
