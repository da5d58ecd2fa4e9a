# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The mask of Self-Masking Networks, as a module."""

from typing import Any, Callable, Dict, Union

import torch
from torch import Tensor, nn

from .score_init import SCORE_INITS
from .scores import (
    check_chunks,
    check_criterion,
    check_scaling,
    score_is_on,
    score_masked_weight,
)
from .weight_mask import WeightMask, mask_dtype


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
        k (float): Threshold, or share kept for ``'topk'``. Defaults to 0.
        scale (bool): Multiply by sqrt(N / n) within the graph. Defaults to
            True.
        chunks (int): Parts along the first dimension that are ranked and
            scaled for themselves: 3 for a fused query-key-value weight.
            Defaults to 1.

    Attributes:
        scores (Parameter): Of the shape of ``weight``, at least float32.
        k (float): May be set, for instance by a schedule.

    Raises:
        ValueError: If an argument is not one of the allowed.
    """

    def __init__(
        self,
        weight: Tensor,
        init: Union[float, str, dict, Callable] = 1.0,
        criterion: str = 'threshold',
        k: float = 0.0,
        scale: bool = True,
        chunks: int = 1,
    ) -> None:
        super().__init__()
        check_criterion(criterion, k)
        check_scaling(criterion, scale)
        check_chunks(weight, chunks)
        self.criterion = criterion
        self.scale = scale
        self.chunks = chunks
        dtype = mask_dtype(weight)
        scores = _initial(init, weight.detach().to(dtype))
        self.scores = nn.Parameter(scores)
        self._k = float(k)
        self.register_buffer(
            'k_value',
            torch.tensor(self._k, dtype=torch.float64, device=weight.device),
        )

    @property
    def k(self) -> float:
        """Threshold, or share kept."""
        return self._k

    @k.setter
    def k(self, value: float) -> None:
        check_criterion(self.criterion, value)
        self._k = float(value)
        self.k_value.fill_(self._k)

    @property
    def dtype(self) -> torch.dtype:
        """See :class:`WeightMask`."""
        return self.scores.dtype

    def masked(self, weight: Tensor) -> Tensor:
        """See :class:`WeightMask`."""
        return score_masked_weight(
            weight, self.scores, self.criterion, self._k, self.scale,
            self.chunks,
        )  # fmt: skip

    def hard(self) -> Tensor:
        """See :class:`WeightMask`; with ``'flip'``, what is not flipped."""
        scores = self.scores.detach()
        return score_is_on(scores, self.criterion, self._k, self.chunks)

    def settings(self) -> Dict[str, Any]:
        """See :class:`WeightMask`."""
        kind = 'flip' if self.criterion == 'flip' else 'score'
        return dict(
            kind=kind, factor=1.0, scale=self.scale, chunks=self.chunks
        )

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._k = float(self.k_value)

    def extra_repr(self) -> str:
        """What ``print(model)`` says."""
        shape = 'x'.join(map(str, self.scores.shape))
        chunks = f', chunks={self.chunks}' if self.chunks > 1 else ''
        return f'{shape}, {self.criterion}, k={self._k:g}{chunks}'


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
