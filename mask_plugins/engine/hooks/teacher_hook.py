# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Update the teacher of a model that has one."""

from typing import Any, List

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from mask_plugins.datasets.samplers import locate_step
from mask_plugins.engine.optimizers.no_weight_decay import (
    free_from_weight_decay,
    optimizers_of,
)
from mask_plugins.registry import HOOKS
from mask_plugins.utils.compat_torch import StepWatch

from .attribute_target import unwrap


@HOOKS.register_module()
class TeacherHook(Hook):
    """Begin and update a teacher.

    That of ``mask_plugins.ReferenceClassifier``, or of any model in
    ``mask_plugins.DistilledModel``.

    - Before an epoch for which the teacher is *due*, it gets the student's
      weights. Epochs are counted from 0 by ``runner.iter``, in iteration
      loops as well: a teacher with ``begin=25`` begins after 25 epochs.
    - A teacher that follows steps (:class:`mask_plugins.EMATeacher`) is
      updated after each step of the optimizer: once per several iterations
      under gradient accumulation, and not where AMP's scaler skipped it.
    - The optimizer and its schedulers are not rebuilt: the learning rate is
      that of a run without a teacher. Tokens of masked features get a
      parameter group without weight decay.
    - mmengine's ``EMAHook`` averages the student without a copy of the
      teacher.

    The teacher's state is in the checkpoint's ``state_dict`` and the hook has
    none: a resumed run is the uninterrupted one.

    Raises:
        TypeError: If the model has no teacher.

    Examples:
        >>> custom_hooks = [dict(type='mask_plugins.TeacherHook')]
        >>> HOOKS.build(custom_hooks[0]).priority
        'ABOVE_NORMAL'
    """

    # Above EMAHook ('NORMAL'): its copy is made in before_run, too.
    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self._handles: List[Any] = []
        self._stepped = False

    def before_run(self, runner: Runner) -> None:
        """Keep the teacher out of copies, the tokens out of decay."""
        model = self._model(runner)
        model.copies_teacher = False
        model.teacher.driven = True
        if runner._train_loop is not None and runner.optim_wrapper is not None:
            freed = free_from_weight_decay(
                model, runner.optim_wrapper, runner.param_schedulers
            )
            if freed:
                runner.logger.info(f'no weight decay on {", ".join(freed)}')

    def before_train(self, runner: Runner) -> None:
        """Watch the optimizer."""
        self.before_val(runner)
        teacher = self._model(runner).teacher
        if not teacher.follows_steps:
            return
        for optimizer in optimizers_of(runner.optim_wrapper):
            self._handles.append(StepWatch(optimizer, self._note_step))

    def _note_step(self, optimizer: Optimizer, args, kwargs) -> None:
        self._stepped = True

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Update a teacher that is due before this epoch."""
        epoch, step = locate_step(runner.train_dataloader, runner.iter)
        model = self._model(runner)
        if step == 0 and model.teacher.due(epoch):
            begins = not model.teacher.active
            model.teacher.update(model.student_network())
            if begins:
                name = type(model.teacher).__name__
                runner.logger.info(f'{name} begins after {epoch} epochs')

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Update a teacher that follows steps, if a step was made."""
        model = self._model(runner)
        if self._stepped and model.teacher.active:
            model.teacher.update(model.student_network())
        self._stepped = False

    def after_train(self, runner: Runner) -> None:
        """Stop watching the optimizer."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def before_val(self, runner: Runner) -> None:
        """Let copies have a teacher again: EMAHook has made its copy."""
        self._model(runner).copies_teacher = True

    before_test = before_val

    def _model(self, runner: Runner) -> nn.Module:
        model = unwrap(runner.model)
        if getattr(model, 'teacher', None) is None:
            raise TypeError(
                'TeacherHook needs a mask_plugins.ReferenceClassifier or '
                f'DistilledModel: the model is {type(model).__name__}'
            )
        return model
