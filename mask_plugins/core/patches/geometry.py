# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What outputs of a convolution or a pooling depend on."""

from typing import NamedTuple, Tuple

from torch import nn

from mask_plugins.utils.checks import check_choice, check_type

Pair = Tuple[int, int]
#: What tiles can be computed with.
SETTINGS = dict(padding_mode='zeros', ceil_mode=False, return_indices=False)


class Geometry(NamedTuple):
    """Kernel, stride, dilation and zero padding of one operation.

    Args:
        kernel (tuple[int, int]): Height and width.
        stride (tuple[int, int]): Down and across.
        dilation (tuple[int, int]): Down and across.
        before (tuple[int, int]): Padding above and to the left.
        after (tuple[int, int]): Padding below and to the right.
        same (bool): Whether the padding follows from the size of the map, as
            in TensorFlow: see :meth:`at`. Defaults to False.

    Examples:
        >>> conv = Geometry((3, 3), (2, 2), before=(1, 1), after=(1, 1))
        >>> conv.out_size((8, 8)), conv.reach(axis=0)
        ((4, 4), 3)
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)
    same: bool = False

    def at(self, size: Pair) -> 'Geometry':
        """With the padding that it has on a map of some height and width."""
        if not self.same:
            return self
        total = [
            max(0, (-(-size[i] // self.stride[i]) - 1) * self.stride[i]
                + self.reach(i) - size[i])
            for i in (0, 1)
        ]  # fmt: skip
        before = tuple(pixels // 2 for pixels in total)
        after = tuple(pixels - b for pixels, b in zip(total, before))
        return self._replace(before=before, after=after, same=False)

    def reach(self, axis: int) -> int:
        """Input pixels that one output pixel spans on an axis."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def source(self, axis: int, start: int, length: int) -> Pair:
        """First pixel and number of those that outputs depend on."""
        first = start * self.stride[axis] - self.before[axis]
        return first, (length - 1) * self.stride[axis] + self.reach(axis)

    def out_size(self, size: Pair) -> Pair:
        """Height and width of the output for those of the input."""
        pads = self.at(size)[3:5]
        padded = [s + b + a for s, b, a in zip(size, *pads)]
        return tuple(
            (padded[axis] - self.reach(axis)) // self.stride[axis] + 1
            for axis in (0, 1)
        )


def _both(value) -> Pair:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * 2


def geometry_of(module: nn.Module) -> Geometry:
    """Geometry of a convolution or a maximum pooling.

    Args:
        module (nn.Module): ``nn.Conv2d`` or ``nn.MaxPool2d``.

    Raises:
        ValueError: If it pads with anything but zeros, or rounds sizes up.
        TypeError: If it is neither.
    """
    kinds = (nn.Conv2d, nn.MaxPool2d)
    check_type('a gated operation', module, kinds, 'a Conv2d or a MaxPool2d')
    for name, allowed in SETTINGS.items():
        setting = getattr(module, name, allowed)
        check_choice(f'{name} of a gated operation', setting, [allowed])
    kernel, dilation = _both(module.kernel_size), _both(module.dilation)
    padding = (0, 0) if module.padding == 'valid' else module.padding
    if padding == 'same':
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        before = tuple(t // 2 for t in total)
        after = tuple(t - b for t, b in zip(total, before))
    else:
        before = after = _both(padding)
    # timm's convolution with the padding of TensorFlow.
    kinds = [base.__name__ for base in type(module).__mro__]
    same = 'Conv2dSame' in kinds
    return Geometry(
        kernel, _both(module.stride), dilation, before, after, same
    )
