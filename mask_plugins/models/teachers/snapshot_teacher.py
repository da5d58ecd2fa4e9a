# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The student as it was some epochs ago."""

import torch
from torch import nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_int

from .base import ReferenceTeacher
from .copy_buffers import copy_buffers


@MODELS.register_module()
class SnapshotTeacher(ReferenceTeacher):
    """A frozen copy of the student, replaced every few epochs.

    Self-distillation of masked-analysis. ``begin=30, interval=5`` copies the
    student after 30, 35, 40, ... epochs, which the original calls
    ``method_start=25, method_epoch=5``: the first multiple of
    ``method_epoch`` above ``method_start``.

    Args:
        begin (int): Epochs before the first copy. Defaults to 0: the student
            as it was initialized.
        interval (int): Epochs from one copy to the next. Defaults to 1.

    Raises:
        TypeError, ValueError: If ``begin`` is below 0 or ``interval`` below 1,
            or not an int.

    Examples:
        >>> teacher = SnapshotTeacher(begin=30, interval=5)
        >>> teacher.due(29), teacher.due(30), teacher.active
        (False, True, False)
    """

    def __init__(self, begin: int = 0, interval: int = 1) -> None:
        super().__init__(begin)
        self.interval = check_int('interval', interval, 1)

    def due(self, epoch: int) -> bool:
        """Whether a copy is made before this epoch, counted from 0."""
        late = epoch - self.begin
        return late >= 0 and (late % self.interval == 0 or not self.active)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Copy the student."""
        own, new = self.network.parameters(), student.parameters()
        torch._foreach_copy_(list(own), list(new))
        copy_buffers(self.network, student)
        self._start()
