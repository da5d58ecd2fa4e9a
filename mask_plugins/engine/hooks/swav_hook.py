# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""When the queue of SwAV starts and its prototypes begin to learn."""

from typing import Any, Dict, List

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from mask_plugins.datasets.samplers import locate_step
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_int
from mask_plugins.utils.compat_torch import StepWatch

from .attribute_target import unwrap


@HOOKS.register_module()
class SwAVHook(Hook):
    """Start the queue of :class:`mask_plugins.SwAVHead`, freeze prototypes.

    Both are functions of ``runner.iter``: a resumed run continues them
    without any state of the hook, and the queue itself is in the checkpoint.
    A training that starts from the weights of another has an empty queue.

    Args:
        queue_start_epoch (int): From this epoch, counted from 0, the queue is
            filled; it is used once it is full. Defaults to 15.
        freeze_prototypes (int): So many iterations from the start the
            optimizer leaves the prototypes as they are. Defaults to 0.

    Raises:
        TypeError, ValueError: If a number is negative, or, before training,
            if the head of the model is another.

    Examples:
        >>> SwAVHook(30, freeze_prototypes=5005).queue_start_epoch
        30
    """

    def __init__(
        self, queue_start_epoch: int = 15, freeze_prototypes: int = 0
    ) -> None:
        self.queue_start_epoch = check_int(
            'queue_start_epoch', queue_start_epoch, 0
        )
        self.freeze_prototypes = check_int(
            'freeze_prototypes', freeze_prototypes, 0
        )
        self._frozen: List[Tensor] = []
        self._watches: List[StepWatch] = []

    def before_train(self, runner: Runner) -> None:
        """Find the head; let the optimizer skip frozen prototypes."""
        head = self._head(runner)
        if runner.iter == 0:  # of a checkpoint that another training left
            head.queue.zero_()
            head.queued.zero_()
        if not self.freeze_prototypes:
            return
        wrapper = runner.optim_wrapper
        all_ = isinstance(wrapper, OptimWrapperDict)
        for one in wrapper.values() if all_ else [wrapper]:
            watch = StepWatch(one.optimizer, self._skip, before=True)
            self._watches.append(watch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set what holds in this iteration."""
        head = self._head(runner)
        epoch, _ = locate_step(runner.train_dataloader, runner.iter)
        head.queue_on = epoch >= self.queue_start_epoch
        frozen = runner.iter < self.freeze_prototypes
        self._frozen = list(head.prototypes.parameters()) if frozen else []

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer as it was."""
        for watch in self._watches:
            watch.remove()
        self._watches.clear()

    def _skip(self, optimizer: Any, args: tuple, kwargs: Dict) -> None:
        # After the reduction over ranks, which needs all gradients. Without a
        # gradient a parameter is skipped, its decay included.
        for parameter in self._frozen:
            parameter.grad = None

    @staticmethod
    def _head(runner: Runner) -> Any:
        # Imported here: it needs mmpretrain, other hooks do not.
        from mask_plugins.models.heads import SwAVHead

        head = getattr(unwrap(runner.model), 'head', None)
        if not isinstance(head, SwAVHead):
            raise TypeError(
                'mask_plugins.SwAVHook needs a model whose head is '
                f'mask_plugins.SwAVHead, got {type(head).__name__}'
            )
        return head
