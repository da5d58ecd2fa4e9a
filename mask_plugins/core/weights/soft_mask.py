# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The mask of Continuous Sparsification, as a module."""

from typing import Any, Dict, List, Optional

import torch
from torch import Tensor, nn

from mask_plugins.utils.checks import check_choice, check_number

from .fused import fusable
from .score_product import binary_masked_weight
from .soft import prune_logits, soft_mask, soft_masked_weight, soft_scale
from .weight_mask import (
    WeightMask,
    keep_precision,
    mask_dtype,
    named_setting,
)


class SoftMask(WeightMask):
    r"""A logit per weight, annealed by a temperature to a hard ticket.

    The weight counts as :math:`w\,c\,\sigma(\beta s)`, or as a ticket as
    :math:`w\,c\,1[s > 0]`; see :mod:`mask_plugins.core.weights.soft`. Weight
    and logits are trained together, but as a ticket the logits are frozen.

    Args:
        weight (Tensor): The parameter that is masked; only its shape, dtype
            and device count.
        init (float): Initial value s0 of the logits: lower is sparser.
            Defaults to 0.
        ticket_scale (str): What c is in a ticket. ``'keep'``, as the method
            has it: a normalization that follows absorbs it. ``'one'``: kept
            weights count as they are. Defaults to ``'keep'``.

    Attributes:
        logits (Parameter): Of the shape of ``weight``.
        temperature (float): Inverse temperature. Set by a schedule.
        ticket (bool): Whether the mask is hard.

    Raises:
        ValueError: If ``ticket_scale`` is unknown, or ``init`` is not finite
            or beyond 50, where sigmoid underflows.

    Examples:
        >>> import torch
        >>> weight = torch.ones(2, 2)
        >>> mask = SoftMask(weight, init=-0.1)
        >>> torch.allclose(mask(weight), weight)  # begins as the dense layer
        True
        >>> mask.ticket = True
        >>> mask.hard().any().item()
        False
    """

    trains_weight = True
    setting_name = 'temperature'
    temperature = named_setting('temperature', 'Inverse temperature, >= 0.')
    TICKET_SCALES = ('keep', 'one')

    def __init__(
        self, weight: Tensor, init: float = 0.0, ticket_scale: str = 'keep'
    ) -> None:
        super().__init__()
        self.init = check_number('init', init, -50, 50)
        self.ticket_scale = check_choice(
            'ticket_scale', ticket_scale, self.TICKET_SCALES
        )
        dtype = mask_dtype(weight)
        self.logits = nn.Parameter(
            torch.full_like(weight, init, dtype=dtype, requires_grad=False)
        )
        place = dict(device=weight.device)
        self.register_setting(1.0, **place)
        self.register_buffer(
            'ticket_flag', torch.zeros((), dtype=torch.bool, **place)
        )
        # Not a buffer, so that nothing averages or exchanges it; a tensor, so
        # that a compiled graph sees a new value.
        self._beta = torch.ones((), dtype=dtype, **place)
        self._ticket = False
        # Sums of the mask, while somebody collects them for a penalty.
        self._sums: Optional[List[Tensor]] = None

    def check_setting(self, value: float) -> float:
        """See :class:`WeightMask`; also what a forward reads."""
        value = check_number('temperature', value, low=0)
        # A new tensor: a backward pass may still need the one before.
        self._beta = torch.full_like(self._beta, value)
        return value

    @property
    def ticket(self) -> bool:
        """Whether the mask is hard; to set it freezes or frees the logits."""
        return self._ticket

    @ticket.setter
    def ticket(self, value: bool) -> None:
        self._ticket = bool(value)
        self.ticket_flag.fill_(self._ticket)
        self.logits.requires_grad_(not self._ticket)

    @property
    def scale(self) -> float:
        """The constant c that is in force."""
        if self._ticket and self.ticket_scale == 'one':
            return 1.0
        return soft_scale(self.init)

    @property
    def dtype(self) -> torch.dtype:
        """See :class:`WeightMask`."""
        return self.logits.dtype

    def masked(self, weight: Tensor) -> Tensor:
        """See :class:`WeightMask`."""
        if self._ticket:
            return binary_masked_weight(weight, self.hard(), factor=self.scale)
        product, total = soft_masked_weight(
            weight, self.logits, self._beta, self.scale
        )
        if self._sums is not None:
            self._sums.append(total)
        return product

    def casts(self, weight: Tensor) -> bool:
        """See :class:`WeightMask`."""
        return not self._ticket and fusable(weight, self.logits)

    def sum(self) -> Tensor:
        """The sum of the mask, with its graph: what the penalty counts."""
        if self._ticket:
            return self.scale * self.hard().sum(dtype=self.dtype)
        return self.scale * soft_mask(self.logits, self._beta, 1).sum()

    def hard(self) -> Tensor:
        """See :class:`WeightMask`: logits above 0."""
        return self.logits.detach() > 0

    def soft_density(self) -> float:
        """The mean of sigmoid(b s); of a ticket, its density."""
        if self._ticket:
            return super().soft_density()
        logits = self.logits.detach().double()
        return float(torch.sigmoid(self.temperature * logits).mean())

    @torch.no_grad()
    def prune(self, temperature: Optional[float] = None) -> None:
        """Between rounds: s becomes min(b * s, init), in place.

        Args:
            temperature (float, optional): The b. Defaults to None, the
                present one.
        """
        b = self.temperature if temperature is None else temperature
        self.logits.copy_(prune_logits(self.logits, b, self.init))

    @torch.no_grad()
    def set_hard(self, on: Tensor) -> None:
        """Make the logits say what is kept, for a mask found elsewhere.

        Args:
            on (Tensor): bool. What is on and has a logit above 0 keeps it,
                as what is off and has none.
        """
        eps = torch.finfo(self.dtype).tiny
        logits = torch.where(on, self.logits.clamp(min=eps), self.logits)
        self.logits.copy_(torch.where(on, logits, logits.clamp(max=0)))

    def settings(self) -> Dict[str, Any]:
        """See :class:`WeightMask`: as a ticket."""
        scale = soft_scale(self.init) if self.ticket_scale == 'keep' else 1.0
        return dict(kind='soft', factor=scale, scale=False, chunks=1)

    def saved_settings(self) -> Dict[str, Tensor]:
        """See :class:`WeightMask`."""
        flag = torch.tensor(self._ticket)
        return dict(super().saved_settings(), ticket_flag=flag)

    def why_stuck(self, steps: int) -> str:
        """See :class:`WeightMask`: nothing sets the temperature."""
        if self._scheduled or self._ticket:
            return ''
        return (
            f'nothing sets its temperature, which stays {self.temperature:g}, '
            'so that it never becomes hard: use mask_plugins.'
            'ContinuousSparsificationHook, or set mask.temperature'
        )

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if bool(self.ticket_flag) != self._ticket:
            self.ticket = bool(self.ticket_flag)

    def _apply(self, fn, recurse=True):
        self._beta = keep_precision(fn, self._beta)
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        """What ``print(model)`` says."""
        shape = 'x'.join(map(str, self.logits.shape))
        return f'{shape}, init={self.init}, ticket={self._ticket}'
