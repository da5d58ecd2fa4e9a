# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What all models with a teacher have in common."""

import copy
import warnings


class TeacherOwner:
    """A model whose attribute ``teacher`` is a :class:`ReferenceTeacher`.

    Examples:
        >>> class Student(TeacherOwner):
        ...     teacher = None
        >>> Student().has_target()
        Traceback (most recent call last):
        ...
        RuntimeError: this copy was made for averaging and has no teacher
    """

    # Whether a deep copy has a teacher, too. TeacherHook sets it to False
    # while EMAHook makes its copy.
    copies_teacher = True
    _warned = False

    def has_target(self) -> bool:
        """Whether the teacher has begun.

        Warns once where nothing will begin it.

        Raises:
            RuntimeError: If this is a copy without a teacher.
        """
        teacher = self.teacher
        if teacher is None:
            raise RuntimeError(
                'this copy was made for averaging and has no teacher'
            )
        if teacher.active:
            return True
        if not (teacher.driven or self._warned):
            warnings.warn(
                'nothing updates the teacher: the loss is that of the labels '
                "alone. Add dict(type='mask_plugins.TeacherHook') to "
                'custom_hooks, or call teacher.update',
                stacklevel=2,
            )
            self._warned = True
        return False

    def __deepcopy__(self, memo: dict) -> 'TeacherOwner':
        """A copy; without the teacher while ``copies_teacher`` is False."""
        if not self.copies_teacher:
            memo[id(self.teacher)] = None
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new
