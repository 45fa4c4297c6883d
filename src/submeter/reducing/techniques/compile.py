# SPDX-License-Identifier: Apache-2.0
"""The model's operations fused into fewer kernels."""

import math
import time
from typing import Any

from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method


class Compile(Method):
    """`torch.compile`."""

    name = "compile"
    group = "better use of the machine"
    what = "Fuses a model's operations into kernels made for it (torch.compile)."
    why = "What stands between two operations stays in cache; Python is out of the way."
    price = "Compiling takes a minute of full load, and again for each new shape of input."
    when_it_does_not_help = (
        "Short trainings, which never pay the compiling back; shapes that change; models whose "
        "time is in large products already."
    )

    def apply(
        self, target: Any, *, mode: str | None = None, backend: str = "inductor", **options: Any
    ) -> Applied:
        """Compile model *target*; it happens at the first call.

        ``also["until_paid"](before_s, after_s)`` is the number of steps after which compiling,
        whose seconds are ``found["compile_s"]`` after the first call, has paid.
        """
        self.no_more(options)
        fit = self.checked(target, machine_of(target))
        torch = library("torch")
        with quietly():
            compiled = torch.compile(target, mode=mode, backend=backend)
        first = {"done": False}

        def time_first(module: Any, given: Any) -> None:
            del module, given
            if not first["done"]:
                applied.found["started_s"] = time.perf_counter()

        def end_first(module: Any, given: Any, made: Any) -> None:
            del module, given, made
            if not first["done"]:
                first["done"] = True
                started_s = applied.found.pop("started_s", time.perf_counter())
                applied.found["compile_s"] = time.perf_counter() - started_s

        handles = [
            compiled.register_forward_pre_hook(time_first),
            compiled.register_forward_hook(end_first),
        ]

        def until_paid(before_s: float, after_s: float) -> float:
            saved_s = before_s - after_s
            return applied.found.get("compile_s", 0.0) / saved_s if saved_s > 0 else math.inf

        def back() -> Any:
            for handle in handles:
                handle.remove()
            return target

        notes = ("compiles at the first call",)
        applied = Applied(
            self.name, compiled, back=back, fit=fit, notes=notes, also={"until_paid": until_paid}
        )
        return applied


TECHNIQUE = Compile()
