# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masks over the channels of a feature vector.

Some channels of each sample, chosen at random, are replaced by a token; the
complement keeps those and replaces the others. The idea is that of
masked-analysis. What masked channels become (``mask_mode``):

============  =============================================================
``scalar``    one token, a trained number, for all masked channels
``per_rank``  a trained token per rank: the j-th masked channel of the
              random order gets token j, whichever channel it is
``zero``      0, without anything to train
``dropout``   each channel is 0 with probability ratio, the others are
              scaled by 1 / (1 - ratio)
============  =============================================================

What is done with the logits of the complement (``inv_mode``): ``none``,
``add`` to the prediction, or ``subtract`` from the target.
"""

from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_choice, check_int, check_ratio

MASK_MODES = ('scalar', 'per_rank', 'zero', 'dropout')
INVERSE_MODES = ('none', 'add', 'subtract')


class ChannelMask(NamedTuple):
    """Which channels of which sample are masked.

    Args:
        mask (Tensor): bool, :math:`(N, D)`; True where masked.
        order (Tensor): Channel indices of each sample in random order,
            :math:`(N, D)`: the last ``count`` of them are masked.
        count (int): How many channels of each sample are masked.
    """

    mask: Tensor
    order: Tensor
    count: int


def mask_count(channels: int, ratio: float) -> int:
    """How many of D channels a ratio masks: :math:`int(D * ratio)`.

    Args:
        channels (int): D.
        ratio (float): Share that is masked, in (0, 1).

    Raises:
        TypeError, ValueError: If the ratio is not a number in (0, 1).
    """
    check_int('channels', channels, 1)
    return int(channels * check_ratio('ratio', ratio, '()'))


def random_channel_mask(
    x: Tensor,
    ratio: float,
    noise: Optional[Tensor] = None,
    generator: Optional[torch.Generator] = None,
) -> ChannelMask:
    """Draw the masked channels of each sample.

    Args:
        x (Tensor): Features, :math:`(N, D)`; only its shape and device are
            used.
        ratio (float): Share that is masked, in (0, 1).
        noise (Tensor, optional): :math:`(N, D)`; the channels with the
            highest values are masked. None draws it.
        generator (torch.Generator, optional): Source of the noise, on any
            device; None is the default one of ``x.device``.

    Returns:
        ChannelMask: The mask.

    Raises:
        TypeError, ValueError: If the ratio is not in (0, 1), or a shape is
            wrong.

    Examples:
        >>> import torch
        >>> mask = random_channel_mask(torch.randn(2, 8), ratio=0.25)
        >>> mask.count, mask.mask.sum(1).tolist()
        (2, [2, 2])
    """
    noise = channel_noise(x, noise, generator)
    count = mask_count(x.shape[1], ratio)
    order = noise.argsort(dim=1)  # NxD
    mask = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    mask.scatter_(1, order[:, x.shape[1] - count :], True)
    return ChannelMask(mask, order, count)


def channel_noise(
    x: Tensor,
    noise: Optional[Tensor] = None,
    generator: Optional[torch.Generator] = None,
) -> Tensor:
    """Uniform noise for each channel, or the given noise, checked.

    Args:
        x (Tensor): Features, :math:`(N, D)`.
        noise (Tensor, optional): Returned if given.
        generator (torch.Generator, optional): Source, on any device.

    Returns:
        Tensor: :math:`(N, D)`.

    Raises:
        ValueError: If a shape is wrong.
    """
    if x.ndim != 2:
        raise ValueError(
            'channels are masked in features of shape (N, D), got '
            f'{tuple(x.shape)}; pool them first, by a neck such as '
            'GlobalAveragePooling'
        )
    if noise is None:
        device = x.device if generator is None else generator.device
        noise = torch.rand(x.shape, generator=generator, device=device)
    elif noise.shape != x.shape:
        raise ValueError(
            f'noise must have the shape of the features {tuple(x.shape)}, '
            f'got {tuple(noise.shape)}'
        )
    return noise.to(x.device)


def mask_features(
    x: Tensor, mask: ChannelMask, token: Optional[Tensor] = None
) -> Tensor:
    """Replace the masked channels.

    Args:
        x (Tensor): Features, :math:`(N, D)`.
        mask (ChannelMask): What is masked.
        token (Tensor, optional): With one element, the value of all masked
            channels; with ``mask.count`` or more, the j-th value goes to the
            j-th masked channel of the random order. Defaults to None, 0.

    Returns:
        Tensor: :math:`(N, D)`.

    Raises:
        ValueError: If the token has another number of elements.

    Examples:
        >>> import torch
        >>> x, noise = torch.ones(1, 3), torch.tensor([[0.1, 0.9, 0.5]])
        >>> mask = random_channel_mask(x, ratio=0.4, noise=noise)
        >>> mask_features(x, mask).tolist()
        [[1.0, 0.0, 1.0]]
    """
    replaced = mask.order[:, mask.order.shape[1] - mask.count :]
    return _replace(x, mask.mask, replaced, token)


def complement_features(
    x: Tensor, mask: ChannelMask, token: Optional[Tensor] = None
) -> Tensor:
    """Replace the channels that :func:`mask_features` keeps.

    Args:
        x (Tensor): Features, :math:`(N, D)`.
        mask (ChannelMask): What is masked, hence kept here.
        token (Tensor, optional): With one element, the value of all others;
            with ``D - mask.count`` or more, one for each in the random
            order. Defaults to None, 0.

    Returns:
        Tensor: :math:`(N, D)`.

    Raises:
        ValueError: If the token has another number of elements.
    """
    replaced = mask.order[:, : mask.order.shape[1] - mask.count]
    return _replace(x, ~mask.mask, replaced, token)


def drop_features(
    x: Tensor,
    ratio: float,
    noise: Optional[Tensor] = None,
    generator: Optional[torch.Generator] = None,
) -> Tensor:
    """Dropout whose noise can be given.

    Args:
        x (Tensor): Features, :math:`(N, D)`.
        ratio (float): Probability of a channel to be 0, in (0, 1).
        noise (Tensor, optional): :math:`(N, D)`; a channel is dropped where
            it is below ``ratio``. None draws it.
        generator (torch.Generator, optional): Source of the noise.

    Returns:
        Tensor: :math:`(N, D)`; what is kept is scaled by 1 / (1 - ratio).

    Raises:
        ValueError: If the ratio is not in (0, 1), or a shape is wrong.
    """
    check_ratio('ratio', ratio, '()')
    dropped = channel_noise(x, noise, generator) < ratio
    return x.masked_fill(dropped, 0) / (1 - ratio)


def add_inverse(
    pred: Tensor, target: Tensor, inverse: Tensor, mode: str
) -> Tuple[Tensor, Tensor]:
    """Let the complement's logits stand in for what the mask hides.

    No gradient goes through the complement. With a linear head and a token
    of 0, the ``'add'`` prediction has the value of the unmasked one plus a
    bias: the mask acts on the gradient alone. The mean squared error of
    ``'add'`` and ``'subtract'`` is the same.

    Args:
        pred (Tensor): Logits of the masked features, :math:`(N, C)`.
        target (Tensor): Logits of the teacher, :math:`(N, C)`.
        inverse (Tensor): Logits of the complement, :math:`(N, C)`.
        mode (str): ``'add'`` adds them to the prediction, ``'subtract'``
            takes them from the target.

    Returns:
        tuple[Tensor, Tensor]: The prediction and the target to compare.

    Raises:
        ValueError: If the mode is unknown.
    """
    check_choice('inv_mode', mode, ('add', 'subtract'))
    if mode == 'add':
        return pred + inverse.detach(), target
    return pred, target - inverse.detach()


def _replace(
    x: Tensor, where: Tensor, indices: Tensor, token: Optional[Tensor]
) -> Tensor:
    if token is None:
        return x.masked_fill(where, 0)
    token = token.to(x.dtype)
    if token.numel() == 1:
        return torch.where(where, token.reshape(1, 1), x)
    if token.numel() < indices.shape[1]:
        raise ValueError(
            f'token must have 1 element or at least {indices.shape[1]}, one '
            f'for each replaced channel, got {token.numel()}'
        )
    token = token.reshape(1, -1)[:, : indices.shape[1]]
    return x.scatter(1, indices, token.expand(x.shape[0], -1))
