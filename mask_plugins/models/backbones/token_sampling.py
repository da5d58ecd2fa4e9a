# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Token sampling, the part that all backbones share."""

from typing import Optional, Tuple, Union

import torch
from torch import Tensor

from mask_plugins.core.tokens import (
    SCORES,
    TokenGate,
    gather_tokens,
    keep_count,
    scatter_tokens,
    score_l2_magnitude,
    score_magnitude,
    score_random,
    select_tokens,
)
from mask_plugins.core.tokens.selection import COUNT_ON, TOKEN_ORDERS
from mask_plugins.utils.checks import (
    check_choice,
    check_int,
    check_pair,
    check_ratio,
)
from mask_plugins.utils.compat_torch import is_compiling

from .state_dicts import GRID, fit_positions

SCORE_ON = ('tokens', 'patch_embed')
DROPPED = ('zero', 'keep')
MAGNITUDES = dict(magnitude=score_magnitude, l2_magnitude=score_l2_magnitude)


def note_grid(module, state_dict, prefix, metadata) -> None:
    """Note the grid of patches next to the version of the module.

    Some tools lose the metadata, but no key is added that a stock backbone
    does not have.
    """
    metadata[GRID] = list(module.patch_resolution)


class TokenSamplingMixin:
    """Select tokens once, before the first block, for a ViT of mmpretrain.

    A backbone that mixes this in has ``num_extra_tokens`` prefix tokens, an
    ``out_type`` and a method ``_format_output``, as those of mmpretrain do.
    It calls :meth:`init_sampling` in its constructor and :meth:`sample` on
    the tokens that enter its first block. Its ``embed_tokens(images)`` returns
    those, :math:`(B, N, C)`, and the bare patch embedding,
    :math:`(B, P, C)`.

    The ratio alone says whether tokens are dropped, not ``training``: hooks
    set it to 0 for validation, tools to what they like.

    The grid of patches is stored in the state dict where it is not a square
    (``patch_grid``), and position tables of another grid are resized.
    """

    # Where the tokens of the running forward came from; None is all.
    _kept: Optional[Tensor] = None
    # All tokens that entered the first block, if dropped='keep'.
    _whole: Optional[Tensor] = None

    def init_sampling(
        self,
        drop_ratio: float = 0.0,
        scorer: str = 'magnitude',
        score_on: str = 'tokens',
        count_on: str = 'tokens',
        token_order: str = 'score',
        pretrained_img_size: Union[int, Tuple[int, int], None] = None,
        dropped: str = 'zero',
        return_after: Optional[int] = None,
    ) -> None:
        """Check and keep the arguments.

        Args:
            drop_ratio (float): Share of tokens dropped, in [0, 1); 0 is off.
                Defaults to 0.
            scorer (str): What decides: ``'magnitude'``, ``'l2_magnitude'``,
                ``'random'`` or ``'gate'`` (learned). Defaults to
                ``'magnitude'``.
            score_on (str): Score the ``'tokens'`` that enter the first block,
                as the original does, or the ``'patch_embed'`` alone, which
                has no position prior and no dropout in it. Defaults to
                ``'tokens'``.
            count_on (str): See :func:`keep_count`. Defaults to ``'tokens'``.
            token_order (str): See :func:`select_tokens`. Defaults to
                ``'score'``.
            pretrained_img_size (int | tuple, optional): Image size, (height,
                width), of checkpoints that do not store their grid of
                patches. None takes a grid that differs in size for a square.
                Defaults to None.
            dropped (str): What a feature map has at dropped places:
                ``'zero'``, or ``'keep'``, the token as it was when last
                computed. Kept tokens are let back in after
                ``return_after`` blocks (the idea of SViT,
                arXiv:2306.07050), and no later block or norm misses them.
                ``'keep'`` needs ``out_type='featmap'``. Defaults to
                ``'zero'``.
            return_after (int, optional): Blocks that run on the kept tokens
                alone, at least 1; the others run on all tokens. Only with
                ``dropped='keep'``. Defaults to None: all blocks, so that
                the final norm is the first to see the dropped tokens again.

        Raises:
            TypeError: If a number is not one.
            ValueError: If a number is out of range, an option unknown, or
                the options contradict each other.
        """
        self.score_on = check_choice('score_on', score_on, SCORE_ON)
        self.count_on = check_choice('count_on', count_on, COUNT_ON)
        self.token_order = check_choice(
            'token_order', token_order, TOKEN_ORDERS
        )
        self._init_return(dropped, return_after)
        size = pretrained_img_size
        if size is not None:
            size = check_pair('pretrained_img_size', size, low=1, single=True)
        self.pretrained_img_size = size
        rows, columns = self.patch_resolution
        if rows != columns or pretrained_img_size is not None:
            # Not needed for squares, which have the keys of stock backbones.
            # Integers are never averaged.
            self.register_buffer(GRID, torch.tensor([rows, columns]))
        self._register_state_dict_hook(note_grid)
        gated = scorer == 'gate'
        self.token_gate = TokenGate(self.embed_dims) if gated else None
        self.scorer = scorer
        self.drop_ratio = drop_ratio

    def _init_return(self, dropped: str, return_after: Optional[int]) -> None:
        self.dropped = check_choice('dropped', dropped, DROPPED)
        if dropped == 'keep':
            name = "out_type with dropped='keep'"
            check_choice(name, self.out_type, ('featmap',))
        elif return_after is not None:
            raise ValueError(
                f"return_after={return_after} needs dropped='keep', got "
                f'dropped={dropped!r}'
            )
        self.return_after = check_int(
            'return_after', return_after, 1, len(self.layers), optional=True
        )

    def _load_from_state_dict(self, state_dict, prefix, metadata, *args):
        fit_positions(self, state_dict, prefix, metadata.get(GRID))
        super()._load_from_state_dict(state_dict, prefix, metadata, *args)

    @property
    def drop_ratio(self) -> float:
        """Share of tokens dropped, in [0, 1)."""
        return self._drop_ratio

    @drop_ratio.setter
    def drop_ratio(self, value: float) -> None:
        self._drop_ratio = check_ratio('drop_ratio', value, ends='[)')
        # Forward reads this int: torch.compile makes one graph per int, but
        # takes a float that changes for a variable.
        self._num_keep = self._count(self._own_tokens) if value else None

    @property
    def scorer(self) -> str:
        """What decides which tokens are dropped."""
        return self._scorer

    @scorer.setter
    def scorer(self, value: str) -> None:
        check_choice('scorer', value, SCORES)
        if value == 'gate' and self.token_gate is None:
            raise ValueError(
                "scorer='gate' needs weights: build the backbone with "
                "scorer='gate'"
            )
        self._scorer = value

    def train(self, mode: bool = True) -> 'TokenSamplingMixin':
        """As the parent, and as ``nn.Module`` has it: returns itself."""
        super().train(mode)
        return self

    # ------------------------------------------------------------- sampling
    def sample(
        self, x: Tensor, patch_embed: Optional[Tensor] = None
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Drop tokens of the sequence that enters the first block.

        Args:
            x (Tensor): :math:`(B, N, C)`, prefix tokens first.
            patch_embed (Tensor, optional): The embedding alone,
                :math:`(B, P, C)`; needed if ``score_on='patch_embed'``.

        Returns:
            tuple[Tensor, Tensor | None]: The kept tokens :math:`(B, n, C)`
            and where they were :math:`(B, n)`, or ``x`` and None when off.
        """
        learns = self.scorer == 'gate' and self.training
        if self._num_keep is None and not learns:
            return x, None
        scores, factor = self._score(x, patch_embed)
        if learns:
            # Also at ratio 0: a parameter without a gradient in some
            # iterations would break DDP.
            prefix = self.num_extra_tokens
            factor = factor.unsqueeze(-1).to(x.dtype)
            x = torch.cat((x[:, :prefix], x[:, prefix:] * factor), dim=1)
            if self._num_keep is None:
                return x, None
        kept = self._select(scores)
        if self.dropped == 'keep':
            self._whole = x
        return gather_tokens(x, kept), kept

    def restore(self, x: Tensor) -> Tensor:
        """Let the dropped tokens back in; from here on all are computed.

        Args:
            x (Tensor): The kept tokens, :math:`(B, n, C)`.

        Returns:
            Tensor: :math:`(B, N, C)`, or ``x`` if none were dropped.
        """
        if self._kept is not None:
            whole = self._whole
            x = scatter_tokens(x, self._kept, whole.shape[1], whole)
            self._kept = self._whole = None
        return x

    def _score(
        self, x: Tensor, patch_embed: Optional[Tensor]
    ) -> Tuple[Tensor, Optional[Tensor]]:
        patches = patch_embed
        if self.score_on == 'tokens':
            patches = x[:, self.num_extra_tokens :]
        if self.scorer == 'gate':
            return self.token_gate(patches)
        if self.scorer == 'random':
            return score_random(patches, self._generator(x.device)), None
        return MAGNITUDES[self.scorer](patches), None

    @torch.compiler.disable
    def _generator(self, device: torch.device) -> torch.Generator:
        """The noise has a stream of its own.

        In training it is seeded by one number of the global CPU stream, so
        that seeding that stream (see SeedHook) makes the selection
        repeatable, and a CUDA stream is left alone. In eval mode every
        forward has the same noise: place b of a batch keeps the same patches.

        Raises:
            RuntimeError: In torch.jit.trace, torch.export and torch.onnx:
                a graph has one generator, and other noise in each call.
        """
        # Never true under torch.compile, which leaves this function alone.
        if torch.jit.is_tracing() or is_compiling():
            raise RuntimeError(
                "scorer='random' cannot be traced or exported, its noise is "
                "not in the graph: take scorer='magnitude', or drop_ratio=0 "
                'for all tokens'
            )
        seed = torch.randint(2**62, ()) if self.training else 0
        return torch.Generator(device=device).manual_seed(int(seed))

    def _select(self, scores: Tensor) -> Tensor:
        prefix = self.num_extra_tokens
        count, total = self._num_keep, prefix + scores.size(1)
        if count is None or total != self._own_tokens:
            count = self._count(total)
        return select_tokens(scores, count, prefix, self.token_order)

    @property
    def _last_sampled(self) -> int:
        """Index of the last block that runs on the kept tokens alone."""
        return (self.return_after or len(self.layers)) - 1

    @property
    def _own_tokens(self) -> int:
        rows, columns = self.patch_resolution
        return rows * columns + self.num_extra_tokens

    def _count(self, total: int) -> int:
        prefix = self.num_extra_tokens
        return keep_count(total, self.drop_ratio, prefix, self.count_on)

    # -------------------------------------------------------------- outputs
    def _format_output(self, x: Tensor, hw: Tuple[int, int]) -> Tensor:
        """As the stock backbone, of the kept tokens.

        A feature map has its dropped places filled as ``dropped`` says;
        ``'raw'`` has the kept tokens only.
        """
        if self.out_type == 'featmap' and self._kept is not None:
            num_tokens = self.num_extra_tokens + hw[0] * hw[1]
            fill = 0.0 if self._whole is None else self._whole
            x = scatter_tokens(x, self._kept, num_tokens, fill)
        return super()._format_output(x, hw)

    # ------------------------------------------------------------- analysis
    @torch.no_grad()
    def get_patch_info(
        self, images: Tensor
    ) -> Tuple[Tuple[Tensor, Tensor], Tuple[int, int]]:
        """Which tokens are kept at the present ratio, most important first.

        Args:
            images (Tensor): Preprocessed images, :math:`(B, 3, H, W)`.

        Returns:
            tuple: ``((batch_index, token_index), (B, n))``, two int64 tensors
            of length B n, image by image. Token 0 is the class token. At
            ratio 0 all tokens are listed, sorted like the others.
        """
        tokens, patch_embed = self.embed_tokens(images)
        scores, _ = self._score(tokens, patch_embed)
        kept = self._select(scores)
        batch, count = kept.shape
        rows = torch.arange(batch, device=kept.device)
        return (rows.repeat_interleave(count), kept.flatten()), (batch, count)
