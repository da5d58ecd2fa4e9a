# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The splits of CoOp, which many transfer papers share."""

import os
from typing import Any, Dict, List

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import (
    PathLike,
    check_bool,
    check_choice,
    check_path,
)
from mask_plugins.utils.files import read_json

from .labeled_dataset import LabeledDataset

PARTS = ('train', 'val', 'test')
SPLITS = dict(
    train=PARTS[:1], val=PARTS[1:2], trainval=PARTS[:2], test=PARTS[2:]
)


@DATASETS.register_module()
class ZhouSplitDataset(LabeledDataset):
    """Images listed in a ``split_zhou_*.json``.

    The file, of CoOp (Zhou et al., arXiv:2109.01134), has lists ``train``,
    ``val`` and ``test`` of ``[path, label, class name]``. Self-Masking
    Networks train on ``'trainval'`` and test on ``'test'``. A sample has
    ``img_path`` and ``gt_label``; load it with ``LoadImageFromFile``.

    Args:
        data_root (str | PathLike): Folder of the dataset.
        ann_file (str | PathLike): The JSON file, relative to ``data_root``.
        split (str): ``'train'``, ``'val'``, ``'trainval'`` or ``'test'``.
        data_prefix (str): Folder that the paths in the file start from,
            relative to ``data_root``. Defaults to ''.
        check_images (bool): Whether to look for every image when the dataset
            is built: a missing one otherwise ends the run at a random time.
            Defaults to True.
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If the file or an image does not exist.
        ValueError: If ``split`` is unknown, the file is another, the split is
            empty, or labels are not 0 to C - 1 with one name each.

    Examples:
        >>> ZhouSplitDataset('data/dtd', 'split.json', split='all')
        Traceback (most recent call last):
        ...
        ValueError: split must be one of ['train', 'val', 'trainval', \
'test'], got 'all'
    """

    def __init__(
        self,
        data_root: PathLike,
        ann_file: PathLike,
        split: str,
        data_prefix: str = '',
        check_images: bool = True,
        **kwargs,
    ) -> None:
        self.split = check_choice('split', split, SPLITS)
        self.check_images = check_bool('check_images', check_images)
        super().__init__(
            data_root=check_path('data_root', data_root),
            ann_file=check_path('ann_file', ann_file),
            data_prefix=dict(img_path=data_prefix),
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Read the file."""
        lists = self._read()
        self._metainfo['classes'] = self._class_names(lists)
        folder = self.data_prefix['img_path']
        samples = [
            dict(img_path=os.path.join(folder, path), gt_label=label)
            for part in SPLITS[self.split]
            for path, label, _ in lists[part]
        ]
        if not samples:
            raise ValueError(
                f'{self.ann_file} lists no images for split={self.split!r}'
            )
        if self.check_images:
            paths = [sample['img_path'] for sample in samples]
            missing = [path for path in paths if not os.path.isfile(path)]
            if missing:
                raise FileNotFoundError(
                    f'{len(missing)} of {len(paths)} images do not exist, '
                    f'such as {", ".join(missing[:3])}; set data_root and '
                    'data_prefix, or check_images=False'
                )
        return samples

    def _read(self) -> Dict[str, List[Any]]:
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(
                f'file not found: {os.path.abspath(self.ann_file)}: the '
                'split_zhou_*.json files are linked in the README of CoOp '
                '(github.com/KaiyangZhou/CoOp, DATASETS.md)'
            )
        try:
            lists = read_json(self.ann_file)
            for part in PARTS:
                for entry in lists[part]:
                    if [type(x) for x in entry] != [str, int, str]:
                        raise TypeError(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{self.ann_file} is not a split file: it must have "train", '
                '"val" and "test", each a list of [path, label, class name] '
                f'({type(error).__name__}: {error})'
            ) from error
        return lists

    def _class_names(self, lists: Dict[str, List[Any]]) -> tuple:
        """Names by label, of all splits together."""
        names: Dict[int, str] = {}
        for path, label, name in (x for part in PARTS for x in lists[part]):
            if names.setdefault(label, name) != name:
                raise ValueError(
                    f'{self.ann_file}: label {label} is {names[label]!r} and, '
                    f'at {path}, {name!r}'
                )
        labels = sorted(names)
        if labels != list(range(len(labels))):
            raise ValueError(
                f'{self.ann_file}: labels must be 0 to C - 1, but '
                f'{len(labels)} classes have labels from {labels[0]} to '
                f'{labels[-1]}'
            )
        return tuple(names[label] for label in labels)
