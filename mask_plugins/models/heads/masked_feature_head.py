# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A head that also learns from features with masked channels."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mask_plugins.core.features import (
    INVERSE_MODES,
    MASK_MODES,
    add_inverse,
    complement_features,
    drop_features,
    mask_features,
    random_channel_mask,
)
from mask_plugins.models.losses import build_logit_loss
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import (
    check_choice,
    check_int,
    check_number,
    check_ratio,
    check_type,
)

from .labels import check_head_labels

INNER = 'head.'
# The letters of masked-analysis and its README, accepted in configs.
ALIASES = dict(s='scalar', a='per_rank', d='dropout', v1='add', v2='subtract')
ALIASES.update(dict.fromkeys(('sgf', 'agf', 'sgd', 'agd'), 'zero'))


@MODELS.register_module()
class MaskedFeatureHead(BaseModule):
    """Any classification head, and a loss on masked features.

    The loss of masked-analysis: some channels of the feature are masked, drawn
    for each sample and iteration, and its logits are compared with those of a
    reference model, which ``mask_plugins.ReferenceClassifier`` provides.
    In all, ``loss_ce + loss_weight * L(h(masked), reference)``.

    In prediction it is the inner head, bit for bit, and its keys in a
    checkpoint are those of the inner head: a stock model loads them.

    ``mask_ratio`` and ``loss_weight`` are plain attributes that
    ``mask_plugins.ScheduleHook`` can set (``target='head.mask_ratio'``).

    Args:
        head (dict | nn.Module): Config of the inner head, which takes
            features of shape :math:`(N, D)` from the neck.
        mask_ratio (float): Share of the channels that is masked,
            :math:`int(D * ratio)` of them, in (0, 1). Defaults to 0.5.
        mask_mode (str): What masked channels become, see
            :mod:`mask_plugins.core.features`: ``'scalar'``, ``'per_rank'``,
            ``'zero'`` or ``'dropout'``; masked-analysis' ``'s'``, ``'a'``,
            ``'sgf'``, ``'agf'`` and ``'d'`` are accepted. Defaults to
            ``'scalar'``.
        inv_mode (str): What is done with the detached logits of the
            complement: ``'none'``, ``'add'`` (to the prediction, the
            original's ``'v1'``) or ``'subtract'`` (from the target,
            ``'v2'``). Defaults to ``'none'``.
        mask_multi (int): Masks per sample and iteration; the loss is the
            mean over them. Defaults to 1.
        loss_weight (float): Factor of the masked loss; 0 leaves it out.
            Defaults to 1.
        mask_loss (str | dict): ``'kd'``, ``'l2'``, ``'l1'``, ``'cosine'`` or
            the config of a loss of two logits. Defaults to ``'kd'``, which
            is ``mask_plugins.DistillationLoss``.
        mask_softmax (bool): Compare class probabilities; not with ``'kd'``.
            Defaults to False.
        init_cfg (dict, optional): Defaults to None.

    Raises:
        TypeError, ValueError: If ``mask_ratio`` is not in (0, 1),
            ``mask_multi`` is below 1, ``loss_weight`` is negative, a mode or
            loss is unknown, dropout is to have a complement, or the head has
            no parameters.

    Examples:
        >>> from mmpretrain.models import LinearClsHead
        >>> head = MaskedFeatureHead(LinearClsHead(4, 8), mask_mode='zero')
        >>> x, target = torch.randn(2, 8), torch.randn(2, 4)
        >>> head.masked_loss((x,), target).ndim
        0
    """

    def __init__(
        self,
        head: Union[dict, nn.Module],
        mask_ratio: float = 0.5,
        mask_mode: str = 'scalar',
        inv_mode: str = 'none',
        mask_multi: int = 1,
        loss_weight: float = 1.0,
        mask_loss: Union[str, dict, nn.Module] = 'kd',
        mask_softmax: bool = False,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.mask_ratio = check_ratio('mask_ratio', mask_ratio, '()')
        mask_mode = ALIASES.get(mask_mode, mask_mode)
        self.mask_mode = check_choice('mask_mode', mask_mode, MASK_MODES)
        inv_mode = ALIASES.get(inv_mode, inv_mode)
        self.inv_mode = check_choice('inv_mode', inv_mode, INVERSE_MODES)
        if mask_mode == 'dropout':  # it has no complement
            check_choice(
                "inv_mode with mask_mode='dropout'", inv_mode, ('none',)
            )
        self.mask_multi = check_int('mask_multi', mask_multi, 1)
        self.loss_weight = check_number('loss_weight', loss_weight, 0)
        self.mask_loss = build_logit_loss(mask_loss, mask_softmax, 'mask_loss')
        self.head = head if isinstance(head, nn.Module) else MODELS.build(head)
        check_layer(self.head, 'masked features')
        if self.mask_mode == 'scalar':
            self.mask_token = nn.Parameter(torch.zeros(1, 1))
        elif self.mask_mode == 'per_rank':
            channels = getattr(self.head, 'in_channels', None)
            what = f'an int in {type(self.head).__name__} for this mask_mode'
            check_type('in_channels', channels, int, what)
            # One per rank: the ratio may change during training.
            self.mask_token = nn.Parameter(torch.zeros(1, channels))
            if self.inv_mode != 'none':
                # The complement is detached: these would never be trained.
                self.register_buffer('inverse_token', torch.zeros(1, channels))
        self._register_state_dict_hook(_as_inner_keys)
        self._register_load_state_dict_pre_hook(self._as_own_keys)

    def no_weight_decay(self) -> List[str]:
        """Parameters that ``mask_plugins.TeacherHook`` frees from decay."""
        return ['mask_token'] if 'mask_token' in self._parameters else []

    def __getattr__(self, name: str) -> Any:
        """Attributes of the inner head: ``fc``, ``predict``, ..."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get('_modules', {}).get('head')
            if inner is None or name.startswith('_'):
                raise
            return getattr(inner, name)

    # ---------------------------------------------------- as the inner head
    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Class scores of unmasked features, (N, C)."""
        return self.head(feats)

    # ----------------------------------------------------------------- loss
    def loss(
        self,
        feats: Tuple[Tensor],
        data_samples: Sequence[Any],
        teacher_logits: Optional[Tensor] = None,
        noise: Optional[Tensor] = None,
        **kwargs,
    ) -> Dict[str, Tensor]:
        """The inner head's loss, and that on masked features.

        Args:
            feats (tuple[Tensor]): Features; the last is masked,
                :math:`(N, D)`.
            data_samples (Sequence[DataSample]): Labels.
            teacher_logits (Tensor, optional): :math:`(N, C)`. None, before
                the teacher has begun, leaves the masked loss out.
            noise (Tensor, optional): See :meth:`masked_loss`.
            **kwargs: Passed to the inner head.

        Returns:
            dict[str, Tensor]: ``loss_ce`` and, with a teacher, ``loss_msk``,
            already weighted: the total is their sum.

        Raises:
            TypeError, ValueError: If labels are not classes of the head, or
                not one per row.
        """
        check_head_labels(self.head, feats[-1], data_samples)
        losses = total_as_ce(self.head.loss(feats, data_samples, **kwargs))
        if teacher_logits is not None and self.loss_weight:
            losses['loss_msk'] = self.loss_weight * self.masked_loss(
                feats, teacher_logits, noise
            )
        elif self.no_weight_decay() and 'loss_ce' in losses:
            # DDP wants a gradient for every parameter in every iteration.
            losses['loss_ce'] = losses['loss_ce'] + 0 * self.mask_token.sum()
        return losses

    def masked_loss(
        self,
        feats: Tuple[Tensor],
        teacher_logits: Tensor,
        noise: Optional[Tensor] = None,
    ) -> Tensor:
        """The loss on masked features alone, unweighted.

        Args:
            feats (tuple[Tensor]): Features; the last is :math:`(N, D)`.
            teacher_logits (Tensor): :math:`(N, C)`.
            noise (Tensor, optional): :math:`(N, D)`, or
                :math:`(K, N, D)` for K = ``mask_multi`` masks; None draws it.

        Returns:
            Tensor: Scalar, the mean over masks and samples.

        Raises:
            ValueError: If a shape is wrong.
        """
        x = feats[-1]
        noises = [None] * self.mask_multi
        if noise is not None:
            noises = noise if noise.ndim == 3 else noise[None]  # KxNxD
        if len(noises) != self.mask_multi:
            raise ValueError(
                f'noise must have {self.mask_multi} (mask_multi) draws, got '
                f'the shape {tuple(noise.shape)}'
            )
        masked, complements = zip(*(self._mask(x, n) for n in noises))
        parts = masked if self.inv_mode == 'none' else masked + complements
        # One forward: norms of the head see masked features and complements
        # as one batch.
        logits = self.head((*feats[:-1], torch.cat(parts)))  # KN(*2)xC
        rows = self.mask_multi * x.shape[0]
        pred, inverse = logits[:rows], logits[rows:]
        target = teacher_logits.repeat(self.mask_multi, 1)  # KNxC
        if self.inv_mode != 'none':
            pred, target = add_inverse(pred, target, inverse, self.inv_mode)
        return self.mask_loss(pred, target)

    def _mask(
        self, x: Tensor, noise: Optional[Tensor]
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """The masked feature and its complement, (N, D) each."""
        if self.mask_mode == 'dropout':
            return drop_features(x, self.mask_ratio, noise), None
        mask = random_channel_mask(x, self.mask_ratio, noise)
        token = self._parameters.get('mask_token')
        masked = mask_features(x, mask, token)
        if self.inv_mode == 'none':
            return masked, None
        if self.mask_mode == 'per_rank':
            token = self.inverse_token
        return masked, complement_features(x.detach(), mask, token)

    # ----------------------------------------------------------- checkpoint
    def _as_own_keys(self, state_dict, prefix, *args) -> None:
        """Before loading: ``fc.weight`` is ours under ``head.fc.weight``."""
        for key in list(self.head.state_dict()):
            if prefix + key in state_dict:
                state_dict[prefix + INNER + key] = state_dict.pop(prefix + key)


def check_layer(head: nn.Module, what: str) -> None:
    """Refuse a head that is nothing but a loss."""
    if next(head.parameters(), None) is None:
        raise ValueError(
            f'{what} needs a head with a layer, such as LinearClsHead: '
            f'{type(head).__name__} has no parameters (no `fc`)'
        )


def total_as_ce(losses: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Call a head's ``loss`` ``loss_ce``: the log's ``loss`` is the sum."""
    return {'loss_ce' if k == 'loss' else k: v for k, v in losses.items()}


def _as_inner_keys(module, state_dict, prefix, metadata) -> None:
    """After saving: no trace of the wrapping."""
    for key in [k for k in state_dict if k.startswith(prefix + INNER)]:
        state_dict[prefix + key[len(prefix + INNER) :]] = state_dict.pop(key)
