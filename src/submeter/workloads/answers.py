# SPDX-License-Identifier: Apache-2.0
"""What is answered where a model asks for the content of a tensor that has none.

Programs ask a few things only: whether a mask holds everything, whether a number is not finite,
whether chance drops a layer. The usual answer is given (a full mask, finite numbers, chance in
the middle of its range) and noted; every other question is an error of torch's. Tensors are
whatever has a ``shape``: nothing here imports torch.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

ASKING: Final = "_local_scalar_dense"  # what ``item()`` and ``bool()`` come to
_ANSWER: Final = "_submeter_answer"
_COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}


def answer_to(tensor: Any) -> float | bool | None:
    """The usual content of *tensor*, None if there is no such."""
    found: float | bool | None = getattr(tensor, _ANSWER, None)
    return found


def keep_answer(plain: str, args: Sequence[Any], out: Any) -> None:
    """Note at *out*, made by operator *plain*, what it usually holds."""
    if getattr(out, "shape", None) is None:
        return
    usual: float | bool | None = None
    if plain in ("all", "any"):
        usual = plain == "all"
    elif plain == "sum" and not out.shape and str(args[0].dtype) == "torch.bool":
        usual = math.prod(args[0].shape)
    elif plain in ("rand", "rand_like") and not out.shape:
        usual = 0.5
    elif plain in _COMPARED and not out.shape:
        terms = [a if isinstance(a, int | float) else answer_to(a) for a in args[:2]]
        if len(terms) > 1 and None not in terms:
            usual = _COMPARED[plain](*terms)
    if usual is not None:
        setattr(out, _ANSWER, usual)
