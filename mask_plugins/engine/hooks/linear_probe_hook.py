# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Probe frozen features with a linear classifier, during a training."""

from typing import Any, Dict, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mask_plugins.evaluation.metrics import nan_results
from mask_plugins.functional.feature_vectors import non_finite_rows
from mask_plugins.functional.linear_probe import LinearProbe
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_int, check_number

from .attribute_target import unwrap
from .evaluation_interval import is_due


@HOOKS.register_module()
class LinearProbeHook(Hook):
    """Log how well a linear classifier does on the frozen features.

    After a validation (and each test) the features of the training set,
    without augmentation, and of the evaluated set are taken once, in eval
    mode, and :class:`mask_plugins.functional.linear_probe.LinearProbe` is
    fitted. The result is among the metrics under names of its own, next to
    the accuracy of the classifier, which it never touches:

    - ``probe/top1``: accuracy on the evaluated set in %;
    - ``probe/train_top1``: that on the training set.

    Both are NaN, with a warning, if a feature is not finite. The model, its
    head and the random state are not changed: a run with this hook is bit for
    bit the run without. Of weights that an
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

    Raises:
        TypeError, ValueError: If ``interval``, ``l2`` or ``limit`` is
            negative, ``max_iter`` is below 1, or the model has no such layer.

    Examples:
        >>> LinearProbeHook(interval=10, limit=5000).interval
        10
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
    ) -> None:
        self.interval = check_int('interval', interval, 0)
        self.limit = check_int('limit', limit, 0)
        self.layer = layer
        self._l2 = check_number('l2', l2, 0) or None
        self._max_iter = check_int('max_iter', max_iter, 1)
        self._train_set: Optional[Dataset] = None

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Probe, if it is time to."""
        if is_due(runner, self.interval):
            self._probe(runner, 'val', metrics)

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """Probe."""
        self._probe(runner, 'test', metrics)

    def _probe(self, runner: Runner, mode: str, metrics: Any) -> None:
        # Imported here: it needs mmpretrain, other hooks do not.
        from mask_plugins.apis import data, features

        model = unwrap(runner.model)

        def extract(part: Dataset, limit: Optional[int] = None) -> Any:
            cfg, what = runner.cfg, f'features of {len(part)} samples'
            loader = data.build_test_loader(cfg, part, limit=limit)
            return features.extract_features(model, loader, self.layer, what)

        if self._train_set is None:
            self._train_set = features.build_train_set(runner.cfg)
        train = extract(self._train_set, self.limit or None)
        test = extract(getattr(runner, f'{mode}_loop').dataloader.dataset)
        found = [{}]
        if is_main_process():
            device = next(model.parameters()).device
            found = [self._fit(runner, train, test, device)]
        broadcast_object_list(found)
        # RuntimeInfoHook has already put those of the evaluator there.
        for key, value in found[0].items():
            runner.message_hub.update_scalar(f'{mode}/{key}', value)
        if metrics is not None:
            metrics.update(found[0])

    def _fit(self, runner, train, test, device) -> Dict[str, float]:
        keys = ('probe/top1', 'probe/train_top1')
        parts = (test.values, train.values)
        wrong = sum(map(non_finite_rows, parts))
        if wrong:
            name, rows = type(self).__name__, sum(map(len, parts))
            return nan_results(dict.fromkeys(keys, 0.0), name, wrong, rows)
        probe = LinearProbe(self._l2, self._max_iter)
        values = train.values.to(device)
        probe.fit(values, train.labels.to(device))
        if not probe.converged:
            what = f'not converged after {probe.iterations} iterations'
            runner.logger.warning(f'{what}: raise max_iter or l2')
        top1 = probe.accuracy(test.values, test.labels)
        return dict(zip(keys, (top1, probe.accuracy(values, train.labels))))
