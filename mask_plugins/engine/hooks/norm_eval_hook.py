# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Keep the statistics of pretrained norms during a training."""

from typing import Optional, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mask_plugins.registry import HOOKS

from .attribute_target import unwrap


@HOOKS.register_module()
class NormEvalHook(Hook):
    """Keep the BatchNorm layers of the backbone in evaluation mode.

    ``norm_eval`` of mmpretrain's ResNet, for any backbone (timm's, masked,
    with an adapter of peft). Their running statistics stay those of the
    pretraining. In a short adaptation these beat statistics of few batches,
    above all where channels are almost constant, whose tiny variances the
    norm divides by.

    Raises:
        ValueError: Before training, if the backbone has no BatchNorm.

    Examples:
        >>> custom_hooks = [dict(type='mask_plugins.NormEvalHook')]
        >>> type(HOOKS.build(custom_hooks[0])).__name__
        'NormEvalHook'
    """

    _norms: Sequence[_BatchNorm] = ()

    def before_train(self, runner: Runner) -> None:
        """Find the norms."""
        modules = unwrap(runner.model).backbone.modules()
        self._norms = [m for m in modules if isinstance(m, _BatchNorm)]
        if not self._norms:
            raise ValueError('NormEvalHook: the backbone has no BatchNorm')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """The loop has set the whole model to training mode."""
        for norm in self._norms:
            norm.eval()
