# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Base of datasets with one class per sample."""

from typing import List

from mmengine.dataset import BaseDataset


class LabeledDataset(BaseDataset):
    """What mmpretrain and class-balancing wrappers ask of a dataset.

    Examples:
        >>> class Two(LabeledDataset):
        ...     METAINFO = dict(classes=('a', 'b'))
        ...     def load_data_list(self):
        ...         return [dict(gt_label=1)]
        >>> Two().CLASSES, Two().get_cat_ids(0)
        (('a', 'b'), [1])
    """

    @property
    def CLASSES(self):
        """Names of the classes, where mmpretrain looks for them."""
        return self.metainfo.get('classes')

    def get_cat_ids(self, idx: int) -> List[int]:
        """The class of sample ``idx``, as class-balancing wrappers ask."""
        info = BaseDataset.get_data_info(self, idx)
        return [int(info['gt_label'])]
