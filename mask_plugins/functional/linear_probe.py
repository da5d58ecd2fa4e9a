# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Linear probe: the best linear classifier of frozen features."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


class LinearProbe:
    r"""Multinomial logistic regression with L2, in fp64.

    Minimizes :math:`\frac1N \sum_i \mathrm{CE}(W x_i + b, y_i) +
    \frac\lambda2 (\|W\|^2 + \|b\|^2)` by full-batch L-BFGS with a line
    search. With :math:`\lambda > 0` the optimum is unique, and nothing is
    random. The bias is regularized, as in "Self-Masking Networks for
    Unsupervised Adaptation" (Warmerdam et al., GCPR 2024).

    Args:
        l2 (float, optional): :math:`\lambda`, above 0. Defaults to None,
            0.01 / N as in that paper.
        max_iter (int): Iterations of L-BFGS. Defaults to 500.
        tolerance (float): It is done when no entry of the gradient is larger.
            Defaults to 1e-6.
        standardize (bool): Subtract the mean of each feature and divide by
            its standard deviation before (features that do not change are
            only centered); it is folded back into W and b. Changes what L2
            means. Defaults to False.

    Raises:
        ValueError: If an argument is not allowed.

    Attributes:
        weight (Tensor): W, fp64 :math:`(C, D)`, after :meth:`fit`.
        bias (Tensor): b, fp64 :math:`(C,)`.
        converged (bool): Whether the tolerance was reached.
        iterations (int): Of L-BFGS that it took.
        loss (float): What is minimized, at the end.
    """

    def __init__(
        self,
        l2: Optional[float] = None,
        max_iter: int = 500,
        tolerance: float = 1e-6,
        standardize: bool = False,
    ) -> None:
        if l2 is not None and not l2 > 0:
            raise ValueError(f'l2 must be above 0, got {l2!r}')
        if type(max_iter) is not int or max_iter < 1:
            raise ValueError(
                f'max_iter must be an int of at least 1, got {max_iter!r}'
            )
        if not tolerance > 0:
            raise ValueError(f'tolerance must be above 0, got {tolerance!r}')
        self.l2 = l2
        self.max_iter = max_iter
        self.tolerance = tolerance
        self.standardize = standardize
        self.weight: Optional[Tensor] = None
        self.bias: Optional[Tensor] = None
        self.converged = False
        self.iterations = 0
        self.loss = float('nan')

    def fit(
        self,
        features: Tensor,
        labels: Tensor,
        num_classes: Optional[int] = None,
        start: Optional['LinearProbe'] = None,
    ) -> 'LinearProbe':
        """Find W and b.

        Args:
            features (Tensor): :math:`(N, D)`.
            labels (Tensor): int64 :math:`(N,)` in [0, C).
            num_classes (int, optional): C. Defaults to None, one more than
                the highest label.
            start (LinearProbe, optional): A fitted one to start from, as in
                a sweep of L2; without ``standardize``. Defaults to None.

        Raises:
            ValueError: If shapes do not fit, a label is out of range, or a
                feature is not finite.
        """
        x, classes = self._check(features, labels, num_classes)
        mean, scale = x.new_zeros(x.shape[1]), x.new_ones(x.shape[1])
        if self.standardize:
            mean, scale = x.mean(0), x.std(0, unbiased=False)
            # Rounding alone is no spread.
            scale[scale <= 1e-9 * (mean.abs() + 1)] = 1
            x = (x - mean) / scale
        x = F.pad(x, (0, 1), value=1.0)
        weights = x.new_zeros(classes, x.shape[1])
        if start is not None and not self.standardize:
            weights[:, :-1], weights[:, -1] = start.weight, start.bias
        self._minimize(x, labels.to(x.device), weights)
        self.weight = weights[:, :-1] / scale
        self.bias = weights[:, -1] - self.weight @ mean
        return self

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """W x + b, fp64 :math:`(N, C)`.

        Raises:
            RuntimeError: If it has not been fitted.
        """
        if self.weight is None or self.bias is None:
            raise RuntimeError('fit the probe before it is used')
        x = features.to(self.weight.device, torch.float64)
        return x @ self.weight.T + self.bias

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Top-1 accuracy in %."""
        found = self.logits(features).argmax(dim=1)
        return 100 * float((found == labels.to(found.device)).double().mean())

    @staticmethod
    def _check(
        features: Tensor, labels: Tensor, num_classes: Optional[int]
    ) -> tuple:
        if features.ndim != 2 or not len(features):
            raise ValueError(
                'features must have shape (N, D) with N of at least 1, got '
                f'{tuple(features.shape)}'
            )
        if labels.shape != features.shape[:1] or labels.dtype != torch.int64:
            raise ValueError(
                f'labels must be int64 of shape ({len(features)},), got '
                f'{labels.dtype} of shape {tuple(labels.shape)}'
            )
        low, high = int(labels.min()), int(labels.max())
        classes = high + 1 if num_classes is None else num_classes
        if low < 0 or high >= classes:
            raise ValueError(
                f'labels must be in [0, {classes - 1}], got {low} to {high}'
            )
        x = features.detach().double()
        if not x.isfinite().all():
            raise ValueError(
                'features must be finite, got NaN or infinities: the model '
                'has diverged'
            )
        return x, classes

    @torch.no_grad()
    def _minimize(self, x: Tensor, labels: Tensor, weights: Tensor) -> None:
        decay = 0.01 / len(x) if self.l2 is None else self.l2
        weights.requires_grad_()
        target = F.one_hot(labels, len(weights)).double()  # NxC
        optimizer = torch.optim.LBFGS(
            [weights],
            max_iter=self.max_iter,
            max_eval=2 * self.max_iter,
            tolerance_grad=self.tolerance,
            tolerance_change=0.0,
            history_size=20,
            line_search_fn='strong_wolfe',
        )

        def closure() -> Tensor:
            # The gradient by hand: autograd would take twice the time.
            log = (x @ weights.T).log_softmax(dim=1)
            loss = -(log * target).sum() / len(x)
            loss = loss + decay / 2 * weights.square().sum()
            weights.grad = (log.exp_() - target).T @ x / len(x)
            weights.grad += decay * weights
            return loss

        optimizer.step(closure)
        self.loss = float(closure())
        self.converged = bool(weights.grad.abs().max() <= self.tolerance)
        self.iterations = int(optimizer.state[weights]['n_iter'])
        weights.requires_grad_(False)
