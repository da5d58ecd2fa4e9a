# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What every mask of a weight has in common."""

import warnings
from typing import Any, Dict, Optional

import torch
from torch import Tensor, nn

from mask_plugins.utils.compat_torch import is_compiling

# Below this, sigmoids saturate early and scores lose their updates.
_MASK_DTYPES = (torch.float32, torch.float64)
_WEIGHT_DTYPES = (torch.float16, torch.bfloat16, *_MASK_DTYPES)


class WeightMask(nn.Module):
    """The mask of one parameter: a small module next to it.

    It is called with the parameter and returns what the layer computes with.
    A subclass defines :meth:`masked`, :meth:`hard` and :meth:`settings`; what
    a schedule sets is kept by :meth:`register_setting`.

    Attributes:
        enabled (bool): Off means the parameter itself, bit for bit.
        trains_weight (bool): Whether the parameter is trained too; otherwise
            it is frozen while it is masked.
        name (str): Full name of the parameter, if known.

    Examples:
        >>> import torch
        >>> from mask_plugins.core.weights import ScoreMask
        >>> mask = ScoreMask(torch.ones(2, 2), init=-1.)
        >>> mask(torch.ones(2, 2)).sum().item()
        0.0
    """

    trains_weight = False
    # Training steps after which a mask that does nothing is reported.
    PATIENCE = 100
    # Masks would warn one by one: the first of a process does.
    _has_warned = False

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.name = ''
        self._steps = 0

    def forward(self, weight: Tensor) -> Tensor:
        """The effective weight, in the dtype of ``weight``.

        The arithmetic is that of the mask's own dtype, at least float32: also
        under autocast, which then casts the result as it casts any weight.

        Args:
            weight (Tensor): The parameter.

        Returns:
            Tensor: Of the same shape.
        """
        if not self.enabled:
            return weight
        counts = self.training and torch.is_grad_enabled()
        if counts and not is_compiling():
            self._count_step()
        dtype = self.dtype or mask_dtype(weight)
        if weight.dtype != dtype and self.casts(weight):
            return self.masked(weight)
        return self.masked(weight.to(dtype)).to(weight.dtype)

    def masked(self, weight: Tensor) -> Tensor:
        """The effective weight, of a weight in the dtype of the mask."""
        raise NotImplementedError

    def casts(self, weight: Tensor) -> bool:
        """Whether :meth:`masked` computes with this weight as it is.

        Args:
            weight (Tensor): In another dtype than the mask's.
        """
        return False

    def hard(self) -> Tensor:
        """Which weights the finished mask keeps: bool, without a graph."""
        raise NotImplementedError

    def soft_density(self) -> float:
        """The mean of the mask as it is now, in [0, 1]."""
        return float(self.hard().double().mean())

    def settings(self) -> Dict[str, Any]:
        """Arguments of :class:`BinaryMask` for the finished mask."""
        raise NotImplementedError

    def finite(self) -> bool:
        """Whether no logit or score is NaN or infinite."""
        return all(bool(p.isfinite().all()) for p in self.parameters())

    @property
    def dtype(self) -> Optional[torch.dtype]:
        """The dtype of the mask's arithmetic; None for that of the weight."""
        return None

    # -------------------------------------------------- what a schedule sets
    def register_setting(self, value: float, device: torch.device) -> None:
        """Keep a number in the state dict that averages never touch.

        Averaged models average float buffers, also those that are settings.
        This one is saved as the bits of a float64 in an int64.

        Args:
            value (float): Initial value.
            device (torch.device): Of the buffer.
        """
        self.register_buffer('setting_bits', _bits(value, device))
        self._setting = float(value)
        self._scheduled = False

    @property
    def setting(self) -> float:
        """The number that :meth:`register_setting` keeps."""
        return self._setting

    @setting.setter
    def setting(self, value: float) -> None:
        self._setting = self.check_setting(value)
        self._scheduled = True
        self.setting_bits.fill_(int(_bits(self._setting)))

    def saved_settings(self) -> Dict[str, Tensor]:
        """Buffers of the state dict that a schedule sets, as they should be.

        Averaged models keep older values in theirs.
        """
        if 'setting_bits' not in self._buffers:
            return {}
        return dict(setting_bits=_bits(self._setting))

    def check_setting(self, value: float) -> float:
        """The number, or an error that says what is allowed."""
        return float(value)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        bits = self._buffers.get('setting_bits')
        if bits is not None and bits.device.type != 'meta':
            scheduled = self._scheduled
            self.setting = float(bits.view(torch.float64))
            self._scheduled = scheduled

    # ------------------------------------------------- masks that do nothing
    def why_stuck(self, steps: int) -> str:
        """Why this mask will not change anything; '' if it may.

        Args:
            steps (int): Training steps that are left.
        """
        return ''

    def _count_step(self) -> None:
        if self._steps >= self.PATIENCE:
            return
        self._steps += 1
        if self._steps < self.PATIENCE or WeightMask._has_warned:
            return
        if reason := self.why_stuck(100 * self.PATIENCE):
            WeightMask._has_warned = True
            warnings.warn(
                f'the mask of {self.name or self}: {reason} (other masks may '
                'have the same fault; mask_plugins.MaskReportHook names them)',
                stacklevel=2,
            )

    def _apply(self, fn, recurse=True):
        # model.half() is meant for the weights.
        return super()._apply(lambda t: keep_precision(fn, t), recurse)


def named_setting(name: str, doc: str) -> property:
    """``setting`` under the name that ``setting_name`` gives it.

    Args:
        name (str): Of the property; others than ``setting_name`` are missing.
        doc (str): Its docstring.
    """

    def get(self) -> float:
        if name != self.setting_name:
            raise AttributeError(f'{self} has no {name}')
        return self.setting

    def set_(self, value: float) -> None:
        get(self)
        self.setting = value

    return property(get, set_, doc=doc)


def mask_dtype(weight: Tensor) -> torch.dtype:
    """float64 for float64, else float32.

    Raises:
        TypeError: If the weight is of no dtype that masks can multiply.
    """
    if weight.dtype not in _WEIGHT_DTYPES:
        names = [str(dtype)[len('torch.') :] for dtype in _WEIGHT_DTYPES]
        raise TypeError(f'weight must be of {names}, got {weight.dtype}')
    return torch.promote_types(weight.dtype, torch.float32)


def keep_precision(fn, tensor: Tensor) -> Tensor:
    """``fn(tensor)``, of at least float32 if the tensor is."""
    out = fn(tensor)
    lowered = out.is_floating_point() and out.dtype not in _MASK_DTYPES
    if not lowered or tensor.dtype not in _MASK_DTYPES:
        return out
    return tensor.to(out.device)


def _bits(value: float, device='cpu') -> Tensor:
    number = torch.tensor(value, dtype=torch.float64, device=device)
    return number.view(torch.int64)
