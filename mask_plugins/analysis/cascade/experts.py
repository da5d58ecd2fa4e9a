# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How long each expert is trained, and its config."""

import copy
from typing import List, NamedTuple

from mmengine.config import Config

from mask_plugins.utils.checks import PathLike, check_int


class ExpertLength(NamedTuple):
    """Lengths of the training of an expert.

    Args:
        epochs (int): Of the training.
        queue_start (float): Epoch at which its queue starts.

    Examples:
        >>> ExpertLength(526, 105.2).epochs
        526
    """

    epochs: int
    queue_start: float


def expert_length(
    size: int, images: int = 50000, epochs: int = 150, queue_start: int = 30
) -> ExpertLength:
    """As many iterations as the dispatcher had, on fewer images.

    Args:
        size (int): Images of the cluster.
        images (int): Of the whole training set. Defaults to 50000.
        epochs (int): Of the dispatcher. Defaults to 150.
        queue_start (int): Epoch at which its queue started. Defaults to 30.

    Raises:
        TypeError, ValueError: If a number is out of range.

    Examples:
        >>> expert_length(14254).epochs
        526
    """
    check_int('images', images, 1)
    check_int('size', size, 1, images)
    factor = images / size
    return ExpertLength(round(factor * epochs), factor * queue_start)


def check_sizes(sizes: List[int], batch_size: int) -> None:
    """Refuse clusters on which no expert can be trained.

    Args:
        sizes (list[int]): Training images of each cluster.
        batch_size (int): Of the training; smaller batches are dropped.

    Raises:
        ValueError: If a cluster has fewer images than a batch.
    """
    small = [
        f'{index} ({size} images)'
        for index, size in enumerate(sizes)
        if size < batch_size
    ]
    if small:
        raise ValueError(
            f'clusters {", ".join(small)} have fewer images than a batch of '
            f'{batch_size}: ask for fewer clusters, or a smaller batch'
        )


def expert_config(
    dispatcher: Config,
    checkpoint: PathLike,
    clusters: PathLike,
    cluster: int,
    size: int,
    images: int,
) -> Config:
    """The config of an expert: the dispatcher's, on one cluster.

    It starts from the weights of the dispatcher, masks and prototypes
    included, with learning rates from the start. The queue is empty.

    Args:
        dispatcher (Config): Config of the dispatcher.
        checkpoint (str | os.PathLike): Its weights.
        clusters (str | os.PathLike): ``clusters.safetensors``.
        cluster (int): Number of the cluster.
        size (int): Its training images.
        images (int): Those of the whole training set.
    """
    cfg = copy.deepcopy(dispatcher)
    hooks = [dict(hook) for hook in cfg.get('custom_hooks', [])]
    starts = [h for h in hooks if h.get('type') == 'mask_plugins.SwAVHook']
    old = starts[0].get('queue_start_epoch', 15) if starts else 0
    length = expert_length(size, images, cfg.train_cfg.max_epochs, old)
    for hook in starts:
        hook['queue_start_epoch'] = round(length.queue_start)
    interval = cfg.train_cfg.get('val_interval', 1)
    stretch = length.epochs / cfg.train_cfg.max_epochs
    cfg.merge_from_dict(
        dict(
            train_cfg=dict(
                max_epochs=length.epochs,
                val_interval=max(1, round(interval * stretch)),
            ),
            load_from=str(checkpoint),
            custom_hooks=hooks,
        )
    )
    loader = cfg.train_dataloader
    loader.dataset = dict(
        type='mask_plugins.ClusterSubset',
        clusters=str(clusters),
        cluster=cluster,
        dataset=loader.dataset.to_dict()
        if hasattr(loader.dataset, 'to_dict')
        else loader.dataset,
    )
    return cfg
