# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A residual block behind one gate."""

from typing import List, Optional

from torch import nn

from .chain import Chain
from .gated_layer import GatedLayer
from .step import Step


class GatedBlockMixin(GatedLayer):
    """What makes a residual block a gated one: on tiles, behind one gate."""

    def make_chain(self) -> Chain:
        """Its convolutions, their norms and activations, its shortcut."""
        return residual_chain(self)


def is_residual_block(module: nn.Module) -> bool:
    """Whether a module has the parts of a BasicBlock or a Bottleneck.

    Args:
        module (nn.Module): Such as those of torchvision, timm or mmpretrain.
    """
    parts = ('conv1', 'conv2', 'downsample')
    return all(hasattr(module, part) for part in parts) and isinstance(
        module.conv1, nn.Conv2d
    )


def residual_chain(block: nn.Module) -> Chain:
    """A BasicBlock or Bottleneck as a chain.

    Args:
        block (nn.Module): With ``conv1``, ``norm1`` or ``bn1``, ``relu``, ...
            and ``downsample``.

    Raises:
        TypeError: If it has a part that does not run on tiles, such as
            squeeze and excitation or a drop path that drops.
        ValueError: If the options of a part do not.
    """
    for name in ('se', 'se_layer', 'drop_block', 'aa', 'act_layer'):
        part = getattr(block, name, None)
        if part is not None and not isinstance(part, nn.Identity):
            raise TypeError(
                f'{name} of {type(block).__name__} does not run on tiles'
            )
    act = _first(block, 'relu', 'act', 'act3', 'act2')
    count = 3 if isinstance(getattr(block, 'conv3', None), nn.Conv2d) else 2
    steps = []
    for number in range(1, count + 1):
        norm = _first(block, f'norm{number}', f'bn{number}')
        between = _first(block, f'act{number}') or act
        steps.append(
            Step(
                getattr(block, f'conv{number}'),
                norm,
                between if number < count else None,
            )
        )
    return Chain(steps, _shortcut(block.downsample), act)


def _first(block: nn.Module, *names: str) -> Optional[nn.Module]:
    for name in names:
        part = getattr(block, name, None)
        if isinstance(part, nn.Module):
            return part
    return None


def _shortcut(downsample: Optional[nn.Module]) -> List[Step]:
    if downsample is None or isinstance(downsample, nn.Identity):
        return []
    parts = [
        part
        for part in downsample.children()
        if not isinstance(part, nn.Identity)
    ] or [downsample]
    kinds = [isinstance(part, nn.Conv2d) for part in parts]
    if kinds not in ([True], [True, False]):
        raise TypeError(
            'the downsample of a gated block must be a convolution and a '
            f'norm, got {downsample}'
        )
    return [Step(parts[0], parts[1] if len(parts) == 2 else None)]
