# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Evaluate a model on further data sets, next to the one of the config."""

import copy
from typing import Any, List, NamedTuple

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mask_plugins.datasets.traverse import configured_pipeline
from mask_plugins.utils.checks import check_type


class ExtraSet(NamedTuple):
    """A further data set with metrics of its own."""

    name: str
    dataloader: DataLoader
    evaluator: Evaluator


def build_extra_sets(
    runner: Runner, extra_sets: dict, dataloader: Any, evaluator: Any
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
        TypeError: If ``extra_sets`` is not a dict of dicts, or the main
            loader and metrics are objects, which cannot be built twice.
        ValueError: If a name is empty or has a ``/``.
    """
    what = 'a dict of names and configs of data sets'
    check_type('extra_sets', extra_sets, dict, what)
    check_type('with extra_sets, the dataloader', dataloader, dict, 'a config')
    made = []
    for name, settings in extra_sets.items():
        if not name or '/' in name:
            raise ValueError(f"a set's name must have no '/', got {name!r}")
        check_type('extra_sets', settings, dict, what)
        dataset = dict(settings)
        metrics = dataset.pop('evaluator', evaluator)
        kinds = (dict, list)
        check_type(f'the evaluator of {name}', metrics, kinds, 'a config')
        if 'pipeline' not in dataset and 'dataset' not in dataset:
            main = configured_pipeline(dataloader['dataset'])
            dataset['pipeline'] = main or []
        cfg = copy.deepcopy(dict(dataloader, dataset=dataset))
        loader = runner.build_dataloader(cfg, seed=runner.seed)
        built = runner.build_evaluator(copy.deepcopy(metrics))
        built.dataset_meta = getattr(loader.dataset, 'metainfo', None)
        made.append(ExtraSet(name, loader, built))
    return made


class ExtraSetsMixin:
    """Let the evaluator of a loop run the further sets, too.

    The loop itself stays mmengine's: its one call of ``evaluate``, after the
    last batch of the main set, is where the others come in, so that all
    metrics reach the hooks together.
    """

    def __init__(
        self, runner: Runner, dataloader, evaluator, extra_sets, **kwargs
    ) -> None:
        # Copies: building takes keys out of configs.
        configs = copy.deepcopy((dataloader, evaluator))
        super().__init__(runner, dataloader, evaluator, **kwargs)
        self.extra_sets = build_extra_sets(runner, extra_sets, *configs)
        self.evaluator = _AllSets(self, self.evaluator)


class _AllSets:
    """The main evaluator, whose results are those of all sets."""

    def __init__(self, loop: ExtraSetsMixin, main: Evaluator) -> None:
        self._loop, self._main = loop, main

    def __getattr__(self, name: str) -> Any:
        return getattr(self._main, name)

    def evaluate(self, size: int) -> dict:
        """Metrics of the main set, then ``<name>/<metric>`` of the others."""
        loop, metrics = self._loop, self._main.evaluate(size)
        main = loop.dataloader
        try:
            for one in loop.extra_sets:
                loop.dataloader, loop.evaluator = one.dataloader, one.evaluator
                for index, batch in enumerate(one.dataloader):
                    loop.run_iter(index, batch)
                found = one.evaluator.evaluate(len(one.dataloader.dataset))
                metrics.update({f'{one.name}/{k}': found[k] for k in found})
        finally:
            loop.dataloader, loop.evaluator = main, self
        return metrics
