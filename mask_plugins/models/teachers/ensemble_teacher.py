# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Trained models whose mean is the target."""

import copy
from typing import Sequence, Union

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mask_plugins.models.converters import take_weights
from mask_plugins.registry import MODELS
from mask_plugins.utils.safe_load import read_checkpoint

from .base import ReferenceTeacher
from .network import Network


@MODELS.register_module()
class EnsembleTeacher(ReferenceTeacher):
    """The mean of the logits of frozen checkpoints.

    Ensemble distillation of masked-analysis, with models that differ in
    their seed; with one checkpoint, the usual pretrained teacher. They see
    the images that the student sees, after its data preprocessor.

    Args:
        checkpoints (str | Sequence[str]): ``.pth`` or ``.safetensors``
            files. Of a run with an EMAHook the averaged weights are taken.
        config (str | dict): Config, or its file, of the teachers; its
            ``model`` has a backbone, a head, perhaps a neck. Defaults to
            ``''``: the student's own architecture.
        begin (int): Epochs that are trained without it. Defaults to 0.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If no checkpoint is given, or one does not fit.
    """

    # A head of another training knows nothing of the student's features.
    scopes = ('whole',)

    def __init__(
        self,
        checkpoints: Union[str, Sequence[str]],
        config: Union[str, dict] = '',
        begin: int = 0,
    ) -> None:
        super().__init__(begin)
        if isinstance(checkpoints, str):
            checkpoints = [checkpoints]
        if not checkpoints:
            raise ValueError('checkpoints must name at least one file')
        self.checkpoints = list(checkpoints)
        self.config = config

    def attach(self, network: Network) -> None:
        """See the base class; the checkpoints are read here."""
        members = []
        # The student's initialization shall not depend on its teacher.
        with torch.random.fork_rng():
            for path in self.checkpoints:
                member = self._build(network)
                _load(member, path)
                members.append(member.requires_grad_(False))
        self.members = nn.ModuleList(members)
        self.eval()

    def _build(self, network: Network) -> Network:
        if not self.config:
            return copy.deepcopy(network)
        cfg = self.config
        if isinstance(cfg, str):
            cfg = Config.fromfile(cfg)
        model = cfg.get('model', cfg)
        parts = ('backbone', 'head')
        missing = [part for part in parts if not model.get(part)]
        if missing:
            raise ValueError(
                f'config of the teacher has no model.{missing[0]}: '
                f'{self.config!r}'
            )
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


def _load(member: Network, path: str) -> None:
    """Load all weights of a teacher, or say what does not fit."""
    weights = take_weights(read_checkpoint(path), 'state_dict', path)
    own = member.state_dict()
    missing = [key for key in own if key not in weights]
    other = [
        f'{key} {tuple(weights[key].shape)} for {tuple(own[key].shape)}'
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    if missing or other:
        details = [
            f'{name}: {", ".join(keys[:4])}{" ..." if len(keys) > 4 else ""}'
            for name, keys in (('missing', missing), ('other shapes', other))
            if keys
        ]
        raise ValueError(
            f'checkpoint {path!r} does not fit the teacher; '
            f'{"; ".join(details)}. Give the config of the checkpoint as '
            '`config` of mask_plugins.EnsembleTeacher'
        )
    # What else a run keeps (data preprocessor, teacher, tokens) is not used.
    member.load_state_dict({key: weights[key] for key in own})
