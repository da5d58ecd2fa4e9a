# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A classifier that also learns from a reference model."""

from typing import Any, Dict, List, Optional, Tuple, Union

from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.models.heads import ClsHead
from torch import Tensor, nn

from mask_plugins.models.heads.masked_feature_head import (
    MaskedFeatureHead,
    check_layer,
    total_as_ce,
)
from mask_plugins.models.losses import build_logit_loss
from mask_plugins.models.teachers import (
    Network,
    ReferenceTeacher,
    SnapshotTeacher,
    TeacherOwner,
)
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_number,
    check_type,
)


@MODELS.register_module()
class ReferenceClassifier(TeacherOwner, ImageClassifier):
    """A stock classifier with a teacher, for self-distillation.

    With a plain head the loss is ``loss_ce + loss_weight * kd_loss(logits,
    teacher's logits)``; a ``mask_plugins.MaskedFeatureHead`` gets the
    teacher's logits instead, and has the weight of its loss. Before the
    teacher begins there is ``loss_ce`` alone.

    The student's keys are those of an ``ImageClassifier``, which loads its
    checkpoints; the teacher's keys are ``teacher.*``. At test time
    it is the stock classifier, bit for bit.

    A run needs ``custom_hooks=[dict(type='mask_plugins.TeacherHook')]``,
    which updates the teacher. The hook also keeps it out of the copy of
    mmengine's ``EMAHook``.

    Args:
        backbone (dict): Config of the backbone.
        neck (dict, optional): Config of the neck. Defaults to None.
        head (dict, optional): Config of the head. Defaults to None, an
            error.
        teacher (dict | ReferenceTeacher): Config of
            ``mask_plugins.SnapshotTeacher``, ``mask_plugins.EMATeacher`` or
            ``mask_plugins.EnsembleTeacher``. Defaults to a snapshot.
        scope (str): ``'whole'``: the teacher has its own backbone, neck and
            head; ``'head'``: it is a head on the student's features, which
            costs almost nothing. Defaults to ``'whole'``.
        kd_loss (str | dict, optional): ``'kd'``, ``'l2'``, ``'l1'``,
            ``'cosine'`` or the config of a loss of two logits. Defaults to
            None: ``'kd'``, or nothing for a masked-feature head, to whose
            loss one given here is added.
        loss_weight (float): Factor of ``kd_loss``. Defaults to 1.
        kd_softmax (bool): Compare class probabilities; not with ``'kd'``.
            Defaults to False.
        detach_target (bool): False lets gradients flow through the target
            into the student's features, as the original does with
            ``scope='head'``: the backbone can then lower the loss by moving
            the targets. Defaults to True.
        **kwargs: Other arguments of ``ImageClassifier``.

    Raises:
        TypeError, ValueError: If there is no head, a loss, ``scope`` or
            ``teacher`` is unknown, or ``loss_weight`` is negative; if an
            option has no effect with the others.

    Examples:
        >>> import torch
        >>> from mmpretrain.structures import DataSample
        >>> model = ReferenceClassifier(
        ...     backbone=dict(type='mask_plugins.CIFARResNet', depth=8),
        ...     neck=dict(type='GlobalAveragePooling'),
        ...     head=dict(type='LinearClsHead', num_classes=4, in_channels=64))
        >>> model.teacher.update(model.student_network())
        >>> batch = torch.zeros(2, 3, 8, 8), [DataSample().set_gt_label(1)] * 2
        >>> sorted(model.loss(*batch))
        ['loss_ce', 'loss_kd']
    """

    def __init__(
        self,
        backbone: dict,
        neck: Optional[dict] = None,
        head: Optional[dict] = None,
        teacher: Union[dict, ReferenceTeacher, None] = None,
        scope: str = 'whole',
        kd_loss: Union[str, dict, nn.Module, None] = None,
        loss_weight: float = 1.0,
        kd_softmax: bool = False,
        detach_target: bool = True,
        **kwargs,
    ) -> None:
        if head is None:
            raise ValueError('head must be given: its logits are compared')
        super().__init__(backbone, neck, head, **kwargs)
        self.scope = check_choice('scope', scope, ReferenceTeacher.scopes)
        self.loss_weight = check_number('loss_weight', loss_weight, 0)
        self.detach_target = check_bool('detach_target', detach_target)
        if not detach_target:
            # Of a whole teacher no gradient reaches the student anyway.
            check_choice('scope with detach_target=False', scope, ('head',))
        if scope == 'head':
            check_layer(self.head, "scope='head'")
        self.kd_loss = self._build_kd_loss(kd_loss, kd_softmax)
        if not detach_target:
            for loss in self.modules():
                if hasattr(loss, 'detach_target'):
                    loss.detach_target = False
        if teacher is None:
            teacher = SnapshotTeacher()
        elif isinstance(teacher, dict):
            teacher = MODELS.build(teacher)
        what = 'the config of a teacher'
        check_type('teacher', teacher, ReferenceTeacher, what)
        check_choice(
            f'scope with {type(teacher).__name__}', scope, teacher.scopes
        )
        teacher.attach(self.student_network())
        # The last module: a copy without it has the same modules before.
        self.teacher = teacher

    def _build_kd_loss(self, kd_loss, softmax: bool) -> Optional[nn.Module]:
        if kd_loss is None and isinstance(self.head, MaskedFeatureHead):
            if self.loss_weight != 1 or softmax:
                raise ValueError(
                    'loss_weight and kd_softmax are of kd_loss, which is not '
                    'given: set head.loss_weight and head.mask_softmax'
                )
            return None
        kd_loss = 'kd' if kd_loss is None else kd_loss
        return build_logit_loss(kd_loss, softmax, name='kd_loss')

    def student_network(self) -> Network:
        """The part of the student that the teacher copies (not a copy)."""
        whole = (self.backbone, self.neck) if self.scope == 'whole' else ()
        return Network(self.head, *whole)

    # ----------------------------------------------------------------- loss
    def loss(
        self, inputs: Tensor, data_samples: List[Any]
    ) -> Dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs (Tensor): Images, :math:`(N, 3, H, W)`.
            data_samples (list[DataSample]): Labels.

        Returns:
            dict[str, Tensor]: ``loss_ce`` and, once the teacher has begun,
            ``loss_kd`` or ``loss_msk``, already weighted.
        """
        feats = self.extract_feat(inputs)
        target = self._target(inputs, feats)
        logits = None
        if isinstance(self.head, MaskedFeatureHead):
            losses = self.head.loss(feats, data_samples, target)
        elif type(self.head).loss is ClsHead.loss:
            logits = self.head(feats)  # one forward for both losses
            losses = self.head._get_loss(logits, data_samples)
        else:
            losses = self.head.loss(feats, data_samples)
        losses = total_as_ce(losses)
        if target is not None and self.kd_loss is not None:
            logits = self.head(feats) if logits is None else logits
            losses['loss_kd'] = self.loss_weight * self.kd_loss(logits, target)
        return losses

    def _target(
        self, inputs: Tensor, feats: Tuple[Tensor]
    ) -> Optional[Tensor]:
        if not self.has_target():
            return None
        teacher = self.teacher
        x = feats if self.scope == 'head' else inputs
        return teacher.logits(x) if self.detach_target else teacher(x)
