# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Probe frozen features with a linear classifier, during a training."""

from typing import Any, Dict, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import Dataset

from mask_plugins.functional.linear_probe import LinearProbe
from mask_plugins.registry import HOOKS

from .attribute_target import unwrap


@HOOKS.register_module()
class LinearProbeHook(Hook):
    """Log how well a linear classifier does on the frozen features.

    After a validation (and each test) the features of the training set,
    without augmentation, and of the evaluated set are taken once, in eval
    mode, and :class:`mask_plugins.functional.linear_probe.LinearProbe` is
    fitted. The result is among the metrics under names of its own, beside the
    accuracy of the classifier, which it never touches:

    - ``probe/top1``: accuracy on the evaluated set in %;
    - ``probe/train_top1``: that on the training set.

    The model, its head and the random state are as they were, so that a run
    with this hook is bit for bit the run without. Of weights that an
    ``EMAHook`` averages, those are probed that were evaluated. In a
    distributed run the ranks share the extraction; rank 0 fits.

    Args:
        interval (int): Epochs between two probes, counted at validations;
            0 probes after the last validation only. Defaults to 0.
        l2 (float): Weight of the L2 term; 0 is 0.01 / N. Defaults to 0.
        layer (str): ``'backbone'``, ``'neck'`` or ``'pre_logits'``. Defaults
            to ``'neck'``.
        limit (int): Take so many training images, spread evenly; 0 takes
            all. Defaults to 0.
        max_iter (int): Iterations of L-BFGS. Defaults to 500.
        standardize (bool): See :class:`LinearProbe`. Defaults to False.

    Raises:
        ValueError: If an argument is not allowed, or the model has no such
            layer.
    """

    # Before EMAHook (50) puts the trained weights back, and before those that
    # log (TrainLogHook 58, LoggerHook 60).
    priority = 45

    def __init__(
        self,
        interval: int = 0,
        l2: float = 0.0,
        layer: str = 'neck',
        limit: int = 0,
        max_iter: int = 500,
        standardize: bool = False,
    ) -> None:
        for name, value in (('interval', interval), ('limit', limit)):
            if type(value) is not int or value < 0:
                raise ValueError(
                    f'{name} must be an int of at least 0, got {value!r}'
                )
        if not l2 >= 0:
            raise ValueError(f'l2 must be at least 0, got {l2!r}')
        self.interval = interval
        self.layer = layer
        self.limit = limit
        self._settings = dict(
            l2=l2 or None, max_iter=max_iter, standardize=standardize
        )
        LinearProbe(**self._settings)  # an error at once
        self._train_set: Optional[Dataset] = None

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Probe, if it is time to."""
        if not self._is_due(runner):
            return
        found = self._probe(runner, runner.val_loop.dataloader.dataset)
        self._add(runner, 'val', found, metrics)

    def after_test_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Probe."""
        found = self._probe(runner, runner.test_loop.dataloader.dataset)
        self._add(runner, 'test', found, metrics)

    @staticmethod
    def _add(
        runner: Runner,
        mode: str,
        found: Dict[str, float],
        metrics: Optional[Dict[str, Any]],
    ) -> None:
        # RuntimeInfoHook has put those of the evaluator there before.
        for key, value in found.items():
            runner.message_hub.update_scalar(f'{mode}/{key}', value)
        if metrics is not None:
            metrics.update(found)

    def _is_due(self, runner: Runner) -> bool:
        loop = runner._train_loop
        if not isinstance(loop, BaseLoop):  # a validation without a training
            return True
        if hasattr(loop, 'dataloader_iterator'):  # counts no epochs
            length = len(runner.train_dataloader)
            done, last = runner.iter // length, runner.iter >= loop.max_iters
            whole = runner.iter % length == 0
        else:
            done, last = runner.epoch, runner.epoch >= loop.max_epochs
            whole = True
        every = self.interval and whole and done % self.interval == 0
        return bool(last or every)

    def _probe(self, runner: Runner, dataset: Dataset) -> Dict[str, float]:
        # Here: it needs mmpretrain, which the other hooks do without.
        from mask_plugins.apis.features import (
            build_feature_loader,
            build_train_set,
            extract_features,
        )

        if self._train_set is None:
            self._train_set = build_train_set(runner.cfg)
        model = unwrap(runner.model)
        train, test = (
            extract_features(
                model,
                build_feature_loader(runner.cfg, part, limit=limit),
                self.layer,
                f'linear probe: {name} features',
            )
            for name, part, limit in (
                ('training', self._train_set, self.limit or None),
                ('evaluated', dataset, None),
            )
        )
        found = [{}]
        if is_main_process():
            device = next(model.parameters()).device
            found = [self._fit(runner, train, test, device)]
        broadcast_object_list(found)
        return found[0]

    def _fit(self, runner, train, test, device) -> Dict[str, float]:
        if not train.values.isfinite().all():
            runner.logger.warning(
                'LinearProbeHook: features are NaN or infinite, so there is '
                'nothing to probe'
            )
            return {}
        probe = LinearProbe(**self._settings)
        values = train.values.to(device)
        probe.fit(values, train.labels.to(device))
        if not probe.converged:
            runner.logger.warning(
                f'LinearProbeHook: not converged after {probe.iterations} '
                'iterations of L-BFGS; raise max_iter or l2, or set '
                'standardize=True'
            )
        return {
            'probe/top1': probe.accuracy(test.values, test.labels),
            'probe/train_top1': probe.accuracy(values, train.labels),
        }
