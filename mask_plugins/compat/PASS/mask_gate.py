# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The gate under its original name, for any convolution of any network."""

from typing import Optional

from torch import Tensor, nn

from .gates import build_gate
from .mask_mode import MaskMode, compose, upsample_patches
from .running_mode import RunningMode, check_running_mode, set_running_mode

ARCHITECTURES = ('pooled', 'convmixer')


class MaskGate(nn.Module):
    """Compose the input of a convolution from two frames, patch by patch.

    The PASS mask gate (Zhou et al., AAAI 2023): it calls patches that look
    the same *skip* (m = 1) and others *active* (m = 0), and
    :class:`MaskMode` says which frame is taken where. Composing saves no time
    by itself; a :class:`GatedConv2d` computes only what is active.

    Args:
        patch_size (int): Height and width of a patch. Defaults to 4.
        patch_num (int, optional): Patches of the whole map, such as 1024 for
            128x128 at 4x4. If given, maps with another number are refused;
            no layer of ``arch='pooled'`` depends on it. Defaults to None.
        input_channel (int): Channels of one frame.
        output_channel (int, optional): Channels of the convolution behind
            the gate: for counting multiply-adds only. Defaults to None.
        running_mode (RunningMode | str): The phase; see
            :meth:`set_running_mode`. Defaults to ``RunningMode.FineTuning``.
        arch (str): ``'pooled'``, small and for any resolution, or
            ``'convmixer'``, that of the original. Defaults to ``'pooled'``.
        **kwargs: Of the gate: ``dim``, ``depth``, ``kernel_size``,
            ``fc_dim``, ``fc_depth`` of the ConvMixer, ``hidden``,
            ``projections`` of the pooled one.

    Raises:
        ValueError: If an argument is not one of what is allowed.
    """

    def __init__(
        self,
        patch_size: int = 4,
        patch_num: Optional[int] = None,
        input_channel: int = 3,
        output_channel: Optional[int] = None,
        running_mode: RunningMode = RunningMode.FineTuning,
        arch: str = 'pooled',
        **kwargs,
    ) -> None:
        super().__init__()
        if arch not in ARCHITECTURES:
            raise ValueError(
                f'arch must be one of {ARCHITECTURES}, got {arch!r}'
            )
        if patch_num is not None and patch_num < 1:
            raise ValueError(f'patch_num must be >= 1, got {patch_num!r}')
        self.patch_num = patch_num
        self.input_channel = input_channel
        self.output_channel = output_channel
        if arch == 'convmixer':
            kwargs['patch_num'] = patch_num
        self.gate = build_gate(
            dict(type=arch, patch_size=patch_size, **kwargs), input_channel
        )
        self.set_running_mode(running_mode)

    @property
    def running_mode(self) -> RunningMode:
        """The phase of the gate."""
        return self.gate.running_mode

    def set_running_mode(self, running_mode) -> None:
        """Freeze or free the gate's parameters, as the phase has it.

        Args:
            running_mode (RunningMode | str): The phase. For a whole model
                call :func:`set_running_mode`.
        """
        set_running_mode(self, check_running_mode(running_mode))

    def skip(self, x: Tensor, previous_x: Tensor) -> Tensor:
        """1 at patches to reuse, 0 at those to compute.

        Args:
            x (Tensor): Current map, :math:`(B, C, H, W)`.
            previous_x (Tensor): Earlier map of the same shape.

        Returns:
            Tensor: float, with a gradient while the gate trains,
            :math:`(B, G_h, G_w)`.

        Raises:
            ValueError: If the shapes differ or do not suit the gate.
        """
        self._check(x, previous_x)
        return 1 - self.gate(x, previous_x).to(x.dtype)

    def forward(
        self,
        x: Tensor,
        previous_x: Optional[Tensor],
        mask_mode: MaskMode = MaskMode.Positive,
    ) -> Tensor:
        """Compose a map from the two frames.

        Args:
            x (Tensor): Current map, :math:`(B, C, H, W)`.
            previous_x (Tensor, optional): Earlier map of the same shape; None
                on a first frame, which is taken as it is.
            mask_mode (MaskMode): Defaults to ``MaskMode.Positive``.

        Returns:
            Tensor: Of the shape of ``x``.

        Raises:
            ValueError: If the shapes differ or do not suit the gate.
        """
        bypassed = self.running_mode.bypasses_gates
        if previous_x is None or mask_mode is MaskMode.Anchor or bypassed:
            return x
        self._check(x, previous_x)
        # What is stored of another step must not keep its graph alive.
        previous_x = previous_x.detach()
        active = self.gate(x, previous_x)
        pixels = upsample_patches(active, self.gate.patch_size, x.shape[-2:])
        return compose(x, previous_x, pixels, mask_mode)

    def _check(self, x: Tensor, previous_x: Tensor) -> None:
        if x.shape != previous_x.shape:
            raise ValueError(
                f'previous_x must have the shape of x, {tuple(x.shape)}, got '
                f'{tuple(previous_x.shape)}'
            )
        grid = self.gate.window_of(x).grid
        if self.patch_num not in (None, grid[0] * grid[1]):
            height, width = x.shape[-2:]
            patch = self.gate.patch_size[0]
            raise ValueError(
                f'patch_num is {self.patch_num}, but a map of {height}x'
                f'{width} has {grid[0] * grid[1]} patches of {patch}x{patch}'
            )
