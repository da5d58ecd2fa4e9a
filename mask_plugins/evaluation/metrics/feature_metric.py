# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A metric of the features of images, not of their predictions."""

import math
from abc import abstractmethod
from typing import Any, Dict, List, NamedTuple, Sequence

import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_dist_info,
)
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from mask_plugins.functional.feature_vectors import non_finite_rows

from .handed_over import handed_over

# Key in the message hub: the features of the batch that is being evaluated. A
# metric sees predictions only, so FeatureHook puts them there.
EVALUATED_FEATURES = 'evaluated_features'


class EvaluatedFeatures(NamedTuple):
    """What FeatureHook hands over for a batch.

    Args:
        values (Tensor): Features, :math:`(B, D)`.
        size (int): Samples of the data set that is being evaluated.
        bank (Any): Features of the training set, if the hook takes them.

    Examples:
        >>> import torch
        >>> batch = EvaluatedFeatures(torch.zeros(4, 16), size=100)
        >>> len(batch.values), batch.bank
        (4, None)
    """

    values: Tensor
    size: int
    bank: Any = None


class FeatureMetric(BaseMetric):
    """Base of metrics of features, which streams them.

    Subclasses implement :meth:`reset`, :meth:`add` and :meth:`result`. Padded
    samples of a distributed run are dropped before :meth:`add` sees them.
    The results are NaN if a feature is not finite, see :func:`nan_results`.

    Args:
        prefix (str, optional): Of the names of the results. Defaults to None,
            that of the class.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Examples:
        >>> class Count(FeatureMetric):
        ...     default_prefix = 'count'
        ...     def reset(self):
        ...         self.samples = 0
        ...     def add(self, batch, samples, positions):
        ...         self.samples += len(samples)
        ...     def result(self):
        ...         return dict(samples=self.samples)
        >>> Count().result()
        {'samples': 0}
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._start()

    def _start(self) -> None:
        self._seen = 0  # samples, the padded ones included
        self.rows = [0, 0]  # non-finite and all rows that the results are of
        self.reset()

    def note_rows(self, rows: Tensor) -> None:
        """Count rows, and which of them are not finite."""
        self.rows[0] += non_finite_rows(rows)
        self.rows[1] += len(rows)

    @abstractmethod
    def reset(self) -> None:
        """Forget all samples."""

    @abstractmethod
    def add(
        self,
        batch: EvaluatedFeatures,
        samples: Sequence[Dict[str, Any]],
        positions: List[int],
    ) -> None:
        """Take the samples of a batch, which is not empty.

        Args:
            batch (EvaluatedFeatures): Their features.
            samples (Sequence[dict]): Their predictions and labels.
            positions (list[int]): Where they are in the data set.
        """

    @abstractmethod
    def result(self) -> Dict[str, float]:
        """The numbers over all ranks; each of them calls it."""

    def process(
        self, data_batch: Any, data_samples: Sequence[Dict[str, Any]]
    ) -> None:
        """Take the features that belong to these predictions.

        Raises:
            RuntimeError: If there is no :class:`FeatureHook`, or the features
                are those of other samples.
        """
        name = type(self).__name__
        batch = handed_over(EVALUATED_FEATURES, name, 'FeatureHook')
        if len(batch.values) != len(data_samples):
            raise RuntimeError(
                f'{name}: the layer of FeatureHook must give one row per image'
                f', got {len(batch.values)} for {len(data_samples)} samples'
            )
        rank, world_size = get_dist_info()
        first, self._seen = self._seen, self._seen + len(data_samples)
        # The sampler pads the last batches of a distributed run with samples
        # from the start; like the evaluator, count each sample once.
        positions = [
            place * world_size + rank for place in range(first, self._seen)
        ]
        real = sum(position < batch.size for position in positions)
        if real:
            batch = batch._replace(values=batch.values[:real])
            self.note_rows(batch.values)
            self.add(batch, data_samples[:real], positions[:real])

    def evaluate(self, size: int) -> Dict[str, float]:
        """The numbers, the same on all ranks; then start again.

        Args:
            size (int): Of the data set; not used.
        """
        try:
            wrong, rows = map(sum, zip(*all_gather_object(self.rows)))
            found = self.result()
            name = type(self).__name__
            metrics = [nan_results(found, name, wrong, rows)]
            # Sums may differ in their last bit between ranks.
            broadcast_object_list(metrics)
        finally:
            self._start()
        prefix = f'{self.prefix}/' if self.prefix else ''
        return {f'{prefix}{key}': value for key, value in metrics[0].items()}

    def compute_metrics(self, results: Sequence[Any]) -> Dict[str, float]:
        """The numbers, without the prefix."""
        return self.result()


def nan_results(
    metrics: Dict[str, float], name: str, wrong: int, rows: int
) -> Dict[str, float]:
    """What is said of features of which some are not finite.

    The one rule of RankMe, k-NN, retrieval and the linear probe: the results
    are NaN, which no rule of ``save_best`` prefers, and a warning counts the
    rows.

    Args:
        metrics (dict): The results. Integers, such as counts, are kept.
        name (str): Of the metric or hook, for the warning.
        wrong (int): Rows with NaN or infinity.
        rows (int): All rows.

    Returns:
        dict: The same if all rows are finite.

    Examples:
        >>> nan_results(dict(rank=3.5, samples=8), 'RankMe', 0, 8)
        {'rank': 3.5, 'samples': 8}
    """
    if not wrong:
        return metrics
    lost = {k: math.nan for k, v in metrics.items() if not isinstance(v, int)}
    MMLogger.get_current_instance().warning(
        f'{name}: {wrong} of {rows} feature rows have NaN or infinity, and '
        f'therefore {", ".join(lost)} are NaN. Has the training diverged?'
    )
    return {**metrics, **lost}


def labels_of_samples(samples: Sequence[Dict[str, Any]]) -> Tensor:
    """The true class of each sample, int64 :math:`(B,)`.

    Args:
        samples (Sequence[dict | DataSample]): With ``gt_label``.

    Raises:
        ValueError: If a sample has none, or several.
    """
    labels = []
    for sample in samples:
        label = sample.get('gt_label')
        if label is None or torch.as_tensor(label).numel() != 1:
            raise ValueError(
                'samples must have one class each (gt_label, not of a dataset '
                f'with gt="indices"), got {label!r}'
            )
        labels.append(int(torch.as_tensor(label)))
    return torch.tensor(labels, dtype=torch.int64)
