# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
r"""Soft masks that are annealed to hard ones, as pure functions.

Continuous Sparsification (Savarese et al., arXiv:1912.04427): a
weight :math:`w` with a logit :math:`s` counts as

.. math:: w' = w \, c \, \sigma(\beta s), \qquad c = 1 / \sigma(s_0)

where the temperature :math:`\beta` grows from 1 to about 200. At the start
:math:`s = s_0, \beta = 1`, so the masked network is the dense one. At the end
the mask is the step function :math:`c \, 1[s > 0]`: the ticket.
"""

import math
from typing import Tuple, Union

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mask_plugins.utils.checks import check_number

from . import fused

Number = Union[float, Tensor]


def soft_scale(init: float) -> float:
    """The constant c that makes a mask of logits ``init`` exactly one.

    Args:
        init (float): Initial value of the logits.

    Returns:
        float: 1 / sigmoid(init), which is 2 for 0.

    Examples:
        >>> soft_scale(0.0)
        2.0
    """
    return 1.0 + math.exp(-check_number('init', init, -700))


def soft_mask(
    logits: Tensor, temperature: Number = 1.0, scale: float = 2.0
) -> Tensor:
    """The soft mask c * sigmoid(temperature * logits).

    Args:
        logits (Tensor): Of any shape.
        temperature (float | Tensor): Inverse temperature, one element, >= 0.
            Defaults to 1.
        scale (float): The constant c, see :func:`soft_scale`. Defaults to 2,
            that of logits which start at 0.

    Returns:
        Tensor: In (0, scale), of the shape of ``logits``.

    Examples:
        >>> soft_mask(torch.tensor([-1.0, 0.0, 1.0]), 200.0)
        tensor([0., 1., 2.])
    """
    temperature = _check_temperature(temperature)
    scale = check_number('scale', scale)
    return scale * torch.sigmoid(temperature * logits)


def ticket_mask(logits: Tensor, scale: float = 2.0) -> Tensor:
    """The hard mask c * 1[logits > 0]; it has no gradient.

    A logit of exactly 0 is pruned, and so is NaN.

    Args:
        logits (Tensor): Of any shape.
        scale (float): The constant c. Defaults to 2.

    Returns:
        Tensor: 0 or ``scale``, of the shape and dtype of ``logits``.

    Examples:
        >>> ticket_mask(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0., 0., 2.])
    """
    return (logits > 0).to(logits.dtype) * check_number('scale', scale)


def prune_logits(logits: Tensor, temperature: Number, init: float) -> Tensor:
    """What the logits become between two rounds: min(b * s, init).

    Of weights that are kept the mask starts again at one; what the annealing
    has turned off stays off (Savarese et al.).

    Args:
        logits (Tensor): Of any shape.
        temperature (float | Tensor): The temperature of the last epoch. The
            authors' code resets it to 1 before it prunes, which brings most
            of the pruned weights back.
        init (float): Initial value of the logits.

    Returns:
        Tensor: Of the shape of ``logits``.

    Examples:
        >>> prune_logits(torch.tensor([-0.1, 0.1]), 200.0, init=0.0)
        tensor([-20.,   0.])
    """
    temperature = _check_temperature(temperature)
    return torch.clamp(
        temperature * logits, max=check_number('init', init, -1e30, 1e30)
    )


def _check_temperature(value: Number) -> Number:
    # The value of a tensor would have to be waited for.
    if isinstance(value, Tensor):
        return value
    return check_number('temperature', value, 0)


def soft_masked_weight(
    weight: Tensor,
    logits: Tensor,
    temperature: Tensor,
    scale: float,
) -> Tuple[Tensor, Tensor]:
    """The product of a weight and its soft mask, and the sum of the mask.

    One node of the graph with two outputs: the sum is what a penalty on the
    number of weights needs, and here it costs next to nothing. For the
    backward pass one tensor is kept at most: the sigmoid, if at all.

    Args:
        weight (Tensor): Of any shape.
        logits (Tensor): Of the same shape and dtype.
        temperature (Tensor): Inverse temperature, one element.
        scale (float): The constant c.

    Returns:
        tuple[Tensor, Tensor]: ``weight * soft_mask(...)``, and the sum of
        that mask, a scalar.

    Examples:
        >>> w, s, b = torch.ones(3), torch.zeros(3), torch.ones(())
        >>> soft_masked_weight(w, s, b, 2.0)
        (tensor([1., 1., 1.]), tensor(3.))
    """
    return _SoftMaskedWeight.apply(weight, logits, temperature, scale)


class _SoftMaskedWeight(torch.autograd.Function):
    """Both gradients in the least number of passes over memory."""

    @staticmethod
    def forward(ctx, weight, logits, temperature, scale):
        ctx.scale = scale
        ctx.fused = fused.fusable(weight, logits)
        if ctx.fused:
            ctx.save_for_backward(weight, logits, temperature)
            product, total = fused.soft_product(
                weight, logits, float(temperature), scale
            )
            return product, logits.new_tensor(total * scale)
        sigmoid = (logits * temperature).sigmoid_()
        zero = weight.new_zeros(())
        # addcmul folds the constant into the product.
        product = torch.addcmul(zero, weight, sigmoid, value=scale)
        ctx.save_for_backward(weight, sigmoid, temperature)
        return product, sigmoid.sum() * scale

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_product, grad_sum):
        weight, sigmoid, temperature = ctx.saved_tensors
        needed = ctx.needs_input_grad[:2]
        if ctx.fused:
            logits = sigmoid
            if fused.runs(grad_product):
                gradients = fused.soft_gradients(
                    grad_product, weight, logits, float(temperature),
                    ctx.scale, float(grad_sum), needed,
                )  # fmt: skip
                return *gradients, None, None
            sigmoid = (logits * temperature).sigmoid_()
        grad_weight = grad_logits = None
        zero = weight.new_zeros(())
        if needed[0]:
            grad_weight = torch.addcmul(
                zero, grad_product, sigmoid, value=ctx.scale
            )
        if needed[1]:
            # d loss / d mask, the penalty's share included, which then becomes
            # the gradient of the logits in its own memory
            grad = torch.addcmul(
                grad_sum.to(weight) * ctx.scale,
                grad_product,
                weight,
                value=ctx.scale,
            )
            grad_logits = torch.ops.aten.sigmoid_backward.grad_input(
                grad, sigmoid, grad_input=grad
            ).mul_(temperature)
        return grad_weight, grad_logits, None, None
