# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Trained models whose mean is the target."""

import copy
import os
from typing import Sequence, Union

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike, check_path, check_type

from .base import ReferenceTeacher
from .frozen_weights import load_frozen, read_config
from .network import Network


@MODELS.register_module()
class EnsembleTeacher(ReferenceTeacher):
    """The mean of the logits of frozen checkpoints.

    Ensemble distillation of masked-analysis, with models that differ in
    their seed; with one checkpoint it is the usual pretrained teacher. They
    see the images that the student sees, after its data preprocessor.

    Args:
        checkpoints (path | Sequence[path]): ``.pth`` or ``.safetensors``
            files. Of a run with an EMAHook the averaged weights are taken.
        config (path | dict): Config, or its file, of the teachers; its
            ``model`` has a backbone, a head, perhaps a neck. Defaults to
            ``''``: the student's own architecture.
        begin (int): Epochs that are trained without it. Defaults to 0.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError, ValueError: If no checkpoint is given, or one does not
            fit: keys that are missing, of another shape, or of a backbone,
            neck or head that the teacher does not have.

    Examples:
        >>> EnsembleTeacher('teacher.pth').checkpoints  # read by `attach`
        ['teacher.pth']
    """

    # A head of another training knows nothing of the student's features.
    scopes = ('whole',)
    one_network = False

    def __init__(
        self,
        checkpoints: Union[PathLike, Sequence[PathLike]],
        config: Union[PathLike, dict] = '',
        begin: int = 0,
    ) -> None:
        super().__init__(begin)
        if isinstance(checkpoints, (str, os.PathLike)):
            checkpoints = [checkpoints]
        if not checkpoints:
            raise ValueError('checkpoints must name at least one file')
        self.checkpoints = [check_path('checkpoints', p) for p in checkpoints]
        self.config = config

    def attach(self, network: Network) -> None:
        """See the base class; the checkpoints are read here."""
        members = []
        # The student's initialization must not depend on its teacher.
        with torch.random.fork_rng():
            for path in self.checkpoints:
                member = self._build(network)
                load_frozen(member, path, _is_own, 'EnsembleTeacher')
                members.append(member.requires_grad_(False))
        self.members = nn.ModuleList(members)
        self.eval()

    def _build(self, network: Network) -> Network:
        if not self.config:
            return copy.deepcopy(network)
        cfg = read_config(self.config)
        model = cfg.get('model', cfg)
        for part in ('backbone', 'head'):
            name = f'model.{part} of the config of the teacher'
            check_type(name, model.get(part), (dict, nn.Module), 'a dict')
        scope = cfg.get('default_scope') or 'mmpretrain'
        with DefaultScope.overwrite_default_scope(scope):
            built = {
                part: MODELS.build(copy.deepcopy(model[part]))
                for part in ('backbone', 'neck', 'head')
                if model.get(part)
            }
        return Network(**built)

    def forward(self, x) -> Tensor:
        """Mean logits, :math:`(N, C)`."""
        return torch.stack([member(x) for member in self.members]).mean(0)

    def update(self, student: Network) -> None:
        """Begin; the student teaches it nothing."""
        self._start()


def _is_own(key: str) -> bool:
    """Not what else a run keeps: data preprocessor, teacher, tokens."""
    is_token = key in ('head.mask_token', 'head.inverse_token')
    return key.startswith(('backbone.', 'neck.', 'head.')) and not is_token
