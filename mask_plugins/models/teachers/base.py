# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all teachers have in common."""

import copy
from abc import abstractmethod

import torch
from torch import Tensor, nn

from mask_plugins.utils.checks import check_int


class ReferenceTeacher(nn.Module):
    """A model that gives targets: never trained, always in eval mode.

    ``mask_plugins.ReferenceClassifier`` or ``mask_plugins.DistilledModel``
    makes one from a config and calls :meth:`attach`;
    ``mask_plugins.TeacherHook`` calls :meth:`update` when :meth:`due` says
    so, and after each optimizer step if ``follows_steps``. Until the first
    update there are no targets. In plain PyTorch, call
    ``model.teacher.update(model.student_network())``.

    Weights and what an update depends on are in the state dict: a resumed run
    continues with the same teacher. A state dict without a teacher (of a
    baseline) loads as well, and leaves the teacher as it is.

    Args:
        begin (int): Epochs that are trained without it. Defaults to 0.

    Raises:
        TypeError, ValueError: If ``begin`` is not an int of at least 0.

    Examples:
        >>> from mask_plugins.models.teachers import SnapshotTeacher
        >>> teacher = SnapshotTeacher(begin=2)
        >>> isinstance(teacher, ReferenceTeacher), teacher.active
        (True, False)
        >>> teacher.due(epoch=1), teacher.due(epoch=2)
        (False, True)
    """

    # Whether update() is called after each optimizer step, too.
    follows_steps = False
    # Whether mask_plugins.ContinualHook calls update() where a task begins.
    follows_tasks = False
    # The scopes of ReferenceClassifier that it can have.
    scopes = ('whole', 'head')
    # Whether it has one ``network``, whose layers DistilledModel can read.
    one_network = True

    def __init__(self, begin: int = 0) -> None:
        super().__init__()
        self.begin = check_int('begin', begin, 0)
        self.register_buffer('begun', torch.tensor(False))
        self._begun = None  # cached value of the buffer; avoids a GPU sync
        # Whether TeacherHook or other code calls update().
        self.driven = False
        self._register_load_state_dict_pre_hook(self._tolerate_absence)

    def attach(self, network: nn.Module) -> None:
        """Become a teacher for this student: by default, a copy of it.

        Args:
            network (nn.Module): The student; copied if needed, not kept.
        """
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.eval()

    def forward(self, x) -> Tensor:
        """Logits, :math:`(N, C)`, of what the student's network takes."""
        return self.network(x)

    def due(self, epoch: int) -> bool:
        """Whether an update is due before this epoch, counted from 0.

        By default, the one that begins.
        """
        return epoch >= self.begin and not self.active

    @abstractmethod
    def update(self, student: nn.Module) -> None:
        """Learn from the student's weights; the first update begins.

        Args:
            student (nn.Module): Has the modules that were attached.
        """

    @property
    def active(self) -> bool:
        """Whether there are targets."""
        if self._begun is None:
            self._begun = bool(self.begun)
        return self._begun

    def _start(self) -> None:
        if not self.active:
            self.begun.fill_(True)
            self._begun = True
        self.driven = True

    def train(self, mode: bool = True) -> 'ReferenceTeacher':
        """Always eval: its norms use their own statistics."""
        return super().train(False)

    def logits(self, x) -> Tensor:
        """Targets without a gradient, :math:`(N, C)`.

        Args:
            x (Tensor | tuple[Tensor]): Images or features.

        Raises:
            RuntimeError: If it has not begun.
        """
        if not self.active:
            raise RuntimeError(
                f'{type(self).__name__} has not begun: call update() first'
            )
        with torch.no_grad():
            return self(x)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._begun = None

    def _tolerate_absence(self, state_dict, prefix, *args) -> None:
        if not any(key.startswith(prefix) for key in state_dict):
            own = self.state_dict()
            state_dict.update({prefix + k: v.clone() for k, v in own.items()})
