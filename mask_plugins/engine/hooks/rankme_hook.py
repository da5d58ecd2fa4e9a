# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Watch the rank of the features while a model is trained."""

from typing import Any, List, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mask_plugins.functional.rankme import NORMALIZE, rankme
from mask_plugins.registry import HOOKS

from .attribute_target import unwrap
from .feature_capture import FeatureTap


@HOOKS.register_module()
class RankMeHook(Hook):
    """Log RankMe of the training batch as ``train/rank``.

    Every ``interval`` iterations it takes the output of the neck (of the
    backbone, where there is no neck) of one batch as it flows by, outside the
    graph, and its singular values: no further forward pass, and nothing at
    all in the other iterations.

    It is a monitor. Features of a batch, augmented and in train mode, have a
    rank of at most the batch size on this process (rank 0's is logged), so it
    is comparable neither with other batch sizes nor with the paper; for that
    there is :class:`mask_plugins.RankMe`.

    Args:
        interval (int): Iterations between two values. Defaults to 100.
        normalize (str): ``'none'``, or ``'row'`` for features of length 1.
            Defaults to ``'none'``.
        layer (str): Dotted path of the module whose output is taken.
            Defaults to ``'neck'``.

    Raises:
        ValueError: If an argument is not allowed, or the model has no such
            module.
    """

    # Before those that log (TrainLogHook 58, LoggerHook 60).
    priority = 57

    def __init__(
        self,
        interval: int = 100,
        normalize: str = 'none',
        layer: str = 'neck',
    ) -> None:
        if type(interval) is not int or interval < 1:
            raise ValueError(
                f'interval must be an int of at least 1, got {interval!r}'
            )
        if normalize not in NORMALIZE:
            raise ValueError(
                f'normalize must be one of {NORMALIZE}, got {normalize!r}'
            )
        self.interval = interval
        self.normalize = normalize
        self.layer = layer
        self._tap: Optional[FeatureTap] = None
        self._seen: List[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """An error at once if there is no such module."""
        FeatureTap.find(unwrap(runner.model), self.layer)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Read what flows by, in every ``interval``-th iteration."""
        self._close()  # of an iteration that an error ended
        if runner.iter % self.interval == 0:
            model = unwrap(runner.model)
            self._tap = FeatureTap(model, self.layer, self._seen.append)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Log the rank of what was read."""
        if self._tap is None:
            return
        seen = list(self._seen)
        self._close()
        if not seen:
            raise RuntimeError(
                f'mask_plugins.RankMeHook: {self.layer!r} was not called in '
                'this iteration'
            )
        # Of several views the first, which no mask has touched.
        with torch.autocast(seen[0].device.type, enabled=False):
            value = rankme(seen[0], self.normalize)
        runner.message_hub.update_scalar('train/rank', value)

    def _close(self) -> None:
        if self._tap is not None:
            self._tap.close()
        self._tap = None
        self._seen.clear()
