# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A trained model of any architecture."""

import copy
from typing import Union

import torch
from mmengine.registry import DefaultScope
from torch import nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import PathLike, check_path, check_type

from .base import ReferenceTeacher
from .frozen_weights import load_frozen, read_config


@MODELS.register_module()
class FrozenTeacher(ReferenceTeacher):
    """A trained model, of the student's or of another architecture.

    For :class:`mask_plugins.DistilledModel`, whose student may be a segmentor
    or a detector. It begins at once and needs no hook.

    Args:
        checkpoint (path): A ``.pth`` or ``.safetensors`` file with all
            weights of the teacher. What it has of a teacher of its own is
            not used.
        config (path | dict): Config whose ``model`` the teacher is, its file,
            or a name such as ``'mmseg::fcn/FILE.py'`` of an installed
            project. Defaults to ``''``: the student's own architecture.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError, ValueError: If the config has no ``model``, or the
            checkpoint does not fit.

    Examples:
        >>> FrozenTeacher('teacher.pth').checkpoint  # read by `attach`
        'teacher.pth'
    """

    scopes = ('whole',)

    def __init__(
        self, checkpoint: PathLike, config: Union[PathLike, dict] = ''
    ) -> None:
        super().__init__()
        self.checkpoint = check_path('checkpoint', checkpoint)
        self.config = config

    def attach(self, network: nn.Module) -> None:
        """See the base class; the checkpoint is read here."""
        # The student's initialization must not depend on its teacher.
        with torch.random.fork_rng():
            self.network = self._build(network)
        self._load()
        self.network.requires_grad_(False)
        self.eval()
        self._start()

    def _build(self, network: nn.Module) -> nn.Module:
        if not self.config:
            return copy.deepcopy(network)
        cfg = read_config(self.config)
        name = 'model of the config of the teacher'
        check_type(name, cfg.get('model'), dict, 'a dict')
        model = copy.deepcopy(cfg['model'])
        if cfg.get('data_preprocessor'):
            model.setdefault('data_preprocessor', cfg['data_preprocessor'])
        scope = cfg.get('default_scope')
        if scope is None:
            return MODELS.build(model)
        with DefaultScope.overwrite_default_scope(scope):
            return MODELS.build(model)

    def _load(self) -> None:
        def own(key: str) -> bool:
            return not key.startswith(('teacher.', 'distillation.'))

        load_frozen(self.network, self.checkpoint, own, 'FrozenTeacher')

    def update(self, student: nn.Module) -> None:
        """Nothing: the student teaches it nothing."""
        self._start()
