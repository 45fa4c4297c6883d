# SPDX-License-Identifier: Apache-2.0
"""A small model learns from the answers of a large one, whose energy is counted."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.protocol import Applied, Method

Compare = Callable[[Any, Any], Any]


class Distillation:
    """The loss of a student: the labels', and the distance to the teacher's answers.

    ``L = (1 - w) CE(s, y) + w T² KL(softmax(t/T) ‖ softmax(s/T))`` (Hinton, Vinyals and Dean 2015,
    arXiv:1503.02531). The teacher works inside the phase ``teacher`` of a run, and its CPU time is
    counted: without it a student's cost is told too low.
    """

    def __init__(
        self, teacher: Any, *, softness: float, weight: float, compare: Compare | None = None
    ) -> None:
        self.teacher, self.softness, self.weight = teacher, softness, weight
        self._compare = compare
        self.teacher_cpu_s = 0.0
        self.calls = 0

    def __call__(self, answers: Any, inputs: Any, labels: Any = None) -> Any:
        """Loss of the student's *answers* (logits) to *inputs*; labels may be absent."""
        torch, functional = library("torch"), library("torch.nn.functional")
        started_s = time.process_time()
        with torch.no_grad(), _phase("teacher"):
            taught = self.teacher(inputs)
        self.teacher_cpu_s += time.process_time() - started_s
        self.calls += 1
        if self._compare is not None:
            return self._compare(answers, taught)
        t = self.softness
        distance = functional.kl_div(
            functional.log_softmax(answers / t, -1),
            functional.log_softmax(taught / t, -1),
            log_target=True,
            reduction="batchmean",
        )
        if labels is None:
            return distance * t**2
        own = functional.cross_entropy(answers, labels)
        return (1 - self.weight) * own + self.weight * t**2 * distance

    def uses_until_paid(self, teacher_j: float, student_j: float, each_saves_j: float) -> float:
        """After how many uses the small model has paid for both trainings; infinite if never.

        Parameters
        ----------
        teacher_j, student_j
            Energy of training the teacher (0 if it was there anyway) and the student [J].
        each_saves_j
            What one use of the student saves against the teacher [J].
        """
        return (teacher_j + student_j) / each_saves_j if each_saves_j > 0 else float("inf")


class Distil(Method):
    """Hinton's distillation, with the teacher's share on the bill."""

    name = "distil"
    by_itself = False
    group = "less work"
    what = "A student learns from the answers of a teacher, beside the labels or without them."
    why = "A smaller model in use, at more of the accuracy than it reaches alone."
    price = "The teacher's answers, and its training if it was made for this: both are counted."
    when_it_does_not_help = (
        "Models that are used too little to pay back the teacher; a student that reaches the "
        "same quality from the labels alone."
    )

    def apply(
        self,
        target: Any,
        *,
        teacher: Any = None,
        softness: float = 2.0,
        weight: float = 0.5,
        compare: Compare | None = None,
        **options: Any,
    ) -> Applied:
        """Give the loss to train student *target* with: ``target(answers, inputs, labels)``.

        Parameters
        ----------
        teacher
            The model that is learnt from; it is set to evaluation and trained no more.
        softness
            Temperature at which the answers are compared [1].
        weight
            Of the teacher against the labels [1].
        compare
            A loss of the student's answers and the teacher's instead, for what is no logits.
        """
        self.no_more(options)
        if teacher is None or softness <= 0 or not 0 <= weight <= 1:
            raise UsageError(
                "distillation wants a teacher, a softness above 0 and a weight from 0 to 1",
                remedy="submeter.reduce.distil(student, teacher=large)",
            )
        fit = self.checked(target)
        was_training = teacher.training
        wanted = [(p, p.requires_grad) for p in teacher.parameters()]
        teacher.eval().requires_grad_(requires_grad=False)

        def back() -> Any:
            teacher.train(was_training)
            for parameter, grad in wanted:
                parameter.requires_grad_(grad)
            return target

        sizes = [sum(p.numel() for p in m.parameters()) for m in (target, teacher)]
        notes = (f"{sizes[0]} parameters learn from {sizes[1]}; the teacher's work is counted",)
        return Applied(
            self.name,
            Distillation(teacher, softness=softness, weight=weight, compare=compare),
            back=back, fit=fit, notes=notes,
            found={"student_parameters": sizes[0], "teacher_parameters": sizes[1]},
        )  # fmt: skip


@contextmanager
def _phase(name: str) -> Iterator[None]:
    """Phase *name* of the run that this process is in, if there is one."""
    from submeter.running import joined

    member, token = joined.current(), object()
    if member is None or member.tracker is None:
        yield
        return
    last = member.tracker.enter(name, token)
    try:
        yield
    finally:
        member.tracker.leave_by(token, last)


TECHNIQUE = Distil()
