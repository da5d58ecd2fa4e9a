# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
r"""Products of weights and binary masks, scaled within the graph.

Self-Masking Networks (Warmerdam et al., GCPR 2024): a frozen weight
:math:`W` with a score :math:`S` counts as

.. math:: W' = c \, (W \odot M), \quad M = 1[S > k], \quad c = \sqrt{N / n}

with N elements of which n are on. The scale is part of the graph, so that with
:math:`G = \partial L / \partial W'` (equation of the spec's section 2.2)

.. math:: \partial L / \partial S
    = c \, (G \odot W) - \frac{c}{2 n} \sum_j G_j W_j M_j .
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mask_plugins.utils.checks import check_bool

from . import fused
from .scores import check_chunks, check_level, score_is_on


def score_masked_weight(
    weight: Tensor,
    scores: Tensor,
    criterion: str = 'threshold',
    level: float = 0.0,
    scale: bool = True,
    chunks: int = 1,
) -> Tensor:
    """The product of a weight and its score mask, scaled within the graph.

    No mask is kept: it becomes the product in its own memory, and the
    backward pass needs neither mask nor scores, since the sum over what is on
    is that of gradient times product.

    Args:
        weight (Tensor): Of any shape.
        scores (Tensor): Of the same shape and dtype.
        criterion (str): See :func:`score_mask`. Defaults to
            ``'threshold'``.
        level (float): See :func:`score_mask`. Defaults to 0.
        scale (bool): Multiply by sqrt(N / n). Defaults to True.
        chunks (int): Parts along the first dimension with a scale of their
            own. Defaults to 1.

    Returns:
        Tensor: All zeros, and a finite gradient, where nothing is on.

    Raises:
        ValueError: See :func:`check_scaling` and :func:`score_mask`.

    Examples:
        >>> scores = torch.tensor([0.5, -0.5])
        >>> score_masked_weight(torch.ones(2), scores, scale=False)
        tensor([1., 0.])
    """
    level = check_level(criterion, level)
    check_scaling(criterion, scale)
    check_chunks(scores, chunks)
    return ScoreMaskedWeight.apply(
        weight, scores, criterion, level, scale, chunks
    )


def check_scaling(criterion: str, scale: bool) -> None:
    """Raise where the scale sqrt(1 / mean of the mask) makes no sense.

    Args:
        criterion (str): One of :data:`CRITERIA`.
        scale (bool): Whether the product is scaled.

    Raises:
        ValueError: For ``'flip'``, whose mask may have a mean of 0 or less.
    """
    if check_bool('scale', scale) and criterion == 'flip':
        raise ValueError(
            "criterion='flip' needs scale=False: the mean of a mask of -1 "
            'and +1 may be 0 or negative, got scale=True'
        )


def binary_masked_weight(
    weight: Tensor,
    on: Tensor,
    scale: bool = False,
    chunks: int = 1,
    factor: float = 1.0,
) -> Tensor:
    """A weight where a finished mask is on, and zero elsewhere.

    Args:
        weight (Tensor): Of any shape.
        on (Tensor): bool, of the same shape.
        scale (bool): Multiply by sqrt(N / n). Defaults to False.
        chunks (int): Parts along the first dimension with a scale of their
            own. Defaults to 1.
        factor (float): Multiply by a constant, as a ticket does. Defaults
            to 1.

    Returns:
        Tensor: The product; all zeros where nothing is on.
    """
    # torch.where takes twice as long on a CPU, in both directions.
    mask = torch.empty_like(weight).copy_(on)
    if scale:
        mask.mul_(_spread(_factors(mask, chunks)[1], mask))
    return weight * (mask if factor == 1 else mask.mul_(factor))


def _factors(mask, chunks):
    """Of each chunk n (at least 1) and c; scalars if there is one chunk."""
    counts = mask.sum() if chunks == 1 else mask.reshape(chunks, -1).sum(1)
    counts = counts.clamp(min=1)
    return counts, (mask.numel() // chunks / counts).sqrt()


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """One value per chunk, in a shape that broadcasts to ``like``."""
    if values.dim() == 0:
        return values
    rows = values.repeat_interleave(like.shape[0] // values.numel())
    return rows.view(-1, *[1] * (like.dim() - 1))


def _inner(a: Tensor, b: Tensor, chunks: int) -> Tensor:
    """The sum of the products of each chunk, (chunks,), or a scalar of one."""
    if chunks > 1:
        return (a * b).reshape(chunks, -1).sum(1)
    if a.is_contiguous() and b.is_contiguous():  # without a product in memory
        return torch.dot(a.view(-1), b.view(-1))
    return (a * b).sum()


class ScoreMaskedWeight(torch.autograd.Function):
    """Straight-through for the mask, exact for the scale."""

    @staticmethod
    def forward(  # noqa: D102
        ctx, weight, scores, criterion, level, scale, chunks, known=None
    ):
        ctx.scale, ctx.chunks, ctx.flip = scale, chunks, criterion == 'flip'
        trained = ctx.needs_input_grad[0]
        ctx.fused = not (trained or ctx.flip) and fused.fusable(weight, scores)
        on = None
        if trained or criterion != 'threshold':
            on = score_is_on(scores, criterion, level, chunks)
        if ctx.fused:
            found = fused.score_products(
                weight, scores, on, level, scale, chunks, known
            )
            ctx.save_for_backward(weight, None, *(found if scale else ()))
            return found[0]
        needed = on if trained else None
        if ctx.flip:
            ctx.save_for_backward(weight, needed)
            return torch.where(on, weight, -weight)
        product = torch.empty_like(weight)  # first the mask, as 0 and 1
        if on is None:
            torch.gt(scores, level, out=product)
        else:
            product.copy_(on)
        if scale:
            counts, factors = _factors(product, chunks)
            product.mul_(weight).mul_(_spread(factors, product))
        else:
            product.mul_(weight)
        # Compiled, what was changed in place and is returned has no gradient:
        # an alias of it has.
        product = product.view_as(product)
        kept = (product, counts, factors) if scale else ()
        ctx.save_for_backward(weight, needed, *kept)
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # noqa: D102
        weight, on, *rest = ctx.saved_tensors
        grad_weight = grad_scores = None
        if ctx.fused and fused.runs(grad):
            grad_scores = fused.score_gradient(grad, weight, ctx.chunks, *rest)
            return None, grad_scores, *[None] * 5
        if rest:
            product, counts, factors = rest
            spread = _spread(factors, grad)
        if ctx.needs_input_grad[0]:
            grad_weight = grad * spread if ctx.scale else grad
            off = -grad_weight if ctx.flip else 0
            grad_weight = torch.where(on, grad_weight, off)
        if ctx.needs_input_grad[1] and not ctx.scale:
            grad_scores = grad * weight
        elif ctx.needs_input_grad[1]:
            # sum G W M = sum G W' / c, so the second term is known from the
            # product, without mask or scores: c (G W - sum G W' / (2 n c)).
            second = _inner(grad, product, ctx.chunks) / (
                -2 * counts * factors
            )
            grad_scores = torch.addcmul(_spread(second, grad), grad, weight)
            grad_scores.mul_(spread)
        return grad_weight, grad_scores, *[None] * 5
