# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Label-free training of mask gates."""

from typing import Dict, List, Optional, Tuple, Union

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor

from mask_plugins.core.patches import (
    ClipState,
    MaskMode,
    StreamBinder,
    gates_of,
    set_running_mode,
)
from mask_plugins.models.clip_pairs import check_rgb, frame_pairs
from mask_plugins.registry import MODELS


@MODELS.register_module()
class PASSPretrainer(BaseSelfSupervisor):
    """Pre-train the gates of a frozen network on clips (PASS, AAAI 2023).

    Each frame but the first goes three times through the network: as it is
    (anchor), with what the gates call unchanged taken from the frame before
    (positive), and with the complement taken from it (negative). Gates learn
    to keep the positive close to the anchor and the negative far from it,
    and to skip as much as the budget asks for.

    One decision per gate and pair of frames, drawn in the anchor pass from
    true features, is shared by all passes. No labels are used. Only gates
    have gradients; the network, its BatchNorm and dropout are in evaluation
    mode all the time.

    The skip ratio is logged as ``skip_ratio``; schedule the budget with
    ``dict(type='mask_plugins.ScheduleHook', target='head.budget', ...)``.

    Args:
        backbone (dict): With gates, such as
            :class:`mask_plugins.GatedResNet`.
        head (dict): Defaults to ``dict(type='mask_plugins.PASSLoss')``.
        neck (dict, optional): Its output is compared instead. Defaults to
            None.
        data_preprocessor (dict, optional): By default a
            ``ClsDataPreprocessor``.
        **kwargs: See ``BaseSelfSupervisor``.

    Raises:
        ValueError: If the backbone has no gated layers, or
            ``data_preprocessor`` has ``to_rgb=True``.

    Examples:
        >>> backbone = dict(type='mask_plugins.GatedResNet', depth=18,
        ...                 base_channels=8, stem_channels=8, gate='pooled')
        >>> model = PASSPretrainer(backbone).train()
        >>> losses = model(torch.rand(1, 2, 3, 32, 32), mode='loss')
        >>> 'loss_triplet' in losses, 'skip_ratio' in losses
        (True, True)
    """

    def __init__(
        self,
        backbone: dict,
        head: Optional[dict] = None,
        neck: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        **kwargs,
    ) -> None:
        preprocessor = data_preprocessor or {}
        if isinstance(preprocessor, dict):
            preprocessor = {'type': 'ClsDataPreprocessor', **preprocessor}
        head = head or dict(type='mask_plugins.PASSLoss')
        parts = dict(neck=neck, head=head, data_preprocessor=preprocessor)
        super().__init__(backbone, **parts, **kwargs)
        check_rgb(self.data_preprocessor)
        self._binder = StreamBinder(self.backbone)
        set_running_mode(self, 'GatePreTrain')

    def train(self, mode: bool = True) -> 'PASSPretrainer':
        """Gates train, the frozen network does not."""
        super().train(mode)
        self.backbone.eval()
        if self.neck is not None:
            self.neck.eval()
        for gate in gates_of(self):
            gate.train(mode)
        return self

    def extract_feat(
        self, inputs: Tensor
    ) -> Union[Tensor, Tuple[Tensor, ...]]:
        """Features of images, of the backbone and neck."""
        feats = self.backbone(inputs)
        return feats if self.neck is None else self.neck(feats)

    def loss(
        self, inputs: Tensor, data_samples: Optional[List[DataSample]] = None
    ) -> Dict[str, Tensor]:
        """Losses over all pairs of frames.

        Args:
            inputs (Tensor): Clips :math:`(B, T, C, H, W)`, T >= 2.
            data_samples (list[DataSample], optional): Not used.

        Returns:
            dict[str, Tensor]: Of the head, and ``skip_ratio``.
        """
        before, now = frame_pairs(inputs)
        state = ClipState()
        with torch.no_grad(), self._binder.bind_clip(state, commit=True):
            self.backbone(before)
        passes = {}
        for mode in (MaskMode.Anchor, MaskMode.Positive, MaskMode.Negative):
            with self._binder.bind_clip(state, mode):
                passes[mode.name.lower()] = _flat(self.extract_feat(now))
        skip_ratio = state.skip_ratio()
        losses = self.head(**passes, skip_ratio=skip_ratio)
        losses['skip_ratio'] = skip_ratio.detach()
        return losses


def _flat(feats: Union[Tensor, Tuple[Tensor, ...]]) -> Tensor:
    """All values of all features, B x D."""
    feats = (feats,) if isinstance(feats, Tensor) else feats
    return torch.cat([feat.flatten(1) for feat in feats], 1)
