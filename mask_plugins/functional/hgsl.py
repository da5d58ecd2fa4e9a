# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Hard Global Softmin Loss, as in the authors' released code.

"Improved fine-grained object retrieval with Hard Global Softmin Loss
objective", Signal Processing: Image Communication 2021,
doi:10.1016/j.image.2021.116515. The formulas are those of the code; the
article's own equation was not checked.
"""

from typing import Optional, Tuple, Union

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_int, check_number, check_pair

from .labels import check_labels

BLOCK = 2048  # centers at a time in the decorrelation


def unit_rows(x: Tensor, eps: float = 1e-10) -> Tensor:
    """Divide rows by sqrt(||x||^2 + eps): finite for a row of zeros too.

    Args:
        x (Tensor): :math:`(B, D)`.
        eps (float): Inside the root. Defaults to 1e-10.
    """
    eps = check_number('eps', eps, 0)
    return x / (x.square().sum(dim=1, keepdim=True) + eps).sqrt()


def center_distances(x: Tensor, centers: Tensor, eps: float = 1e-6) -> Tensor:
    """Euclidean distances sqrt(||x||^2 + ||v||^2 - 2 x.v + eps).

    The radicand is clamped at 0 before ``eps`` is added: in fp32 it is
    negative for an embedding very close to a center.

    Args:
        x (Tensor): Embeddings, :math:`(B, D)`.
        centers (Tensor): :math:`(C, D)`.
        eps (float): Inside the root. Defaults to 1e-6.

    Returns:
        Tensor: :math:`(B, C)`.
    """
    eps = check_number('eps', eps, 0)
    norms = x.square().sum(1, keepdim=True) + centers.square().sum(1)
    squares = torch.addmm(norms, x, centers.T, alpha=-2)  # BxD, DxC -> BxC
    return (squares.clamp_min(0) + eps).sqrt()


def hard_softmin(
    logits: Tensor,
    labels: Tensor,
    top_k: int = 0,
    margin: Optional[Union[float, Tensor]] = None,
) -> Tensor:
    r"""Mean of :math:`-z_{iy} + \log \sum_{j \in H_i} e^{z_{ij}}`.

    :math:`H_i` are the ``top_k`` largest logits, the nearest centers; the
    target may be among them or not. With all of them this is cross entropy;
    with one, a perceptron: zero, with zero gradient, once the target's center
    is the nearest. It is never below 0.

    Args:
        logits (Tensor): z, :math:`(B, C)`, higher is nearer.
        labels (Tensor): int64 :math:`(B,)`, in 0..C-1.
        top_k (int): Size of H; 0 means all classes. Defaults to 0.
        margin (float | Tensor, optional): Taken off the target's logit, also
            where H is chosen, so that it has to be higher than the others by
            so much. Defaults to None.

    Returns:
        Tensor: A scalar; 0 for an empty batch.

    Raises:
        TypeError, ValueError: If labels are no classes, not one per row, or
            ``top_k`` or ``margin`` is out of range.
    """
    check_int('top_k', top_k, 0)
    if logits.ndim != 2 or not logits.shape[1]:
        raise ValueError(
            'logits must have shape (B, C) with C of at least 1, got '
            f'{tuple(logits.shape)}'
        )
    check_labels('labels', labels, *logits.shape)
    if not len(logits):
        return logits.sum()  # a mean over no samples is NaN
    target = logits.gather(1, labels[:, None])
    if margin is not None:
        if not isinstance(margin, Tensor):
            margin = check_number('margin', margin)
        target = target - margin
        logits = logits.scatter(1, labels[:, None], target)
    if 0 < top_k < logits.shape[1]:
        logits = logits.topk(top_k, dim=1, sorted=False).values
    return (torch.logsumexp(logits, dim=1) - target[:, 0]).mean()


def center_decorrelation(centers: Tensor, block: int = BLOCK) -> Tensor:
    r"""Mean of :math:`|v_i \cdot v_j|` over pairs of different centers.

    Works on one triangle of blocks and computes the gradient with it: half
    the products of plain autograd, and memory for ``block ** 2`` products
    instead of :math:`C^2`. First derivatives only.

    Args:
        centers (Tensor): :math:`(C, D)`.
        block (int): Centers at a time. Defaults to 2048.

    Returns:
        Tensor: A scalar; 0 for a single center.
    """
    return _Decorrelation.apply(centers, check_int('block', block, 1))


class _Decorrelation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, centers: Tensor, block: int) -> Tensor:
        count = len(centers)
        pairs = max(1, count * (count - 1))
        gradient, total = torch.zeros_like(centers), centers.new_zeros(())
        for row in range(0, count, block):
            a = centers[row : row + block]
            for column in range(row, count, block):
                b = centers[column : column + block]
                products = a @ b.T
                if row == column:
                    products.fill_diagonal_(0)
                # off the diagonal each block stands for its mirror image too
                total += (2 - (row == column)) * products.abs().sum()
                signs = products.sign_().mul_(2)
                gradient[row : row + block].addmm_(signs, b)
                if row != column:
                    gradient[column : column + block].addmm_(signs.T, a)
        ctx.save_for_backward(gradient.div_(pairs))
        return total / pairs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output: Tensor) -> Tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output, None


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp, with a gradient that can lead back inside.

    A plain clamp has no gradient outside, and the value would stay there.
    Here only a step that leads further out is cut off.

    Args:
        x (Tensor): Any shape.
        low (float): Lower bound.
        high (float): Upper bound.
    """
    bounds = low, high
    low, high = check_pair(
        'low and high', bounds, float, -1e30, ascending=True
    )
    check_number('high', high, high=1e30)
    return _Bounded.apply(x, low, high)


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output: Tensor) -> Tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        # a descent step is against the gradient
        outwards = ((x <= low) & (grad_output > 0)) | (
            (x >= high) & (grad_output < 0)
        )
        return grad_output.masked_fill(outwards, 0), None, None
