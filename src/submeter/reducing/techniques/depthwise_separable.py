# SPDX-License-Identifier: Apache-2.0
"""A convolution as two: one in the plane, channel by channel, one across channels."""

from typing import Any

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library
from submeter.reducing.techniques.machine import machine_of
from submeter.reducing.techniques.protocol import Applied, Method
from submeter.reducing.techniques.prune_channels import counted
from submeter.reducing.techniques.snapshots import Snapshot


class DepthwiseSeparable(Method):
    """Full 2-D convolutions replaced, their weights the nearest of that form."""

    name = "depthwise_separable"
    group = "less work"
    what = "Each 2-D convolution becomes one per channel and a 1 x 1 across them (MobileNet)."
    why = "k² times fewer products, nearly, for kernels of k x k."
    price = "Accuracy until it is trained on; a model of less capacity."
    when_it_does_not_help = (
        "Where memory, not products, is what is waited for: depthwise kernels do little work on "
        "what they fetch, and light networks were measured to use more energy than a ResNet."
    )

    def objection(self, target: Any) -> str:
        found = list(_full(target, library("torch"), 1))
        return "" if found else "the model has no full 2-D convolution wider than 1 x 1"

    def apply(self, target: Any, *, least_channels: int = 8, **options: Any) -> Applied:
        """Replace the convolutions of model *target* that take *least_channels* or more.

        The new weights are the best of rank one for each input channel, so that the network
        answers as nearly as such a form can.
        """
        self.no_more(options)
        fit = self.checked(target, machine_of(target))
        torch = library("torch")
        found = list(_full(target, torch, least_channels))
        if not found:
            raise UsageError(
                f"no convolution takes {least_channels} channels", remedy="least_channels=1"
            )
        kept, before = Snapshot(target), counted(target)
        for parent, name, old in found:
            setattr(parent, name, separated(old, torch))
        after = counted(target)
        notes = (f"{len(found)} convolutions; {before} parameters became {after}",)
        amounts = {
            "replaced": len(found), "parameters_before": before, "parameters_after": after,
        }  # fmt: skip
        return Applied(self.name, target, back=kept.restore, fit=fit, notes=notes, found=amounts)


def separated(old: Any, torch: Any) -> Any:
    """A depthwise and a pointwise convolution for *old*, nearest to it in least squares."""
    into, out = old.in_channels, old.out_channels
    depthwise = torch.nn.Conv2d(
        into, into, old.kernel_size, old.stride, old.padding, old.dilation,
        groups=into, bias=False, padding_mode=old.padding_mode,
    )  # fmt: skip
    pointwise = torch.nn.Conv2d(into, out, 1, bias=old.bias is not None)
    with torch.no_grad():
        kernels = old.weight.detach().permute(1, 0, 2, 3).reshape(into, out, -1)
        left, size, right = torch.linalg.svd(kernels.float(), full_matrices=False)
        root = size[:, 0].sqrt()
        depthwise.weight.copy_((right[:, 0] * root[:, None]).reshape(depthwise.weight.shape))
        pointwise.weight.copy_((left[:, :, 0] * root[:, None]).t().reshape(out, into, 1, 1))
        if old.bias is not None:
            pointwise.bias.copy_(old.bias)
    made = torch.nn.Sequential(depthwise, pointwise)
    return made.to(old.weight.device, old.weight.dtype).train(old.training)


def _full(model: Any, torch: Any, least_channels: int) -> Any:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if (
                isinstance(child, torch.nn.Conv2d)
                and child.groups == 1
                and max(child.kernel_size) > 1
                and child.in_channels >= least_channels
            ):
                yield parent, name, child


TECHNIQUE = DepthwiseSeparable()
