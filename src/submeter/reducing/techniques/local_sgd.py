# SPDX-License-Identifier: Apache-2.0
"""Each process trains on its own for some steps; then their weights are averaged."""

from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.gradient_compression import TECHNIQUE as COMPRESSION
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import Machine, machine_of
from submeter.reducing.techniques.protocol import Applied, Fit, Method


class LocalSgd(Method):
    """torch's `PostLocalSGDOptimizer` and `PeriodicModelAverager`."""

    name = "local_sgd"
    group = "many machines"
    what = "Processes average their weights every few steps instead of gradients at each."
    why = "Exchange falls by the number of steps between."
    price = "Processes drift apart: some quality, or more steps."
    when_it_does_not_help = (
        "Fast links, where the exchange is hidden anyway; the network's part of the energy on "
        "one site is small, and no meter has shown a saving yet."
    )
    takes = "optimiser"

    def gains_on(self, machine: Machine) -> Fit:
        return COMPRESSION.gains_on(machine)

    def apply(self, target: Any, *, every: int = 8, warm_up: int = 0, **options: Any) -> Applied:
        """Give optimiser *target* a period of averaging; the model is *not* to be wrapped in DDP.

        Parameters
        ----------
        every
            Steps between two averages.
        warm_up
            First steps, that are averaged each.
        """
        self.no_more(options)
        torch = library("torch")
        if not isinstance(target, torch.optim.Optimizer) or every < 1:
            raise UsageError(
                "local SGD wants an optimiser and a period",
                remedy="submeter.reduce.local_sgd(optimizer, every=8)",
            )
        distributed = library("torch.distributed")
        if not distributed.is_initialized():
            raise UsageError(
                "there are no processes to average with",
                remedy="torch.distributed.init_process_group first (torchrun)",
            )
        processes = distributed.get_world_size()
        fit = self.checked(None, machine_of(None)._replace(processes=processes))
        parameters = [p for group in target.param_groups for p in group["params"]]
        with torch.no_grad():
            for parameter in parameters:  # all begin with the same
                distributed.broadcast(parameter, 0)
        averagers = library("torch.distributed.algorithms.model_averaging.averagers")
        optimisers = library("torch.distributed.optim")
        averager = averagers.PeriodicModelAverager(period=every, warmup_steps=warm_up)
        made = optimisers.PostLocalSGDOptimizer(optim=target, averager=averager)
        size = sum(p.numel() * p.element_size() for p in parameters)

        def bytes_sent() -> int:
            steps = averager.step
            late = sum((s - warm_up) % every == 0 for s in range(warm_up, steps))
            return int(size * (min(steps, warm_up) + late))

        return Applied(
            self.name, made, back=lambda: target, fit=fit,
            notes=(f"weights are averaged every {every} steps",),
            found={"bytes_each": size}, also={"bytes_sent": bytes_sent},
        )  # fmt: skip


TECHNIQUE = LocalSgd()
