# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Images sorted into one folder per class."""

import os
from typing import List, Optional, Sequence

from mmengine.dataset import BaseDataset

from mask_plugins.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """Any image folders: ``<data_root>/<data_prefix>/<class>/**/*.jpg``.

    Classes are numbered by the sorted names of the folders in
    ``<data_root>/<class_prefix>``, usually the training images, also for
    validation: a class without validation images moves no label. (Numbered
    by the validation folders alone, all labels after it would be wrong, in
    silence.)

    A sample holds ``img_path`` and ``gt_label``; load it with
    ``LoadImageFromFile``.

    Args:
        data_root (str): Folder of the dataset.
        data_prefix (str): Folder of this split in it. Defaults to 'train'.
        class_prefix (str, optional): Folder whose sub-folders are the
            classes; None is ``data_prefix``. Defaults to 'train'.
        extensions (Sequence[str]): Endings of image files, in any case.
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If there are no classes, no images, or images of a class
            that ``class_prefix`` does not have.
    """

    EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif',
                  '.tiff', '.webp')  # fmt: skip

    def __init__(
        self,
        data_root: str,
        data_prefix: str = 'train',
        class_prefix: Optional[str] = 'train',
        extensions: Sequence[str] = EXTENSIONS,
        **kwargs,
    ) -> None:
        if class_prefix is None:
            class_prefix = data_prefix
        self.extensions = tuple(ext.lower() for ext in extensions)
        self.folder = os.path.join(data_root, data_prefix)
        self.class_folder = os.path.join(data_root, class_prefix)
        super().__init__(
            data_root=data_root,
            data_prefix=dict(img_path=data_prefix),
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Walk the folders."""
        classes = self._sub_folders(self.class_folder)
        labels = {name: label for label, name in enumerate(classes)}
        names = self._sub_folders(self.folder)
        unknown = [name for name in names if name not in labels]
        if unknown:
            raise ValueError(
                f'{self.folder} has folders that are no class of '
                f'{self.class_folder}: {", ".join(unknown[:10])}'
            )
        samples = [
            dict(img_path=path, gt_label=labels[name])
            for name in names
            for path in self._images(os.path.join(self.folder, name))
        ]
        if not samples:
            raise ValueError(
                f'no images in the {len(names)} class folders of '
                f'{self.folder}: files must end in '
                f'{", ".join(self.extensions)}'
            )
        self._metainfo['classes'] = tuple(classes)
        return samples

    @staticmethod
    def _sub_folders(folder: str) -> List[str]:
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f'there is no folder {os.path.abspath(folder)}; data_root '
                'must have train/ and val/, with one folder per class in each'
            )
        names = sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.is_dir() and not entry.name.startswith('.')
        )
        if not names:
            raise ValueError(
                f'{os.path.abspath(folder)} has no folders in it: images '
                'must be sorted into one folder per class'
            )
        return names

    def _images(self, folder: str) -> List[str]:
        return sorted(
            os.path.join(path, name)
            for path, _, files in os.walk(folder, followlinks=True)
            for name in files
            if name.lower().endswith(self.extensions)
            and not name.startswith('.')
        )

    @property
    def CLASSES(self):
        """Names of the classes, where mmpretrain looks for them."""
        return self.metainfo.get('classes')

    def get_cat_ids(self, idx: int) -> List[int]:
        """The class of sample ``idx``, as class-balancing wrappers ask."""
        return [int(self.get_data_info(idx)['gt_label'])]
