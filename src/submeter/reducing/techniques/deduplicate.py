# SPDX-License-Identifier: Apache-2.0
"""Examples that are there twice, or nearly, are kept once."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.protocol import Applied, Method

BLOCK: Final = 2048  # rows compared at a time


class Deduplicate(Method):
    """Exact copies by a hash of their bytes, near ones by the cosine between them."""

    name = "deduplicate"
    group = "less work"
    what = "Keeps one of each group of equal, or nearly equal, examples."
    why = "What was seen already teaches little and costs as much."
    price = "Comparing: one pass for exact copies, all pairs for near ones."
    when_it_does_not_help = "Data without copies; copies that stand for how often a thing occurs."
    needs = ()
    takes = "examples"

    def apply(self, target: Any, *, likeness: float = 1.0, **options: Any) -> Applied:
        """Find what of *target* to keep: ``target`` of the result is a list of its indices.

        Parameters
        ----------
        target
            Texts, bytes, arrays or tensors, one an example.
        likeness
            Cosine from which two examples count as one [1]; 1 means equal bytes. Below 1 the
            examples have to be vectors (features, pixels), and all pairs are compared.
        """
        self.no_more(options)
        if not 0 < likeness <= 1:
            raise UsageError(f"a likeness of {likeness} is none", remedy="likeness=0.98")
        kept = exact(target)
        if likeness < 1:
            kept = _near(target, kept, likeness)
        whole = len(target)
        notes = (f"{whole - len(kept)} of {whole} examples are copies",)
        found = {"examples": whole, "kept": len(kept)}
        return Applied(self.name, kept, back=lambda: list(range(whole)), notes=notes, found=found)


def exact(examples: Iterable[Any]) -> list[int]:
    """Indices of *examples* without those that repeat one before, byte for byte."""
    seen: set[bytes] = set()
    kept = []
    for i, one in enumerate(examples):
        digest = hashlib.blake2b(_bytes(one), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            kept.append(i)
    return kept


def _bytes(one: Any) -> bytes:
    if isinstance(one, str):
        return one.encode("utf-8", "surrogatepass")
    if isinstance(one, (bytes, bytearray, memoryview)):
        return bytes(one)
    if isinstance(one, (tuple, list)):
        return b"".join(hashlib.blake2b(_bytes(part)).digest() for part in one)
    if hasattr(one, "numpy"):
        one = one.detach().cpu().numpy()
    if hasattr(one, "tobytes"):
        return f"{one.dtype}{one.shape}".encode() + bytes(one.tobytes())
    return repr(one).encode()


def _near(examples: Any, indices: list[int], likeness: float) -> list[int]:
    """Of *indices*, those whose example is not so like one that was kept before."""
    torch = library("torch")
    rows = torch.stack([torch.as_tensor(examples[i]).flatten().float() for i in indices])
    rows = torch.nn.functional.normalize(rows, dim=1)
    alive = torch.ones(len(rows), dtype=torch.bool)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        like = block @ rows[: start + len(block)].t() >= likeness
        for j in range(len(block)):
            at = start + j
            alive[at] = not bool((like[j, :at] & alive[:at]).any())
    return [i for i, keep in zip(indices, alive.tolist(), strict=True) if keep]


TECHNIQUE = Deduplicate()
