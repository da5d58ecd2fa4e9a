# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Token sampling for stock backbones."""

from typing import Tuple, Union

from mmpretrain.models.backbones import BEiTViT, VisionTransformer, ViTEVA02
from torch import Tensor, nn

from mask_plugins.registry import MODELS

from .token_sampling import TokenSamplingMixin


class SampledBackbone(TokenSamplingMixin):
    """What :func:`apply_token_sampling` mixes into the class of a backbone."""

    def start_sampling(self, **kwargs) -> None:
        """Put the sampling before the first block."""
        self.init_sampling(**kwargs)
        self._patch_embed_output = None
        self._entering = None
        # Bound methods, not closures: deepcopy then binds them to the copy.
        self.patch_embed.register_forward_hook(self._note_patch_embed)
        self.layers[0].register_forward_pre_hook(self._sample_input)

    def _note_patch_embed(self, module, args, output) -> None:
        self._patch_embed_output = output[0]

    def _sample_input(self, module, args):
        self._entering = args[0]
        x, self._kept = self.sample(args[0], self._patch_embed_output)
        return (x, *args[1:])

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """As the stock backbone, over the kept tokens."""
        try:
            return super().forward(x)
        finally:
            # No activation outlives its forward.
            self._kept = self._entering = self._patch_embed_output = None

    def embed_tokens(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        """See :meth:`TokenSamplingMixin.embed_tokens`."""
        seen = {}

        def note(module, args):
            seen.update(x=self._entering, patches=self._patch_embed_output)

        # The first block runs for nothing: analysis only, and the stock
        # forward stays the one place that says what enters it.
        handle = self.layers[0].register_forward_pre_hook(note)
        try:
            self(images)
        finally:
            handle.remove()
        return seen['x'], seen['patches']


def apply_token_sampling(backbone: nn.Module, **kwargs) -> nn.Module:
    """Give a stock ViT of mmpretrain the token sampling of PSS, in place.

    The instance changes its class to a subclass of its own, so parameters,
    state-dict keys, ``get_layer_depth`` and ``isinstance`` stay what they
    are. With ``drop_ratio`` 0 its output is bit-identical to before.

    Args:
        backbone (nn.Module): A ``VisionTransformer`` of mmpretrain or one of
            its subclasses that position tokens by embedding only (DeiT,
            DeiT3, MoCoV3).
        **kwargs: See :meth:`TokenSamplingMixin.init_sampling`.

    Returns:
        nn.Module: The same object.

    Raises:
        TypeError: If the backbone cannot lose tokens.
    """
    if isinstance(backbone, BEiTViT):
        raise TypeError(
            f'{type(backbone).__name__} adds a bias per pair of positions, '
            'which must be selected with the tokens: use '
            "type='mask_plugins.PSSVisionTransformer', which loads the same "
            'checkpoints'
        )
    if isinstance(backbone, ViTEVA02):
        raise TypeError(
            'ViTEVA02 rotates tokens by their place in the sequence, so it '
            'needs all of them; use VisionTransformer or '
            'mask_plugins.PSSVisionTransformer'
        )
    if not isinstance(backbone, VisionTransformer):
        raise TypeError(
            'TokenSampler takes VisionTransformer of mmpretrain and its '
            f'subclasses, got {type(backbone).__name__}, which may need the '
            'whole grid of tokens'
        )
    if isinstance(backbone, TokenSamplingMixin):
        raise TypeError('this backbone samples tokens already')
    stock = type(backbone)
    backbone.__class__ = type(
        f'Sampled{stock.__name__}', (SampledBackbone, stock), {}
    )
    backbone.start_sampling(**kwargs)
    return backbone


@MODELS.register_module(name='TokenSampler')
def build_token_sampler(module: Union[dict, nn.Module], **kwargs) -> nn.Module:
    """Build a stock backbone that samples tokens.

    In a config: ``backbone=dict(type='mask_plugins.TokenSampler',
    module=dict(type='VisionTransformer', arch='deit-small'))``.

    Args:
        module (dict | nn.Module): Config of the stock backbone.
        **kwargs: See :func:`apply_token_sampling`.

    Returns:
        nn.Module: The backbone itself, not a wrapper around it.
    """
    if isinstance(module, dict):
        module = MODELS.build(module)
    return apply_token_sampling(module, **kwargs)
