# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The vision transformer of patch sampling schedules."""

from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.model import ModuleList
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones import BEiTViT
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mask_plugins.core.tokens import (
    gather_position_bias,
    relative_position_index,
    select_index_pairs,
)
from mask_plugins.models.layers import PSSEncoderLayer
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice, check_number, check_ratio

from .state_dicts import rename_vit_keys
from .token_sampling import TokenSamplingMixin


@MODELS.register_module()
class PSSVisionTransformer(TokenSamplingMixin, BEiTViT):
    """A ViT that drops tokens once, before its first block.

    Accelerating Vision Transformer Training via a Patch Sampling Schedule
    (McDanel & Huynh, arXiv:2208.09520). With ``drop_ratio`` 0 it is a
    BEiT-style ViT, whose state-dict keys it has: checkpoints of mmpretrain's
    ``BEiTViT`` and ``VisionTransformer`` load as they are. Each image keeps
    its own tokens, and all keep equally many: shapes are static per ratio.

    Args:
        arch (str | dict): ``'tiny'``, ``'small'``, ``'base'``, ``'large'``
            (DeiT's and ViT's sizes), or a dict with ``embed_dims``,
            ``num_layers``, ``num_heads`` and ``feedforward_channels``.
            Defaults to ``'base'``.
        img_size (int | tuple): Input size in pixels. Defaults to 224.
        patch_size (int | tuple): Patch size in pixels. Defaults to 16.
        in_channels (int): Defaults to 3.
        out_indices (Sequence[int] | int): Blocks to output. Defaults to -1.
        drop_rate (float): Dropout after the position embedding, attention
            projection and FFN. Defaults to 0.
        attn_drop_rate (float): Dropout of attention weights. Defaults to 0.
        drop_path_rate (float): Stochastic depth of the last block, growing
            linearly from 0. Defaults to 0.
        norm_cfg (dict): Defaults to ``dict(type='LN', eps=1e-6)``.
        out_type (str): ``'avg_featmap'`` (mean of the kept patches, then a
            norm), ``'cls_token'``, ``'featmap'`` (see ``dropped``) or
            ``'raw'`` (kept tokens only). Defaults to ``'avg_featmap'``.
        final_norm (bool, optional): Norm after the last block; None is True
            except for ``'avg_featmap'``. Defaults to None.
        use_abs_pos_emb (bool): Defaults to False.
        use_rel_pos_bias (bool): A position bias in each block.
            Defaults to True.
        use_shared_rel_pos_bias (bool): One for all blocks; not with
            ``use_rel_pos_bias``. Defaults to False.
        layer_scale_init_value (float): 0 is no layer scale. Defaults to 0.1.
        drop_ratio, scorer, score_on, count_on: See
            :meth:`TokenSamplingMixin.init_sampling`.
        token_order, pretrained_img_size, dropped, return_after: See there,
            too.
        fused_attn (bool): See :class:`PSSAttention`. Defaults to True.
        init_std (float): Spread of the initial weights and class token, drawn
            from a truncated normal distribution. 0.02, the original's, is
            meant for widths of 384 and more. Defaults to 0.02.
        pos_embed_std (float): The same for the position embedding. A short
            training from scratch gains by more: positions are then told
            apart from the start. Defaults to 0.02.
        frozen_stages (int): Blocks that are not trained, with all before
            them. Defaults to -1.
        init_cfg (dict, optional): Defaults to None.
        **kwargs: Others of ``BEiTViT``, such as ``patch_cfg`` and
            ``interpolate_mode``.

    Examples:
        >>> import torch
        >>> arch = dict(embed_dims=8, num_layers=1, num_heads=2,
        ...             feedforward_channels=8)
        >>> model = PSSVisionTransformer(arch, img_size=16, patch_size=4,
        ...                              out_type='raw', drop_ratio=0.5)
        >>> model(torch.rand(2, 3, 16, 16))[0].shape  # 8 of 17 tokens
        torch.Size([2, 8, 8])
    """

    arch_zoo = {
        'tiny': BEiTViT.arch_zoo['deit-tiny'],
        'small': BEiTViT.arch_zoo['deit-small'],
        'base': BEiTViT.arch_zoo['base'],
        'large': BEiTViT.arch_zoo['large'],
    }

    def __init__(
        self,
        arch: Union[str, dict] = 'base',
        img_size: Union[int, Tuple[int, int]] = 224,
        patch_size: Union[int, Tuple[int, int]] = 16,
        in_channels: int = 3,
        out_indices: Union[int, Sequence[int]] = -1,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='LN', eps=1e-6),  # noqa: B006
        out_type: str = 'avg_featmap',
        final_norm: Optional[bool] = None,
        use_abs_pos_emb: bool = False,
        use_rel_pos_bias: bool = True,
        use_shared_rel_pos_bias: bool = False,
        layer_scale_init_value: float = 0.1,
        drop_ratio: float = 0.0,
        scorer: str = 'magnitude',
        score_on: str = 'tokens',
        count_on: str = 'tokens',
        token_order: str = 'score',
        pretrained_img_size: Union[int, Tuple[int, int], None] = None,
        dropped: str = 'zero',
        return_after: Optional[int] = None,
        fused_attn: bool = True,
        init_std: float = 0.02,
        pos_embed_std: float = 0.02,
        frozen_stages: int = -1,
        init_cfg: Optional[Union[dict, List[dict]]] = None,
        **kwargs,
    ) -> None:
        if isinstance(arch, str):
            check_choice('arch', arch, self.arch_zoo)
        if use_shared_rel_pos_bias:  # one for all blocks, or one per block
            name = 'use_rel_pos_bias with use_shared_rel_pos_bias=True'
            check_choice(name, use_rel_pos_bias, (False,))
        if final_norm is None:
            final_norm = out_type != 'avg_featmap'
        super().__init__(
            arch=arch,
            img_size=img_size,
            patch_size=patch_size,
            in_channels=in_channels,
            out_indices=out_indices,
            drop_rate=drop_rate,
            norm_cfg=norm_cfg,
            final_norm=final_norm,
            out_type=out_type,
            use_abs_pos_emb=use_abs_pos_emb,
            use_rel_pos_bias=use_rel_pos_bias,
            use_shared_rel_pos_bias=use_shared_rel_pos_bias,
            layer_scale_init_value=layer_scale_init_value,
            init_cfg=init_cfg,
            **kwargs,
        )
        check_ratio('drop_path_rate', drop_path_rate, ends='[)')
        rates = np.linspace(0, drop_path_rate, self.num_layers)
        sizes = ('embed_dims', 'num_heads', 'feedforward_channels')
        self.layers = ModuleList(
            PSSEncoderLayer(
                **{key: self.arch_settings[key] for key in sizes},
                layer_scale_init_value=layer_scale_init_value,
                window_size=self.patch_resolution,
                use_rel_pos_bias=use_rel_pos_bias,
                attn_drop_rate=attn_drop_rate,
                drop_rate=drop_rate,
                drop_path_rate=rate,
                norm_cfg=norm_cfg,
                fused_attn=fused_attn,
            )
            for rate in rates.tolist()
        )
        if self.rel_pos_bias is not None:
            del self.rel_pos_bias.relative_position_index
        index = None
        if use_rel_pos_bias or use_shared_rel_pos_bias:
            index = relative_position_index(self.patch_resolution)
        # One for all blocks; not a weight, so not in the state dict.
        self.register_buffer('position_index', index, persistent=False)
        options = (scorer, score_on, count_on, token_order)
        after = (pretrained_img_size, dropped, return_after)
        self.init_sampling(drop_ratio, *options, *after)
        self.init_std = check_number('init_std', init_std, 0, ends='(]')
        check_number('pos_embed_std', pos_embed_std, 0, ends='(]')
        self.pos_embed_std = pos_embed_std
        # The parent would have frozen its own blocks, which are gone.
        self.frozen_stages = frozen_stages
        if frozen_stages > 0:
            self._freeze_stages()

    # -------------------------------------------------------------- weights
    def init_weights(self) -> None:
        """Initialize as the original does, unless weights are loaded."""
        super().init_weights()
        configs = self.init_cfg
        for config in configs if isinstance(configs, list) else [configs]:
            if config and config['type'] == 'Pretrained':
                return
        trunc_normal_(self.cls_token, std=self.init_std)
        if self.pos_embed is not None:
            trunc_normal_(self.pos_embed, std=self.pos_embed_std)
        for depth, layer in enumerate(self.layers, 1):
            for module in layer.modules():
                if isinstance(module, nn.Linear):
                    trunc_normal_(module.weight, std=self.init_std)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
            layer.rescale_residual(depth)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        rename_vit_keys(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _prepare_relative_position_bias_table(self, *args, **kwargs) -> None:
        """Replaced by ``fit_positions``.

        The parent's knows square grids and no prefix, and calls a function
        that SciPy has removed.
        """

    # -------------------------------------------------------------- forward
    def embed_tokens(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        """See :class:`TokenSamplingMixin`."""
        tokens, patch_embed, _ = self._embed(images)
        return tokens, patch_embed

    def _embed(self, images: Tensor) -> Tuple[Tensor, Tensor, Tuple]:
        patch_embed, resolution = self.patch_embed(images)
        size, own = tuple(resolution), tuple(self.patch_resolution)
        if self.position_index is not None and size != own:
            raise ValueError(
                f'an input of {tuple(images.shape[-2:])} pixels has {size} '
                f'patches, but the relative position bias is for {own}: build '
                'the backbone with the img_size of its input'
            )
        cls_token = self.cls_token.expand(images.size(0), -1, -1)
        x = torch.cat((cls_token, patch_embed), dim=1)
        if self.pos_embed is not None:
            x = x + resize_pos_embed(
                self.pos_embed,
                self.patch_resolution,
                resolution,
                mode=self.interpolate_mode,
                num_extra_tokens=self.num_extra_tokens,
            )
        return self.drop_after_pos(x), patch_embed, resolution

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Compute the features.

        Args:
            images (Tensor): :math:`(B, 3, H, W)`.

        Returns:
            tuple[Tensor]: One output per entry of ``out_indices``.
        """
        x, patch_embed, resolution = self._embed(images)
        x, self._kept = self.sample(x, patch_embed)
        index, shared = self._position_bias(self._kept)
        outs = []
        for i, layer in enumerate(self.layers):
            x = layer(x, index, shared)
            if self._whole is not None and i == self._last_sampled:
                x = self.restore(x)
                index, shared = self._position_bias(None)
            if i == len(self.layers) - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, resolution))
        self._kept = None
        return tuple(outs)

    def _position_bias(
        self, kept: Optional[Tensor]
    ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Index of the pairs of tokens, and the bias that blocks share."""
        index, shared = self.position_index, None
        if kept is not None and index is not None:
            index = select_index_pairs(index, kept)
        if self.rel_pos_bias is not None:
            table = self.rel_pos_bias.relative_position_bias_table
            shared = gather_position_bias(table, index)
        return index, shared
