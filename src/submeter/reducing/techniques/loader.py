# SPDX-License-Identifier: Apache-2.0
"""How many processes should fetch data, how many threads compute, and into which memory."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import here
from submeter.reducing.techniques.protocol import Applied, Method

BATCHES: Final = 8


class Loader(Method):
    """A `DataLoader` made anew with the workers and threads that measured best."""

    name = "loader"
    group = "better use of the machine"
    what = "Chooses workers of a DataLoader, threads and pinned memory by measuring some batches."
    why = "A device that waits for data draws power all the same."
    price = "A few batches of measuring; memory of the workers."
    when_it_does_not_help = (
        "Data that are in memory already: workers then only copy them. Workers beside threads on "
        "few cores take time from each other."
    )
    takes = "loader"

    def apply(
        self,
        target: Any,
        *,
        workers: Sequence[int] | None = None,
        threads: int | None = None,
        step: Callable[[Any], Any] | None = None,
        batches: int = BATCHES,
        **options: Any,
    ) -> Applied:
        """Give *target*, a `DataLoader`, with the best of *workers*.

        Parameters
        ----------
        workers
            Counts to measure; 0 and up to half of the processors if None. One alone is taken.
        threads
            Of torch from now on; left if None.
        step
            What is done with a batch, so that fetching beside it counts.
        batches
            That are measured for each count.
        """
        self.no_more(options)
        torch = library("torch")
        if not isinstance(target, torch.utils.data.DataLoader):
            raise UsageError("that is no DataLoader", remedy="give a torch DataLoader")
        machine = here()
        fit = self.checked(None, machine)
        counts = sorted(set(workers or (0, 1, max(1, machine.processors // 2))))
        before = torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        pinned = machine.kind == "cuda"
        found = {}
        if len(counts) > 1:
            for count in counts:
                made = remade(target, count, pinned=pinned)
                found[count] = _seconds(made, step, batches)
        best = min(found, key=found.__getitem__) if found else counts[0]
        notes = [f"{best} workers"]
        if not pinned:
            notes.append("pinned memory: no gain on this device, there is no board to copy to")

        def back() -> Any:
            torch.set_num_threads(before)
            return target

        return Applied(
            self.name, remade(target, best, pinned=pinned), back=back, fit=fit, notes=tuple(notes),
            found={f"s_per_batch_{n}": s for n, s in found.items()} | {"workers": best},
        )  # fmt: skip


def remade(loader: Any, workers: int, *, pinned: bool) -> Any:
    """*loader* once more, with other workers."""
    torch = library("torch")
    given: dict[str, Any] = {
        "num_workers": workers, "collate_fn": loader.collate_fn, "pin_memory": pinned,
        "timeout": loader.timeout if workers else 0, "worker_init_fn": loader.worker_init_fn,
        "generator": loader.generator, "persistent_workers": workers > 0,
    }  # fmt: skip
    if loader.batch_sampler is not None:
        given["batch_sampler"] = loader.batch_sampler
    elif isinstance(loader.dataset, torch.utils.data.IterableDataset):
        given |= {"batch_size": loader.batch_size, "drop_last": loader.drop_last}
    else:
        given |= {"batch_size": None, "sampler": loader.sampler}
    return torch.utils.data.DataLoader(loader.dataset, **given)


def _seconds(loader: Any, step: Callable[[Any], Any] | None, batches: int) -> float:
    """Seconds a batch, the first apart: it waits for the workers to come up."""
    done, started_s = 0, 0.0
    for batch in loader:
        if step is not None:
            step(batch)
        if done == 0:
            started_s = time.perf_counter()
        done += 1
        if done > batches:
            break
    return (time.perf_counter() - started_s) / max(1, done - 1)


TECHNIQUE = Loader()
