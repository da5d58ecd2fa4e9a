# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Some samples of a dataset."""

import copy
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.registry import DATASETS

from mask_plugins.datasets.samplers.draw import Draw


class Subset:
    """Base of wrappers that feed some samples of any dataset.

    The wrapped dataset stays whole: its serialized annotations are shared
    between workers as they are, and a sample keeps its ``sample_idx``, so
    that its augmentation (:class:`mask_plugins.SeedSample`) does not depend
    on which others are fed. A subclass defines :meth:`choose`.

    Args:
        dataset (dict | BaseDataset): The dataset, or another wrapper.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Raises:
        TypeError: If ``dataset`` is neither.
    """

    def __init__(
        self,
        dataset: Union[dict, BaseDataset, 'Subset'],
        lazy_init: bool = False,
    ) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if not hasattr(dataset, 'full_init'):
            raise TypeError(
                'dataset must be the config of a dataset or a dataset, got '
                f'{type(dataset).__name__}'
            )
        self.dataset = dataset
        self._metainfo = dataset.metainfo
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def choose(self) -> Sequence[int]:
        """Indices into ``self.dataset``, in the order in which they count."""
        raise NotImplementedError

    def full_init(self) -> None:
        """Read the annotations and choose."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        self._metainfo = self.dataset.metainfo
        self.indices = np.asarray(self.choose(), dtype=np.int64)
        self._fully_initialized = True

    @property
    def metainfo(self) -> Dict[str, Any]:
        """Of the dataset."""
        return copy.deepcopy(self._metainfo)

    @property
    def CLASSES(self):
        """Names of the classes, where mmpretrain looks for them."""
        return self._metainfo.get('classes')

    def get_data_info(self, idx: int) -> dict:
        """The annotation of a sample of the subset."""
        return self.dataset.get_data_info(self._inner(idx))

    def get_cat_ids(self, idx: int) -> List[int]:
        """The class of a sample, as class-balancing wrappers ask."""
        return self.dataset.get_cat_ids(self._inner(idx))

    def __getitem__(self, idx: int) -> Any:
        return self.dataset[self._inner(idx)]

    def __len__(self) -> int:
        self.full_init()
        return len(self.indices)

    def _inner(self, idx: int) -> int:
        self.full_init()
        inner = int(self.indices[int(idx)])
        return Draw(inner, idx.number) if isinstance(idx, Draw) else inner


def labels_of(dataset: Any) -> np.ndarray:
    """The label of every sample, shape (N,).

    Args:
        dataset (BaseDataset): Each sample has exactly one class.

    Raises:
        TypeError: If the dataset tells no classes.
        ValueError: If a sample has none or several.
    """
    if hasattr(dataset, 'get_gt_labels'):
        return np.asarray(dataset.get_gt_labels())
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([labels_of(part) for part in dataset.datasets])
    name = type(dataset).__name__
    try:
        found = [dataset.get_cat_ids(index) for index in range(len(dataset))]
    except NotImplementedError as error:
        raise TypeError(
            f'{name} has no get_cat_ids, so nothing can be chosen by class'
        ) from error
    for index, labels in enumerate(found):
        if len(labels) != 1:
            raise ValueError(
                f'sample {index} of {name} has the classes {list(labels)}; '
                'choosing by class needs exactly one'
            )
    return np.asarray([int(label) for (label,) in found])
