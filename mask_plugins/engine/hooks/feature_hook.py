# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pass the features of a model to metrics of features."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.evaluation.metrics import (
    EVALUATED_FEATURES,
    EvaluatedFeatures,
)
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_bool, check_choice

from .attribute_target import unwrap
from .feature_capture import capture_features, find_layer


@HOOKS.register_module()
class FeatureHook(Hook):
    """Let metrics see features, in validation and test.

    Metrics see predictions only. This hook reads the output of the neck (of
    the backbone, where there is no neck) as the model predicts, without
    another forward pass and for any classifier, and passes it to
    :class:`mask_plugins.RankMe` and :class:`mask_plugins.KNNAccuracy`. Of
    several outputs the last is taken; maps are averaged over space. Of weights
    that an ``EMAHook`` averages, features and predictions are those of the
    average.

    Nothing has to be saved to resume, and no random number is drawn.

    Args:
        layer (str): Dotted path of the module whose output is taken.
            Defaults to ``'neck'``.
        bank (bool): Take the features of the training set, without
            augmentation, before each validation and test, as
            ``KNNAccuracy`` asks for. Defaults to False.

    Raises:
        TypeError: If ``bank`` is not a bool.
        ValueError: If the model has no such module, or ``layer`` has no bank.

    Examples:
        >>> FeatureHook(layer='backbone', bank=True).layer
        'backbone'
    """

    # After EMAHook (50), whose after_val_epoch may evaluate the trained
    # weights too: the features must still be read there.
    priority = 56

    def __init__(self, layer: str = 'neck', bank: bool = False) -> None:
        if check_bool('bank', bank):
            check_choice('the layer of a bank', layer, ('backbone', 'neck'))
        self.layer = layer
        self.bank = bank
        self._handle: Any = None
        self._train_set: Any = None

    def before_train(self, runner: Runner) -> None:
        """An error at once if there is no such module."""
        find_layer(runner.model, self.layer)

    def before_val_epoch(self, runner: Runner) -> None:
        """Start reading."""
        self._open(runner, runner.val_loop)

    def before_test_epoch(self, runner: Runner) -> None:
        """Start reading."""
        self._open(runner, runner.test_loop)

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Forget the features: the next batch has its own."""
        runner.message_hub.pop_info(EVALUATED_FEATURES, None)

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Stop reading."""
        self._close(runner)

    after_test_epoch = after_val_epoch

    def _open(self, runner: Runner, loop: Any) -> None:
        self._close(runner)  # of an evaluation that an error ended
        bank = self._features(runner) if self.bank else None

        def share(values) -> None:
            # Not by update_info(resumed=False): it leaves the key in
            # checkpoints, which mmengine then warns about.
            runner.message_hub.runtime_info[EVALUATED_FEATURES] = (
                EvaluatedFeatures(values, len(loop.dataloader.dataset), bank)
            )

        self._handle = capture_features(runner.model, self.layer, share)

    def _close(self, runner: Runner) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        runner.message_hub.pop_info(EVALUATED_FEATURES, None)

    def _features(self, runner: Runner) -> Any:
        # Imported here: it needs mmpretrain, other hooks do not.
        from mask_plugins.apis import data, features

        if self._train_set is None:
            self._train_set = features.build_train_set(runner.cfg)
        loader = data.build_test_loader(runner.cfg, self._train_set)
        model = unwrap(runner.model)
        return features.extract_features(model, loader, self.layer, 'bank')
