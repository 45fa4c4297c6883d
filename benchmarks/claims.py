# SPDX-License-Identifier: Apache-2.0
"""Public claims, executed: docs/claims, one page each and a table of all.

Run with ``python -m benchmarks.claims``.
"""

import sys
from pathlib import Path
from typing import Final

from submeter.catalog.claims import claim_records
from submeter.comparing.claims.finding import found_numbers, known_claims
from submeter.comparing.claims.judging import Answer, judge
from submeter.reporting.claims import answer_page, verdict_words

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "claims"
HEAD: Final = """# Public claims, reckoned again

`submeter claim "this training emitted as much as five cars"` takes what is said in public, reckons
it under each boundary that the sentence leaves open, and answers *holds*, *holds only if …* or
*cannot hold*, with the sums and their sources. `submeter claim --list` lists what is known.

Made by `make figures` (`python -m benchmarks.claims`): each case is executed, and nothing on its
page is typed by hand but the record at its end.

| claim | verdict |
| --- | --- |
"""
TAIL: Final = """
## How it is judged

- A claim is a value in a unit that is *about*, *at least* or *at most*; *about* is taken as met up
  to the factor `within` of the record, 1.25 if it says none.
- Each boundary has a formula over the record's numbers. Units are reckoned with: what gives
  another unit than the claim's is refused.
- The interval of a result is that of its numbers, each moved to its ends with the others held,
  the effects added in quadrature (on a logarithmic scale where nothing gets to zero).
- A boundary *meets* the claim by its best estimate; where that does not but the interval would, it
  is *within doubt*. All meet: it holds. None does or may: it cannot hold. Else it holds only if.
- Numbers are rows of the catalog, or stand in the record with source and year. `recall` means:
  known, not read again in the source for this record; `assumed`: of this sum alone.

## A claim of your own

A record is a TOML file: `submeter claim ours.toml`. A number is a row of the catalog (`fact`, as
`submeter factors` names it), a value with its source, or a figure of a run (`run = "carbon"` with
`submeter claim ours.toml --run last`):

```toml
claim = "This training emitted less than a flight from Paris to London."
quantity = "carbon of the training, in flights of one passenger"
value = 1
unit = "flight"
relation = "at most"

[numbers.training]
run = "carbon"
unit = "kg"
[numbers.flight]
fact = "equivalents/flight_paris_london/carbon_kg"
unit = "kg/flight"

[[boundaries]]
name = "the electricity of the run is meant, without the hardware"
formula = "training / flight"
```
"""


def answers() -> list[Answer]:
    """Every known claim, executed."""
    return [judge(claim, found_numbers(claim)) for claim in known_claims()]


def pages() -> dict[str, str]:
    """All pages by their file names."""
    records = claim_records()
    made = {f"{a.claim.id}.md": answer_page(a, records[a.claim.id]) for a in answers()}
    rows = "".join(
        f"| [{a.claim.claim}]({a.claim.id}.md) | {verdict_words(a)} |\n" for a in answers()
    )
    return {"README.md": HEAD + rows + TAIL, **made}


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(made) - 1} claims in {FOLDER.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
