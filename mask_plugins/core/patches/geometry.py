# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What outputs of a convolution or a pooling depend on."""

from typing import NamedTuple, Tuple

from torch import nn

from mask_plugins.utils.checks import check_type

Pair = Tuple[int, int]


class Geometry(NamedTuple):
    """Kernel, stride, dilation and zero padding of one operation.

    Args:
        kernel (tuple[int, int]): Height and width.
        stride (tuple[int, int]): Down and across.
        dilation (tuple[int, int]): Down and across.
        before (tuple[int, int]): Padding above and to the left.
        after (tuple[int, int]): Padding below and to the right.

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

    def reach(self, axis: int) -> int:
        """Input pixels that one output pixel spans on an axis."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def out_size(self, size: Pair) -> Pair:
        """Height and width of the output for those of the input."""
        padded = [s + b + a for s, b, a in zip(size, self.before, self.after)]
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
    check_type(
        'a gated operation',
        module,
        (nn.Conv2d, nn.MaxPool2d),
        'a Conv2d or a MaxPool2d',
    )
    if getattr(module, 'padding_mode', 'zeros') != 'zeros':
        raise ValueError(
            "padding_mode of a gated convolution must be 'zeros', got "
            f'{module.padding_mode!r}'
        )
    if isinstance(module, nn.MaxPool2d) and (
        module.ceil_mode or module.return_indices
    ):
        raise ValueError(
            'ceil_mode and return_indices of a gated MaxPool2d must be '
            f'False, got {module}'
        )
    kernel, dilation = _both(module.kernel_size), _both(module.dilation)
    padding = (0, 0) if module.padding == 'valid' else module.padding
    if padding == 'same':
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        before = tuple(t // 2 for t in total)
        after = tuple(t - b for t, b in zip(total, before))
    else:
        before = after = _both(padding)
    return Geometry(kernel, _both(module.stride), dilation, before, after)
