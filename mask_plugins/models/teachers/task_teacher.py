# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The student as it was when the last task had been learned."""

from mask_plugins.registry import MODELS

from .snapshot_teacher import SnapshotTeacher


@MODELS.register_module()
class TaskTeacher(SnapshotTeacher):
    """A frozen copy of the student, replaced where a task begins.

    The old model of Learning without Forgetting (arXiv:1606.09282), for tasks
    of any length; there is none in the first task.
    :class:`mask_plugins.ContinualHook` calls :meth:`update`.

    Examples:
        >>> TaskTeacher().due(epoch=3)
        False
    """

    follows_tasks = True

    def __init__(self) -> None:
        super().__init__()

    def due(self, epoch: int) -> bool:
        """Never: it follows tasks, not epochs."""
        return False
