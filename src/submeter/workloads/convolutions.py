# SPDX-License-Identifier: Apache-2.0
"""Layers of convolutional networks, by name, from the tables that their authors published.

Counts are exact, to the last gain of a batch norm: the number of parameters is the published one.
One image at the size asked for; bigger images cost more, with the same weights.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from submeter.catalog.names import near
from submeter.errors import UsageError
from submeter.workloads.layers import Layer, positive

CLASSES: Final = 1000  # ImageNet
COLOURS: Final = 3
BATCH_NORM_FLOP: Final = 7.0  # mean 1, centre 1, square and sum 2, scale 1, gain and bias 2
RELU_FLOP: Final = 1.0
SILU_FLOP: Final = 4.0  # exponential, sum, quotient, product
LEAST_SIDE: Final = 32  # pixels: below, the five halvings leave nothing

# He et al. 2016, table 1: blocks of each stage, and whether a block is a bottleneck.
_RESNETS: Final = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
# Simonyan & Zisserman 2015, table 1: convolutions of each stage (columns A, B, D, E).
_VGGS: Final = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
# Sandler et al. 2018, table 2: expansion, channels, blocks, stride.
_MOBILENET_V2: Final = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
# Tan & Le 2019, table 1: expansion, kernel, stride, channels, blocks.
_EFFICIENTNET: Final = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip
# Width, depth and image side of B0 … B7: github.com/tensorflow/tpu, efficientnet_builder.py.
COMPOUND: Final = (
    (1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 300), (1.4, 1.8, 380),
    (1.6, 2.2, 456), (1.8, 2.6, 528), (2.0, 3.1, 600),
)  # fmt: skip
# Huang et al. 2017, table 1: growth, first channels, layers of each block.
_DENSENETS: Final = {
    121: (32, 64, (6, 12, 24, 16)),
    161: (48, 96, (6, 12, 36, 24)),
    169: (32, 64, (6, 12, 32, 32)),
    201: (32, 64, (6, 12, 48, 32)),
}


class Stack:
    """Layers as they are put one on another, with the size of the picture between them."""

    def __init__(self, side: int, channels: int = COLOURS) -> None:
        self.side, self.channels = side, channels
        self.layers: list[Layer] = []

    def conv(
        self,
        out: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        pad: bool = True,
        norm: bool = True,
        bias: bool = False,
        activation_flop: float = RELU_FLOP,
    ) -> "Stack":
        """Convolution to *out* channels, with batch norm and activation."""
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        before = self.channels * self.side**2
        reach = max(high, wide)
        lost = 0 if pad else reach - 1
        self.side = (self.side - 1 - lost) // stride + 1
        if self.side < 1:
            raise UsageError(
                "the image is too small for this network", remedy="give a larger image_side"
            )
        after = out * self.side**2
        weights = high * wide * self.channels // groups * out
        part = "depthwise" if groups == self.channels == out and groups > 1 else "convolution"
        self.layers.append(
            Layer(
                part,
                2.0 * weights * self.side**2,
                weights + (2 * out if norm else 0) + (out if bias else 0),
                inputs=before,
                outputs=after,
                elementwise_flop=after * (activation_flop + (BATCH_NORM_FLOP if norm else 0.0)),
                input_gradient=bool(self.layers),
            )
        )
        self.channels = out
        return self

    def pool(self, kernel: int, stride: int, *, padding: int = 0, ceil: bool = False) -> "Stack":
        """Maximum or mean of windows."""
        before = self.side
        free = self.side + 2 * padding - kernel
        self.side = (math.ceil(free / stride) if ceil else free // stride) + 1
        if ceil and (self.side - 1) * stride >= before + padding:
            self.side -= 1
        if self.side < 1:
            raise UsageError(
                "the image is too small for this network", remedy="give a larger image_side"
            )
        after = self.channels * self.side**2
        self.layers.append(
            Layer("pooling", 0.0, 0.0, None, self.channels * before**2, after, after * kernel**2)
        )
        return self

    def norm(self) -> "Stack":
        """Batch norm and ReLU of their own."""
        n = self.channels * self.side**2
        flop = (BATCH_NORM_FLOP + RELU_FLOP) * n
        self.layers.append(Layer("norms", 0.0, 2 * self.channels, None, n, n, flop))
        return self

    def add(self) -> "Stack":
        """Sum with a short cut."""
        n = self.channels * self.side**2
        self.layers.append(Layer("shortcut", 0.0, 0.0, None, 2 * n, n, n))
        return self

    def squeeze(self, inner: int) -> "Stack":
        """Squeeze and excitation: mean, two small matrices, scale (Hu et al. 2018)."""
        c, n = self.channels, self.channels * self.side**2
        self.layers.append(
            Layer("squeeze", 4.0 * c * inner, 2 * c * inner + c + inner, None, n, n, 2.0 * n)
        )
        return self

    def branch(self, *ways: Callable[["Stack"], object]) -> "Stack":
        """Several ways from the same picture, put one behind the other."""
        out, side = 0, self.side
        for way in ways:
            own = Stack(self.side, self.channels)
            own.layers = self.layers
            way(own)
            out, side = out + own.channels, own.side
        self.channels, self.side = out, side
        return self

    def dense(self, out: int, *, of: int | None = None) -> "Stack":
        """Fully connected layer, from the mean of each channel or from *of* numbers."""
        n = self.channels if of is None else of
        self.layers.append(
            Layer("classifier", 2.0 * n * out, n * out + out, None, n, out, repeat="never")
        )
        self.channels, self.side = out, 1
        return self


def _resnet(
    depth: int, side: int, *, groups: int = 1, base_width: int = 64, classes: int = CLASSES
) -> Stack:
    """He et al. 2016; stride in the 3×3 (version 1.5), as frameworks ship it.

    Groups: Xie et al. 2017. Width: Zagoruyko & Komodakis 2016.
    """
    counts, bottleneck = _RESNETS[depth]
    net = Stack(side).conv(64, 7, stride=2).pool(3, 2, padding=1)
    for stage, blocks in enumerate(counts):
        inner = 64 * 2**stage * base_width // 64 * groups if bottleneck else 64 * 2**stage
        out = 64 * 2**stage * (4 if bottleneck else 1)
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            if net.channels != out or stride > 1:
                short = Stack(net.side, net.channels)
                short.layers = net.layers
                short.conv(out, 1, stride=stride, activation_flop=0.0)
            if bottleneck:
                net.conv(inner).conv(inner, 3, stride=stride, groups=groups)
                net.conv(out, activation_flop=0.0)
            else:
                net.conv(inner, 3, stride=stride).conv(out, 3, activation_flop=0.0)
            net.add()
    return net.dense(classes)


def _vgg(depth: int, side: int, *, norm: bool = False, classes: int = CLASSES) -> Stack:
    """Simonyan & Zisserman 2015; the mean before the classifier makes 7 × 7 of any size."""
    net = Stack(side)
    for stage, count in enumerate(_VGGS[depth]):
        for _ in range(count):
            net.conv(min(64 * 2**stage, 512), 3, norm=norm, bias=True)
        net.pool(2, 2)
    return net.dense(4096, of=512 * 49).dense(4096).dense(classes)


def _alexnet(side: int, *, classes: int = CLASSES) -> Stack:
    """Krizhevsky 2014, one weird trick: the single-column form; 2 pixels of pad on each edge."""
    net = Stack(side + 4)
    net.conv(64, 11, stride=4, pad=False, norm=False, bias=True)
    net.pool(3, 2).conv(192, 5, norm=False, bias=True).pool(3, 2)
    for out in (384, 256, 256):
        net.conv(out, 3, norm=False, bias=True)
    return net.pool(3, 2).dense(4096, of=256 * 36).dense(4096).dense(classes)


def _inverted(
    net: Stack, out: int, *, expand: int, kernel: int, stride: int, squeeze: bool
) -> None:
    """Inverted residual (Sandler et al. 2018), with squeeze and excitation (Tan & Le 2019)."""
    start, side = net.channels, net.side
    flop = SILU_FLOP if squeeze else RELU_FLOP
    inner = start * expand
    if expand != 1:
        net.conv(inner, activation_flop=flop)
    net.conv(inner, kernel, stride=stride, groups=inner, activation_flop=flop)
    if squeeze:
        net.squeeze(max(1, start // 4))
    net.conv(out, activation_flop=0.0)
    if (net.channels, net.side) == (start, side):
        net.add()


def _rounded(channels: float) -> int:
    """Channels to the nearest multiple of 8, not more than a tenth below (Tan & Le 2019)."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _mobilenet_v2(side: int, *, width: float = 1.0, classes: int = CLASSES) -> Stack:
    net = Stack(side).conv(_rounded(32 * width), 3, stride=2)
    for expand, out, blocks, stride in _MOBILENET_V2:
        for block in range(blocks):
            step = stride if not block else 1
            _inverted(
                net, _rounded(out * width), expand=expand, kernel=3, stride=step, squeeze=False
            )
    return net.conv(_rounded(1280 * max(1.0, width))).dense(classes)


