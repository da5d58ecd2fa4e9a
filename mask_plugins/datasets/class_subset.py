# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Some classes of a dataset."""

from typing import Any, Dict, List, Sequence, Union

import numpy as np

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_int

from .subset import Subset, labels_of


@DATASETS.register_module()
class ClassSubset(Subset):
    """The samples of some classes, numbered from 0.

    Args:
        dataset (dict | BaseDataset): The dataset, or another wrapper.
        classes (Sequence[int | str]): Labels or names of the classes that
            stay; the first becomes 0, and so on.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Raises:
        ValueError: If ``classes`` is empty, a text or has doubles, if a class
            is unknown, or if one has no samples.

    Examples:
        >>> digits = dict(type='mask_plugins.Digits')
        >>> ClassSubset(digits, classes=[7, 3]).metainfo['classes']
        ('7', '3')
    """

    def __init__(
        self,
        dataset: Any,
        classes: Sequence[Union[int, str]],
        lazy_init: bool = False,
    ) -> None:
        # A text is a sequence of names of one letter, which nobody means.
        self.classes = [] if isinstance(classes, str) else list(classes)
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(
                f'classes must be labels or names, each once, got {classes!r}'
            )
        super().__init__(dataset, lazy_init)

    def choose(self) -> np.ndarray:
        """See :class:`Subset`; also numbers the classes."""
        labels = labels_of(self.dataset)
        names = self._metainfo.get('classes')
        old = [self._label(item, names) for item in self.classes]
        missing = [
            item
            for item, label in zip(self.classes, old)
            if not (labels == label).any()
        ]
        if missing:
            raise ValueError(
                f'classes: the dataset has no samples of {missing}; it has '
                f'the labels {np.unique(labels).tolist()}'
            )
        if names is not None:
            self._metainfo['classes'] = tuple(names[label] for label in old)
        indices = np.flatnonzero(np.isin(labels, old))
        number = {label: number for number, label in enumerate(old)}
        self._labels = np.array([number[i] for i in labels[indices].tolist()])
        return indices

    @staticmethod
    def _label(item: Union[int, str], names: Any) -> int:
        if isinstance(item, str):
            if names is None or item not in names:
                raise ValueError(
                    f'classes (or their order): there is no {item!r}; the '
                    f'dataset has {names}'
                )
            return list(names).index(item)
        return check_int('classes', item, 0)

    def get_gt_labels(self) -> np.ndarray:
        """The new labels, (N,)."""
        self.full_init()
        return self._labels

    def get_cat_ids(self, idx: int) -> List[int]:
        """The new label of a sample."""
        return [int(self.get_gt_labels()[int(idx)])]

    def get_data_info(self, idx: int) -> dict:
        """The annotation of a sample, with its new label."""
        return {**super().get_data_info(idx), **self._changes(int(idx))}

    def __getitem__(self, idx: int) -> Any:
        item = super().__getitem__(idx)
        changes = self._changes(int(idx))
        if 'gt_label' in item:
            return {**item, **changes}
        item['data_samples'].set_gt_label(changes.pop('gt_label'))
        item['data_samples'].set_metainfo(changes)
        return item

    def _changes(self, idx: int) -> Dict[str, Any]:
        """What a sample of the dataset is called here."""
        return dict(gt_label=int(self._labels[idx]))
