# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which cluster an image belongs to: PCA, then a Gaussian mixture."""

import math
from typing import Dict, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Router(NamedTuple):
    r"""A fitted mixture on the principal components of features.

    Features are normalized to length 1, and projected so that each component
    has variance 1 over the training set: :math:`x = (e - \mu) V
    \mathrm{diag}(\sqrt{N} / s)`.

    Args:
        mean (Tensor): Of the normalized features, :math:`(D,)`.
        projection (Tensor): :math:`V \mathrm{diag}(\sqrt{N} / s)`,
            :math:`(D, q)`.
        weights (Tensor): Of the clusters, :math:`(C,)`.
        means (Tensor): Of the clusters, :math:`(C, q)`.
        precisions_cholesky (Tensor): As scikit-learn has it,
            :math:`(C, q, q)`.

    Examples:
        >>> eye = torch.eye(2)
        >>> router = Router(torch.zeros(2), eye, torch.tensor([0.5, 0.5]),
        ...                 means=eye, precisions_cholesky=eye.repeat(2, 1, 1))
        >>> router.assign(torch.tensor([[0.1, 5.0], [3.0, 0.0]])).tolist()
        [1, 0]
    """

    mean: Tensor
    projection: Tensor
    weights: Tensor
    means: Tensor
    precisions_cholesky: Tensor

    def project(self, features: Tensor) -> Tensor:
        """What the mixture sees: fp64 (N, D) -> (N, q)."""
        rows = F.normalize(features.double())
        return (rows - self.mean.to(rows)) @ self.projection.to(rows)

    def assign(self, features: Tensor) -> Tensor:
        """The most probable cluster of each row, int64.

        Args:
            features (Tensor): Not normalized, :math:`(N, D)`. A row that is
                not finite goes to cluster 0.
        """
        x = self.project(features)  # NxQ
        scores = []
        for weight, mean, factor in zip(
            self.weights.to(x),
            self.means.to(x),
            self.precisions_cholesky.to(x),
        ):
            distance = ((x - mean) @ factor).square().sum(dim=1)
            log_det = factor.diagonal().log().sum()
            scores.append(weight.log() + log_det - 0.5 * distance)
        return torch.stack(scores, dim=1).nan_to_num(-math.inf).argmax(dim=1)

    def check(self) -> 'Router':
        """Itself, if its parts fit together and are finite.

        Raises:
            ValueError: If not; it says what.
        """
        count, size = self.means.shape if self.means.ndim == 2 else (0, 0)
        wanted: Dict[str, tuple] = dict(
            projection=(*self.mean.shape, size),
            weights=(count,),
            precisions_cholesky=(count, size, size),
        )
        for name, shape in wanted.items():
            if tuple(getattr(self, name).shape) != shape or not count:
                raise ValueError(
                    f'{name} of a router must have the shape {shape}, got '
                    f'{tuple(getattr(self, name).shape)}'
                )
        for name, tensor in self._asdict().items():
            if not tensor.isfinite().all():
                raise ValueError(f'{name} of a router has NaN or infinity')
        return self
