# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How far a student's logits are from a teacher's."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mask_plugins.utils.checks import check_bool, check_choice, check_number

KINDS = ('kl', 'cross_entropy')
DISTANCES = ('l2', 'l1', 'cosine')
SOFTMAX_OVER = ('channels', 'positions')


def distillation_loss(
    pred: Tensor,
    target: Tensor,
    temperature: float = 2.0,
    kind: str = 'kl',
    scale: bool = True,
    detach_target: bool = True,
    softmax_over: str = 'channels',
) -> Tensor:
    r"""Knowledge distillation of softened class probabilities.

    Hinton et al., "Distilling the Knowledge in a Neural Network"
    (arXiv:1503.02531), section 2: with :math:`p = softmax(target / T)` and
    :math:`q = softmax(pred / T)`,

    .. math:: L = T^2 \cdot \frac{1}{N} \sum_n \sum_c p_{nc} \log
        \frac{p_{nc}}{q_{nc}}

    The factor :math:`T^2` keeps the size of the gradients independent of
    T. Computed in fp32 at least. Maps count as many samples: one per position.

    Args:
        pred (Tensor): Logits of the student, :math:`(N, C)`, or a map,
            :math:`(N, C, *)`.
        target (Tensor): Logits of the teacher, of the same shape.
        temperature (float): T, above 0. Defaults to 2.
        kind (str): ``'kl'``, which is 0 where both agree, or
            ``'cross_entropy'`` :math:`-\sum_c p_c \log q_c`, which is higher
            by the teacher's entropy and, for a detached target, has the same
            gradient. Defaults to ``'kl'``.
        scale (bool): Multiply by :math:`T^2`. Defaults to True.
        detach_target (bool): No gradient through the target.
            Defaults to True.
        softmax_over (str): ``'channels'``, or ``'positions'`` of a map: each
            channel then says where it is high (channel-wise distillation,
            Shu et al., arXiv:2011.13256). Defaults to ``'channels'``.

    Returns:
        Tensor: Scalar, the mean over the N samples; of maps, over all
        positions (or channels) of all samples. 0 for an empty batch.

    Raises:
        TypeError, ValueError: If the shapes differ, ``temperature`` is not
            above 0 or ``kind`` is unknown.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> distillation_loss(logits, logits).item()
        0.0
        >>> round(distillation_loss(logits, -logits).item(), 3)
        1.169
    """
    temperature = check_number('temperature', temperature, 0, 1e30, '(]')
    check_choice('kind', kind, KINDS)
    check_bool('scale', scale)
    pred, target = _logits(pred, target, detach_target, softmax_over)
    if not pred.numel():
        return pred.sum()  # a mean over no samples is NaN
    student = F.log_softmax(pred / temperature, dim=-1)  # NxC
    teacher = F.log_softmax(target / temperature, dim=-1)  # NxC
    difference = -student if kind == 'cross_entropy' else teacher - student
    loss = (teacher.exp() * difference).sum(dim=-1).mean()
    return loss * temperature**2 if scale else loss


def logit_distance(
    pred: Tensor,
    target: Tensor,
    kind: str = 'l2',
    softmax: bool = False,
    detach_target: bool = True,
) -> Tensor:
    """Distance of logits, or of the class probabilities.

    Args:
        pred (Tensor): Logits of the student, :math:`(N, C)`, or a map,
            :math:`(N, C, *)`.
        target (Tensor): Logits of the teacher, of the same shape.
        kind (str): ``'l2'`` and ``'l1'``: mean over all elements of the
            squared or absolute difference; ``'cosine'``: minus the mean
            cosine of the N pairs (of a map, of all positions), in [-1, 1].
            Defaults to ``'l2'``.
        softmax (bool): Compare probabilities instead. Defaults to False.
        detach_target (bool): No gradient through the target.
            Defaults to True.

    Returns:
        Tensor: Scalar; 0 for an empty batch.

    Raises:
        ValueError: If the shapes differ or ``kind`` is unknown.

    Examples:
        >>> import torch
        >>> logit_distance(torch.ones(2, 3), torch.zeros(2, 3), 'l1').item()
        1.0
    """
    check_choice('kind', kind, DISTANCES)
    check_bool('softmax', softmax)
    pred, target = _logits(pred, target, detach_target)
    if not pred.numel():
        return pred.sum()
    if softmax:
        pred, target = pred.softmax(dim=-1), target.softmax(dim=-1)
    if kind == 'cosine':
        return -F.cosine_similarity(pred, target, dim=-1).mean()
    distance = F.mse_loss if kind == 'l2' else F.l1_loss
    return distance(pred, target)


def _logits(
    pred: Tensor, target: Tensor, detach: bool, over: str = 'channels'
) -> Tuple[Tensor, ...]:
    """Both, checked, in fp32 at least; a row per softmax."""
    check_choice('softmax_over', over, SOFTMAX_OVER)
    least = 2 if over == 'channels' else 3
    if pred.ndim < least or pred.shape != target.shape:
        shape = '(N, C) or (N, C, *)' if least == 2 else '(N, C, *)'
        raise ValueError(
            f'pred and target must be logits of one shape {shape}, got '
            f'{tuple(pred.shape)} and {tuple(target.shape)}'
        )
    target = target.detach() if check_bool('detach_target', detach) else target
    return tuple(
        _rows(x, over).to(torch.promote_types(x.dtype, torch.float32))
        for x in (pred, target)
    )


def _rows(x: Tensor, over: str) -> Tensor:
    if x.ndim == 2:
        return x
    x = x.flatten(2)  # N, C, P
    if over == 'channels':
        x = x.transpose(1, 2)  # N, P, C
    return x.flatten(0, 1)
