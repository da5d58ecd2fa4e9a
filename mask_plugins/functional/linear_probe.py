# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Linear probe: the best linear classifier of frozen features."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mask_plugins.utils.checks import check_int, check_number

from .feature_vectors import check_rows


class LinearProbe:
    r"""Multinomial logistic regression with L2, in fp64.

    Minimizes :math:`\frac1N \sum_i \mathrm{CE}(W x_i + b, y_i) +
    \frac\lambda2 (\|W\|^2 + \|b\|^2)` by full-batch L-BFGS with a line
    search. The optimum is unique and nothing is random. The bias is
    regularized, as in "Self-Masking Networks for Unsupervised Adaptation"
    (Warmerdam et al., GCPR 2024).

    scikit-learn's ``LogisticRegression`` reaches the same optimum (to 1e-8)
    in the same time on a CPU. This one runs where the features are: an
    iteration is two products of (N, D) and (D, C), which is what a GPU is
    for; and it treats two classes, and classes without samples, as any other.

    Args:
        l2 (float, optional): :math:`\lambda`, above 0. Defaults to None,
            0.01 / N as in that paper.
        max_iter (int): Iterations of L-BFGS. Defaults to 500.

    Raises:
        TypeError, ValueError: If ``l2`` is not above 0, or ``max_iter`` is
            not an int of at least 1.

    Attributes:
        weight (Tensor): W, fp64 :math:`(C, D)`, after :meth:`fit`.
        bias (Tensor): b, fp64 :math:`(C,)`.
        converged (bool): Whether no entry of the gradient is above
            :attr:`tolerance`.
        iterations (int): Of L-BFGS that it took.
        loss (float): What is minimized, at the end.

    Examples:
        >>> import torch
        >>> x, y = torch.eye(3).repeat(4, 1), torch.arange(12) % 3
        >>> probe = LinearProbe(l2=1e-3).fit(x, y)
        >>> probe.converged, probe.accuracy(x, y)
        (True, 100.0)
    """

    tolerance = 1e-6

    def __init__(
        self, l2: Optional[float] = None, max_iter: int = 500
    ) -> None:
        self.l2 = check_number('l2', l2, 0, ends='()', optional=True)
        self.max_iter = check_int('max_iter', max_iter, 1)
        self.weight: Optional[Tensor] = None
        self.bias: Optional[Tensor] = None
        self.converged = False
        self.iterations = 0
        self.loss = float('nan')

    @torch.no_grad()
    def fit(
        self,
        features: Tensor,
        labels: Tensor,
        num_classes: Optional[int] = None,
    ) -> 'LinearProbe':
        """Find W and b.

        Args:
            features (Tensor): :math:`(N, D)`.
            labels (Tensor): int64 :math:`(N,)` in [0, C).
            num_classes (int, optional): C. Defaults to None, one more than
                the highest label.

        Raises:
            ValueError: If shapes do not fit, a label is out of range, or a
                feature is not finite.
        """
        check_rows('features', features, labels, finite=True)
        low, high = int(labels.min()), int(labels.max())
        classes = high + 1 if num_classes is None else num_classes
        for label in (low, high):
            check_int('labels', label, 0, classes - 1)
        x = F.pad(features.double(), (0, 1), value=1.0)  # Nx(D+1)
        weights = x.new_zeros(classes, x.shape[1])
        self._minimize(x, labels.to(x.device), weights)
        self.weight, self.bias = weights[:, :-1], weights[:, -1]
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

        @torch.no_grad()  # LBFGS enables gradients around it
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
