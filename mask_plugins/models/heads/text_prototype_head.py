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
from mask_plugins.models.converters import read_checkpoint
from mask_plugins.models.masked_model import mask_factory
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_path


@MODELS.register_module()
class TextPrototypeClsHead(ClsHead):
    """exp(logit_scale) x cosine of projected feature and text prototypes.

    Prototypes and scale are frozen. With ``mask`` the projection is frozen
    and masked: with the masked visual tower this is CLIP in Self-Masking
    Networks (GCPR 2024). Without ``mask`` the projection is trained.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Channels of the feature.
        embed_dims (int): Length D of a prototype. Defaults to 512.
        prototypes (str, optional): File of
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
        FileNotFoundError: If there is no such file, when it is read.
        ValueError: If it does not fit.

    Examples:
        >>> head = TextPrototypeClsHead(3, in_channels=8, embed_dims=4)
        >>> head.prototypes.copy_(torch.eye(3, 4)).shape
        torch.Size([3, 4])
        >>> head((torch.randn(2, 8),)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        embed_dims: int = 512,
        prototypes: Optional[str] = None,
        mask: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(init_cfg=init_cfg, **kwargs)
        self.num_classes = num_classes
        self.in_channels = in_channels
        if prototypes is not None:
            prototypes = check_path('prototypes', prototypes)
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

    def load_prototypes(self, path: str) -> None:
        """Read prototypes and scale.

        Args:
            path (str): See ``prototypes``.
        """
        path = check_path('prototypes', path)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f'prototypes not found: {path!r}; make them with '
                'tools/model_converters/clip_prototypes.py'
            )
        found = read_checkpoint(path)
        if not {'prototypes', 'logit_scale'} <= set(found):
            raise ValueError(
                f'{path!r} must have prototypes and logit_scale, it has '
                f'{sorted(found)}'
            )
        shape = tuple(self.prototypes.shape)
        if tuple(found['prototypes'].shape) != shape:
            raise ValueError(
                f'{path!r} has prototypes of shape '
                f'{tuple(found["prototypes"].shape)}, the head needs {shape} '
                '(num_classes, embed_dims)'
            )
        self.prototypes.copy_(found['prototypes'])
        self.logit_scale.copy_(found['logit_scale'])

    def pre_logits(self, feats: Tuple[Tensor]) -> Tensor:
        """The feature in the space of the texts, (B, D)."""
        return self.projection(feats[-1])

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Class scores, (B, C)."""
        images = F.normalize(self.pre_logits(feats), dim=-1)
        texts = F.normalize(self.prototypes, dim=-1)
        return self.logit_scale.exp() * images @ texts.t()
