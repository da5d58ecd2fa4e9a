# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A residual block behind one gate."""

from typing import List, Optional

from torch import nn

from .chain import Chain
from .gated_layer import GatedLayer
from .step import Step

#: Whether the parts of a shortcut are convolutions.
ALLOWED = ([True], [True, False])


class GatedBlockMixin(GatedLayer):
    """What makes a BasicBlock or a Bottleneck a gated one."""

    def make_chain(self) -> Chain:
        """Its convolutions, their norms and activations, its shortcut."""
        act = _first(self, 'relu', 'act', 'act3', 'act2')
        third = isinstance(getattr(self, 'conv3', None), nn.Conv2d)
        numbers, steps = (1, 2, 3) if third else (1, 2), []
        for number in numbers:
            norm = _first(self, f'norm{number}', f'bn{number}')
            between = _first(self, f'act{number}') or act
            between = None if number == numbers[-1] else between
            steps.append(Step(getattr(self, f'conv{number}'), norm, between))
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
    parts = (getattr(block, name, None) for name in names)
    return next((p for p in parts if isinstance(p, nn.Module)), None)


def _shortcut(downsample: Optional[nn.Module]) -> List[Step]:
    if downsample is None or isinstance(downsample, nn.Identity):
        return []
    parts = list(downsample.children()) or [downsample]
    parts = [part for part in parts if not isinstance(part, nn.Identity)]
    if [isinstance(part, nn.Conv2d) for part in parts] not in ALLOWED:
        raise TypeError(
            f'downsample must be a convolution and a norm, got {downsample}'
        )
    return [Step(*parts)]
