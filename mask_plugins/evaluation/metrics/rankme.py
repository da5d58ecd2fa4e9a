# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""RankMe of the evaluated data set."""

from typing import Any, Dict, List, Sequence

from mmengine.dist import all_gather_object

from mask_plugins.functional.gram_factor import GramFactor
from mask_plugins.functional.rankme import (
    NORMALIZE,
    effective_rank,
    normalize_rows,
)
from mask_plugins.registry import METRICS

from .feature_metric import EvaluatedFeatures, FeatureMetric


@METRICS.register_module()
class RankMe(FeatureMetric):
    """Effective rank of the features of a data set.

    "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank" (Garrido et al., ICML 2023,
    https://arxiv.org/abs/2210.02885). Exact, from a Gram matrix in fp64 that
    is updated batch by batch: memory does not depend on the number of samples
    (see :class:`mask_plugins.functional.gram_factor.GramFactor`), and the
    ranks of a distributed run give what one process gives.

    Needs ``dict(type='mask_plugins.FeatureHook')`` among the hooks, which
    hands the features over. The results:

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
        ValueError: If ``normalize`` or ``max_samples`` is not allowed.
    """

    default_prefix = 'rankme'

    def __init__(
        self, normalize: str = 'none', max_samples: int = 25600, **kwargs
    ) -> None:
        if type(max_samples) is not int or max_samples < 0:
            raise ValueError(
                f'max_samples must be an int of at least 0, got '
                f'{max_samples!r}'
            )
        if normalize not in NORMALIZE:
            raise ValueError(
                f'normalize must be one of {NORMALIZE}, got {normalize!r}'
            )
        self.normalize = normalize
        self.max_samples = max_samples
        super().__init__(**kwargs)

    def reset(self) -> None:
        """Forget all samples."""
        self._gram = GramFactor()

    def add(
        self,
        batch: EvaluatedFeatures,
        samples: Sequence[Dict[str, Any]],
        positions: List[int],
    ) -> None:
        """Take those samples of the batch that are among ``max_samples``."""
        values, most = batch.values, self.max_samples
        if 0 < most < batch.size:
            chosen = [
                index
                for index, position in enumerate(positions)
                if (position + 1) * most // batch.size
                > position * most // batch.size
            ]
            values = values[chosen]
        if len(values):
            values = normalize_rows(values.double(), self.normalize)
            self._gram.add(values)

    def result(self) -> Dict[str, float]:
        """Merge the ranks, then the numbers."""
        factor = self._gram.factor().cpu() if self._gram.count else None
        total = GramFactor()
        for count, part in all_gather_object((self._gram.count, factor)):
            if count:
                total.merge(GramFactor.of(part, count))
        if not total.count:
            raise ValueError('mask_plugins.RankMe got no samples')
        return dict(
            rank=effective_rank(total.singular_values()),
            samples=total.count,
            dims=total.factor().shape[1],
        )