def efficientnet(
    side: int, *, width: float = 1.0, depth: float = 1.0, classes: int = CLASSES
) -> Stack:
    """EfficientNet (Tan & Le 2019) of any *width* and *depth* multiplier."""
    net = Stack(side).conv(_rounded(32 * width), 3, stride=2, activation_flop=SILU_FLOP)
    for expand, kernel, stride, out, blocks in _EFFICIENTNET:
        for block in range(math.ceil(round(blocks * depth, 9))):
            step = stride if not block else 1
            _inverted(
                net, _rounded(out * width), expand=expand, kernel=kernel, stride=step, squeeze=True
            )
    return net.conv(4 * net.channels, activation_flop=SILU_FLOP).dense(classes)


def _densenet(depth: int, side: int, *, classes: int = CLASSES) -> Stack:
    growth, first, blocks = _DENSENETS[depth]
    net = Stack(side).conv(first, 7, stride=2).pool(3, 2, padding=1)
    for stage, count in enumerate(blocks):
        if stage:
            net.norm().conv(net.channels // 2, norm=False, activation_flop=0.0).pool(2, 2)
        for _ in range(count):
            before = net.channels
            net.norm().conv(4 * growth).conv(growth, 3, norm=False, activation_flop=0.0)
            net.channels = before + growth
    return net.norm().dense(classes)


def _googlenet(side: int, *, classes: int = CLASSES) -> Stack:
    """Szegedy et al. 2015, table 1 (with batch norm, 3×3 in place of 5×5, as frameworks do)."""
    net = Stack(side).conv(64, 7, stride=2).pool(3, 2, ceil=True)
    net.conv(64).conv(192, 3).pool(3, 2, ceil=True)
    for row in _INCEPTIONS:
        if not row:
            net.pool(3 if net.channels == 480 else 2, 2, ceil=True)  # noqa: PLR2004
            continue
        a, b1, b2, c1, c2, d = row
        net.branch(
            lambda s, a=a: s.conv(a),  # type: ignore[misc]
            lambda s, b1=b1, b2=b2: s.conv(b1).conv(b2, 3),  # type: ignore[misc]
            lambda s, c1=c1, c2=c2: s.conv(c1).conv(c2, 3),  # type: ignore[misc]
            lambda s, d=d: s.pool(3, 1, padding=1).conv(d),  # type: ignore[misc]
        )
    return net.dense(classes)


_INCEPTIONS: Final[Sequence[tuple[int, ...]]] = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (),
    (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), (),
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def _inception_v3(side: int, *, classes: int = CLASSES) -> Stack:
    """Szegedy et al. 2016, table 1, without the auxiliary classifier."""
    net = Stack(side).conv(32, 3, stride=2, pad=False).conv(32, 3, pad=False).conv(64, 3)
    net.pool(3, 2).conv(80).conv(192, 3, pad=False).pool(3, 2)
    for last in (32, 64, 64):
        net.branch(
            lambda s: s.conv(64),
            lambda s: s.conv(48).conv(64, 5),
            lambda s: s.conv(64).conv(96, 3).conv(96, 3),
            lambda s, last=last: s.pool(3, 1, padding=1).conv(last),  # type: ignore[misc]
        )
    net.branch(
        lambda s: s.conv(384, 3, stride=2, pad=False),
        lambda s: s.conv(64).conv(96, 3).conv(96, 3, stride=2, pad=False),
        lambda s: s.pool(3, 2),
    )
    for n in (128, 160, 160, 192):
        net.branch(
            lambda s: s.conv(192),
            lambda s, n=n: s.conv(n).conv(n, (1, 7)).conv(192, (7, 1)),  # type: ignore[misc]
            lambda s, n=n: (  # type: ignore[misc]
                s.conv(n).conv(n, (7, 1)).conv(n, (1, 7)).conv(n, (7, 1)).conv(192, (1, 7))
            ),
            lambda s: s.pool(3, 1, padding=1).conv(192),
        )
    net.branch(
        lambda s: s.conv(192).conv(320, 3, stride=2, pad=False),
        lambda s: (
            s.conv(192).conv(192, (1, 7)).conv(192, (7, 1)).conv(192, 3, stride=2, pad=False)
        ),
        lambda s: s.pool(3, 2),
    )

    def forked(stack: Stack) -> Stack:
        return stack.branch(lambda s: s.conv(384, (1, 3)), lambda s: s.conv(384, (3, 1)))

    for _ in range(2):
        net.branch(
            lambda s: s.conv(320),
            lambda s: forked(s.conv(384)),
            lambda s: forked(s.conv(448).conv(384, 3)),
            lambda s: s.pool(3, 1, padding=1).conv(192),
        )
    return net.dense(classes)


def _xception(side: int, *, classes: int = CLASSES) -> Stack:
    """Chollet 2017, figure 5."""
    net = Stack(side).conv(32, 3, stride=2, pad=False).conv(64, 3, pad=False)

    def separable(out: int) -> None:
        net.conv(net.channels, 3, groups=net.channels, norm=False, activation_flop=0.0).conv(out)

    for first, out in ((128, 128), (256, 256), (728, 728), *((0, 728),) * 8, (728, 1024)):
        if first:  # the others keep channels and size
            short = Stack(net.side, net.channels)
            short.layers = net.layers
            short.conv(out, stride=2, activation_flop=0.0)
        for width in (first, out) if first else (out,) * 3:
            separable(width)
        if first:
            net.pool(3, 2, padding=1)
        net.add()
    separable(1536)
    separable(2048)
    return net.dense(classes)


def _shufflenet_v2(side: int, *, classes: int = CLASSES) -> Stack:
    """Ma et al. 2018, table 5, at width 1."""
    net = Stack(side).conv(24, 3, stride=2).pool(3, 2, padding=1)
    for out, blocks in ((116, 4), (232, 8), (464, 4)):
        half = out // 2
        for block in range(blocks):
            start = net.channels if not block else half
            stride = 1 if block else 2
            if not block:
                short = Stack(net.side, net.channels)
                short.layers = net.layers
                short.conv(start, 3, stride=2, groups=start, activation_flop=0.0).conv(half)
            net.channels = start  # the other half of the channels goes past the block
            net.conv(half).conv(half, 3, stride=stride, groups=half, activation_flop=0.0)
            net.conv(half)
            net.channels = out
    return net.conv(1024).dense(classes)


def _nasnet_mobile(side: int, *, classes: int) -> Stack:
    from submeter.workloads.nasnet import nasnet_mobile  # it builds on this module

    return nasnet_mobile(side, classes=classes)


def _networks() -> Iterator[tuple[str, int, Callable[[int, int], Stack]]]:
    """Name, side of the image it was published for, and how to build it."""
    for n in _RESNETS:
        yield f"resnet{n}", 224, lambda s, c, n=n: _resnet(n, s, classes=c)  # type: ignore[misc]
    yield "resnext50", 224, lambda s, c: _resnet(50, s, groups=32, base_width=4, classes=c)
    yield "resnext101", 224, lambda s, c: _resnet(101, s, groups=32, base_width=8, classes=c)
    yield "wideresnet50", 224, lambda s, c: _resnet(50, s, base_width=128, classes=c)
    yield "wideresnet101", 224, lambda s, c: _resnet(101, s, base_width=128, classes=c)
    for n in _VGGS:
        yield f"vgg{n}", 224, lambda s, c, n=n: _vgg(n, s, classes=c)  # type: ignore[misc]
    yield "alexnet", 224, lambda s, c: _alexnet(s, classes=c)
    yield "mobilenetv2", 224, lambda s, c: _mobilenet_v2(s, classes=c)
    for n, (w, d, side) in enumerate(COMPOUND):
        yield (
            f"efficientnetb{n}",
            side,
            lambda s, c, w=w, d=d: efficientnet(s, width=w, depth=d, classes=c),  # type: ignore[misc]
        )
    for n in _DENSENETS:
        yield f"densenet{n}", 224, lambda s, c, n=n: _densenet(n, s, classes=c)  # type: ignore[misc]
    yield "googlenet", 224, lambda s, c: _googlenet(s, classes=c)
    yield "inceptionv3", 299, lambda s, c: _inception_v3(s, classes=c)
    yield "xception", 299, lambda s, c: _xception(s, classes=c)
    yield "shufflenetv2", 224, lambda s, c: _shufflenet_v2(s, classes=c)
    yield "nasnetmobile", 224, lambda s, c: _nasnet_mobile(s, classes=c)


_BUILT: Final = {name: (side, build) for name, side, build in _networks()}
_ALIASES: Final = {
    "mobilenet2": "mobilenetv2", "shufflenetv2x10": "shufflenetv2", "inception3": "inceptionv3",
    "nasnetamobile": "nasnetmobile",
    "inceptionv1": "googlenet", "resnext5032x4d": "resnext50",
    "resnext10132x8d": "resnext101", "wideresnet502": "wideresnet50",
    "wideresnet1012": "wideresnet101",
}  # fmt: skip


def networks() -> tuple[str, ...]:
    """Names of all networks that can be counted by name."""
    return tuple(_BUILT)


def network_of(name: str) -> str:
    """Give the name under which we list the network *name*.

    Examples
    --------
    >>> network_of("ResNet-50"), network_of("efficientnet_b0")
    ('resnet50', 'efficientnetb0')
    """
    plain = re.sub(r"[\W_]+", "", name.lower())
    known = _ALIASES.get(plain, plain)
    if known not in _BUILT:
        close = near(plain, _BUILT)
        raise UsageError(
            f"“{name[:40]}” is no network that we can count by name",
            remedy=f"use {', '.join(close or ['resnet50', 'vgg16', 'efficientnet-b0'])}, or let "
            "the model itself be counted",
        )
    return known


def image_layers(
    name: str, *, image_side: int | None = None, classes: int = CLASSES
) -> tuple[Layer, ...]:
    """All layers of the network *name* for one square image.

    Parameters
    ----------
    image_side
        Side of the image [pixel]; that of the publication, if None.
    classes
        Outputs of the classifier.
    """
    published, build = _BUILT[network_of(name)]
    side = published if image_side is None else int(positive(image_side, "image_side"))
    if side < LEAST_SIDE:
        raise UsageError(
            f"images of {side} pixels are too small for {name}",
            remedy=f"give at least {LEAST_SIDE} pixels a side",
        )
    return tuple(build(side, int(positive(classes, "classes"))).layers)


def side_of(name: str) -> int:
    """Side of the images that the network *name* was published for [pixel]."""
    return _BUILT[network_of(name)][0]
