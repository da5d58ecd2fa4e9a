# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The loss of a validation, from what the model predicts."""

from typing import Any, Optional, Sequence

import torch
from mmengine.dist import all_reduce, get_dist_info


class ValidationLoss:
    """Mean of -log of the score of the true class, over all ranks.

    It is known where every prediction has ``pred_score``, one score per
    class, and a single ``gt_label``.

    Args:
        size (int): Samples of the dataset, over all ranks.

    Examples:
        >>> from types import SimpleNamespace
        >>> loss = ValidationLoss(size=1)
        >>> scores, label = torch.tensor([0.25, 0.75]), torch.tensor([1])
        >>> loss.add([SimpleNamespace(pred_score=scores, gt_label=label)])
        >>> round(loss.mean(), 4)
        0.2877
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._total = torch.zeros((), dtype=torch.float64)
        self._seen = 0
        self._untold = False

    def add(self, samples: Sequence[Any]) -> None:
        """Add the predictions of a batch, in the order of the sampler."""
        first = self._seen
        self._seen += len(samples)
        # The sampler pads the last batches of a distributed run with samples
        # from the start; like the evaluator, count each sample once.
        rank, world_size = get_dist_info()
        own = range(first * world_size + rank, self._size, world_size)
        samples = samples[: len(own)]
        losses = _losses(samples) if samples else torch.zeros(())
        if losses is None:
            self._untold = True
        else:
            # On the device of the scores: no wait for the GPU at each batch.
            self._total = self._total.to(losses.device) + losses.sum()

    def mean(self) -> Optional[float]:
        """Gather the ranks; all of them must call it.

        Returns:
            float, optional: None if a prediction did not tell its loss.
        """
        untold = torch.tensor(float(self._untold), dtype=torch.float64)
        total = torch.stack([self._total.cpu(), untold])
        all_reduce(total)
        loss, untold = total.tolist()
        return None if untold else loss / self._size


def _losses(samples: Sequence[Any]) -> Optional[torch.Tensor]:
    """-log of the score of the true class, shape :math:`(N,)`, or None."""
    scores = [getattr(sample, 'pred_score', None) for sample in samples]
    labels = [getattr(sample, 'gt_label', None) for sample in samples]
    for score, label in zip(scores, labels):
        if not isinstance(score, torch.Tensor) or score.dim() != 1:
            return None
        if not isinstance(label, torch.Tensor) or label.numel() != 1:
            return None
    picked = torch.stack(scores).double()
    index = torch.stack([label.reshape(1) for label in labels])
    picked = picked.gather(1, index.to(picked.device).long())[:, 0]
    # A score that underflowed in float32 is not an infinite loss.
    return -picked.clamp_min(torch.finfo(torch.float32).tiny).log()
