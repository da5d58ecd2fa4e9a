# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Images sorted into one folder per class."""

import os
from collections import Counter
from typing import Any, List, Optional, Sequence

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import (
    PathLike,
    check_choice,
    check_path,
)

from .folders import class_folders, walk_files, warn
from .labeled_dataset import LabeledDataset


@DATASETS.register_module()
class ImageFolder(LabeledDataset):
    """Any image folders: ``<data_root>/<data_prefix>/<class>/**/*.jpg``.

    Classes are numbered by the sorted names of the folders in
    ``<data_root>/<class_prefix>``, usually the training images, also for
    validation: a class without validation images moves no label.

    A sample holds ``img_path`` and ``gt_label``; load it with
    ``LoadImageFromFile``. Hidden folders and those of a system
    (``__MACOSX``) are left out, and files of other types with a warning.

    Args:
        data_root (str | PathLike): Folder of the dataset.
        data_prefix (str): Folder of this split in it. Defaults to 'train'.
        class_prefix (str, optional): Folder whose sub-folders are the
            classes; None is ``data_prefix``. Defaults to 'train'.
        extensions (Sequence[str]): Endings of image files, in any case.
        on_bad (str): What to do about an empty file, an image that cannot be
            decoded and a training class without images: ``'raise'``, or
            ``'skip'``: leave it out with a warning. In place of an image that
            cannot be decoded comes the next one that can. Defaults to
            ``'raise'``.
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If there are no classes, no images, an empty file, a
            training class without images, or images of a class that
            ``class_prefix`` does not have.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ('ant', 'bee'):
        ...         os.makedirs(f'{root}/train/{name}')
        ...         _ = open(f'{root}/train/{name}/1.png', 'w').write('x')
        ...     ImageFolder(root).metainfo['classes']
        ('ant', 'bee')
    """

    EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif',
                  '.tiff', '.webp')  # fmt: skip

    def __init__(
        self,
        data_root: PathLike,
        data_prefix: str = 'train',
        class_prefix: Optional[str] = 'train',
        extensions: Sequence[str] = EXTENSIONS,
        on_bad: str = 'raise',
        **kwargs,
    ) -> None:
        data_root = check_path('data_root', data_root)
        if class_prefix is None:
            class_prefix = data_prefix
        self.on_bad = check_choice('on_bad', on_bad, ('raise', 'skip'))
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
        classes = list(class_folders(self.class_folder))
        folders = class_folders(self.folder)
        unknown = [name for name in folders if name not in classes]
        if unknown:
            raise ValueError(
                f'{self.folder} has folders that are not a class of '
                f'{self.class_folder}: {", ".join(unknown[:10])}'
            )
        samples: List[dict] = []
        others: Counter = Counter()
        without: List[str] = []
        for name, folder in folders.items():
            images, rest = self._images(folder)
            label = classes.index(name)
            samples += [dict(img_path=x, gt_label=label) for x in images]
            others += rest
            if not images:
                endings = ', '.join(map(repr, sorted(rest))) or 'no files'
                without.append(f'{name} ({endings})')
        if not samples:
            raise ValueError(
                f'no images in the {len(folders)} class folders of '
                f'{self.folder}: files must end in {self.extensions}'
            )
        if without and os.path.samefile(self.folder, self.class_folder):
            self._bad(
                f'{self.folder}: classes without images, with what they have: '
                f'{", ".join(without[:10])}',
                'they keep their labels',
            )
        if others:
            found = dict(others)
            warn(f'{self.folder}: not read as images, by ending: {found}')
        self._metainfo['classes'] = tuple(classes)
        return samples

    def _images(self, folder: str) -> tuple:
        """Paths of the images, and how many others there are by ending."""
        images, others = [], Counter()
        for path, names in walk_files(folder):
            for name in names:
                file = os.path.join(path, name)
                if not name.lower().endswith(self.extensions):
                    others[os.path.splitext(name)[1].lower()] += 1
                elif not os.path.exists(file):
                    self._bad(f'{file} is a link to nothing', 'left out')
                elif os.path.getsize(file) == 0:
                    self._bad(f'{file} is an empty file', 'left out')
                else:
                    images.append(file)
        return sorted(images), others

    def prepare_data(self, idx: int) -> Any:
        """Load a sample; an error names the image."""
        path = self.get_data_info(idx)['img_path']
        try:
            return super().prepare_data(idx)
        except Exception as error:
            self._bad(f'{path} cannot be loaded: {error}', 'skipped', error)
        return None

    def __getitem__(self, idx: int) -> Any:
        if self.on_bad == 'raise' or not self._fully_initialized:
            return super().__getitem__(idx)
        # The next one that can be read: the same in each epoch and process.
        for step in range(len(self)):
            place = (int(idx) + step) % len(self)
            sample = self.prepare_data(idx if step == 0 else place)
            if sample is not None:
                return sample
        raise ValueError(f'{self.folder}: no image can be loaded')

    def _bad(
        self, what: str, then: str, error: Optional[Exception] = None
    ) -> None:
        if self.on_bad == 'raise':
            raise ValueError(f"{what}. on_bad='skip' leaves it out") from error
        warn(f'{what}; {then}')
