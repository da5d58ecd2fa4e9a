# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Classes to train on, and others to retrieve among."""

from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.dataset import ConcatDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_choice, check_pair

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
            dataset = ConcatDataset(
                [
                    MMENGINE_DATASETS.build(d) if isinstance(d, dict) else d
                    for d in dataset
                ],
                lazy_init=lazy_init,
            )
        super().__init__(dataset, classes=[0], lazy_init=lazy_init)

    def choose(self) -> np.ndarray:
        """See :class:`Subset`; also numbers the classes."""
        if isinstance(self.dataset, ConcatDataset):
            parts = [labels_of(inner) for inner in self.dataset.datasets]
            self._old = np.concatenate(parts)
        else:
            self._old = labels_of(self.dataset)
        names = self._metainfo.get('classes')
        count = len(names) if names else int(self._old.max()) + 1
        low, high = self.bounds or (0, count)
        if high > count or high - low < 2:
            raise ValueError(
                f'classes must lie in [0, {count}], at least 2 of them, got '
                f'{(low, high)}'
            )
        if self.bounds is None:
            middle = count // 2
            low, high = (0, middle) if self.part == 'train' else (middle, high)
        self.classes = list(range(low, high))
        missing = sorted(set(self.classes) - set(self._old.tolist()))
        if missing:
            raise ValueError(
                f'the dataset has no images of the classes {missing}'
            )
        self._new = {label: label - low for label in self.classes}
        if names:
            self._metainfo['classes'] = tuple(names[low:high])
        indices = np.flatnonzero((self._old >= low) & (self._old < high))
        self._labels = self._old[indices] - low
        return indices

    def get_gt_labels(self) -> np.ndarray:
        """The new labels, (N,)."""
        self.full_init()
        return self._labels

    def get_cat_ids(self, idx: int) -> List[int]:
        """The new label of a sample."""
        return [int(self.get_gt_labels()[int(idx)])]

    def get_data_info(self, idx: int) -> dict:
        """The annotation of a sample, with its new label and index."""
        info = super().get_data_info(idx)
        return dict(info, gt_label=self._target(idx), sample_idx=int(idx))

    def __getitem__(self, idx: int) -> Any:
        item = super().__getitem__(idx)
        target = self._target(idx)
        if 'gt_label' in item:
            return dict(item, gt_label=target, sample_idx=int(idx))
        sample = item['data_samples']
        sample.set_gt_label(target)
        sample.set_metainfo(dict(sample_idx=int(idx)))
        return item

    def _target(self, idx: int) -> Union[int, Sequence[int]]:
        label = self._labels[int(idx)]
        if self.gt == 'class':
            return int(label)
        others = np.flatnonzero(self._labels == label)
        return others[others != int(idx)].tolist()
