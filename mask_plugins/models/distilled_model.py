# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Distill feature maps into any model of any OpenMMLab project."""

from typing import Any, Dict, Optional, Sequence, Union

import torch
from torch import nn

from mask_plugins.core.composed import Composed, compose
from mask_plugins.models.build_module import build_module
from mask_plugins.models.layer_by_name import find_layer
from mask_plugins.models.losses import FeatureLoss, capture_maps
from mask_plugins.models.teachers import ReferenceTeacher, TeacherOwner
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_type

# What the model has besides the student.
OWN = ('distillation', 'teacher')


class DistilledModel(TeacherOwner, Composed):
    """What :func:`build_distilled_model` mixes into the class of a model."""

    def forward(self, *args, **kwargs) -> Any:
        """As the stock class; among losses, those of the feature maps."""
        if kwargs.get('mode') != 'loss' or not self.has_target():
            return super().forward(*args, **kwargs)
        names = [loss.student for loss in self.distillation]
        with capture_maps(self, names) as own:
            losses = super().forward(*args, **kwargs)
        network = self.teacher.network
        names = [loss.teacher for loss in self.distillation]
        with torch.no_grad(), capture_maps(network, names) as targets:
            network(*args, **{**kwargs, 'mode': 'tensor'})
        for index, loss in enumerate(self.distillation):
            value = loss(own[loss.student], targets[loss.teacher])
            losses[f'loss_kd_{index}'] = value
        return losses

    def student_network(self) -> nn.Module:
        """The part of the student that the teacher copies (not a copy)."""
        student = nn.Module()
        for kind in ('_parameters', '_buffers', '_modules'):
            parts = getattr(self, kind)
            own = {name: x for name, x in parts.items() if name not in OWN}
            getattr(student, kind).update(own)
        return student

    def init_weights(self) -> None:
        """Initialize the student alone: a teacher keeps its weights."""
        apart = {name: self._modules.pop(name) for name in OWN}
        try:
            super().init_weights()
        finally:
            self._modules.update(apart)


@MODELS.register_module(name='DistilledModel')
def build_distilled_model(
    module: Union[dict, nn.Module],
    teacher: Union[dict, ReferenceTeacher],
    losses: Sequence[Dict[str, Any]],
    data_preprocessor: Optional[dict] = None,
) -> nn.Module:
    """Build a model that also learns feature maps of a teacher.

    In a config: ``model=dict(type='mask_plugins.DistilledModel',
    module=dict(type='EncoderDecoder', ...), teacher=dict(
    type='mask_plugins.FrozenTeacher', config='teacher.py',
    checkpoint='teacher.pth'), losses=[dict(
    type='mask_plugins.DistillationLoss', student='decode_head.conv_seg',
    teacher='decode_head.conv_seg')])``.

    The student's keys stay the stock ones; the teacher's are ``teacher.*``,
    those of what is trained for the losses ``distillation.*``. The losses are
    ``loss_kd_0``, ``loss_kd_1``, ... The teacher sees the student's batch, in
    ``mode='tensor'``, after the data preprocessor. In every other mode the
    model is the stock one, bit for bit.

    Args:
        module (dict | nn.Module): Config of the student.
        teacher (dict | ReferenceTeacher): Config of
            ``mask_plugins.FrozenTeacher``, or of ``mask_plugins.EMATeacher``
            or ``mask_plugins.SnapshotTeacher``, which need
            ``mask_plugins.TeacherHook``.
        losses (Sequence[dict]): Configs of losses of two maps, such as
            ``mask_plugins.DistillationLoss`` and ``mask_plugins.LogitLoss``;
            next to their own arguments each names a layer of the
            ``student`` and of the ``teacher``, and ``channels`` if those
            differ: :class:`mask_plugins.models.losses.FeatureLoss`.
        data_preprocessor (dict, optional): The runner adds it for a whole
            model; passed on.

    Returns:
        nn.Module: The student itself, not a wrapper around it.

    Raises:
        TypeError: If an argument is of another kind, or the teacher is not
            one network.
        ValueError: If there is no loss, or no such layer.

    Examples:
        >>> from mmengine.model import BaseModel
        >>> class Model(BaseModel):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = nn.Linear(2, 3)
        ...     def forward(self, inputs, data_samples=None, mode='tensor'):
        ...         out = self.fc(inputs)
        ...         return dict(loss=out.sum()) if mode == 'loss' else out
        >>> model = build_distilled_model(
        ...     Model(), dict(type='mask_plugins.EMATeacher'),
        ...     [dict(type='mask_plugins.LogitLoss', student='fc',
        ...           teacher='fc')])
        >>> model.teacher.update(model.student_network())
        >>> sorted(model(torch.ones(1, 2), mode='loss'))
        ['loss', 'loss_kd_0']
    """
    module = build_module(module, data_preprocessor)
    if isinstance(teacher, dict):
        teacher = MODELS.build(teacher)
    check_type('teacher', teacher, ReferenceTeacher, 'the config of a teacher')
    if not teacher.one_network:
        raise TypeError(
            f'teacher must be one network, whose layers have names, got '
            f'{type(teacher).__name__}: use mask_plugins.FrozenTeacher'
        )
    teacher.attach(module)
    # What is trained for a loss draws nothing that the student would miss.
    with torch.random.fork_rng():
        built = nn.ModuleList(_build_loss(options) for options in losses)
    if not built:
        raise ValueError('losses must have at least one loss, got none')
    for loss in built:
        find_layer(module, loss.student, 'the student')
        find_layer(teacher.network, loss.teacher, 'the teacher')
    compose(module, DistilledModel)
    module.distillation = built
    module.teacher = teacher
    return module


def _build_loss(options: Dict[str, Any]) -> FeatureLoss:
    check_type('a loss', options, dict, 'a dict')
    options = dict(options)
    layers = []
    for name in ('student', 'teacher'):
        if name not in options:
            raise ValueError(
                f'a loss must name a layer of the {name}, got {options}'
            )
        layers.append(options.pop(name))
    channels = options.pop('channels', None)
    return FeatureLoss(*layers, options, channels)
