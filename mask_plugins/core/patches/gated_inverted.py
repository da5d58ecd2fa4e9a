# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""An inverted residual block behind one gate."""

from torch import nn

from .chain import Chain
from .gated_layer import GatedLayer
from .step import NORMS, Step


class GatedInvertedMixin(GatedLayer):
    """What makes timm's ``InvertedResidual`` a gated one.

    Of the first blocks, ``DepthwiseSeparableConv``, too.
    """

    def make_chain(self) -> Chain:
        """Its convolutions, their norms and activations, its shortcut."""
        if hasattr(self, 'conv_pwl'):
            names = ('conv_pw', 'conv_dw', 'conv_pwl')
        else:
            names = ('conv_dw', 'conv_pw')
        steps = []
        for number, name in enumerate(names, 1):
            norm = getattr(self, f'bn{number}')
            parts = (norm,) if isinstance(norm, NORMS) else (None, norm)
            steps.append(Step(getattr(self, name), *parts))
        return Chain(steps, [] if self.has_skip else None)


def is_inverted_residual(module: nn.Module) -> bool:
    """Whether a module has the parts of an inverted residual block.

    Args:
        module (nn.Module): Such as those of timm's EfficientNets.
    """
    parts = ('conv_dw', 'conv_pw', 'bn1', 'bn2', 'has_skip')
    return all(hasattr(module, part) for part in parts)
