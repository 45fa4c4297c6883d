# SPDX-License-Identifier: Apache-2.0
"""Looks at a few steps of a training and at none of the others.

Steps are told apart by torch's hooks of optimisers, which cost two readings of a clock; hooks of
modules are on in the sampled steps alone. A program without an optimiser is looked at from time to
time instead. Whatever goes wrong here takes all hooks off and says so, once. Import it late: it
needs torch.
"""

import atexit
import math
import os
import sys
import threading
import time
import weakref
from typing import Any, Final

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from submeter.interfaces.frameworks.clocks import BoardClock, Clock, ProcessorClock
from submeter.interfaces.frameworks.naming import Names, spec_of
from submeter.interfaces.frameworks.pacing import Pace
from submeter.interfaces.frameworks.windows import Owner, Window
from submeter.records.layers import (
    BUDGET_RATIO,
    DATA,
    LayerProfile,
    LayerSpec,
    LayerTime,
    LayerWork,
)
from submeter.running import joined

__all__ = ["Sampler", "compiles"]

KEEP_S: Final = 1.0  # so old is what a killed process leaves behind, at most
KEEP_RATIO: Final = 500.0  # writing takes at most one of so many parts of the time
OFFER_S: Final = 2.0  # between two looks at a program without an optimiser
MOST_SPECS: Final = 4096
COUNT_AFTER: Final = 3  # sampled steps
MOST_COUNTED: Final = 6
COMPILED: Final = (
    "the program compiles its model (torch.compile): what is inside cannot be told apart, and "
    "hooks would have it compiled again, so layers are not looked at"
)


