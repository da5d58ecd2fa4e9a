# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""RankMe of the evaluated data set."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.dist import all_gather_object
from torch import Tensor

from mask_plugins.functional.rankme import (
    NORMALIZE,
    effective_rank,
    gram_singular_values,
    normalize_rows,
)
from mask_plugins.registry import METRICS
from mask_plugins.utils.checks import check_choice, check_int

from .feature_metric import EvaluatedFeatures, FeatureMetric


@METRICS.register_module()
class RankMe(FeatureMetric):
    """Effective rank of the features of a data set.

    "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank" (Garrido et al., ICML 2023,
    https://arxiv.org/abs/2210.02885), from a Gram matrix in fp64 that
    is updated batch by batch: memory does not depend on the number of
    samples, and a distributed run gives what one process gives.

    Needs ``dict(type='mask_plugins.FeatureHook')`` among the hooks, which
    provides the features. The results:

    - ``rankme/rank``: about 1 to min(N, D); NaN if a feature is not finite;
    - ``rankme/samples``, ``rankme/dims``: N and D, which it depends on.

    Args:
        normalize (str): ``'none'``, the paper's definition, or ``'row'``,
            features of length 1; a row of zeros stays one. Defaults to
            ``'none'``.
        max_samples (int): Take so many samples, spread evenly over the data
            set; 0 takes all. Defaults to 25600, as in the paper.
        prefix (str, optional): Replaces ``rankme``. Defaults to None.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        TypeError, ValueError: If ``normalize`` is unknown, or ``max_samples``
            is not an int of at least 0.

    Examples:
        >>> RankMe(normalize='row', max_samples=0).max_samples
        0
    """

    default_prefix = 'rankme'

    def __init__(
        self, normalize: str = 'none', max_samples: int = 25600, **kwargs
    ) -> None:
        self.normalize = check_choice('normalize', normalize, NORMALIZE)
        self.max_samples = check_int('max_samples', max_samples, 0)
        super().__init__(**kwargs)

    def reset(self) -> None:
        """Forget all samples."""
        self._gram: Optional[Tensor] = None  # DxD
        self._count = 0

    def add(
        self,
        batch: EvaluatedFeatures,
        samples: Sequence[Dict[str, Any]],
        positions: List[int],
    ) -> None:
        """Take those samples of the batch that are among ``max_samples``."""
        values, most = batch.values, self.max_samples
        if 0 < most < batch.size:
            place = torch.tensor(positions, device=values.device)
            share = place * most // batch.size
            values = values[(place + 1) * most // batch.size > share]
        if len(values):
            values = normalize_rows(values.double(), self.normalize)
            gram = values.T @ values
            self._gram = gram if self._gram is None else self._gram + gram
            self._count += len(values)

    def result(self) -> Dict[str, float]:
        """Add the ranks up, then the numbers."""
        own = (self._count, None if self._gram is None else self._gram.cpu())
        parts = [part for part in all_gather_object(own) if part[0]]
        if not parts:
            raise ValueError('mask_plugins.RankMe got no samples')
        counts, grams = zip(*parts)
        count, gram = sum(counts), sum(grams)
        return dict(
            rank=effective_rank(gram_singular_values(gram, count)),
            samples=count,
            dims=len(gram),
        )
