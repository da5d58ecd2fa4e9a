# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Watch the rank of the features while a model is trained."""

from typing import Any, List

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mask_plugins.evaluation.metrics import nan_results
from mask_plugins.functional.feature_vectors import non_finite_rows
from mask_plugins.functional.rankme import NORMALIZE, rankme
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_choice, check_int

from .feature_capture import capture_features, find_layer


@HOOKS.register_module()
class RankMeHook(Hook):
    """Log RankMe of the training batch as ``train/rank``.

    Every ``interval`` iterations it reads the output of the neck (of the
    backbone, where there is no neck) for one batch, outside the graph, and
    computes its singular values: no further forward pass, and nothing at all
    in the other iterations. Features that are not finite give NaN and a
    warning.

    It is a monitor. Features of a batch, augmented and in train mode, have a
    rank of at most the batch size on this process (rank 0's is logged), which
    cannot be compared with other batch sizes or with the paper; for that use
    :class:`mask_plugins.RankMe`.

    Args:
        interval (int): Iterations between two values. Defaults to 100.
        normalize (str): ``'none'``, or ``'row'`` for features of length 1.
            Defaults to ``'none'``.
        layer (str): Dotted path of the module whose output is taken.
            Defaults to ``'neck'``.

    Raises:
        TypeError, ValueError: If ``interval`` is below 1, ``normalize`` is
            unknown, or the model has no such module.

    Examples:
        >>> RankMeHook(interval=50).interval
        50
    """

    # Before those that log (TrainLogHook 58, LoggerHook 60).
    priority = 57

    def __init__(
        self,
        interval: int = 100,
        normalize: str = 'none',
        layer: str = 'neck',
    ) -> None:
        self.interval = check_int('interval', interval, 1)
        self.normalize = check_choice('normalize', normalize, NORMALIZE)
        self.layer = layer
        self._handle: Any = None
        self._seen: List[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """An error at once if there is no such module."""
        find_layer(runner.model, self.layer)

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Read the features, in every ``interval``-th iteration."""
        self._close()  # of an iteration that an error ended
        if runner.iter % self.interval == 0:
            take = self._seen.append
            self._handle = capture_features(runner.model, self.layer, take)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Log the rank of what was read."""
        if self._handle is None:
            return
        if not self._seen:
            raise RuntimeError(f'RankMeHook: {self.layer!r} was not called')
        rows = self._seen[0]  # of several views the first, which is not masked
        self._close()
        with torch.autocast(rows.device.type, enabled=False):
            found = dict(rank=rankme(rows, self.normalize))
        name, wrong = type(self).__name__, non_finite_rows(rows)
        found = nan_results(found, name, wrong, len(rows))
        runner.message_hub.update_scalar('train/rank', found['rank'])

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.remove()
        self._handle = None
        self._seen.clear()
