# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Token sampling for stock backbones."""

import inspect
from typing import Tuple, Union

from torch import Tensor, nn

from mask_plugins.core.composed import Composed, compose, decompose
from mask_plugins.registry import MODELS
from mask_plugins.utils.openmmlab import imports_for

with imports_for('token sampling in a backbone'):
    from mmpretrain.models.backbones import (
        BEiTViT,
        VisionTransformer,
        ViTEVA02,
    )

    from .state_dicts import GRID
    from .token_sampling import TokenSamplingMixin, note_grid


class SampledBackbone(Composed, TokenSamplingMixin):
    """What :func:`apply_token_sampling` mixes into the class of a backbone."""

    transient = ('_kept', '_whole', '_patch_embed_output', '_entering')
    _patch_embed_output = _entering = None

    def start_sampling(self, **kwargs) -> None:
        """Put the sampling before the first block."""
        own = set(self.__dict__)
        try:
            self.init_sampling(**kwargs)
        finally:
            self._sampling_names = set(self.__dict__) - own
        # Bound methods, not closures: deepcopy then binds them to the copy.
        self.patch_embed.register_forward_hook(self._note_patch_embed)
        self.layers[0].register_forward_pre_hook(self._sample_input)
        if self.dropped == 'keep':
            last = self.layers[self._last_sampled]
            last.register_forward_hook(self._restore_output)

    def stop_sampling(self) -> None:
        """Remove all that :meth:`start_sampling` added."""
        for hooks in (
            self.patch_embed._forward_hooks,
            self.layers[0]._forward_pre_hooks,
            *(layer._forward_hooks for layer in self.layers),
            self._state_dict_hooks,
        ):
            for key, hook in list(hooks.items()):
                if hook is note_grid or getattr(hook, '__self__', 0) is self:
                    del hooks[key]
        names = self.__dict__.pop('_sampling_names', ())
        for name in (*names, *self.transient):
            self.__dict__.pop(name, None)
        self._modules.pop('token_gate', None)
        self._buffers.pop(GRID, None)

    def _note_patch_embed(self, module, args, output) -> None:
        self._patch_embed_output = output[0]

    def _sample_input(self, module, args):
        self._entering = args[0]
        x, self._kept = self.sample(args[0], self._patch_embed_output)
        return (x, *args[1:])

    def _restore_output(self, module, args, output: Tensor) -> Tensor:
        return self.restore(output)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Run the stock backbone over the kept tokens."""
        try:
            return super().forward(x)
        finally:
            # No activation outlives its forward.
            self._kept = self._whole = None
            self._entering = self._patch_embed_output = None

    def embed_tokens(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        """See :class:`TokenSamplingMixin`."""
        seen = []
        # Runs all blocks, for analysis only: the stock forward stays the one
        # place that says what enters the first.
        handle = self.layers[0].register_forward_pre_hook(
            lambda *_: seen.append((self._entering, self._patch_embed_output))
        )
        try:
            self(images)
        finally:
            handle.remove()
        return seen[0]


def apply_token_sampling(backbone: nn.Module, **kwargs) -> nn.Module:
    """Give a stock ViT of mmpretrain the token sampling of PSS, in place.

    The instance changes its class to a subclass, so parameters,
    ``get_layer_depth`` and ``isinstance`` stay what they are; state-dict keys
    too, if the grid of patches is a square. With ``drop_ratio`` 0 its output
    is bit-identical to before. :func:`remove_token_sampling` undoes it.

    Args:
        backbone (nn.Module): A ``VisionTransformer`` of mmpretrain or one of
            its subclasses that position tokens by embedding only (DeiT,
            DeiT3, MoCoV3).
        **kwargs: See :meth:`TokenSamplingMixin.init_sampling`.

    Returns:
        nn.Module: The same object.

    Raises:
        TypeError: If the backbone needs all tokens, masks or samples them
            already, or an argument is unknown.
        ValueError: If an argument is out of range.

    Examples:
        >>> from mmpretrain.models import VisionTransformer
        >>> arch = dict(embed_dims=8, num_layers=1, num_heads=2,
        ...             feedforward_channels=8)
        >>> vit = VisionTransformer(arch, img_size=8, patch_size=4)
        >>> vit = apply_token_sampling(vit, drop_ratio=0.5)
        >>> type(remove_token_sampling(vit)).__name__
        'VisionTransformer'
    """
    kind = type(backbone).__name__
    if isinstance(backbone, TokenSamplingMixin):
        raise TypeError(f'{kind} samples tokens already')
    by_pairs = isinstance(backbone, (BEiTViT, ViTEVA02))
    if by_pairs or not isinstance(backbone, VisionTransformer):
        raise TypeError(
            'backbone must be a VisionTransformer of mmpretrain whose only '
            f'positions are an embedding, got {kind}; for a bias per pair of '
            'positions, use mask_plugins.PSSVisionTransformer'
        )
    if len(inspect.signature(backbone.forward).parameters) > 1:
        # MAE, MILAN, MaskFeat: their masks are of all patches.
        raise TypeError(
            f'backbone must take images alone, but {kind}, made for '
            'pre-training, masks patches itself: sample a VisionTransformer '
            'that loads its weights'
        )
    compose(backbone, SampledBackbone)
    try:
        backbone.start_sampling(**kwargs)
    except Exception:
        remove_token_sampling(backbone)
        raise
    return backbone


def remove_token_sampling(backbone: nn.Module) -> nn.Module:
    """Undo :func:`apply_token_sampling`, in place.

    Args:
        backbone (nn.Module): The backbone; left as it is without sampling.

    Returns:
        nn.Module: The same object, of its stock class and without a learned
        gate. See :func:`apply_token_sampling` for an example.

    Raises:
        TypeError: If it is a ``PSSVisionTransformer``, which is made for
            sampling: set its ``drop_ratio`` to 0.

    Examples:
        >>> from mmpretrain.models import VisionTransformer
        >>> arch = dict(embed_dims=8, num_layers=1, num_heads=2,
        ...             feedforward_channels=8)
        >>> vit = VisionTransformer(arch, img_size=8, patch_size=4)
        >>> vit = apply_token_sampling(vit, drop_ratio=0.5)
        >>> type(remove_token_sampling(vit)) is VisionTransformer
        True
    """
    if isinstance(backbone, SampledBackbone):
        backbone.stop_sampling()
        return decompose(backbone, SampledBackbone)
    if isinstance(backbone, TokenSamplingMixin):
        raise TypeError(
            f'{type(backbone).__name__} samples by itself: set its drop_ratio '
            'to 0'
        )
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

    Examples:
        >>> arch = dict(embed_dims=8, num_layers=1, num_heads=2,
        ...             feedforward_channels=8)
        >>> vit = dict(type='mmpretrain.VisionTransformer', arch=arch,
        ...            img_size=8, patch_size=4)
        >>> build_token_sampler(vit, drop_ratio=0.5).drop_ratio
        0.5
    """
    if isinstance(module, dict):
        module = MODELS.build(module)
    return apply_token_sampling(module, **kwargs)
