# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The gate under its original name, for any convolution of any network."""

import weakref
from typing import Optional

from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from mask_plugins.core.patches import (
    MaskMode,
    RunningMode,
    build_gate,
    check_running_mode,
    compose_frames,
    set_running_mode,
    upsample_patches,
)
from mask_plugins.utils.checks import check_choice, check_int

ARCHITECTURES = ('pooled', 'convmixer')


class MaskGate(nn.Module):
    """Compose the input of a convolution from two frames, patch by patch.

    The PASS mask gate (Zhou et al., AAAI 2023): it calls patches that look
    the same *skip* (m = 1) and others *active* (m = 0), and
    :class:`MaskMode` says which frame is taken where. Composing saves no time
    by itself; :func:`mask_plugins.apply_patch_gates` computes only what is
    active.

    Args:
        patch_size (int): Height and width of a patch. Defaults to 4.
        patch_num (int, optional): Patches of the whole map, such as 1024 for
            128x128 at 4x4. If given, maps with another number are refused;
            no layer of ``arch='pooled'`` depends on it. Defaults to None.
        input_channel (int): Channels of one frame.
        output_channel (int, optional): Channels of the convolution behind
            the gate; as in the original, of no effect on what is computed.
        running_mode (RunningMode | str): The phase; see
            :meth:`set_running_mode`. Defaults to ``RunningMode.FineTuning``.
        arch (str): ``'pooled'``, small and for any resolution, or
            ``'convmixer'``, that of the original. Defaults to ``'pooled'``.
        **kwargs: Of the gate: ``dim``, ``depth``, ``kernel_size``,
            ``fc_dim``, ``fc_depth`` of the ConvMixer, ``hidden`` of the
            pooled one.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If ``arch`` or the mode is unknown, or a number below 1.

    Examples:
        >>> import torch
        >>> gate = MaskGate(patch_size=4, input_channel=3)
        >>> x = torch.rand(1, 3, 16, 16)
        >>> gate(x, 1 - x, MaskMode.Positive).shape
        torch.Size([1, 3, 16, 16])
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
        check_choice('arch', arch, ARCHITECTURES)
        self.input_channel = input_channel
        self.output_channel = output_channel
        self._owner: Optional[weakref.ref] = None
        check_int('patch_num', patch_num, 1, optional=True)
        if arch == 'convmixer':
            kwargs['patch_num'] = patch_num
        self.gate = build_gate(
            dict(type=arch, patch_size=patch_size, **kwargs), input_channel
        )
        self.gate.patch_num = self.patch_num = patch_num
        self.set_running_mode(running_mode)

    @property
    def running_mode(self) -> RunningMode:
        """The phase of the gate."""
        return self.gate.running_mode

    def set_running_mode(self, running_mode) -> None:
        """Set the phase of the gate and of the module that holds it.

        The original's samples freeze their own convolution for pre-training
        and never free it again, so that fine-tuning has nothing to train.
        Here the module that the gate was assigned to is freed in
        ``FineTuning`` and ``BackboneTrain``. For a whole model call
        :func:`mask_plugins.core.patches.set_running_mode`, which remembers
        what you had frozen.

        Args:
            running_mode (RunningMode | str): The phase.
        """
        mode = check_running_mode(running_mode)
        owner = self._owner and self._owner()
        if owner is not None and mode.trains_backbone:
            owner.requires_grad_(True)
        # Alone, a gate has been frozen by nobody but the sample.
        self.__dict__.pop('_requires_grad_before', None)
        self.requires_grad_(True)
        set_running_mode(self, mode)

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
        if x.shape != previous_x.shape:
            shapes = f'{tuple(x.shape)}, got {tuple(previous_x.shape)}'
            raise ValueError(f'previous_x must have the shape of x, {shapes}')
        # What is stored of another step must not keep its graph alive.
        previous_x = previous_x.detach()
        active = self.gate(x, previous_x)
        pixels = upsample_patches(active, self.gate.patch_size, x.shape[-2:])
        return compose_frames(x, previous_x, pixels, mask_mode)

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _owner=None)


def _remember_owner(module: nn.Module, name: str, child) -> None:
    if isinstance(child, MaskGate):
        child._owner = weakref.ref(module)


register_module_module_registration_hook(_remember_owner)
