# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classes to train on, and others to retrieve among."""

from typing import Any, Dict, Optional, Tuple

import numpy as np
from mmengine.dataset import ConcatDataset

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_choice, check_int, check_pair

from .class_subset import ClassSubset
from .subset import labels_of


@DATASETS.register_module()
class ClassSplit(ClassSubset):
    """The classes of one half of a dataset, numbered from 0.

    The zero-shot protocol of fine-grained retrieval: the first half of the
    classes trains, the second half is queried, and there all images are
    queries and gallery at once. The splits of a classification dataset are
    laid together before::

        dict(type='mask_plugins.ClassSplit', part='test', dataset=[
            dict(type='CUB', data_root=..., split='train', pipeline=...),
            dict(type='CUB', data_root=..., split='test', pipeline=...)])

    ``sample_idx`` of a packed sample is its number in this part, from 0 and
    without gaps, as ``ImageToImageRetriever`` asks of a gallery.

    Args:
        dataset (dict | BaseDataset | Sequence): The dataset, or its splits,
            in order; all number their classes alike.
        part (str): ``'train'``, the first classes, or ``'test'``, the others.
            Defaults to 'train'.
        classes (Tuple[int, int], optional): Labels [lo, hi) in place of a
            half. Defaults to None.
        gt (str): ``'class'``, or ``'indices'``: ``gt_label`` becomes the list
            of the other images of the class, as ``ImageToImageRetriever`` and
            mmpretrain's retrieval metrics want it. Defaults to 'class'.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Raises:
        TypeError: If ``classes`` are not ints.
        ValueError: If ``part`` or ``gt`` is unknown, ``classes`` is not a
            range of at least two of the classes, or a class has no images.

    Examples:
        >>> digits = dict(type='mask_plugins.Digits')
        >>> ClassSplit(digits, part='test').metainfo['classes']
        ('5', '6', '7', '8', '9')
    """

    def __init__(
        self,
        dataset: Any,
        part: str = 'train',
        classes: Optional[Tuple[int, int]] = None,
        gt: str = 'class',
        lazy_init: bool = False,
    ) -> None:
        self.part = check_choice('part', part, ('train', 'test'))
        self.gt = check_choice('gt', gt, ('class', 'indices'))
        if classes is not None:
            classes = check_pair('classes', classes, int, 0, ascending=True)
        self.bounds = classes
        if isinstance(dataset, (list, tuple)):
            # It builds those that are configs.
            dataset = ConcatDataset(list(dataset), lazy_init=lazy_init)
        super().__init__(dataset, classes=[0], lazy_init=lazy_init)

    def choose(self) -> np.ndarray:
        """See :class:`Subset`; also numbers the classes."""
        names = self._metainfo.get('classes')
        highest = labels_of(self.dataset).max(initial=-1)
        count = len(names) if names else int(highest) + 1
        low, high = self.bounds or (0, count)
        check_int('classes: the end', high, low + 2, count)
        if self.bounds is None:
            middle = count // 2
            low, high = (0, middle) if self.part == 'train' else (middle, high)
        self.classes = list(range(low, high))
        return super().choose()

    def _changes(self, idx: int) -> Dict[str, Any]:
        label = int(self._labels[idx])
        if self.gt == 'indices':
            others = np.flatnonzero(self._labels == label)
            label = others[others != idx].tolist()
        return dict(gt_label=label, sample_idx=idx)
