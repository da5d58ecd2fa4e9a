# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A dispatcher and its experts, as one classifier."""

from typing import Any, List, Optional, Union

import torch
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mask_plugins.core.weights import apply_adapters
from mask_plugins.functional.feature_vectors import features_of
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike

from .cascade_file import read_cascade


@MODELS.register_module()
class CascadeClassifier(BaseClassifier):
    """Route each image to an expert of masks on one base.

    "Self-Masking Networks for Unsupervised Adaptation" (Warmerdam et al.,
    GCPR 2024), section 3.4. The dispatcher's features choose a cluster; the
    batch is grouped by cluster, the bits of each expert are copied into the
    masks that are there, and a linear classifier reads the combined features.
    The base network exists once, whatever the number of experts. With a
    conditional method an image takes two forward passes, else one for each
    model.

    It only predicts: ``tools/cascade.py`` trains and exports.

    Args:
        backbone (dict): The network of the base, without masks.
        file (str | os.PathLike): What ``tools/cascade.py export`` wrote.
        data_preprocessor (dict, optional): As that of the training. Defaults
            to None.
        init_cfg (dict, optional): Not needed: all weights are in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or of another backbone.

    Examples:
        >>> CascadeClassifier(dict(type='ResNet', depth=18), 'nowhere')
        Traceback (most recent call last):
        ...
        FileNotFoundError: no cascade file: 'nowhere'
    """

    def __init__(
        self,
        backbone: dict,
        file: PathLike,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        cascade = read_cascade(file)
        if isinstance(data_preprocessor, dict):
            data_preprocessor.setdefault('type', 'ClsDataPreprocessor')
        super().__init__(init_cfg, data_preprocessor)
        self.backbone = cascade.load(MODELS.build(backbone))
        self.backbone.eval()  # some of mmpretrain return None
        self.router = cascade.router
        self.combination = cascade.combination
        self.register_buffer('weight', cascade.weight.double())
        self.register_buffer('bias', cascade.bias.double())

    def forward(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
    ) -> Union[Tensor, List[DataSample]]:
        """Predict.

        Args:
            inputs (Tensor): :math:`(B, C, H, W)`.
            data_samples (list[DataSample], optional): Get the predictions.
            mode (str): ``'tensor'`` for logits, or ``'predict'``.

        Raises:
            RuntimeError: If ``mode`` is another.
        """
        if mode == 'tensor':
            return self.logits(inputs)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise RuntimeError(
            f"CascadeClassifier cannot be trained: mode must be 'tensor' or "
            f"'predict', got {mode!r}"
        )

    def loss(self, inputs: Tensor, data_samples: List[DataSample]) -> Any:
        """Refuse."""
        return self.forward(inputs, data_samples, 'loss')

    def logits(self, inputs: Tensor) -> Tensor:
        """Of the linear classifier, fp64 :math:`(B, C)`."""
        return self.extract_feat(inputs).double() @ self.weight.T + self.bias

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> Tensor:
        """The combined features, :math:`(B, D)`."""
        first = self._features(inputs)
        clusters = self.router.assign(first)
        method, experts = self.combination.method, len(self.router.weights)
        if method == 'baseline':
            return first
        if 'unconditional' in method:
            names = [[f'expert_{i}'] * len(inputs) for i in range(experts)]
        else:
            names = [[f'expert_{int(cluster)}' for cluster in clusters]]
        found = [
            apply_adapters(self.backbone, inputs, one, self._features)
            for one in names
        ]
        # A conditional method reads of each expert its own cluster alone.
        found = found if len(found) == experts else found * experts
        return self.combination([first, *found], clusters)

    def predict(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
    ) -> List[DataSample]:
        """Scores and class of each image."""
        scores = self.logits(inputs).softmax(dim=1).float()
        data_samples = data_samples or [DataSample() for _ in scores]
        for sample, score in zip(data_samples, scores):
            sample.set_pred_score(score).set_pred_label(int(score.argmax()))
        return data_samples

    def train(self, mode: bool = True) -> 'CascadeClassifier':
        """Stays in eval mode: nothing of it is trained."""
        return super().train(False)

    def _features(self, inputs: Tensor) -> Tensor:
        return features_of(self.backbone(inputs)).float()
