# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The mask of Self-Masking Networks, as a module."""

from typing import Any, Callable, Dict, Optional, Union

import torch
from torch import Tensor, nn

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_bool
from mask_plugins.utils.compat_torch import is_compiling

from .fused import Known, fusable
from .score_init import SCORE_INITS
from .score_product import ScoreMaskedWeight, check_scaling
from .scores import check_chunks, check_level, score_is_on
from .weight_mask import WeightMask, mask_dtype, named_setting


class ScoreMask(WeightMask):
    """A score per weight; the frozen weight counts where it is high enough.

    See :mod:`mask_plugins.core.weights.scores` for the formulas.

    Args:
        weight (Tensor): The parameter that is masked.
        init (float | str | dict | Callable): Initial scores: a number, a name
            in :data:`SCORE_INITS`, a dict of ``type`` and arguments, or a
            function of the weight. Defaults to 1, all on.
        criterion (str): ``'threshold'``, ``'topk'`` or ``'flip'``.
            Defaults to ``'threshold'``.
        threshold (float): Scores above it are on. Not for ``'topk'``.
            Defaults to 0.
        keep_ratio (float): Share of highest scores that are on, for
            ``'topk'`` only. Defaults to 1.
        scale (bool): Multiply by sqrt(N / n) within the graph. Defaults to
            True.
        chunks (int): Parts along the first dimension that are ranked and
            scaled for themselves: 3 for a fused query-key-value weight.
            Defaults to 1.

    Attributes:
        scores (Parameter): Of the shape of ``weight``, at least float32.
        threshold, keep_ratio (float): The one that the criterion has may be
            set, for instance by a schedule.

    Raises:
        TypeError: If a number is not one.
        ValueError: If ``criterion`` or ``init`` is unknown, ``threshold`` or
            ``keep_ratio`` does not belong to the criterion or is out of
            range, ``chunks`` does not divide the weight, or ``'flip'`` is to
            be scaled.

    Examples:
        >>> weight = torch.arange(4.)
        >>> mask = ScoreMask(weight, 'magnitude', 'topk', keep_ratio=0.5)
        >>> int(mask.hard().sum())
        2
        >>> mask.keep_ratio = 0.25
        >>> int(mask.hard().sum())
        1
    """

    @checked
    def __init__(
        self,
        weight: Tensor,
        init: Union[float, str, dict, Callable] = 1.0,
        criterion: str = 'threshold',
        threshold: float = 0.0,
        keep_ratio: float = 1.0,
        scale: bool = True,
        chunks: int = 1,
    ) -> None:
        super().__init__()
        check_level(criterion, 0)
        check_scaling(criterion, check_bool('scale', scale))
        check_chunks(weight, chunks)
        self.setting_name, level = 'threshold', threshold
        other, value, default = 'keep_ratio', keep_ratio, 1
        if criterion == 'topk':
            self.setting_name, level = other, value
            other, value, default = 'threshold', threshold, 0
        if value != default:
            raise ValueError(f'{criterion=} has no {other}, got {value!r}')
        self.criterion = criterion
        self.scale = scale
        self.chunks = chunks
        dtype = mask_dtype(weight)
        scores = _initial(init, weight.detach().to(dtype))
        self.scores = nn.Parameter(scores)
        self._start: Optional[Tensor] = None
        # How many are on, until the scores change.
        self._known: Known = {}
        self.register_setting(check_level(criterion, level), weight.device)

    threshold = named_setting('threshold', 'Scores above it are on.')
    keep_ratio = named_setting('keep_ratio', 'Share that is on, for topk.')

    def check_setting(self, value: float) -> float:
        """See :class:`WeightMask`."""
        return check_level(self.criterion, value)

    @property
    def dtype(self) -> torch.dtype:
        """See :class:`WeightMask`."""
        return self.scores.dtype

    def masked(self, weight: Tensor) -> Tensor:
        """See :class:`WeightMask`."""
        # Checked when it was set: checks would break a compiled graph.
        return ScoreMaskedWeight.apply(
            weight, self.scores, self.criterion, self.setting, self.scale,
            self.chunks, None if is_compiling() else self._known,
        )  # fmt: skip

    def casts(self, weight: Tensor) -> bool:
        """See :class:`WeightMask`."""
        frozen = self.criterion != 'flip' and not weight.requires_grad
        return frozen and fusable(weight, self.scores)

    def hard(self) -> Tensor:
        """See :class:`WeightMask`; with ``'flip'``, what is not flipped."""
        scores = self.scores.detach()
        return score_is_on(scores, self.criterion, self.setting, self.chunks)

    def settings(self) -> Dict[str, Any]:
        """See :class:`WeightMask`."""
        kind = 'flip' if self.criterion == 'flip' else 'score'
        return dict(
            kind=kind, factor=1.0, scale=self.scale, chunks=self.chunks
        )

    def why_stuck(self, steps: int) -> str:
        """See :class:`WeightMask`: scores too slow for the threshold.

        Of a sample of the scores it compares how far they have moved with
        how far they are from the threshold.
        """
        if self._start is None or self.criterion == 'topk':
            return ''
        now = self._sample()
        rate = (now - self._start.to(now)).abs() / max(1, self._steps - 1)
        distance = (now - self.setting).abs()
        if bool((now <= self.setting).any()) or not self.scores.requires_grad:
            return ''
        share = float((rate * steps >= distance).double().mean())
        if self._scheduled or share > 1e-3:
            return ''
        return (
            f'its scores move by {float(rate.median()):.1e} a step and are '
            f'{float(distance.median()):.3g} away from the threshold '
            f'{self.setting:g}, so that in {steps:,} more steps it would '
            'remove nothing: raise the learning rate of the masks (often 50 '
            'with scores of 1; mask_plugins.MaskOptimWrapperConstructor gives '
            'them one of their own), or start closer to the threshold'
        )

    def _count_step(self) -> None:
        if self._steps == 0:
            self._start = self._sample()
        super()._count_step()

    def _sample(self) -> Tensor:
        flat = self.scores.detach().flatten()
        return flat[:: -(-flat.numel() // 4096) or 1].clone()

    def extra_repr(self) -> str:
        """What ``print(model)`` says."""
        shape = 'x'.join(map(str, self.scores.shape))
        chunks = f', chunks={self.chunks}' if self.chunks > 1 else ''
        return f'{shape}, {self.criterion}, {self.setting:g}{chunks}'


def _initial(
    init: Union[float, str, dict, Callable], weight: Tensor
) -> Tensor:
    options: Dict[str, Any] = {}
    if isinstance(init, (int, float)) and not isinstance(init, bool):
        init, options = 'constant', dict(value=float(init))
    if isinstance(init, dict):
        options = {key: item for key, item in init.items() if key != 'type'}
        init = init.get('type')
    if isinstance(init, str) and init in SCORE_INITS:
        init = SCORE_INITS[init]
    if not callable(init):
        raise ValueError(
            'init must be a number, a function of the weight, or one of '
            f'{tuple(SCORE_INITS)}, got {init!r}'
        )
    scores = init(weight, **options)
    if scores.shape != weight.shape:
        raise ValueError(
            f'init made scores of shape {tuple(scores.shape)} for a weight of '
            f'shape {tuple(weight.shape)}'
        )
    return scores
