# SPDX-License-Identifier: Apache-2.0
"""Train on the examples that teach most."""

from collections.abc import Sequence
from typing import Any, Literal

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.protocol import Applied, Method

Which = Literal["hard", "easy"]


class PruneData(Method):
    """Keep a share of each class by how far an example lies from the class's middle."""

    name = "prune_data"
    group = "less work"
    what = "Keeps the share of the examples, class by class, that is hardest or easiest."
    why = "Each epoch is shorter by what was left out."
    price = "Accuracy on rare cases; the selection itself, which its CPU time tells."
    when_it_does_not_help = (
        "Small sets, where every example counts; one training alone, if choosing takes a model "
        "of its own: the cost of choosing can eat the gain."
    )
    takes = "examples"

    def apply(
        self,
        target: Any,
        *,
        labels: Sequence[int] | None = None,
        share: float = 0.5,
        which: Which = "hard",
        scores: Sequence[float] | None = None,
        **options: Any,
    ) -> Applied:
        """Choose from examples *target*, ``(n, …)``: a list of indices in their order.

        Parameters
        ----------
        labels
            Class of each; one class if None. Each keeps the same share of its examples.
        share
            To keep [1].
        which
            ``hard`` for plenty of data, ``easy`` for little (Sorscher et al. 2022,
            arXiv:2206.14486, section 2).
        scores
            How hard each is, such as its loss; the distance from its class's mean if None.
        """
        self.no_more(options)
        if not 0 < share <= 1:
            raise UsageError(f"a share of {share} keeps nothing", remedy="share=0.5")
        fit = self.checked(None)
        torch = library("torch")
        rows = torch.as_tensor(target).flatten(1).float()
        whole = len(rows)
        given = [0] * whole if labels is None else [int(x) for x in labels]
        if len(given) != whole or (scores is not None and len(scores) != whole):
            raise UsageError("labels and scores have to be as many as examples", remedy="check")
        kept: list[int] = []
        for label in sorted(set(given)):
            members = torch.tensor([i for i, one in enumerate(given) if one == label])
            if scores is None:
                own = rows[members]
                hardness = (own - own.mean(0)).norm(dim=1)
            else:
                hardness = torch.tensor([float(scores[i]) for i in members.tolist()])
            order = torch.argsort(hardness, descending=which == "hard", stable=True)
            kept += members[order[: max(1, round(share * len(members)))]].tolist()
        kept.sort()
        notes = (f"{len(kept)} of {whole} examples, the {which} ones of each class",)
        found = {"examples": whole, "kept": len(kept)}
        return Applied(
            self.name, kept, back=lambda: list(range(whole)), fit=fit, notes=notes, found=found
        )


TECHNIQUE = PruneData()