def compiles() -> bool:
    """Whether the program has asked torch to compile anything."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    backends = getattr(frames, "cached_backends", None)
    if not backends:
        return False
    return any(b is not None and not isinstance(b, bool) for b in list(backends.values()))


class Sampler:
    """Layers of this process's training.

    Parameters
    ----------
    model
        Whose modules have plain names; found by itself if None.
    budget_ratio
        Most that looking may cost of the time of the steps [1].
    """

    def __init__(self, model: Any = None, *, budget_ratio: float = BUDGET_RATIO) -> None:
        self.names = Names(model)
        self.pace = Pace(budget_ratio)
        self.trouble = ""
        self.notes: dict[str, None] = {}
        self._clock: Clock = ProcessorClock()
        self._window: Window | None = None
        self._counter: Any = None
        self._handles: list[Any] = []
        self._pending: list[tuple[Window, Any, float]] = []
        self._sums: dict[Owner, list[float]] = {}
        self._specs: dict[str, LayerSpec] = {}
        self._works: list[list[LayerWork]] = []
        self._counted: Any = None  # a counter whose times are not known yet
        self._cost_s = 0.0  # of counting a step
        self._shapes: dict[tuple[Any, ...], int] = {}
        self._trained: set[int] = set()
        self._thread = 0
        self._last: tuple[int, int] | None = None
        self._marks: Any = None  # phases when the window began, and when its forward pass did
        self._whole = 0  # windows whose times were added up
        self._phase = ""
        self._device = "cpu"
        self._keep_at_s = 0.0
        self._timer: threading.Timer | None = None
        self._closed = False
        self._pid = os.getpid()

    # --- on and off ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen for steps."""
        self._handles = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            known = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forget(known))
        self._arm(OFFER_S)

    def close(self) -> None:
        """Take all hooks off and keep what was seen."""
        if self._closed:
            return
        self._closed = True
        self._off()
        atexit.unregister(self.close)
        if os.getpid() == self._pid:
            try:
                if self._pending and self._clock.kind == "accelerator":
                    torch.cuda.synchronize()
                self._resolve(late=True)
                self._keep()
            except Exception as exc:  # noqa: BLE001  # the program ends, whatever this is
                self._say(exc)

    def fail(self, exc: BaseException) -> None:
        """Something of ours went wrong: all hooks go, and a note says so."""
        self._off()
        self._say(exc)

    def _say(self, exc: BaseException) -> None:
        text = str(exc).strip().partition("\n")[0]
        self._stop(f"layers are no longer looked at: {type(exc).__name__}: {text}")

    def _stop(self, words: str) -> None:
        """Look no more; *words* say why, in the record and once on stderr."""
        self._off()
        if self.trouble:
            return
        self.trouble = words
        try:
            joined.once(words)
            member = joined.current()
            if member is not None:
                from submeter.storing import layers

                if member.marks is not None:
                    member.marks.note(words)
                if self._sums:
                    self._keep()
                else:
                    layers.say_why(member.folder, self._pid, words)
        except Exception:  # noqa: BLE001, S110  # it was the way to say so
            pass

    def _off(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.on_cut = None
            window.cut = True
            window.end()
        counter = self._counter
        if counter is not None and counter.end():
            self._counter = None
        for handle in self._handles:
            handle.remove()
        self._handles = []
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def forget(self) -> None:
        """In a forked child: what it runs is nobody's step."""
        self._closed = True
        self._timer = None
        self._off()

    # --- steps -----------------------------------------------------------------------------------

    def _before(self, optimiser: Any, args: Any, kwargs: Any) -> None:
        del args, kwargs
        try:
            if self._window is not None:
                self._window.optimising()
            if self._counter is not None and threading.get_ident() == self._thread:
                self._counter.optimising_now(optimiser)
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)

    def _after(self, optimiser: Any, args: Any, kwargs: Any) -> None:
        del args, kwargs
        now = (time.perf_counter_ns(), time.process_time_ns())
        ident = threading.get_ident()
        try:
            if ident != self._thread:
                if self._window is not None or self._counter is not None:
                    return  # of another training, beside the one that is looked at
                self._thread, self._last = ident, None
            self._step_ended(optimiser, now)
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)

    def _step_ended(self, optimiser: Any, now: tuple[int, int]) -> None:
        busy = self._window is not None or self._counter is not None
        if not busy and self._last is not None and not self.pace.due():  # most steps
            self._took("plain", now)
            if not self.pace.due():
                self._last = now
                return
        elif busy:
            self._take(now)
        if compiles():
            self._stop(COMPILED)
            return
        self._resolve()
        self._keep_now_and_then()
        if self._last is not None and self.pace.due():
            self._open(optimiser)
        after = (time.perf_counter_ns(), time.process_time_ns())
        self.pace.spent_s += (after[1] - now[1]) * 1e-9
        self._last = after

    def _took(
        self, kind: Any, now: tuple[int, int], hooks_s: float = 0.0, part: float = 1.0
    ) -> None:
        if self._last is None:
            return
        wall_s, cpu_s = (now[0] - self._last[0]) * 1e-9, (now[1] - self._last[1]) * 1e-9
        busy_s = cpu_s if self._clock.kind == "processor" else wall_s
        self.pace.done(kind, wall_s, busy_s, hooks_s, part)

    def _take(self, now: tuple[int, int]) -> None:
        """End what was on in this step."""
        window, self._window = self._window, None
        if window is not None:
            window.end()
            self._took("sampled", now, window.hooks_s, 0.0 if window.cut else 1.0)
            self._put_aside(window)
            return
        counter = self._counter
        if counter is None or not counter.end():
            return
        self._counter = None
        before_s = self.pace.spent_s
        self._took("counted", now)
        self._cost_s = max(self._cost_s, self.pace.spent_s - before_s)
        if not counter.evaluated and counter.tallies:
            self._counted = counter

    def _open(self, optimiser: Any) -> None:
        """Make the step that begins now a sampled one, or the one that is counted."""
        self._clock = self._clock_for(optimiser)
        if self._counts():
            return
        window = Window(self.names, self._clock, self.fail, self._trained, self._inspecting())
        self._marks = [self._phases(), None]
        window.on_root = self._root_began
        self._window = window
        window.begin()

    def _counts(self) -> bool:
        """Count the step that begins now, if that is wanted and may be afforded."""
        first = self.names.first
        wanted = len(self._works) < MOST_COUNTED and self._counted is None
        after = COUNT_AFTER * (1 + 3 * len(self._works))
        if first is None or not wanted or self.pace.sampled < after:
            return False
        from submeter.interfaces.frameworks.stepcounts import StepCounter, cost_of_counting_s

        cost_s = self._cost_s or cost_of_counting_s(first)
        if not (self.pace.affords(cost_s) and StepCounter.possible()):
            return False
        self._counter = StepCounter(first, self.names, self._clock)
        self._counter.begin()
        return True

    def _count_up(self) -> None:
        """Keep what was counted, once its times are known."""
        counter = self._counted
        if counter is None or not counter.ready():
            return
        self._counted = None
        self._works.append(counter.work())
        if counter.missed:
            self.notes[f"{counter.missed} operators could not be counted"] = None

    def _clock_for(self, optimiser: Any) -> Clock:
        groups = getattr(optimiser, "param_groups", None) or [{"params": []}]
        param = next((p for group in groups for p in group["params"]), None)
        device = getattr(param, "device", None)
        if device is None:
            return self._clock
        self._device = str(device)
        if device.type == "cuda":
            return self._clock if self._clock.kind == "accelerator" else BoardClock(torch.cuda)
        if device.type != "cpu":
            msg = f"layers are timed on processors and CUDA boards, not on {device.type}"
            raise RuntimeError(msg)
        return self._clock

    def _inspecting(self) -> Any:
        """Who notes how layers are made, in the first sampled steps."""
        if self.pace.sampled >= COUNT_AFTER or len(self._specs) >= MOST_SPECS:
            return None

        def inspect(name: str, module: Any, args: Any) -> None:
            if name not in self._specs:
                spec = spec_of(name, module, args)
                if spec is not None:
                    self._specs[name] = spec

        return inspect

    # --- programs without an optimiser -----------------------------------------------------------

    def _arm(self, after_s: float) -> None:
        timer = self._timer = threading.Timer(after_s, self._offer)
        timer.daemon = True
        timer.start()

    def _offer(self) -> None:
        """Look at the next call of a model, if no optimiser has stepped so far."""
        if self._closed or self.trouble or self.pace.seen or self._last is not None:
            return
        try:
            if self._window is None and not compiles():
                if torch.cuda.is_initialized() and self._clock.kind == "processor":
                    self._clock, self._device = BoardClock(torch.cuda), "cuda"
                window = Window(self.names, self._clock, self.fail, set(), self._inspecting())
                window.on_cut = lambda: self._looked(window)
                self._window = window
                window.begin(adopt=True)
            self._arm(OFFER_S)
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)

    def _looked(self, window: Window) -> None:
        if self._window is window:
            self._window = None
            self._put_aside(window)
            self._resolve()
            self._keep_now_and_then()

    # --- what was seen ---------------------------------------------------------------------------

    def _put_aside(self, window: Window) -> None:
        """Keep a window until its times can be told; one that went nowhere is dropped."""
        if window.shape:
            self._shapes[window.shape] = self._shapes.get(window.shape, 0) + 1
        lanes = [lane.last for lane in window.lanes.values()]
        if lanes:
            if window.went_back and not window.cut:
                self._trained |= window.trained
            self._pending.append((window, lanes[-1], self._share_of_data()))

    def _resolve(self, *, late: bool = False) -> None:
        """Add up windows whose times are known by now."""
        self._count_up()
        while self._pending:
            window, last, data_ratio = self._pending[0]
            if not (late or window.clock.ready(last)):
                return
            self._pending.pop(0)
            self._add(window, data_ratio)

    def _add(self, window: Window, data_ratio: float) -> None:
        """Add the times of one window, as a whole, so that the scatter between steps shows."""
        whole = window.went_back and not window.cut
        readings: list[Any] = []
        took: dict[Owner, list[float]] = {}
        for owner, begin, end in window.spans():
            readings.append(begin)
            if not whole and owner[2] != "evaluation":
                continue
            row = took.setdefault(owner, [0.0, 0.0])
            wall_s, busy_s = window.clock.span_s(begin, end)
            ratio = data_ratio if owner[0] == DATA else 1.0
            row[0] += wall_s * ratio
            row[1] += busy_s * ratio
        calls = window.calls()
        for owner, (wall_s, busy_s) in took.items():
            row = self._sums.setdefault(owner, [0.0, 0.0, 0.0, 0.0])
            row[0] += calls.get(owner, 0)
            row[1] += wall_s
            row[2] += busy_s
            row[3] += busy_s * busy_s
        self._whole += whole
        window.clock.free(readings)

    def _root_began(self) -> None:
        if self._marks is not None:
            self._marks[1] = self._phases()

    def _phases(self) -> Any:
        member = joined.current()
        tracker = None if member is None else member.tracker
        return None if tracker is None else (*tracker.times_here(), time.monotonic_ns())

    def _share_of_data(self) -> float:
        """Part of the time before the forward pass that was in the same phase as that."""
        begin, root = self._marks or (None, None)
        self._marks = None
        if begin is None or root is None or not root[0]:
            return 1.0
        self._phase, index = root[0], root[1]
        whole_ns = root[3] - begin[3]
        inside_ns = root[2].get(index, 0) - begin[2].get(index, 0)
        return min(1.0, max(0.0, inside_ns / whole_ns)) if whole_ns > 0 else 1.0

    def profile(self) -> LayerProfile:
        """Give what was seen so far."""
        from submeter.interfaces.frameworks.stepcounts import mean_of

        times = [
            LayerTime(owner[0], owner[2], owner[1], int(row[0]), row[1], row[2],
                      sd_of(row[2], row[3], self._whole))
            for owner, row in self._sums.items()
        ]  # fmt: skip
        lost = getattr(self._clock, "lost", 0)
        notes = list(self.notes)
        if lost:
            notes.append(f"{lost} spans between two boards could not be timed")
        return LayerProfile(
            pid=self._pid,
            model=self.names.model,
            clock=self._clock.kind,
            device=self._device,
            phase=self._phase,
            rank=rank_of_process(),
            threads=torch.get_num_threads(),
            version=str(torch.__version__),
            shapes=len(self._shapes),
            steps=self.pace.steps(),
            times=tuple(times),
            work=tuple(mean_of(self._works)),
            specs=tuple(self._specs.values()),
            trouble=self.trouble,
            notes=tuple(notes),
        )

    def _keep_now_and_then(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._keep_at_s and self._keep():
            took_s = time.monotonic() - now_s
            self._keep_at_s = now_s + max(KEEP_S, KEEP_RATIO * took_s)

    def _keep(self) -> bool:
        """Write the profile beside the run; False if there is none, or nothing to write."""
        if not (self._sums or self.trouble):
            return False  # nor is a run joined that this process has no other part in
        member = joined.current()
        if member is None:
            return False
        from submeter.storing import layers

        tracker = member.tracker
        number = None if tracker is None else int(tracker.file.path.name.partition(".")[2])
        try:
            layers.keep(member.folder, self.profile(), number=number)
        except OSError as exc:
            joined.once(f"layers cannot be kept just now: {exc}")
        return True


def _forget(known: "weakref.ref[Sampler]") -> None:
    sampler = known()
    if sampler is not None:
        sampler.forget()


def sd_of(total: float, squares: float, count: int) -> float:
    """Standard deviation of the mean of *count* values, by their sum and that of their squares."""
    if count < 2:  # noqa: PLR2004  # one value tells no scatter
        return 0.0
    mean = total / count
    return math.sqrt(max(0.0, squares / count - mean * mean) / (count - 1))


def rank_of_process() -> int | None:
    """Rank of this process, if it has one."""
    for name in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        word = os.environ.get(name, "")
        if word.isdigit():
            return int(word)
    return None
