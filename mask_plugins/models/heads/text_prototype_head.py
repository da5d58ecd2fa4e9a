# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CLIP's classifier: cosines to the embedded names of the classes."""

import math
import os
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from mask_plugins.core.weights import apply_weight_masks
from mask_plugins.models.converters import take_weights
from mask_plugins.models.masked_model import mask_factory
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike, check_int
from mask_plugins.utils.safe_load import read_checkpoint

from .labels import ChecksLabels


@MODELS.register_module()
class TextPrototypeClsHead(ChecksLabels, ClsHead):
    """exp(logit_scale) x cosine of projected feature and text prototypes.

    Prototypes and scale are frozen. With ``mask`` the projection is frozen
    and masked: with the masked visual tower this is CLIP in Self-Masking
    Networks (GCPR 2024). Without ``mask`` the projection is trained.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Channels of the feature.
        embed_dims (int): Length D of a prototype. Defaults to 512.
        prototypes (str | PathLike, optional): File of
            ``tools/model_converters/clip_prototypes.py``, read when weights
            are initialized: a ``.safetensors`` with ``prototypes`` (C, D) and
            ``logit_scale``. Checkpoints hold both, so testing needs no file.
            Defaults to None.
        mask (dict, optional): Config of the mask of the projection. Defaults
            to None.
        init_cfg (dict, optional): Where the projection is loaded from.
            Defaults to None.
        **kwargs: Other arguments of ``ClsHead``, such as ``loss``.

    Raises:
        TypeError: If a size is not an int.
        ValueError: If a size is below 1.

    Examples:
        >>> head = TextPrototypeClsHead(num_classes=2, in_channels=3)
        >>> bool(head((torch.randn(1, 3),)).isnan().all())  # none are loaded
        True
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        embed_dims: int = 512,
        prototypes: Optional[PathLike] = None,
        mask: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(init_cfg=init_cfg, **kwargs)
        self.num_classes = check_int('num_classes', num_classes, 1)
        self.in_channels = check_int('in_channels', in_channels, 1)
        check_int('embed_dims', embed_dims, 1)
        self.prototype_file = prototypes
        self.projection = nn.Linear(in_channels, embed_dims, bias=False)
        if mask is not None:
            make = mask_factory(mask)
            apply_weight_masks(self.projection, [('weight', 'mask')], make)
        # NaN until they are loaded: a loss of NaN is noticed, zeros are not.
        empty = torch.full((num_classes, embed_dims), math.nan)
        self.register_buffer('prototypes', empty)
        self.register_buffer('logit_scale', torch.tensor(math.log(1 / 0.07)))

    def init_weights(self) -> None:
        """Load the projection and the prototypes."""
        super().init_weights()
        if self.prototype_file is not None:
            self.load_prototypes(self.prototype_file)

    def load_prototypes(self, path: PathLike) -> None:
        """Read prototypes and scale.

        Args:
            path (str | PathLike): See ``prototypes``.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read or does not fit the head.
        """
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'prototypes not found: {os.fspath(path)!r}: make them with '
                'tools/model_converters/clip_prototypes.py'
            )
        found = take_weights(read_checkpoint(path), 'state_dict', path)
        for name in ('prototypes', 'logit_scale'):
            own, value = getattr(self, name), found.get(name)
            if value is None or value.squeeze().shape != own.squeeze().shape:
                raise ValueError(
                    f'{path!r} has {name} of shape '
                    f'{value if value is None else tuple(value.shape)}, the '
                    f'head needs {tuple(own.shape)} (num_classes, embed_dims)'
                )
            own.copy_(value.view_as(own))

    def pre_logits(self, feats: Tuple[Tensor]) -> Tensor:
        """The feature in the space of the texts, (B, D)."""
        return self.projection(feats[-1])

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Class scores, (B, C)."""
        images = F.normalize(self.pre_logits(feats), dim=-1)
        texts = F.normalize(self.prototypes, dim=-1)
        return self.logit_scale.exp() * images @ texts.t()
