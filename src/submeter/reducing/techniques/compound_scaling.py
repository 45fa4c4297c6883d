# SPDX-License-Identifier: Apache-2.0
"""A family of image networks of all sizes, to search the smallest that is good enough."""

from typing import Any, Final

from submeter.errors import UsageError
from submeter.reducing.techniques.libraries import library, quietly
from submeter.reducing.techniques.protocol import Applied, Method
from submeter.reducing.techniques.prune_channels import counted

DEPTH, WIDTH, SIZE = 1.2, 1.1, 1.15  # α, β, γ of Tan and Le 2019, arXiv:1905.11946, section 3.3
PIXELS: Final = 224  # of the smallest of the published family
LEAST_PIXELS: Final = 32  # five halvings
RANGE: Final = (-8.0, 7.0)


class CompoundScaling(Method):
    """EfficientNet by one number φ: depth 1.2^φ, width 1.1^φ, image size 1.15^φ."""

    name = "compound_scaling"
    group = "less work"
    what = "EfficientNet of any size by one number, depth, width and image growing together."
    why = "One dimension to search, along which accuracy costs least operations."
    price = "The search; each step of φ doubles the operations."
    when_it_does_not_help = (
        "Operations are not joules: its depthwise convolutions wait for memory on boards, and a "
        "plain ResNet of more operations can use less energy."
    )
    needs = ("torch", "transformers")
    takes = "φ"

    def apply(
        self, target: Any, *, labels: int = 1000, channels: int = 3, **options: Any
    ) -> Applied:
        """Make the member φ = *target* of the family; negative φ are smaller than B0.

        ``also["config"]`` is its configuration, ``found["image_size"]`` the images it takes.
        """
        self.no_more(options)
        if not isinstance(target, (int, float)) or not RANGE[0] <= target <= RANGE[1]:
            raise UsageError(
                f"φ is a number from {RANGE[0]:g} to {RANGE[1]:g}", remedy="start with 0, then -2"
            )
        fit = self.checked(None)
        transformers = library("transformers")
        size = max(LEAST_PIXELS, 8 * round(PIXELS * SIZE**target / 8))
        config = transformers.EfficientNetConfig(
            width_coefficient=WIDTH**target,
            depth_coefficient=DEPTH**target,
            image_size=size,
            num_channels=channels,
            num_labels=labels,
            hidden_dim=8 * round(1280 * WIDTH**target / 8),
        )
        with quietly():
            model = transformers.EfficientNetForImageClassification(config)
        count = counted(model)
        notes = (f"φ {target:g}: {count / 1e6:.2f} M parameters, images of {size} pixels",)
        found = {"parameters": count, "image_size": size}
        return Applied(
            self.name, model, fit=fit, notes=notes, found=found, also={"config": config}
        )


TECHNIQUE = CompoundScaling()
