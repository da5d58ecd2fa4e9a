# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Images in the memory format that convolutions of a CPU are fastest in."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mask_plugins.registry import HOOKS

from .attribute_target import unwrap


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Give the network its images in ``torch.channels_last``.

    Convolutions pass the format on, so no parameter is converted, and
    checkpoints stay as they are. On a CPU a training step of a network with
    depthwise convolutions takes about half the time. Results differ from
    those of the default format by rounding. Batches of shape (B, C, H, W)
    are converted, also inside lists (views of self-supervised training);
    other tensors pass.

    Examples:
        >>> custom_hooks = [dict(type='mask_plugins.ChannelsLastHook')]
        >>> HOOKS.build(custom_hooks[0]).convert([torch.ones(2, 3, 4, 4)])[
        ...     0].is_contiguous(memory_format=torch.channels_last)
        True
    """

    _handle: RemovableHandle

    def before_run(self, runner: Runner) -> None:
        """Convert what the data preprocessor returns."""
        preprocessor = unwrap(runner.model).data_preprocessor
        self._handle = preprocessor.register_forward_hook(self._after)

    def after_run(self, runner: Runner) -> None:
        """Leave the model as it was."""
        self._handle.remove()

    def _after(self, module: nn.Module, args: tuple, data: Any) -> Any:
        if not isinstance(data, dict) or 'inputs' not in data:
            return data
        return dict(data, inputs=self.convert(data['inputs']))

    def convert(self, inputs: Any) -> Any:
        """The images in channels_last.

        Args:
            inputs (Tensor | list[Tensor]): Images, (B, C, H, W).
        """
        if isinstance(inputs, (list, tuple)):
            return [self.convert(item) for item in inputs]
        if isinstance(inputs, Tensor) and inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs
