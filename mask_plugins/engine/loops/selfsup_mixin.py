# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Evaluate the features of a model that predicts nothing."""

from typing import Any, Optional

import torch
from mmengine.runner import Runner, autocast

from mask_plugins.engine.hooks.attribute_target import unwrap
from mask_plugins.engine.randomness.random_states import (
    preserved_random_states,
)
from mask_plugins.evaluation.metrics import (
    EVALUATED_FEATURES,
    EvaluatedFeatures,
    KNNAccuracy,
)
from mask_plugins.utils.checks import check_choice


class SelfSupMixin:
    """Pass features, instead of predictions, to the metrics of a loop.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Plain images, one view each.
        evaluator (dict | list): Metrics of features.
        layer (str): ``'backbone'`` or ``'neck'``. Defaults to
            ``'backbone'``.
        **kwargs: See :class:`mmengine.runner.ValLoop`.
    """

    mode = ''

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        layer: str = 'backbone',
        **kwargs,
    ) -> None:
        self.layer = check_choice('layer', layer, ('backbone', 'neck'))
        super().__init__(runner, dataloader, evaluator, **kwargs)
        self._train_set: Any = None
        self._bank: Any = None

    def run(self) -> dict:
        """Evaluate; random states are afterwards what they were."""
        with preserved_random_states():
            try:
                self._bank = self._features_of_training_set()
                return super().run()
            finally:
                self._bank = None

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Evaluate a batch."""
        # Imported here: it needs mmpretrain, other loops do not.
        from mask_plugins.apis.features import batch_features

        info = dict(batch_idx=idx, data_batch=data_batch)
        self.runner.call_hook(f'before_{self.mode}_iter', **info)
        with autocast(enabled=self.fp16):
            model = unwrap(self.runner.model)
            values = batch_features(model, data_batch, self.layer)
        shared = self.runner.message_hub.runtime_info
        size = len(self.dataloader.dataset)
        shared[EVALUATED_FEATURES] = EvaluatedFeatures(
            values, size, self._bank
        )
        try:
            samples = data_batch['data_samples']
            self.evaluator.process(samples, data_batch)
        finally:
            shared.pop(EVALUATED_FEATURES, None)
        self.runner.call_hook(
            f'after_{self.mode}_iter', outputs=samples, **info
        )

    def _features_of_training_set(self) -> Optional[Any]:
        """Those that k-NN asks for; None if no metric does."""
        from mask_plugins.apis.data import build_test_loader
        from mask_plugins.apis.features import (
            build_train_set,
            extract_features,
        )

        metrics = self.evaluator.metrics
        if not any(
            isinstance(one, KNNAccuracy) and one.bank == 'train'
            for one in metrics
        ):
            return None
        cfg = self.runner.cfg
        if self._train_set is None:
            self._train_set = build_train_set(cfg)
        loader = build_test_loader(cfg, self._train_set)
        model = unwrap(self.runner.model)
        return extract_features(model, loader, self.layer, 'k-NN bank')
