# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Measure how well views of an image can be told from those of others."""

from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mask_plugins.engine.randomness.random_states import (
    preserved_random_states,
)
from mask_plugins.functional.lidar import lidar
from mask_plugins.functional.seeding import (
    SAMPLE,
    derive_seeds,
    seed_generators,
)
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_choice, check_int, check_number

from .attribute_target import unwrap
from .evaluation_interval import is_due


@HOOKS.register_module()
class LiDARHook(Hook):
    """Log LiDAR, which predicts linear probing without labels.

    "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL
    Architectures" (Thilak et al., ICLR 2024,
    https://arxiv.org/abs/2312.04000). After a validation, images of the
    training set go through its own, random pipeline several times; see
    :func:`mask_plugins.functional.lidar.lidar`. ``lidar/rank`` is among the
    metrics. The views are the same each time and on any number of processes,
    and the training is bit for bit what it is without.

    Args:
        interval (int): Epochs between two measures, counted at validations;
            0 measures after the last one only. Defaults to 0.
        images (int): At least 2, spread evenly over the training set; all of
            a smaller one. Defaults to 1000, as in the paper.
        views (int): Of each image, at least 2. Defaults to 50, as in the
            paper. Those of a multi-crop pipeline are the crops of its first
            size.
        layer (str): ``'neck'``, as in the paper, or ``'backbone'``. Defaults
            to ``'neck'``.
        delta (float): See the function. Defaults to 1e-4.

    Raises:
        TypeError, ValueError: If an argument is out of range.

    Examples:
        >>> LiDARHook(interval=10, images=200, views=10).views
        10
    """

    # As LinearProbeHook: with the weights that were evaluated, before those
    # that log.
    priority = 45

    def __init__(
        self,
        interval: int = 0,
        images: int = 1000,
        views: int = 50,
        layer: str = 'neck',
        delta: float = 1e-4,
    ) -> None:
        self.interval = check_int('interval', interval, 0)
        self.images = check_int('images', images, 2)
        self.views = check_int('views', views, 2)
        self.layer = check_choice('layer', layer, ('backbone', 'neck'))
        self.delta = check_number('delta', delta, 0, ends='()')
        self._train_set: Any = None

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        """Measure, if it is time to."""
        if is_due(runner, self.interval):
            with preserved_random_states():
                found = self._measure(runner)
            runner.message_hub.update_scalar('val/lidar/rank', found)
            if metrics is not None:
                metrics['lidar/rank'] = found

    @torch.no_grad()
    def _measure(self, runner: Runner) -> float:
        # Imported here: it needs mmpretrain, other hooks do not.
        from mask_plugins.apis.features import batch_features

        model = unwrap(runner.model)
        gram = sums = None  # the model is in eval mode
        for images, batch in self._batches(runner):
            z = batch_features(model, batch, self.layer).double()
            if gram is None:
                gram = z.new_zeros(z.shape[1], z.shape[1])
                sums = z.new_zeros(self._count(), z.shape[1])
            gram += z.T @ z
            sums.index_add_(0, images.to(z.device), z)
        all_reduce(gram)
        all_reduce(sums)
        return lidar(gram, sums / self.views, self.views, self.delta)

    def _count(self) -> int:
        """Images that are measured, one or more on each rank."""
        most = max(self.images, get_dist_info()[1])
        return min(most, len(self._train_set))

    def _batches(self, runner: Runner) -> Iterator[Tuple[Tensor, dict]]:
        """This rank's views, with the number of the image of each."""
        settings = runner.cfg.train_dataloader
        if self._train_set is None:
            from mask_plugins.apis.data import build_set

            self._train_set = build_set(
                runner.cfg, settings['dataset'], 'training'
            )
        rank, ranks = get_dist_info()
        views = _Views(
            self._train_set,
            self._count(),
            self.views,
            runner.seed,
            rank,
            ranks,
        )
        loader = DataLoader(
            views,
            batch_size=1,
            num_workers=settings.get('num_workers', 0),
            collate_fn=_only,
            generator=torch.Generator(),
        )
        for image, inputs in loader:
            yield (
                torch.full((len(inputs),), image),
                dict(inputs=inputs, data_samples=[]),
            )


class _Views(Dataset):
    """Image by image of a training set, all views of it as one batch."""

    def __init__(self, dataset, count, views, seed, rank, ranks) -> None:
        self.places = np.linspace(0, len(dataset) - 1, count).round()
        self.numbers = range(rank, count, ranks)
        self.dataset, self.views, self.seed = dataset, views, seed

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Tuple[int, Tensor]:
        number = self.numbers[index]
        place = int(self.places[number])
        views, draw = [], 0
        while len(views) < self.views:
            seeds = derive_seeds(self.seed, SAMPLE, 0, 0, place, draw)
            seed_generators(seeds)
            found = self.dataset[place]['inputs']
            found = found if isinstance(found, (list, tuple)) else [found]
            views += [one for one in found if one.shape == found[0].shape]
            draw += 1
        return number, torch.stack(views[: self.views])


def _only(samples: list) -> Any:
    return samples[0]
