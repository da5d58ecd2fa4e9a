# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A head whose classes come one task after the other."""

from typing import List, Tuple, Union

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice

from .labels import check_head_labels

LOSS_CLASSES = ('new', 'seen')


@MODELS.register_module()
class ClassIncrementalHead(ClsHead):
    r"""Any classification head, of which some classes are seen.

    The inner head has all classes from the start, and the logits of those
    that no task has brought yet are :math:`-\infty`. A head that grows would
    get a new parameter and lose its momentum at each task; here rows, their
    optimizer state and a resumed run are exact. Labels are those of
    :class:`mask_plugins.TaskSplit`, in the order of the tasks: the seen
    classes are the first ones. A class that is not seen gets no
    gradient; weight decay, where there is any, still shrinks its row.

    :class:`mask_plugins.ContinualHook` sets what is seen, and a checkpoint
    holds it. Before that, all classes are seen and the head is the inner one,
    bit for bit.

    Args:
        head (dict | nn.Module): Config of the inner head, with all classes
            in ``num_classes``.
        loss_classes (str): Classes of the cross entropy: ``'new'``, those of
            the task that is trained, as in Learning without Forgetting
            (arXiv:1606.09282) and masked-analysis, or ``'seen'``, the old
            ones too, which unlearns them faster. Defaults to ``'new'``.

    Raises:
        ValueError: If ``loss_classes`` is unknown, or the inner head has no
            ``num_classes``.

    Examples:
        >>> from mmpretrain.models import LinearClsHead
        >>> head = ClassIncrementalHead(LinearClsHead(4, 8))
        >>> head.set_classes(old=0, seen=2)
        >>> head((torch.ones(1, 8),)).isinf().tolist()
        [[False, False, True, True]]
    """

    def __init__(
        self, head: Union[dict, nn.Module], loss_classes: str = 'new'
    ) -> None:
        check_choice('loss_classes', loss_classes, LOSS_CLASSES)
        inner = MODELS.build(head) if isinstance(head, dict) else head
        if not getattr(inner, 'num_classes', 0):
            raise ValueError(
                'head must have all classes from the start, but '
                f'{type(inner).__name__} has no num_classes'
            )
        super().__init__(
            loss=inner.loss_module, topk=inner.topk, cal_acc=inner.cal_acc
        )
        del self.loss_module  # it is the inner head's, under one name only
        self.head = inner
        self.loss_classes = loss_classes
        self.num_classes = inner.num_classes
        self.in_channels = getattr(inner, 'in_channels', None)
        self.register_buffer('seen', torch.tensor(self.num_classes))
        self._old, self._seen = 0, self.num_classes

    def set_classes(self, old: int, seen: int) -> None:
        """Set which classes are known.

        Args:
            old (int): Classes of the tasks before.
            seen (int): Those and the classes of the task that is trained.

        Raises:
            ValueError: Unless 0 <= old < seen <= num_classes.
        """
        if not 0 <= old < seen <= self.num_classes:
            raise ValueError(
                f'0 <= old < seen <= {self.num_classes} classes must hold, '
                f'got old={old}, seen={seen}'
            )
        self._old, self._seen = old, seen
        self.seen.fill_(seen)

    def pre_logits(self, feats: Tuple[Tensor]) -> Tensor:
        """What the inner head classifies."""
        return self.head.pre_logits(feats)

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Logits, (B, C), minus infinity for classes that are not seen."""
        logits = self.head(feats)
        # On the device: to ask for the number would wait for the GPU.
        unseen = torch.arange(self.num_classes, device=logits.device)
        return logits.masked_fill(unseen >= self.seen, float('-inf'))

    def _get_loss(
        self, cls_score: Tensor, data_samples: List[DataSample], **kwargs
    ) -> dict:
        """Cross entropy among the classes of ``loss_classes``."""
        first = self._old if self.loss_classes == 'new' else 0
        kept = slice(first, self._seen)
        classes = range(first, self._seen)
        check_head_labels(self.head, cls_score, data_samples, classes)
        among = [
            DataSample().set_gt_score(sample.gt_score[kept])
            if 'gt_score' in sample
            else DataSample().set_gt_label(sample.gt_label - first)
            for sample in data_samples
        ]
        return self.head._get_loss(cls_score[:, kept], among, **kwargs)
