# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A residual block behind one gate."""

from typing import List, Optional

from torch import nn

from .chain import Chain
from .gated_layer import GatedLayer
from .step import Step


class GatedBlockMixin(GatedLayer):
    """What makes a BasicBlock or a Bottleneck a gated one."""

    def make_chain(self) -> Chain:
        """Its convolutions, their norms and activations, its shortcut."""
        act = _first(self, 'relu', 'act', 'act3', 'act2')
        third = isinstance(getattr(self, 'conv3', None), nn.Conv2d)
        count = 3 if third else 2
        steps = []
        for number in range(1, count + 1):
            norm = _first(self, f'norm{number}', f'bn{number}')
            between = _first(self, f'act{number}') or act
            conv = getattr(self, f'conv{number}')
            steps.append(Step(conv, norm, between if number < count else None))
        return Chain(steps, _shortcut(self.downsample), act)


def is_residual_block(module: nn.Module) -> bool:
    """Whether a module has the parts of a BasicBlock or a Bottleneck.

    Args:
        module (nn.Module): Such as those of torchvision, timm or mmpretrain.
    """
    parts = ('conv1', 'conv2', 'downsample')
    return all(hasattr(module, part) for part in parts) and isinstance(
        module.conv1, nn.Conv2d
    )


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
    if [isinstance(part, nn.Conv2d) for part in parts] not in (
        [True],
        [True, False],
    ):
        raise TypeError(
            'the downsample of a gated block must be a convolution and a '
            f'norm, got {downsample}'
        )
    return [Step(*parts)]
