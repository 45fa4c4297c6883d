# SPDX-License-Identifier: Apache-2.0
"""NASNet-A, whose cells join the two pictures before them by separable convolutions.

Zoph et al. 2018, figure 4 and table 2 (the mobile one: 4 cells a stage, 1056 channels at the end).
"""

from typing import Final

from submeter.workloads.convolutions import Stack

STEM: Final = 32
CELLS: Final = 4  # of each of three stages
FILTERS: Final = 44  # of the first stage; each separable convolution gives so many channels
JOINED: Final = 6  # pictures that a normal cell puts one behind the other
REDUCED: Final = 4


def nasnet_mobile(side: int, *, classes: int) -> Stack:
    """Layers of NASNet-A (4 @ 1056)."""
    net = Stack(side).conv(STEM, 3, stride=2, pad=False)
    before = (net.side, net.channels)
    for scale in (0.25, 0.5):  # two cells that make the picture smaller, of few filters
        before = _reduction(net, before, round(FILTERS * scale))
    for stage in range(3):
        filters = FILTERS * 2**stage
        if stage:
            before = _reduction(net, before, filters)
        for _ in range(CELLS):
            before = _normal(net, before, filters)
    return net.dense(classes)


def _normal(net: Stack, before: tuple[int, int], filters: int) -> tuple[int, int]:
    now = (net.side, net.channels)
    _fit(net, before, net.side, filters)
    _fit(net, now, net.side, filters)
    for kernel in (3, 5, 5, 3, 3):  # of the five sums, three hold means of windows as well
        _separable(net, kernel, filters)
    for _ in range(3):
        net.pool(3, 1, padding=1)
    for _ in range(5):
        net.add()
    net.channels = JOINED * filters
    return now


def _reduction(net: Stack, before: tuple[int, int], filters: int) -> tuple[int, int]:
    now = (net.side, net.channels)
    _fit(net, before, net.side, filters)
    _fit(net, now, net.side, filters)
    large = net.side
    for kernel in (5, 7, 7, 5):
        net.side = large
        _separable(net, kernel, filters, stride=2)
    small = net.side
    _separable(net, 3, filters)
    for _ in range(3):
        net.side = large
        net.pool(3, 2, padding=1)
    net.side = small
    net.pool(3, 1, padding=1)
    for _ in range(5):
        net.add()
    net.channels = REDUCED * filters
    return now


def _fit(net: Stack, picture: tuple[int, int], side: int, filters: int) -> None:
    """Bring a *picture* to *filters* channels and *side*, after a ReLU."""
    net.side, net.channels = picture
    net.conv(filters, stride=-(-picture[0] // side))
    net.side = side


def _separable(net: Stack, kernel: int, filters: int, *, stride: int = 1) -> None:
    """Two separable convolutions, one after the other, the first with the *stride*."""
    for step in (stride, 1):
        net.conv(net.channels, kernel, stride=step, groups=net.channels, norm=False,
                 activation_flop=0.0)  # fmt: skip
        net.conv(filters)
