# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Losses and miners of pytorch-metric-learning, by config."""

import importlib
import inspect
from typing import Any, Dict, List, Optional

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_number
from mask_plugins.utils.openmmlab import imports_for

from .embedding import Feats, last_embedding
from .labels import batch_labels

PARTS = ('losses', 'miners', 'distances', 'reducers', 'regularizers')


@MODELS.register_module()
class PMLLossHead(ClsHead):
    """Any loss and miner of pytorch-metric-learning on the embedding.

    For instance ``loss=dict(type='ProxyAnchorLoss', alpha=32)``, or
    ``loss=dict(type='TripletMarginLoss', distance=dict(type=
    'CosineSimilarity')), miner=dict(type='MultiSimilarityMiner')``. Dicts
    with a ``type`` inside are built too. ``num_classes`` and
    ``embedding_size`` are filled in where a loss takes them; its proxies are
    parameters ``head.metric_loss.*``, usually given a rate of their own.

    Pairs are those of a process's own batch: nothing is gathered, so on
    several processes the gradient is not that of the joint batch. In
    evaluation the head predicts nothing: test it with
    :class:`mask_plugins.ImageEmbedder`.

    Args:
        num_classes (int): Number of training classes.
        in_channels (int): Channels of the embedding.
        loss (dict): Type and arguments.
        miner (dict, optional): Type and arguments. Defaults to None.
        loss_weight (float): At least 0. Defaults to 1.
        init_cfg (dict, optional): Defaults to None.

    Raises:
        ImportError: If pytorch-metric-learning is not installed.
        ValueError: If it has no such type, or ``loss_weight`` is negative.

    Examples:
        >>> head = PMLLossHead(4, 8, dict(type='ProxyAnchorLoss', alpha=32))
        >>> head.metric_loss.proxies.shape
        torch.Size([4, 8])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict,
        miner: Optional[dict] = None,
        loss_weight: float = 1.0,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        del self.loss_module  # cross entropy, which is not used
        sizes = dict(num_classes=num_classes, embedding_size=in_channels)
        self.metric_loss = _build(loss, sizes)
        taken = inspect.signature(type(self.metric_loss)).parameters
        #: None where the loss compares samples alone.
        self.num_classes = num_classes if 'num_classes' in taken else None
        self.miner = None if miner is None else _build(miner, sizes)
        self.loss_weight = check_number('loss_weight', loss_weight, 0)

    def pre_logits(self, feats: Feats) -> Tensor:
        """The embedding of the last stage, (B, D)."""
        return last_embedding(feats)

    def loss(
        self, feats: Feats, data_samples: List[DataSample], **kwargs
    ) -> Dict[str, Tensor]:
        """The loss over the pairs that the miner chooses, or all.

        Raises:
            TypeError, ValueError: If labels are not one class per row.
        """
        embeddings = self.pre_logits(feats)
        # Without proxies any number of a class will do.
        most = self.num_classes or 2**63 - 1
        labels = batch_labels(data_samples, embeddings, most)
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = F.normalize(embeddings.float())
            pairs = (self.miner(embeddings, labels),) if self.miner else ()
            value = self.metric_loss(embeddings, labels, *pairs)
        return dict(loss=self.loss_weight * value)

    def predict(self, feats: Any, data_samples: Any = None) -> None:
        """Refuse to predict.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            'PMLLossHead has no classifier: test with '
            "model=dict(type='mask_plugins.ImageEmbedder')"
        )


def _build(cfg: dict, sizes: Dict[str, int]) -> Any:
    with imports_for('PMLLossHead'):
        import pytorch_metric_learning as pml
    name = cfg.get('type')
    # its modules are imported one by one
    parts = [importlib.import_module(f'{pml.__name__}.{p}') for p in PARTS]
    kind = next((vars(p)[name] for p in parts if name in vars(p)), None)
    if kind is None:
        raise ValueError(
            f'type must be a class of pytorch_metric_learning ({PARTS}), got '
            f'{name!r}'
        )
    taken = inspect.signature(kind).parameters
    arguments = {key: sizes[key] for key in sizes if key in taken}
    for key, value in cfg.items():
        nested = isinstance(value, dict) and 'type' in value
        arguments[key] = _build(value, sizes) if nested else value
    del arguments['type']
    return kind(**arguments)
