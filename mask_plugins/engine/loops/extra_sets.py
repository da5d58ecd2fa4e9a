# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Evaluate a model on further data sets, beside the one of the config."""

import copy
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mask_plugins.datasets.traverse import configured_pipeline


class ExtraSet(NamedTuple):
    """A further data set with metrics of its own."""

    name: str
    dataloader: DataLoader
    evaluator: Evaluator


def build_extra_sets(
    runner: Runner,
    extra_sets: Dict[str, dict],
    dataloader: Any,
    evaluator: Any,
) -> List[ExtraSet]:
    """Build further data sets, each as the main one is built.

    Args:
        runner (Runner): The runner.
        extra_sets (dict): Name to the config of a data set. It may have
            ``evaluator``, metrics instead of those of the main set. Without a
            ``pipeline`` it gets that of the main set.
        dataloader (dict): Config of the main set's loader.
        evaluator (dict | list): Config of the main set's metrics.

    Raises:
        TypeError: If ``extra_sets`` is no dict of dicts, or the main loader
            and metrics are objects, which cannot be built a second time.
        ValueError: If a name is empty or has a ``/``.
    """
    if not isinstance(extra_sets, dict) or not all(
        isinstance(settings, dict) for settings in extra_sets.values()
    ):
        raise TypeError(
            'extra_sets must be a dict of names and configs of data sets, '
            f'got {extra_sets!r}'
        )
    if not isinstance(dataloader, dict):
        raise TypeError(
            'with extra_sets, the dataloader must be a config, got '
            f'{type(dataloader).__name__}'
        )
    made = []
    for name, settings in extra_sets.items():
        if not name or '/' in name:
            raise ValueError(
                f"names of extra_sets must have no '/', got {name!r}"
            )
        dataset = copy.deepcopy(dict(settings))
        metrics = dataset.pop('evaluator', evaluator)
        if not isinstance(metrics, (dict, list)):
            raise TypeError(
                f'the evaluator of {name} must be a config, got '
                f'{type(metrics).__name__}'
            )
        if 'pipeline' not in dataset and 'dataset' not in dataset:
            main = configured_pipeline(dataloader['dataset'])
            dataset['pipeline'] = copy.deepcopy(main or [])
        loader = runner.build_dataloader(
            dict(copy.deepcopy(dict(dataloader)), dataset=dataset),
            seed=runner.seed,
        )
        built = runner.build_evaluator(copy.deepcopy(metrics))
        built.dataset_meta = getattr(loader.dataset, 'metainfo', None)
        made.append(ExtraSet(name, loader, built))
    return made


def run_extra_sets(loop: Any, extra_sets: Sequence[ExtraSet]) -> dict:
    """Run each through ``loop.run_iter``, which sees it as its own.

    Returns:
        dict: Metrics under ``<name>/<metric>``.
    """
    main = loop.dataloader, loop.evaluator
    metrics: Dict[str, Any] = {}
    try:
        for one in extra_sets:
            loop.dataloader, loop.evaluator = one.dataloader, one.evaluator
            for index, batch in enumerate(one.dataloader):
                loop.run_iter(index, batch)
            found = one.evaluator.evaluate(len(one.dataloader.dataset))
            metrics.update({f'{one.name}/{k}': v for k, v in found.items()})
    finally:
        loop.dataloader, loop.evaluator = main
    return metrics


class ExtraSetsMixin:
    """Let the evaluator of a loop run the further sets, too.

    The loop itself stays mmengine's: its one call of ``evaluate``, after the
    last batch of the main set, is where the others come in, so that all
    metrics reach the hooks together.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        extra_sets: Dict[str, dict],
        **kwargs,
    ) -> None:
        # Copies: building takes keys out of configs.
        configs = copy.deepcopy((dataloader, evaluator))
        super().__init__(runner, dataloader, evaluator, **kwargs)
        self.extra_sets = build_extra_sets(runner, extra_sets, *configs)

    def run(self) -> Optional[dict]:
        """Evaluate all sets; metrics of the main one come first."""
        main = self.evaluator
        self.evaluator = _AllSets(self, main)
        try:
            return super().run()
        finally:
            self.evaluator = main


class _AllSets:
    """The main evaluator, whose results are those of all sets."""

    def __init__(self, loop: ExtraSetsMixin, main: Evaluator) -> None:
        self._loop, self._main = loop, main

    def __getattr__(self, name: str) -> Any:
        return getattr(self._main, name)

    def evaluate(self, size: int) -> dict:
        metrics = self._main.evaluate(size)
        metrics.update(run_extra_sets(self._loop, self._loop.extra_sets))
        return metrics
