# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""An image classifier that is tested on its embeddings."""

from typing import List, Optional

import torch.nn.functional as F
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mask_plugins.models.heads.embedding import last_embedding
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_bool


@MODELS.register_module()
class ImageEmbedder(ImageClassifier):
    """A stock ``ImageClassifier`` whose predictions hold the embedding.

    Training, names of weights and checkpoints are the stock ones, with any
    head. Testing leaves the unit-length output of the neck (of the backbone
    without one) in each data sample as ``embedding``, for
    :class:`mask_plugins.RetrievalMetrics`. This takes one pass over the
    images; mmpretrain's ``ImageToImageRetriever`` runs over the gallery first
    and compares each query with all of it.

    Args:
        *args: See ``ImageClassifier``.
        classify (bool): Whether to let the head predict classes too, which
            is meaningful only if the classes of the test are those of the
            training. Defaults to False.
        **kwargs: See ``ImageClassifier``.

    Raises:
        TypeError: If ``classify`` is not a bool.
        ValueError: While testing, if the embeddings are not (B, D).

    Examples:
        >>> import torch
        >>> model = ImageEmbedder(
        ...     backbone=dict(type='mask_plugins.CIFARResNet', depth=8),
        ...     neck=dict(type='mask_plugins.MaxAvgPooling')).eval()
        >>> model.predict(torch.zeros(1, 3, 8, 8))[0].embedding.shape
        torch.Size([128])
    """

    def __init__(self, *args, classify: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.classify = check_bool('classify', classify)

    def predict(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
        **kwargs,
    ) -> List[DataSample]:
        """Leave ``embedding``, (D,), in each data sample."""
        feats = self.extract_feat(inputs)
        embeddings = last_embedding(feats)
        if self.classify:
            data_samples = self.head.predict(feats, data_samples, **kwargs)
        elif data_samples is None:
            data_samples = [DataSample() for _ in embeddings]
        for sample, row in zip(data_samples, F.normalize(embeddings.float())):
            sample.set_field(row, 'embedding')
        return data_samples
