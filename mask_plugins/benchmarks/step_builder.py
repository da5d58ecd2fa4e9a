# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The batches that steps are timed on, and the number formats they run in."""

import contextlib
from dataclasses import dataclass
from typing import Callable, ClassVar, ContextManager, Tuple

import torch
from torch import Tensor

from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.timing import Case

DTYPES = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)


@dataclass
class StepBuilder:
    """Build the steps of a benchmark.

    Args:
        device (str): Defaults to 'cpu'.
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` by autocast.
            Defaults to 'fp32'.
        channels_last (bool): Memory format of networks and images. Defaults
            to False.
        seed (int): Of weights and images. Defaults to 0.

    Raises:
        ValueError: If ``dtype`` is unknown.

    Examples:
        >>> builder = StepBuilder(dtype='bf16')
        >>> images, labels = builder.batch(batch_size=2, image_size=8)
        >>> with builder.autocast():
        ...     torch.nn.Linear(8, 2)(images).dtype
        torch.bfloat16
    """

    NUM_CLASSES: ClassVar = 10

    device: str = 'cpu'
    dtype: str = 'fp32'
    channels_last: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice('dtype', self.dtype, tuple(DTYPES))

    def autocast(self) -> ContextManager:
        """Autocast to the number format; nothing for ``'fp32'``."""
        dtype = DTYPES[self.dtype]
        if dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype)

    def place(self, item):
        """A network or images on the device, in the memory format."""
        if self.channels_last:
            item = item.to(memory_format=torch.channels_last)
        return item.to(self.device)

    def batch(self, batch_size: int, image_size: int) -> Tuple[Tensor, Tensor]:
        """Random images of so many pixels, and labels."""
        generator = torch.Generator().manual_seed(self.seed)
        size = (batch_size, 3, image_size, image_size)
        images = self.place(torch.randn(size, generator=generator))
        labels = (
            torch.arange(batch_size, device=self.device) % self.NUM_CLASSES
        )
        return images, labels

    def inference(
        self, call: Callable[[], object], prepare: Callable[[], object]
    ) -> Case:
        """A call without gradients.

        Args:
            call (Callable): The forward pass.
            prepare (Callable): What comes before, untimed.
        """

        def step() -> None:
            with torch.no_grad(), self.autocast():
                call()

        return Case(step, prepare)
